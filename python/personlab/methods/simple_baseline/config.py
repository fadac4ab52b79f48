"""Configuration of a Simple Baselines network, stored in a checkpoint beside the weights."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import ClassVar, Literal, get_args

from personlab.arrays.numbers import as_integer, as_size, check_type
from personlab.nn.config import (
    Normalization,
    Style,
    check_choice,
    check_normalization,
    check_width,
    read_config,
)
from personlab.skeleton import COCO_PERSON, Skeleton

SimpleBaselineBackbone = Literal["mobilenet_v1", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152"]
Channels = Literal["rgb", "bgr"]
STRIDE = 4  # of the heatmaps, input pixels
_MAX_SIDE = 4096  # of crops, pixels


@dataclass(frozen=True, kw_only=True)
class SimpleBaselineConfig:
    """Configuration of a Simple Baselines network: all but its weights (Simple Baselines, section 2).

    Raises:
        TypeError: a value of the wrong type.
        ValueError: a value out of range.
    """

    method: ClassVar[str] = "simple_baseline"
    """name of the method whose network this is"""

    backbone: SimpleBaselineBackbone = "resnet50"
    """network below the deconvolutions"""

    width: float = 1.0
    """factor on every channel count of mobilenet_v1: 0.5, 0.75 or 1.0"""

    style: Style = "pytorch"
    """of the bottlenecks of resnet50 and deeper: the stride at their 3x3 convolution, or (caffe) at their first 1x1"""

    channels: int = 256
    """of each deconvolution: three behind a ResNet, two behind mobilenet_v1"""

    stride: int = STRIDE
    """input pixels from cell to cell of the heatmaps: 4"""

    input_size: tuple[int, int] = (256, 192)
    """(H, W) of the crops, multiples of 32 pixels"""

    skeleton: Skeleton = COCO_PERSON
    """keypoints of people"""

    normalization: Normalization | None = None
    """of pixels 0..255: x / 127.5 - 1, or by ImageNet's mean and deviation; None: as for the backbone's published
    weights (imagenet for a ResNet)"""

    order: Channels = "rgb"
    """in which the network takes the channels of a pixel; the published networks, bgr, by the mean of R, G, B all the
    same"""

    def __post_init__(self) -> None:
        freeze = object.__setattr__
        check_type(self.skeleton, "skeleton", Skeleton)
        check_choice(self.backbone, "backbone", get_args(SimpleBaselineBackbone))
        check_choice(self.style, "style", get_args(Style))
        check_choice(self.order, "order", get_args(Channels))
        if self.style == "caffe" and self.backbone in ("mobilenet_v1", "resnet18", "resnet34"):
            raise ValueError(f"style: expected pytorch for {self.backbone}, which has no bottlenecks, got caffe")
        freeze(self, "width", check_width(self.width, self.backbone))
        freeze(self, "normalization", check_normalization(self.normalization, self.backbone))
        freeze(self, "channels", as_integer(self.channels, "channels", 1, 4096))
        if as_integer(self.stride, "stride") != STRIDE:
            raise ValueError(f"stride: expected {STRIDE}, got {self.stride}")
        size = as_size(self.input_size, "input_size", "(H, W)", self.input_step)
        if any(side % self.input_step or side > _MAX_SIDE for side in size):
            raise ValueError(f"input_size: expected multiples of {self.input_step} up to {_MAX_SIDE}, got {size}")
        freeze(self, "input_size", size)

    @property
    def input_step(self) -> int:
        """The number that the sides of a network input are multiples of, pixels."""
        return 32

    def to_json(self) -> str:
        """Return the configuration as one line of JSON, the skeleton spelt out."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> SimpleBaselineConfig:
        """Read what `to_json` wrote; fields that are left out have their defaults.

        Raises:
            TypeError: a value of the wrong type.
            ValueError: no JSON object, an unknown name, or a value out of range.
        """
        return read_config(cls, text)
