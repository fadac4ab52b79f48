"""Options of the loss of Simple Baselines, and of the heatmaps that it compares with."""

from __future__ import annotations

from dataclasses import dataclass

from personlab.arrays.numbers import as_number


@dataclass(frozen=True, kw_only=True)
class SimpleBaselineLossOptions:
    """The loss (Simple Baselines, section 2): mean squared difference of the heatmaps of labelled keypoints.

    Attributes:
        scale: factor on it: 0.5 in the original in PyTorch, 1 in its port to TensorFlow
        sigma: sigma of the Gaussian around a keypoint, input pixels: 8, at 384x288 12

    Raises:
        TypeError: a value of the wrong type.
        ValueError: a value out of range.
    """

    scale: float = 1.0
    sigma: float = 8.0

    def __post_init__(self) -> None:
        for name, low, high in (("scale", 1e-6, 1e6), ("sigma", 0.1, 1000)):
            object.__setattr__(self, name, as_number(getattr(self, name), f"loss.{name}", low, high))
