"""Configuration of a PersonLab network, stored in a checkpoint beside the weights."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import ClassVar

from personlab.arrays.numbers import as_integer, check_type
from personlab.nn.config import (
    BackboneName,
    Norm,
    Normalization,
    check_backbone,
    check_norm,
    check_normalization,
    check_stride,
    check_width,
    read_config,
)
from personlab.skeleton import COCO_PERSON, Skeleton

# (mean, deviation) of R, G, B, of pixels 0..255
NORMALIZATIONS = {
    "minus_one_to_one": ((127.5, 127.5, 127.5), (127.5, 127.5, 127.5)),
    "imagenet": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
}


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Configuration of a PersonLab network: all but its weights (PersonLab, sections 3 and 4).

    Raises:
        TypeError: a value of the wrong type.
        ValueError: a value out of range.
    """

    method: ClassVar[str] = "personlab"
    """name of the method whose network this is"""

    backbone: BackboneName = "mobilenet_v1"
    """mobilenet_v1 is Google's variant in PoseNet and BodyPix; the paper's own networks are resnet101 and resnet152"""

    width: float = 1.0
    """factor on every channel count: 0.5, 0.75 or 1.0; a ResNet has 1.0 only"""

    stride: int = 16
    """input pixels from cell to cell of the output: 16 or 8. The weights do not depend on it (atrous convolution)"""

    skeleton: Skeleton = COCO_PERSON
    """keypoint types and edges, which decide the number of channels of the heads"""

    masks: bool = True
    """heads for segmentation and long-range offsets; PoseNet has none"""

    norm: Norm = "batch"
    """batch: batch norm after each convolution; none: convolutions with biases, batch norm folded into them"""

    normalization: Normalization | None = None
    """of pixels 0..255: x / 127.5 - 1, or by ImageNet's mean and deviation; None: as for the backbone's published
    weights (imagenet for a ResNet)"""

    refine_steps: int = 0
    """dense refinements of mid- and long-range offsets inside the network (section 3.1.2); 0: left to the decoder"""

    intermediate: bool = False
    """second set of heads for training, after block 10 of 0..12 (mobilenet_v1) or at the end of layer3 (ResNet)"""

    def __post_init__(self) -> None:
        freeze = object.__setattr__
        check_backbone(self.backbone)
        check_norm(self.norm)
        freeze(self, "normalization", check_normalization(self.normalization, self.backbone))
        freeze(self, "width", check_width(self.width, self.backbone))
        freeze(self, "stride", check_stride(self.stride))
        freeze(self, "refine_steps", as_integer(self.refine_steps, "refine_steps", 0, 100))
        check_type(self.skeleton, "skeleton", Skeleton)
        check_type(self.masks, "masks", bool)
        check_type(self.intermediate, "intermediate", bool)

    def to_json(self) -> str:
        """Return the configuration as one line of JSON, the skeleton spelt out."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> ModelConfig:
        """Read what `to_json` wrote; fields that are left out have their defaults.

        Raises:
            TypeError: a value of the wrong type.
            ValueError: no JSON object, an unknown name, or a value out of range.
        """
        return read_config(cls, text)
