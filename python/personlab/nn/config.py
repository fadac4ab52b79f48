"""What the networks of all methods have in common as data: backbone, stride, pixels, and configurations as JSON."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any, Literal, TypeVar, get_args

from personlab.arrays.numbers import as_integer, as_number
from personlab.skeleton import Skeleton

BackboneName = Literal["mobilenet_v1", "resnet50", "resnet101", "resnet152"]
Norm = Literal["batch", "none"]
Style = Literal["pytorch", "caffe"]  # of a ResNet's bottlenecks: the stride at the 3x3 or at the first 1x1 convolution
Normalization = Literal["minus_one_to_one", "imagenet"]
Config = TypeVar("Config")

_WIDTHS = (0.5, 0.75, 1.0)
_STRIDES = (8, 16)


def check_backbone(name: Any) -> None:
    """Check the name of a backbone.

    Raises:
        ValueError: another name.
    """
    check_choice(name, "backbone", get_args(BackboneName))


def check_norm(norm: Any) -> None:
    """Check the kind of normalisation layers.

    Raises:
        ValueError: another kind.
    """
    check_choice(norm, "norm", get_args(Norm))


def check_normalization(normalization: Any, backbone: str) -> Normalization:
    """Return how pixels are normalised; None becomes what the backbone's published weights were trained with.

    Raises:
        ValueError: another name.
    """
    if normalization is None:
        return "minus_one_to_one" if backbone == "mobilenet_v1" else "imagenet"
    check_choice(normalization, "normalization", get_args(Normalization))
    chosen: Normalization = normalization
    return chosen


def check_width(width: Any, backbone: str) -> float:
    """Return the factor on channel counts as a float.

    Raises:
        TypeError: no number.
        ValueError: a factor that the backbone does not have.
    """
    factor = as_number(width, "width", 0)
    if factor not in _WIDTHS:
        raise ValueError(f"width: expected one of {', '.join(map(str, _WIDTHS))}, got {factor}")
    if backbone != "mobilenet_v1" and factor != 1:
        raise ValueError(f"width: expected 1.0 for {backbone}, got {factor}")
    return factor


def check_stride(stride: Any) -> int:
    """Return an output stride that the backbones have.

    Raises:
        TypeError: no integer.
        ValueError: neither 8 nor 16.
    """
    number = as_integer(stride, "stride")
    if number not in _STRIDES:
        raise ValueError(f"stride: expected one of {', '.join(map(str, _STRIDES))}, got {number}")
    return number


def check_choice(value: Any, name: str, choices: tuple[str, ...]) -> None:
    """Check that a value is one of a few names.

    Raises:
        ValueError: it is another.
    """
    if value not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {value!r}")


def read_config(kind: type[Config], text: str) -> Config:
    """Read a configuration, a dataclass with a `skeleton`, from JSON; fields that are left out have their defaults.

    Raises:
        TypeError: a value of the wrong type.
        ValueError: no JSON object, an unknown name, or a value out of range.
    """
    values = _read_object(json.loads(text), "config", _names(kind))
    if "skeleton" in values:
        names = _names(Skeleton)
        skeleton = _read_object(values["skeleton"], "skeleton", names)
        if missing := [name for name in names if name not in skeleton]:
            raise ValueError(f"skeleton: {', '.join(missing)} missing")
        values["skeleton"] = Skeleton(**skeleton)
    return kind(**values)


def _names(kind: Any) -> list[str]:
    return [field.name for field in fields(kind)]


def _read_object(value: Any, name: str, known: list[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{name}: expected a JSON object, got {type(value).__name__}")  # noqa: TRY004  # of the text
    if unknown := [key for key in value if key not in known]:
        raise ValueError(f"{name}: expected the names {', '.join(known)}, got {', '.join(unknown)}")
    return value
