"""Options of prediction: how people are cut out, how peaks become keypoints, and which people stay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from personlab.arrays.numbers import as_integer, as_number

Peak = Literal["parabola", "quarter"]
Procedure = Literal["default", "original", "original_pytorch"]


@dataclass(frozen=True, kw_only=True)
class SimpleBaselineOptions:
    """Options of prediction (Simple Baselines, sections 2 and 4.1).

    Attributes:
        padding: factor on the box of a person, once it has the shape of a crop
        peak: where a keypoint lies beside the highest cell: at the top of the parabola through the logarithms of
            neighbouring cells, or a quarter of a cell towards the higher neighbour
        min_value: value, 0 to 1, from which on keypoints count in the score of a person
        nms_oks: likeness (OKS) to a person of a higher score above which a person is left out
        min_score: min score of a person
        max_poses: max number of people
        procedure: this library's, or those of the originals in TensorFlow or PyTorch, number for number
        threads: threads that share one image

    Raises:
        TypeError: a value of the wrong type.
        ValueError: a value out of range.
    """

    padding: float = 1.25
    peak: Peak = "parabola"
    min_value: float = 0.2
    nms_oks: float = 0.9
    min_score: float = 0.05
    max_poses: int = 100
    procedure: Procedure = "default"
    threads: int = 1

    def __post_init__(self) -> None:
        freeze = object.__setattr__
        freeze(self, "padding", as_number(self.padding, "padding", 0.01, 100))
        for name in ("min_value", "nms_oks", "min_score"):
            freeze(self, name, as_number(getattr(self, name), name, 0, 1))
        freeze(self, "max_poses", as_integer(self.max_poses, "max_poses", 1))
        freeze(self, "threads", as_integer(self.threads, "threads", 1, 1024))
        for name, choices in (("peak", get_args(Peak)), ("procedure", get_args(Procedure))):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {getattr(self, name)!r}")

    @classmethod
    def original(cls, *, pytorch: bool = False, **changes: Any) -> SimpleBaselineOptions:
        """Return options by which people are those of the originals, number for number.

        Args:
            pytorch: those of the original in PyTorch, else of its port to TensorFlow.
            changes: fields with other values.

        Raises:
            TypeError: a value of the wrong type, or an unknown name.
            ValueError: a value out of range.
        """
        procedure = "original_pytorch" if pytorch else "original"
        return cls(**{"procedure": procedure, "peak": "quarter", "min_score": 0.0, "max_poses": 1_000_000, **changes})
