"""ONNX files by google.protobuf alone, which ONNX Runtime brings along; needs no package `onnx`."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

# The part of ONNX's schema (onnx.proto, Apache-2.0) that is used here: message -> field -> number, type, repeated.
# Protobuf keeps all other fields of a file as they are.
_SCHEMA: Mapping[str, Mapping[str, tuple[int, str, bool]]] = {
    "Model": {
        "ir_version": (1, "int64", False),
        "producer_name": (2, "string", False),
        "graph": (7, "Graph", False),
        "opset_import": (8, "OperatorSet", True),
        "metadata_props": (14, "Entry", True),
    },
    "OperatorSet": {"version": (2, "int64", False)},
    "Entry": {"key": (1, "string", False), "value": (2, "string", False)},
    "Graph": {
        "node": (1, "Node", True),
        "name": (2, "string", False),
        "initializer": (5, "Tensor", True),
        "input": (11, "Value", True),
        "output": (12, "Value", True),
    },
    "Node": {
        "input": (1, "string", True),
        "output": (2, "string", True),
        "name": (3, "string", False),
        "op_type": (4, "string", False),
        "attribute": (5, "Attribute", True),
    },
    "Attribute": {
        "name": (1, "string", False),
        "f": (2, "float", False),
        "i": (3, "int64", False),
        "s": (4, "bytes", False),
        "t": (5, "Tensor", False),
        "floats": (7, "float", True),
        "ints": (8, "int64", True),
        "type": (20, "int32", False),
    },
    "Tensor": {
        "dims": (1, "int64", True),
        "data_type": (2, "int32", False),
        "float_data": (4, "float", True),
        "int32_data": (5, "int32", True),
        "int64_data": (7, "int64", True),
        "name": (8, "string", False),
        "raw_data": (9, "bytes", False),
        "double_data": (10, "double", True),
        "external_data": (13, "Entry", True),
        "data_location": (14, "int32", False),
    },
    "Value": {"name": (1, "string", False), "type": (2, "Type", False)},
    "Type": {"tensor_type": (1, "TensorType", False)},
    "TensorType": {"elem_type": (1, "int32", False), "shape": (2, "TensorShape", False)},
    "TensorShape": {"dim": (1, "Dimension", True)},
    "Dimension": {"dim_value": (1, "int64", False), "dim_param": (2, "string", False)},
}
FLOAT, INT, TEXT, TENSOR, FLOATS, INTS = 1, 2, 3, 4, 6, 7  # AttributeProto.AttributeType
_MEMBERS = {FLOAT: "f", INT: "i", TEXT: "s", TENSOR: "t", FLOATS: "floats", INTS: "ints"}
# TensorProto.DataType -> element type, member of values that are not raw
_ELEMENTS = {
    1: ("<f4", "float_data"),
    6: ("<i4", "int32_data"),
    7: ("<i8", "int64_data"),
    10: ("<f2", ""),
    11: ("<f8", "double_data"),
}
_EXTERNAL = 1  # TensorProto.DataLocation
_MAX_AXES = 8  # beyond any array of a network


def parse_model(content: bytes) -> Any:
    """Return an ONNX file as the protobuf message of its schema, as far as `_SCHEMA` has it.

    Raises:
        ImportError: google.protobuf is missing.
        ValueError: no ONNX file, a damaged one, or one without a network.
    """
    from google.protobuf.message import DecodeError

    model = model_type()()
    try:
        model.ParseFromString(content)
    except DecodeError:
        raise ValueError("expected an ONNX file, got something else or a damaged one") from None
    if not model.graph.node:
        raise ValueError("expected an ONNX file, got one without a network")
    return model


def attributes_of(node: Any) -> dict[str, Any]:
    """Return the attributes of a node by name: numbers, bytes, lists of numbers, and arrays.

    Raises:
        ValueError: a damaged array.
    """
    values = {}
    for attribute in node.attribute:
        value = getattr(attribute, _MEMBERS.get(attribute.type, "s"))
        if attribute.type == TENSOR:
            value = to_array(value)
        values[attribute.name] = list(value) if attribute.type in (FLOATS, INTS) else value
    return values


def to_array(tensor: Any) -> NDArray[Any]:
    """Return a constant of a file.

    Raises:
        ValueError: a damaged one, one of another element type, or one whose data lie in another file.
    """
    name = repr(tensor.name[:100])
    if tensor.external_data or tensor.data_location == _EXTERNAL:
        raise ValueError(f"expected all weights in the file, got {name} in another")
    if len(tensor.dims) > _MAX_AXES or any(n < 0 for n in tensor.dims):
        raise ValueError(f"expected at most {_MAX_AXES} sizes of at least 0, got {list(tensor.dims)[:20]} for {name}")
    if tensor.data_type not in _ELEMENTS:
        raise ValueError(f"expected numbers of 16 to 64 bits, got element type {tensor.data_type} for {name}")
    kind, member = _ELEMENTS[tensor.data_type]
    if tensor.HasField("raw_data"):
        size = np.dtype(kind).itemsize
        if len(tensor.raw_data) % size:
            raise ValueError(f"expected numbers of {size} bytes, got {len(tensor.raw_data)} bytes for {name}")
        values = np.frombuffer(tensor.raw_data, kind)
    else:
        values = np.array(getattr(tensor, member) if member else (), kind)
    if values.size != math.prod(tensor.dims):
        raise ValueError(f"expected {math.prod(tensor.dims)} numbers, got {values.size} for {name}")
    return values.reshape(tuple(tensor.dims))


@functools.cache
def model_type() -> Any:
    """Return the class of ONNX's ModelProto, in a pool of its own: the package `onnx` may be loaded beside it.

    Raises:
        ImportError: google.protobuf is missing.
    """
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="onnx_graph.proto", package="personlab", syntax="proto2")
    for message, members in _SCHEMA.items():
        made = file.message_type.add(name=message)
        for name, (number, kind, repeated) in members.items():
            label = kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL
            if kind in _SCHEMA:
                made.field.add(
                    name=name, number=number, label=label, type=kinds.TYPE_MESSAGE, type_name=f".personlab.{kind}"
                )
            else:
                made.field.add(name=name, number=number, label=label, type=getattr(kinds, f"TYPE_{kind.upper()}"))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("personlab.Model"))
