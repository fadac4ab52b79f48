"""Makes PersonLab networks, as data, of the convolutions of published MobileNetV1 networks; needs no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.methods.base import Weights
from personlab.methods.personlab.config import ModelConfig
from personlab.methods.personlab.convert.graph import trace
from personlab.methods.personlab.convert.heads import GOOGLE_NAMES
from personlab.methods.personlab.state import check_state
from personlab.nn.backbones.mobilenet_layers import STEM, mobilenet_layers
from personlab.skeleton import COCO_PERSON

if TYPE_CHECKING:
    from collections.abc import Mapping

    from personlab.methods.personlab.convert.graph import Convolution, Steps
    from personlab.nn.backbones.mobilenet_layers import Layer

_OFFSETS = ("short_offsets", "forward", "backward", "long_offsets")


def build(steps: Steps, image: str, outputs: Mapping[str, str]) -> Weights:
    """Return the PersonLab network that computes what a graph does.

    Args:
        steps: of the graph.
        image: the tensor that holds the image.
        outputs: head, as `find_heads` names it -> its tensor.

    Raises:
        ValueError: the graph is not a MobileNetV1 with the heads of PoseNet or BodyPix.
    """
    trunk, heads = trace(steps, image, outputs)
    if not trunk:
        raise ValueError("expected a MobileNetV1, got heads on the image itself")
    config = ModelConfig(
        backbone="mobilenet_v1",
        width=len(trunk[0].weight) / STEM,
        stride=int(np.prod([layer.stride for layer in trunk])),
        skeleton=COCO_PERSON,
        masks="segmentation" in heads,
        norm="none",
        normalization="minus_one_to_one",
    )
    parts = mobilenet_layers(config.width, config.stride)
    if len(trunk) != len(parts):
        raise ValueError(f"expected the {len(parts)} convolutions of a MobileNetV1, got {len(trunk)}")
    layers = {}
    for layer, part in zip(trunk, parts, strict=True):
        _check_layer(layer, part)
        layers[f"backbone.{part.name}.conv"] = layer.weight, layer.bias
    layers |= _head_layers(heads)
    state = {f"{name}.{kind}": layers[name][i] for name in layers for i, kind in enumerate(("weight", "bias"))}
    check_state(config, state)
    return Weights(config, state)


def _head_layers(heads: dict[str, Convolution]) -> dict[str, tuple[Any, Any]]:
    """Return weights and biases of PersonLab's heads by name."""
    for name, layer in heads.items():
        if layer.relu6 or layer.stride != 1 or layer.groups != 1 or (len(layer.weight) % 2 and name in _OFFSETS):
            raise ValueError(f"expected the head of {name} to be a plain convolution to pairs, got another")
    layers = {}
    for name, layer in heads.items():
        if name not in GOOGLE_NAMES:
            layers[f"heads.{name}"] = _interleave(layer) if name in _OFFSETS else (layer.weight, layer.bias)
    forward, backward = _interleave(heads["forward"]), _interleave(heads["backward"])
    weight, bias = (np.concatenate(pair) for pair in zip(forward, backward, strict=True))
    layers["heads.mid_offsets"] = (weight, bias)
    return layers


def _check_layer(layer: Convolution, part: Layer) -> None:
    """Check that a layer applies its weights as the backbone's does.

    Raises:
        ValueError: stride, dilation, groups or activation differ.
    """
    expected = part.stride, part.dilation, part.groups, True
    got = layer.stride, layer.dilation, layer.groups, layer.relu6
    for what, own, other in zip(("stride", "dilation", "groups", "ReLU6"), expected, got, strict=True):
        if own != other:
            name = f"backbone.{part.name}.conv"
            raise ValueError(f"{name}: expected {what} {own} as a MobileNetV1 has it, got {other}")


def _interleave(layer: Convolution) -> tuple[Any, Any]:
    """Reorder weight and bias from all dy, then all dx to (dx, dy) for each keypoint or edge."""
    half = len(layer.weight) // 2
    order = np.arange(2 * half).reshape(2, half)[::-1].T.ravel()
    return layer.weight[order], layer.bias[order]
