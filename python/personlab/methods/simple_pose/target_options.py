"""Options of the training targets of Simple Pose: frozen and keyword-only, checked when they are made."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, get_args

from personlab._cached import Cached, PicklesFields
from personlab.arrays.numbers import as_integer, as_number

if TYPE_CHECKING:
    from personlab import _core

Overlap = Literal["max", "mean"]
TargetRules = Literal["default", "part_b", "part_a"]


@dataclass(frozen=True, kw_only=True)
class TargetOptions(PicklesFields):
    """How people become maps.

    Attributes:
        keypoint_sigma: sigma of the Gaussian around a keypoint, input pixels
        limb_sigma: sigma of the Gaussian across a limb, input pixels
        threshold: values of a person below this one are 0
        overlap: where people's limbs of one type overlap: max, or mean over the people whose value is not 0
        threads: threads that share the work of one call, the caller's included
        rules: this library's, or an original's number for number (see `original`)

    Raises:
        TypeError: a value of the wrong type, or an unknown name.
        ValueError: a value out of range.
    """

    keypoint_sigma: float = 9.0
    limb_sigma: float = 7.0
    threshold: float = 0.015
    overlap: Overlap = "max"
    threads: int = 1
    rules: TargetRules = "default"

    def __post_init__(self) -> None:
        freeze = object.__setattr__
        for name, low, high in (("keypoint_sigma", 1e-3, 4096), ("limb_sigma", 1e-3, 4096), ("threshold", 1e-9, 1)):
            freeze(self, name, as_number(getattr(self, name), name, low, high))
        freeze(self, "threads", as_integer(self.threads, "threads", 1, 1024))
        for name, choices in (("overlap", get_args(Overlap)), ("rules", get_args(TargetRules))):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {getattr(self, name)!r}")
        if self.rules != "default" and self.overlap != "mean":
            raise ValueError(f"overlap: expected mean under the rules of {self.rules}, got {self.overlap!r}")

    @classmethod
    def original(cls, part: Literal["B", "A"] = "B", **changes: Any) -> TargetOptions:
        """Return options with which targets equal an original's, number for number.

        Part B takes the distance to the infinite line along a limb, in a box around the limb, where values up to the
        threshold become 0.01 and count in the mean, so that the box of a crossing person halves a limb; a keypoint has
        values in a square of cells. Part A has that box, too, no such floor, and reads limbs at the corners of cells.

        Args:
            part: "B", of the hourglass network (Improved-Body-Parts), or "A", of the VGG network.
            changes: fields with other values.

        Raises:
            TypeError: a value of the wrong type, or an unknown name.
            ValueError: a value out of range, or no such part.
        """
        if part not in ("A", "B"):
            raise ValueError(f"part: expected B or A, got {part!r}")
        fixed: dict[str, Any] = {"overlap": "mean", "rules": "part_b"}
        if part == "A":
            fixed |= {"keypoint_sigma": 7.0, "limb_sigma": 5.0, "threshold": 0.01, "rules": "part_a"}
        return cls(**{**fixed, **changes})

    @Cached
    def native(self) -> _core.MapTargetOptions:
        """The compiled core's copy of these options."""
        from personlab import _core

        return _core.MapTargetOptions(**{field.name: getattr(self, field.name) for field in fields(self)})
