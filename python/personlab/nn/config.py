"""What a PersonLab network is, as data that travels in a checkpoint beside the weights."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from personlab.arrays.numbers import as_integer, as_number, check_type
from personlab.skeleton import COCO_PERSON, Skeleton

BackboneName = Literal["mobilenet_v1", "resnet50", "resnet101", "resnet152"]
Norm = Literal["batch", "none"]
Normalization = Literal["minus_one_to_one", "imagenet"]

_WIDTHS = (0.5, 0.75, 1.0)
_STRIDES = (8, 16)


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A PersonLab network but for its weights (PersonLab, sections 3 and 4).

    Raises:
        TypeError: a value of the wrong type.
        ValueError: a value that is none of the choices.
    """

    backbone: BackboneName = "mobilenet_v1"
    """mobilenet_v1 is Google's variant in PoseNet and BodyPix; the paper's own networks are resnet101 and resnet152"""

    width: float = 1.0
    """factor on every channel count: 0.5, 0.75 or 1.0; a ResNet has 1.0 only"""

    stride: int = 16
    """input pixels from cell to cell of the output: 16 or 8. The weights do not depend on it (atrous convolution)"""

    skeleton: Skeleton = COCO_PERSON
    """keypoint types and edges: they number the channels of the heads"""

    masks: bool = True
    """whether there are heads for segmentation and long-range offsets; PoseNet has none"""

    norm: Norm = "batch"
    """batch: batch norm after each convolution; none: convolutions with biases, batch norm folded into them"""

    normalization: Normalization | None = None
    """what becomes of pixels 0..255: x / 127.5 - 1, or ImageNet's mean and deviation; None: what the backbone's
    published weights were trained with (imagenet for a ResNet)"""

    refine_steps: int = 0
    """dense refinements of mid- and long-range offsets inside the network (section 3.1.2); 0: left to the decoder"""

    intermediate: bool = False
    """second set of heads for training, after block 10 of 0..12 (mobilenet_v1) or at the end of layer3 (ResNet)"""

    def __post_init__(self) -> None:
        freeze = object.__setattr__
        _check_choice(self.backbone, "backbone", get_args(BackboneName))
        _check_choice(self.norm, "norm", get_args(Norm))
        if self.normalization is None:
            freeze(self, "normalization", "minus_one_to_one" if self.backbone == "mobilenet_v1" else "imagenet")
        _check_choice(self.normalization, "normalization", get_args(Normalization))
        freeze(self, "width", as_number(self.width, "width", 0))
        if self.width not in _WIDTHS:
            raise ValueError(f"width: expected one of {', '.join(map(str, _WIDTHS))}, got {self.width}")
        if self.backbone != "mobilenet_v1" and self.width != 1:
            raise ValueError(f"width: expected 1.0 for {self.backbone}, got {self.width}")
        freeze(self, "stride", check_stride(self.stride))
        freeze(self, "refine_steps", as_integer(self.refine_steps, "refine_steps", 0, 100))
        check_type(self.skeleton, "skeleton", Skeleton)
        check_type(self.masks, "masks", bool)
        check_type(self.intermediate, "intermediate", bool)

    def to_json(self) -> str:
        """The configuration as one line of JSON, the skeleton spelt out."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> ModelConfig:
        """The configuration that `to_json` wrote; what is not named has its default.

        Raises:
            TypeError: a value of the wrong type.
            ValueError: no JSON object, an unknown name, or a value that is none of the choices.
        """
        values = _read_object(json.loads(text), "config", [field.name for field in fields(cls)])
        if "skeleton" in values:
            names = [field.name for field in fields(Skeleton)]
            skeleton = _read_object(values["skeleton"], "skeleton", names)
            if missing := [name for name in names if name not in skeleton]:
                raise ValueError(f"skeleton: {', '.join(missing)} missing")
            values["skeleton"] = Skeleton(**skeleton)
        return cls(**values)


def check_stride(stride: Any) -> int:
    """An output stride that the backbones can have.

    Raises:
        TypeError: no integer.
        ValueError: neither 8 nor 16.
    """
    number = as_integer(stride, "stride")
    if number not in _STRIDES:
        raise ValueError(f"stride: expected one of {', '.join(map(str, _STRIDES))}, got {number}")
    return number


def _check_choice(value: Any, name: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {value!r}")


def _read_object(value: Any, name: str, known: list[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{name}: expected a JSON object, got {type(value).__name__}")  # noqa: TRY004  # of the text
    if unknown := [key for key in value if key not in known]:
        raise ValueError(f"{name}: expected the names {', '.join(known)}, got {', '.join(unknown)}")
    return value
