"""Options of the losses of Simple Pose, and of the targets that they compare with."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from personlab.arrays.numbers import as_number
from personlab.methods.simple_pose.target_options import Overlap, TargetOptions


@dataclass(frozen=True, kw_only=True)
class SimplePoseLossOptions:
    """Weights of the losses on maps (Simple Pose, section 3.3), and the targets.

    Attributes:
        kind: focal_l2: squared differences, each times a factor that falls as the output nears its target; l2: without
        gamma: power of that factor: 1 as the published networks were trained, 2 as the paper writes it
        alpha: lower the output by this before the factor is taken, where the target is foreground
        beta: raise the output by this before the factor is taken, where it is background
        keypoint: weight of the keypoints' maps
        limb: weight of the limbs' maps
        person: weight of the person mask
        brightest: weight of the max over the keypoints' maps
        keypoint_sigma: sigma of the Gaussian around a keypoint, input pixels
        limb_sigma: sigma of the Gaussian across a limb, input pixels
        overlap: where people's limbs of one type overlap: max or mean
        targets: this library's, or the published training's number for number

    Raises:
        TypeError: a value of the wrong type.
        ValueError: a value out of range.
    """

    kind: Literal["focal_l2", "l2"] = "focal_l2"
    gamma: float = 1.0
    alpha: float = 0.0
    beta: float = 0.0
    keypoint: float = 3.0
    limb: float = 1.0
    person: float = 0.1
    brightest: float = 1.0
    keypoint_sigma: float = 9.0
    limb_sigma: float = 7.0
    overlap: Overlap = "max"
    targets: Literal["default", "original"] = "default"

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = getattr(self, entry.name)
            if isinstance(entry.default, float):
                object.__setattr__(self, entry.name, as_number(value, f"loss.{entry.name}", 0, 4096))
        for name, choices in (
            ("kind", ("focal_l2", "l2")), ("overlap", get_args(Overlap)), ("targets", ("default", "original")),
        ):  # fmt: skip
            if getattr(self, name) not in choices:
                raise ValueError(f"loss.{name}: expected one of {', '.join(choices)}, got {getattr(self, name)!r}")
        self.encoding()  # raises

    def encoding(self) -> TargetOptions:
        """Return the options of the targets."""
        sigmas: dict[str, Any] = {"keypoint_sigma": self.keypoint_sigma, "limb_sigma": self.limb_sigma}
        if self.targets == "original":
            return TargetOptions.original(**sigmas)
        return TargetOptions(**sigmas, overlap=self.overlap)
