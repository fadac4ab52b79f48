"""Options of the loss of Simple Baselines, and of the heatmaps that it compares with."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, get_args

from personlab.arrays.numbers import as_number

Targets = Literal["default", "original", "original_pytorch"]


@dataclass(frozen=True, kw_only=True)
class SimpleBaselineLossOptions:
    """The loss (Simple Baselines, section 2): mean squared difference of the heatmaps of labelled keypoints.

    Attributes:
        scale: factor on it: 0.5 in the original in PyTorch, 1 in its port to TensorFlow
        sigma: sigma of the Gaussian around a keypoint, input pixels: 8, at 384x288 12
        maps: this library's, with the Gaussian where the keypoint is, or those of the originals in TensorFlow or
            PyTorch, number for number but for the scale, which is 0 to 1

    Raises:
        TypeError: a value of the wrong type.
        ValueError: a value out of range.
    """

    scale: float = 1.0
    sigma: float = 8.0
    maps: Targets = "default"

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = getattr(self, entry.name)
            if isinstance(entry.default, float):
                object.__setattr__(self, entry.name, as_number(value, f"loss.{entry.name}", 1e-6, 4096))
        if self.maps not in get_args(Targets):
            raise ValueError(f"loss.maps: expected one of {', '.join(get_args(Targets))}, got {self.maps!r}")
