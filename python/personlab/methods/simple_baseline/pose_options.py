"""Options of prediction: how people are cut out, and which stay."""

from __future__ import annotations

from dataclasses import dataclass

from personlab.arrays.numbers import as_integer, as_number


@dataclass(frozen=True, kw_only=True)
class SimpleBaselineOptions:
    """Options of prediction (Simple Baselines, sections 2 and 4.1).

    Attributes:
        padding: factor on the box of a person, once it has the shape of a crop
        min_value: value, 0 to 1, from which on keypoints count in the score of a person
        nms_oks: likeness (OKS) to a person of a higher score above which a person is left out
        min_score: min score of a person
        max_poses: max number of people
        threads: threads that share one image

    Raises:
        TypeError: a value of the wrong type.
        ValueError: a value out of range.
    """

    padding: float = 1.25
    min_value: float = 0.2
    nms_oks: float = 0.9
    min_score: float = 0.05
    max_poses: int = 100
    threads: int = 1

    def __post_init__(self) -> None:
        freeze = object.__setattr__
        freeze(self, "padding", as_number(self.padding, "padding", 0.01, 100))
        for name in ("min_value", "nms_oks", "min_score"):
            freeze(self, name, as_number(getattr(self, name), name, 0, 1))
        freeze(self, "max_poses", as_integer(self.max_poses, "max_poses", 1))
        freeze(self, "threads", as_integer(self.threads, "threads", 1, 1024))
