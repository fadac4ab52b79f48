"""Reads BodyPix networks in ONNX files as PersonLab networks; needs google.protobuf, neither torch nor onnx."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from personlab.io.onnx_graph import attributes_of, parse_model, to_array
from personlab.methods.personlab.convert.graph import Step, batch_norm
from personlab.methods.personlab.convert.heads import find_heads
from personlab.methods.personlab.convert.mobilenet import build
from personlab.nn.state import some

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

    from personlab.methods.base import Weights

    Arrays = dict[str, NDArray[Any]]

_LAYOUTS = ([0, 3, 1, 2], [0, 2, 3, 1])  # transpositions to channels first and to channels last


def read_onnx(path: str | os.PathLike[str]) -> Weights:
    """Read an ONNX file of BodyPix, without its body parts.

    Raises:
        FileNotFoundError: the file does not exist.
        ImportError: google.protobuf is not installed.
        ValueError: the file is not a PoseNet or BodyPix network on a MobileNetV1.
    """
    try:
        graph = parse_model(Path(path).read_bytes()).graph
        return _convert(graph)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: expected an ONNX graph, got a damaged one ({error!r})") from None


def _convert(graph: Any) -> Weights:
    arrays = {tensor.name: to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            arrays[node.output[0]] = attributes_of(node)["value"]
    images = [value.name for value in graph.input if value.name not in arrays]
    if len(images) != 1:
        raise ValueError(f"expected one input, got {len(images)}: {some(images)}")
    steps = {node.output[0]: _step(node, attributes_of(node), arrays) for node in graph.node}
    return build(steps, images[0], find_heads(value.name for value in graph.output))


def _step(node: Any, attributes: dict[str, Any], arrays: Arrays) -> Step | str:
    """Return a node as a step, or the name of its operation where it is unsupported."""
    operation: str = node.op_type
    inputs = list(node.input)
    constants = [arrays[name] for name in inputs if name in arrays]
    step: Step | str = operation
    if operation == "Identity" or (operation == "Transpose" and list(attributes["perm"]) in _LAYOUTS):
        step = Step(source=inputs[0])
    elif operation == "Reshape":
        step = Step(source=inputs[0], one_channel=True)
    elif operation == "Clip":
        limits = [attributes.get("min"), attributes.get("max")]
        if len(inputs) == 3:
            limits = [float(arrays[name]) if name in arrays else None for name in inputs[1:]]
        step = Step(source=inputs[0], relu6=True) if limits == [0.0, 6.0] else f"Clip to {limits}"
    elif operation in ("Add", "Mul") and len(inputs) == 2 and len(constants) == 1:
        source = next(name for name in inputs if name not in arrays)
        vector = _vector(constants[0])
        step = Step(source=source, scale=vector) if operation == "Mul" else Step(source=source, shift=vector)
    elif operation == "BatchNormalization" and len(constants) == 4:
        step = batch_norm(inputs[0], constants, attributes.get("epsilon", 1e-5))
    elif operation == "Conv" and all(name in arrays for name in inputs[1:]):
        step = _convolution(inputs, attributes, arrays)
    return step


def _convolution(inputs: list[str], attributes: dict[str, Any], arrays: Arrays) -> Step | str:
    weight = arrays[inputs[1]]
    strides, dilations = attributes.get("strides", [1, 1]), attributes.get("dilations", [1, 1])
    if weight.ndim != 4 or strides[0] != strides[1] or dilations[0] != dilations[1]:
        return f"Conv with weights {weight.shape}, strides {strides}, dilations {dilations}"
    padding = attributes.get("auto_pad", b"NOTSET").decode()
    pads = list(attributes.get("pads", [0, 0, 0, 0]))
    # Explicit pads equal TensorFlow's SAME at odd sizes, which the network's layers have for its own input size.
    same = [dilations[0] * (side // 2) for side in weight.shape[2:]] * 2
    if padding != "SAME_UPPER" and (padding not in ("NOTSET", "VALID") or pads != same):
        return f"Conv with padding {padding} {pads}"
    return Step(
        source=inputs[0],
        weight=weight,
        stride=strides[0],
        dilation=dilations[0],
        groups=attributes.get("group", 1),
        shift=arrays[inputs[2]] if len(inputs) == 3 else None,
    )


def _vector(array: NDArray[Any]) -> NDArray[Any]:
    """Return one number for each channel of an array that broadcasts over NCHW, or one for all."""
    if array.ndim == 0 or array.size == 1:
        return array.reshape(())
    if array.ndim < 3 or array.shape[-3] != array.size:
        raise ValueError(f"expected one number for each channel, got an array of shape {array.shape}")
    return array.reshape(-1)
