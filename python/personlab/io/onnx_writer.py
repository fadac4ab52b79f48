"""Writes ONNX graphs node by node, by google.protobuf alone; needs no package `onnx`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from personlab.io.onnx_graph import INT, INTS, TEXT, model_type

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

_IR_VERSION, _OPERATORS = 8, 17  # ONNX 1.12, of 2022
FLOAT32 = 1
_TYPES = {"float32": FLOAT32, "uint8": 2, "int64": 7}  # TensorProto.DataType


class OnnxWriter:
    """Collects the nodes of a graph; tensors are passed by name.

    Raises:
        ImportError: google.protobuf is missing.
    """

    def __init__(self) -> None:
        self._model = model_type()(ir_version=_IR_VERSION, producer_name="personlab")
        self._model.opset_import.add(version=_OPERATORS)
        self._graph = self._model.graph
        self._graph.name = "network"

    def input(self, name: str, shape: Sequence[int | str], kind: str = "float32") -> str:
        """Add an input of an element type; sizes that are free have names. Returns the name."""
        _fill(self._graph.input.add(name=name), shape, kind)
        return name

    def output(self, name: str, shape: Sequence[int | str]) -> None:
        """Make a tensor a float32 output."""
        _fill(self._graph.output.add(name=name), shape, "float32")

    def constant(self, name: str, array: NDArray[Any]) -> str:
        """Add a constant, float32 or int64. Returns the name."""
        content = array.astype(array.dtype.newbyteorder("<")).tobytes()
        self._graph.initializer.add(name=name, dims=array.shape, data_type=_TYPES[array.dtype.name], raw_data=content)
        return name

    def node(self, operation: str, *inputs: str, output: str, **attributes: int | str | Sequence[int]) -> str:
        """Add an operation of ONNX with one output, which gives it its name. Returns the name."""
        node = self._graph.node.add(op_type=operation, name=output, input=inputs, output=[output])
        for name, value in attributes.items():
            if isinstance(value, str):
                node.attribute.add(name=name, type=TEXT, s=value.encode())
            elif isinstance(value, int):
                node.attribute.add(name=name, type=INT, i=value)
            else:
                node.attribute.add(name=name, type=INTS, ints=value)
        return output

    def content(self, metadata: Mapping[str, str]) -> bytes:
        """Return the file's content, with entries of metadata."""
        for key, value in metadata.items():
            self._model.metadata_props.add(key=key, value=value)
        return bytes(self._model.SerializeToString())


def _fill(value: Any, shape: Sequence[int | str], kind: str) -> None:
    value.type.tensor_type.elem_type = _TYPES[kind]
    for size in shape:
        if isinstance(size, str):
            value.type.tensor_type.shape.dim.add(dim_param=size)
        else:
            value.type.tensor_type.shape.dim.add(dim_value=size)
