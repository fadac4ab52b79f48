"""Configuration of a Simple Pose network, stored in a checkpoint beside the weights."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import ClassVar, Literal, get_args

from personlab.arrays.numbers import as_integer, check_type
from personlab.methods.simple_pose.people import parts_of
from personlab.nn.config import (
    BackboneName,
    Norm,
    Normalization,
    check_backbone,
    check_choice,
    check_norm,
    check_normalization,
    check_width,
    read_config,
)
from personlab.skeleton import COCO_PERSON, Skeleton

SimplePoseBackbone = Literal["hourglass", BackboneName]
_STRIDES = (4, 8, 16)
_FEATURES = (8, 16)


@dataclass(frozen=True, kw_only=True)
class SimplePoseConfig:
    """Configuration of a Simple Pose network: all but its weights (Simple Pose, section 3).

    Raises:
        TypeError: a value of the wrong type.
        ValueError: a value out of range.
    """

    method: ClassVar[str] = "simple_pose"
    """name of the method whose network this is"""

    backbone: SimplePoseBackbone = "mobilenet_v1"
    """hourglass is the published network; the others carry maps of one scale"""

    width: float = 1.0
    """factor on every channel count of mobilenet_v1: 0.5, 0.75 or 1.0"""

    stride: int = 0
    """input pixels from cell to cell of the maps: 4 for the hourglass; 4, 8 or 16 for the others; 0 becomes 4 for the
    hourglass and 8 for the others"""

    features: int = 0
    """input pixels from cell to cell of the backbone's features, 8 or 16, which the head enlarges to the maps; 0 is 8,
    or 16 where the maps are at stride 16; the hourglass has none"""

    skeleton: Skeleton = COCO_PERSON
    """keypoints of people; with COCO's the maps show 18 keypoints, the neck among them, and 30 limbs, else the
    skeleton's own keypoints and edges"""

    stacks: int = 4
    """number of hourglasses, one behind the other"""

    channels: int = 256
    """of the hourglass's finest features, a multiple of 32"""

    increase: int = 128
    """more channels at each coarser scale of an hourglass, a multiple of 2"""

    norm: Norm = "batch"
    """batch: batch norm after each convolution; none: convolutions with biases, batch norm folded into them"""

    normalization: Normalization | None = None
    """of pixels 0..255, unless the backbone is the hourglass, which takes them as x / 255: x / 127.5 - 1, or by
    ImageNet's mean and deviation; None: as for the backbone's published weights (imagenet for a ResNet)"""

    def __post_init__(self) -> None:
        freeze = object.__setattr__
        check_type(self.skeleton, "skeleton", Skeleton)
        check_norm(self.norm)
        if self.stride == 0:
            freeze(self, "stride", 4 if self.backbone == "hourglass" else 8)
        for name, low, high in (
            ("stacks", 1, 16),
            ("channels", 32, 4096),
            ("increase", 0, 4096),
            ("stride", 1, 4096),
            ("features", 0, 4096),
        ):
            freeze(self, name, as_integer(getattr(self, name), name, low, high))
        for name, step in (("channels", 32), ("increase", 2)):
            if getattr(self, name) % step:
                raise ValueError(f"{name}: expected a multiple of {step}, got {getattr(self, name)}")
        if self.backbone == "hourglass":
            self._check_hourglass()
            return
        check_choice(self.backbone, "backbone", ("hourglass", *get_args(BackboneName)))
        check_backbone(self.backbone)
        freeze(self, "normalization", check_normalization(self.normalization, self.backbone))
        freeze(self, "width", check_width(self.width, self.backbone))
        if self.stride not in _STRIDES:
            raise ValueError(f"stride: expected one of {', '.join(map(str, _STRIDES))}, got {self.stride}")
        if self.features == 0:
            freeze(self, "features", max(self.stride, _FEATURES[0]))
        if self.features not in _FEATURES:
            raise ValueError(f"features: expected one of {', '.join(map(str, _FEATURES))}, got {self.features}")
        if self.stride > self.features:
            raise ValueError(f"stride: expected at most that of the features, {self.features}, got {self.stride}")

    def _check_hourglass(self) -> None:
        for name, only in (("width", 1.0), ("stride", 4), ("features", 0), ("norm", "batch"), ("normalization", None)):
            if getattr(self, name) != only:
                raise ValueError(f"{name}: expected {only} for the hourglass, got {getattr(self, name)!r}")

    @property
    def input_step(self) -> int:
        """The number that the sides of a network input are multiples of, pixels."""
        return 64 if self.backbone == "hourglass" else max(self.stride, 16)

    @property
    def n_maps(self) -> int:
        """Limbs, keypoints, the person mask, and the max over all keypoints."""
        skeleton = parts_of(self.skeleton).skeleton
        return skeleton.n_edges + skeleton.n_keypoints + 2

    def to_json(self) -> str:
        """Return the configuration as one line of JSON, the skeleton spelt out."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> SimplePoseConfig:
        """Read what `to_json` wrote; fields that are left out have their defaults.

        Raises:
            TypeError: a value of the wrong type.
            ValueError: no JSON object, an unknown name, or a value out of range.
        """
        return read_config(cls, text)
