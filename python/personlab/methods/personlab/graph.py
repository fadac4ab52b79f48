"""A PersonLab network as an ONNX file, from its configuration and weights alone: needs neither torch nor onnx."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.io.onnx_writer import FLOAT32, OnnxWriter
from personlab.methods.personlab.config import NORMALIZATIONS
from personlab.methods.personlab.state import check_state
from personlab.nn.backbones.mobilenet_layers import MOBILENET_EPSILON, mobilenet_layers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from personlab.methods.base import Weights
    from personlab.nn.backbones.mobilenet_layers import Layer

    Floats = NDArray[np.float32]
    State = Mapping[str, Floats]  # as in a checkpoint


def write_graph(
    weights: Weights, entries: Mapping[str, str], *, size: tuple[int, int] | None = None, pixels: bool = False
) -> bytes | None:
    """Return the content of an ONNX file that computes what the network does in PyTorch.

    Inputs, outputs and their names are those of `personlab.nn.export_onnx`. Batch norm is folded into convolutions.

    Args:
        weights: the network; the stride of its configuration is that of the file.
        entries: metadata.
        size: (W, H) of its images, pixels, one in each run; None: any size and any number of images.
        pixels: `images` are (N, H, W, 3) uint8, as they lie in memory, in place of (N, 3, H, W) float32.

    Returns:
        The content; None for networks that PyTorch's exporter alone knows: on a ResNet, with refinement inside, or
        without edges.

    Raises:
        ImportError: google.protobuf is missing.
        ValueError: the weights are not those of such a network.
    """
    config, state = weights
    if config.backbone != "mobilenet_v1" or config.refine_steps or not config.skeleton.n_edges:
        return None
    check_state(config, state)
    state = {name: np.asarray(value, np.float32) for name, value in state.items()}
    writer = OnnxWriter()
    batch, height, width = ("batch", "height", "width") if size is None else (1, size[1], size[0])
    grid = ("rows", "columns") if size is None else tuple((side - 1) // config.stride + 1 for side in size[::-1])
    if pixels:
        writer.input("images", (batch, height, width, 3), kind="uint8")
        planes = writer.node("Transpose", "images", output="planes", perm=[0, 3, 1, 2])
        tensor = writer.node("Cast", planes, output="floats", to=FLOAT32)
    else:
        tensor = writer.input("images", (batch, 3, height, width))
    writer.constant("zero", np.array(0, np.float32))
    writer.constant("six", np.array(6, np.float32))
    writer.constant("second", np.array([1], np.int64))
    assert config.normalization is not None
    for name, values in zip(("mean", "deviation"), NORMALIZATIONS[config.normalization], strict=True):
        writer.constant(name, np.array(values, np.float32)[:, None, None])
    tensor = writer.node("Sub", tensor, "mean", output="centred")
    tensor = writer.node("Div", tensor, "deviation", output="normalized")
    for layer in mobilenet_layers(config.width, config.stride):
        tensor = _write_layer(writer, tensor, layer, *_folded(state, f"backbone.{layer.name}"))
    keypoints, edges = config.skeleton.n_keypoints, config.skeleton.n_edges
    heads = {"heatmaps": keypoints, "short_offsets": keypoints, "mid_offsets": 2 * edges}
    if config.masks:
        heads |= {"segmentation": 1, "long_offsets": keypoints}
    for name, count in heads.items():
        pairs = (2,) * name.endswith("offsets")
        _write_head(writer, tensor, name, count, state)
        writer.output(name, (batch, count, *pairs, *grid))
    return writer.content(entries)


def _folded(state: State, name: str) -> tuple[Floats, Floats]:
    """Return weight and bias of a convolution, with the batch norm behind it, if there is any."""
    weight = state[f"{name}.conv.weight"]
    if f"{name}.norm.weight" not in state:
        return weight, state[f"{name}.conv.bias"]
    gain, offset, mean, variance = (
        state[f"{name}.norm.{part}"].astype(np.float64) for part in ("weight", "bias", "running_mean", "running_var")
    )
    scale: Any = gain / np.sqrt(variance + MOBILENET_EPSILON)
    return (weight * scale[:, None, None, None]).astype(np.float32), (offset - mean * scale).astype(np.float32)


def _write_layer(writer: OnnxWriter, source: str, layer: Layer, weight: Floats, bias: Floats) -> str:
    names = [writer.constant(f"{layer.name}.{kind}", one) for kind, one in (("weight", weight), ("bias", bias))]
    own = layer.dilation * (layer.kernel // 2)
    padding: dict[str, Any] = {"auto_pad": "SAME_UPPER"} if layer.stride > 1 else {"pads": [own] * 4}
    convolved = writer.node(
        "Conv", source, *names, output=f"{layer.name}.conv", kernel_shape=[layer.kernel] * 2,
        strides=[layer.stride] * 2, dilations=[layer.dilation] * 2, group=layer.groups, **padding,
    )  # fmt: skip
    return writer.node("Clip", convolved, "zero", "six", output=layer.name)


def _write_head(writer: OnnxWriter, source: str, name: str, count: int, state: State) -> None:
    weight, bias = (writer.constant(f"{name}.{kind}", state[f"heads.{name}.{kind}"]) for kind in ("weight", "bias"))
    if not name.endswith("offsets"):
        writer.node("Conv", source, weight, bias, output=name, kernel_shape=[1, 1])
        return
    flat = writer.node("Conv", source, weight, bias, output=f"{name}.flat", kernel_shape=[1, 1])
    apart = writer.node("Unsqueeze", flat, "second", output=f"{name}.apart")  # (N, 1, 2 count, h, w)
    shape = writer.constant(f"{name}.shape", np.array([0, count, 2, 0, 0], np.int64))  # 0: as it is
    writer.node("Reshape", apart, shape, output=name)
