"""Names and shapes of the weights of a PersonLab network on a MobileNetV1; needs no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.nn.backbones.mobilenet_layers import MIDDLE_BLOCK, mobilenet_layers
from personlab.nn.state import check_shapes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from personlab.methods.personlab.config import ModelConfig

_NORM = ("weight", "bias", "running_mean", "running_var")


def check_state(config: ModelConfig, state: Mapping[str, NDArray[Any]]) -> None:
    """Check weights as `personlab.nn.state.fill` does, for a network on a MobileNetV1.

    Raises:
        ValueError: names or shapes are not the network's, or weights are not finite.
    """
    check_shapes(_shapes(config), {name: value.shape for name, value in state.items()})
    for name, value in state.items():
        if not np.isfinite(value).all():
            raise ValueError(f"{name}: expected finite weights, got NaN or infinity among them")


def _shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    layers = mobilenet_layers(config.width, config.stride)
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in layers:
        name = f"backbone.{layer.name}"
        shapes[f"{name}.conv.weight"] = (layer.outputs, layer.inputs // layer.groups, layer.kernel, layer.kernel)
        if config.norm == "none":
            shapes[f"{name}.conv.bias"] = (layer.outputs,)
        else:
            shapes |= {f"{name}.norm.{part}": (layer.outputs,) for part in _NORM}
            shapes[f"{name}.norm.num_batches_tracked"] = ()
    shapes |= _head_shapes(config, "heads", layers[-1].outputs)
    if config.intermediate:
        shapes |= _head_shapes(config, "intermediate_heads", layers[2 * MIDDLE_BLOCK + 2].outputs)
    return shapes


def _head_shapes(config: ModelConfig, prefix: str, channels: int) -> dict[str, tuple[int, ...]]:
    keypoints, edges = config.skeleton.n_keypoints, config.skeleton.n_edges
    outputs = {"heatmaps": keypoints, "short_offsets": 2 * keypoints, "mid_offsets": 4 * edges}
    if config.masks:
        outputs |= {"segmentation": 1, "long_offsets": 2 * keypoints}
    shapes: dict[str, tuple[int, ...]] = {}
    for name, count in outputs.items():
        if count:
            shapes |= {f"{prefix}.{name}.weight": (count, channels, 1, 1), f"{prefix}.{name}.bias": (count,)}
    return shapes
