"""ONNX files with smaller numbers: float16, and int8 by calibration images; needs onnx and ONNX Runtime."""

from __future__ import annotations

import contextlib
import itertools
import logging
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

_HEAVY = ("Conv", "Gemm", "MatMul")  # what becomes smaller: operations with weights, and what lies between them


def to_float16(content: bytes) -> bytes:
    """Return an ONNX file whose weights and arithmetic are float16, but for those of its ends.

    Inputs and outputs stay float32, and so does what comes before the first convolution and from the last one on: an
    offset of 500 pixels would be known in float16 to within a quarter of a pixel.

    Args:
        content: of the file, float32.

    Raises:
        ImportError: onnx or onnxruntime is missing.
        ValueError: no ONNX file.
    """
    from onnxruntime.transformers.float16 import convert_float_to_float16

    model = _load(content)
    inner = set(_inner_nodes(model.graph))
    outer = [node.name for node in model.graph.node if node.name not in inner]
    with _silence():
        made = convert_float_to_float16(model, keep_io_types=True, node_block_list=outer)
    _sort_nodes(made.graph)
    return bytes(made.SerializeToString())


def to_int8(content: bytes, images: Iterable[NDArray[np.uint8]]) -> bytes:
    """Return an ONNX file statically quantised to 8 bits: weights by channel, activations by calibration images.

    It computes in int8 where the runtime can (QDQ). What `to_float16` leaves in float32 stays so.

    Args:
        content: of the file, float32, whose one input takes (N, 3, H, W).
        images: (N, H, W, 3) RGB, as the network sees them; their activations set the range of each.

    Raises:
        ImportError: onnx or onnxruntime is missing.
        ValueError: no ONNX file, or no image.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    model, rest = _load(content), iter(images)
    if (first := next(rest, None)) is None:
        raise ValueError("images: expected at least one for calibration, got none")
    (source,) = (value.name for value in model.graph.input)
    reader = _Reader(source, itertools.chain((first,), rest))
    entries = {entry.key: entry.value for entry in model.metadata_props}
    with tempfile.TemporaryDirectory() as folder, _silence():
        path = Path(folder) / "int8.onnx"
        quantize_static(
            model, path, reader, quant_format=QuantFormat.QDQ, per_channel=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, nodes_to_quantize=_inner_nodes(model.graph),
        )  # fmt: skip
        made = _load(path.read_bytes())
    del made.metadata_props[:]
    for key, value in entries.items():
        made.metadata_props.add(key=key, value=value)
    return bytes(made.SerializeToString())


class _Reader:
    """Feeds calibration images, one at a time, as `onnxruntime.quantization.CalibrationDataReader` does."""

    def __init__(self, name: str, images: Iterable[NDArray[np.uint8]]) -> None:
        self._name, self._images = name, iter(images)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """Return the next input of the network, or None."""
        image = next(self._images, None)
        return None if image is None else {self._name: image.transpose(0, 3, 1, 2).astype(np.float32, order="C")}


def _load(content: bytes) -> Any:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model_from_string(content)
    except DecodeError:
        raise ValueError("expected an ONNX file, got something else or a damaged one") from None
    for number, node in enumerate(model.graph.node):
        node.name = node.name or f"node{number}"
    return model


def _inner_nodes(graph: Any) -> list[str]:
    """Return the names of nodes from the first convolution on, up to the last ones, which make the outputs."""
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    behind = _reached([value.name for value in graph.input], readers, stop_at_heavy=True)
    first = [node for node in graph.node if node.op_type in _HEAVY and node.name in behind]
    inner: set[str] = _reached([name for node in first for name in node.output], readers, stop_at_heavy=False)
    inner |= {node.name for node in first}
    ends = _ends(graph)
    return [node.name for node in graph.node if node.name in inner and node.name not in ends]


def _reached(tensors: list[str], readers: dict[str, list[Any]], *, stop_at_heavy: bool) -> set[str]:
    """Return the names of nodes that read tensors, directly or by others; heavy ones may end the search."""
    reached: set[str] = set()
    rest = list(tensors)
    while rest:
        for node in readers.get(rest.pop(), ()):
            if node.name in reached:
                continue
            reached.add(node.name)
            if not (stop_at_heavy and node.op_type in _HEAVY):
                rest += node.output
    return reached


def _ends(graph: Any) -> set[str]:
    """Return the names of the last heavy node before each output, and of all between."""
    makers = {name: node for node in graph.node for name in node.output}
    ends: set[str] = set()
    rest = [value.name for value in graph.output]
    while rest:
        node = makers.get(rest.pop())
        if node is None or node.name in ends:
            continue
        ends.add(node.name)
        if node.op_type not in _HEAVY:
            rest += node.input
    return ends


def _sort_nodes(graph: Any) -> None:
    """Order nodes such that none reads what a later one makes, and drop those that are there twice.

    The converter to float16 adds casts at the end of the list, and one for each reader, all of the same name.
    """
    waiting = list({node.output[0]: node for node in graph.node}.values())
    unmade = {name for node in waiting for name in node.output}
    ready: list[Any] = []
    while waiting:
        later = []
        for node in waiting:
            if unmade.isdisjoint(node.input):
                unmade.difference_update(node.output)
                ready.append(node)
            else:
                later.append(node)
        if len(later) == len(waiting):
            raise ValueError("expected an ONNX graph, got one with a circle")
        waiting = later
    copies = [type(node).FromString(node.SerializeToString()) for node in ready]
    del graph.node[:]
    graph.node.extend(copies)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep the advice that the converters log from the user."""
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.root.setLevel(level)
