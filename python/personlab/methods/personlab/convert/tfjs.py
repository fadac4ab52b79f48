"""Reads Google's tfjs graph models of PoseNet and BodyPix, float and quantised, as PersonLab networks."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any

from personlab.io.limits import read_limited
from personlab.methods.personlab.convert.graph import Step, batch_norm
from personlab.methods.personlab.convert.heads import find_heads
from personlab.methods.personlab.convert.manifest import MAX_JSON_BYTES, TfjsModel, parse_model, read_weights
from personlab.methods.personlab.convert.mobilenet import build
from personlab.nn.state import some

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from personlab.methods.base import Weights

    Arrays = Mapping[str, NDArray[Any]]

_COPIES = ("Identity", "StopGradient")
_CONVOLUTIONS = ("Conv2D", "_FusedConv2D", "DepthwiseConv2dNative", "FusedDepthwiseConv2dNative")
_NORMS = ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")


def read_tfjs(path: str | os.PathLike[str]) -> Weights:
    """Read a tfjs graph model.

    Args:
        path: the JSON, beside the files of weights, or the folder of all.

    Raises:
        FileNotFoundError: the JSON or a file of weights does not exist.
        ValueError: the model is not a PoseNet or BodyPix network on a MobileNetV1, or a file is damaged.
    """
    file = _model_file(Path(path))
    try:
        model = parse_model(read_limited(file, MAX_JSON_BYTES))
        arrays = read_weights(model, lambda name, limit: read_limited(file.parent / name, limit))
        return convert_tfjs(model, arrays)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None


def convert_tfjs(model: TfjsModel, arrays: Arrays) -> Weights:
    """Return as a PersonLab network a tfjs graph model and its arrays.

    Raises:
        ValueError: the model is not a PoseNet or BodyPix network on a MobileNetV1.
    """
    try:
        nodes = {node["name"]: node for node in model.topology["node"]}
        inputs = {name: [_tensor(text) for text in node.get("input", ())] for name, node in nodes.items()}
        images = [name for name, node in nodes.items() if node["op"] == "Placeholder"]
        steps = {name: _step(node, inputs[name], arrays) for name, node in nodes.items()}
    except (AttributeError, IndexError, KeyError, OverflowError, TypeError) as error:
        raise ValueError(f"expected a TensorFlow graph, got a damaged one ({type(error).__name__}: {error})") from None
    if len(images) != 1:
        raise ValueError(f"expected one input, got {len(images)}: {some(images)}")
    used = {name for names in inputs.values() for name in names}
    outputs = [name for name, node in nodes.items() if name not in used and node["op"] != "Const"]
    return build(steps, images[0], find_heads(outputs))


def _model_file(path: Path) -> Path:
    if not path.is_dir():
        return path
    models = sorted(file for file in path.glob("*.json") if _is_model(file))
    if len(models) != 1:
        names = some(file.name for file in models) or "none"
        raise ValueError(f"{path}: expected the JSON of one tfjs model in this folder, got {names}")
    return models[0]


def _is_model(file: Path) -> bool:
    try:
        return b"weightsManifest" in read_limited(file, MAX_JSON_BYTES)
    except (FileNotFoundError, ValueError):  # not a regular file, or too long
        return False


def _step(node: Any, inputs: list[str], arrays: Arrays) -> Step | str:
    """Return a node as a step, or the name of its operation where it is unsupported."""
    operation: str = node["op"]
    attributes: dict[str, Any] = node.get("attr", {})
    constants = [arrays[name] for name in inputs if name in arrays]
    if operation in _COPIES:
        return Step(source=inputs[0])
    if operation == "Relu6":
        return Step(source=inputs[0], relu6=True)
    if operation in ("BiasAdd", "Add", "AddV2", "Mul") and len(constants) == 1 and constants[0].size:
        source = next(name for name in inputs if name not in arrays)
        vector = _vector(constants[0])
        return Step(source=source, scale=vector) if operation == "Mul" else Step(source=source, shift=vector)
    if operation in _NORMS and len(constants) == 4:
        return batch_norm(inputs[0], constants, attributes.get("epsilon", {}).get("f", 1e-4))
    if operation in _CONVOLUTIONS and constants and inputs[1] in arrays:
        return _convolution(operation, inputs, attributes, arrays)
    return operation


def _convolution(operation: str, inputs: list[str], attributes: dict[str, Any], arrays: Arrays) -> Step | str:
    strides, dilations = _integers(attributes, "strides"), _integers(attributes, "dilations")
    # A converter that folds SpaceToBatchND writes dilations [d, d, 1, 1] instead of [1, d, d, 1].
    dilation = {n for n in dilations if n != 1} or {1}
    fused = [_text(word) for word in attributes.get("fused_ops", {}).get("list", {}).get("s", ())]
    if _text(attributes["padding"]["s"]) != "SAME" or _text(attributes.get("data_format", {}).get("s")) == "NCHW":
        return f"{operation} with padding other than SAME or channels first"
    if strides[1] != strides[2] or len(dilation) != 1 or fused not in ([], ["BiasAdd"], ["BiasAdd", "Relu6"]):
        return f"{operation} with strides {strides}, dilations {dilations}, fused {fused}"
    depthwise = "Depthwise" in operation
    weight = arrays[inputs[1]].transpose((2, 3, 0, 1) if depthwise else (3, 2, 0, 1))  # from HWC1 and HWIO
    return Step(
        source=inputs[0],
        weight=weight,
        stride=strides[1],
        dilation=dilation.pop(),
        groups=len(weight) if depthwise else 1,
        shift=_vector(arrays[inputs[2]]) if fused else None,
        relu6="Relu6" in fused,
    )


def _tensor(text: str) -> str:
    """Return the name of the node whose output an input is."""
    return text.removeprefix("^").removesuffix(":0")


def _vector(array: NDArray[Any]) -> NDArray[Any]:
    """Return one number for each channel, which is the last axis, or one for all."""
    if array.size != (array.shape or (1,))[-1]:
        raise ValueError(f"expected one number for each channel, got an array of shape {array.shape}")
    return array.reshape(-1) if array.ndim else array


def _integers(attributes: dict[str, Any], name: str) -> list[int]:
    return [int(n) for n in attributes.get(name, {}).get("list", {}).get("i", (1, 1, 1, 1))]


def _text(encoded: str | None) -> str:
    return base64.b64decode(encoded or "").decode()
