"""Options of PersonLab's losses, on labels and on the fields of teachers: their weights, and where they are taken."""

from __future__ import annotations

from dataclasses import dataclass, fields

from personlab.arrays.numbers import as_integer, as_number


@dataclass(frozen=True, kw_only=True)
class LossOptions:
    """Weights of the losses (PersonLab, section 4), and where they are taken.

    Attributes:
        heatmap: weight of the logistic loss on heatmaps
        short: weight of the loss on short-range offsets
        mid: weight of the loss on mid-range offsets
        segmentation: weight of the logistic loss on the person mask
        long: weight of the loss on long-range offsets
        intermediate: weight of all these losses on the intermediate heads, if the network has them
        disk_radius: R, input pixels: radius of the discs, and unit of the losses on offsets
        refine_steps: refinements before the losses on mid- and long-range offsets, unless the network refines

    Raises:
        TypeError: a value of the wrong type.
        ValueError: a value out of range.
    """

    heatmap: float = 4.0
    short: float = 1.0
    mid: float = 0.25
    segmentation: float = 2.0
    long: float = 0.125
    intermediate: float = 1.0
    disk_radius: float = 32.0
    refine_steps: int = 2

    def __post_init__(self) -> None:
        for name in (entry.name for entry in fields(self)):
            if name not in ("disk_radius", "refine_steps"):
                as_number(getattr(self, name), f"loss.{name}", 0)
        as_number(self.disk_radius, "loss.disk_radius", 1e-3, 4096)
        as_integer(self.refine_steps, "loss.refine_steps", 0, 100)


@dataclass(frozen=True, kw_only=True)
class TeachingOptions:
    """Weights of the losses on the fields of teachers, and where they are taken.

    Attributes:
        heatmap: weight of the logistic loss on their probabilities of keypoints
        short: weight of the loss on their short-range offsets
        mid: weight of the loss on their mid-range offsets
        segmentation: weight of the logistic loss on their probabilities of a person
        long: weight of the loss on their long-range offsets
        min_probability: offsets count, by the teacher's probability of the keypoint or person, from this one on

    Raises:
        TypeError: a value of the wrong type.
        ValueError: a value out of range.
    """

    heatmap: float = 4.0
    short: float = 1.0
    mid: float = 0.25
    segmentation: float = 2.0
    long: float = 0.125
    min_probability: float = 0.5

    def __post_init__(self) -> None:
        for name in ("heatmap", "short", "mid", "segmentation", "long"):
            as_number(getattr(self, name), f"teaching.{name}", 0)
        as_number(self.min_probability, "teaching.min_probability", 0, 1)
