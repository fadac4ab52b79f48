"""Reads and mends ONNX files by google.protobuf alone, which ONNX Runtime brings along; needs no package `onnx`."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

Shape = tuple["int | None", ...]

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
        "op_type": (4, "string", False),
        "attribute": (5, "Attribute", True),
    },
    "Attribute": {
        "name": (1, "string", False),
        "i": (3, "int64", False),
        "s": (4, "bytes", False),
        "ints": (8, "int64", True),
        "type": (20, "int32", False),
    },
    "Tensor": {
        "dims": (1, "int64", True),
        "data_type": (2, "int32", False),
        "name": (8, "string", False),
        "raw_data": (9, "bytes", False),
    },
    "Value": {"name": (1, "string", False), "type": (2, "Type", False)},
    "Type": {"tensor_type": (1, "TensorType", False)},
    "TensorType": {"elem_type": (1, "int32", False), "shape": (2, "TensorShape", False)},
    "TensorShape": {"dim": (1, "Dimension", True)},
    "Dimension": {"dim_value": (1, "int64", False), "dim_param": (2, "string", False)},
}
INT, TEXT, INTS = 2, 3, 7  # AttributeProto.AttributeType


class GraphFacts(NamedTuple):
    """What an ONNX file says of its graph; shapes have None where a size is free."""

    inputs: dict[str, Shape]  # without those that have a constant as default
    outputs: dict[str, Shape]
    constants: dict[str, Shape]  # weights among them
    metadata: dict[str, str]


def read_facts(content: bytes) -> GraphFacts:
    """Return inputs, outputs, constants and metadata of an ONNX file, given its content.

    Raises:
        ImportError: google.protobuf is missing.
        ValueError: no ONNX file, a damaged one, or one without a network.
    """
    model = _parse(content)
    constants = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    return GraphFacts(
        {value.name: _shape(value) for value in model.graph.input if value.name not in constants},
        {value.name: _shape(value) for value in model.graph.output},
        constants,
        {entry.key: entry.value for entry in model.metadata_props},
    )


def mend(content: bytes) -> bytes:
    """Return an ONNX file of a converter of TensorFlow's networks as ONNX Runtime takes it, computing the same.

    Constants stand no longer among the inputs, where they could change and thus not be folded into others. Dilated
    convolutions state their padding in numbers: at step 1 it is the same for each size of image, and ONNX Runtime
    refuses `auto_pad` beside a dilation. All else is as it was.

    Raises:
        ImportError, ValueError: as `read_facts`.
    """
    model = _parse(content)
    constants = {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    changed = len(inputs) < len(model.graph.input)
    if changed:
        del model.graph.input[:]
        model.graph.input.extend(inputs)
    for node in model.graph.node:
        changed |= node.op_type == "Conv" and len(node.input) > 1 and _spell_out(node, constants.get(node.input[1], []))
    return bytes(model.SerializeToString()) if changed else content


def _spell_out(node: Any, weight: list[int]) -> bool:
    """State the padding of a dilated convolution in numbers, and return whether it did.

    Args:
        node: changed in place.
        weight: shape (O, I / groups, kh, kw).
    """
    attributes = {attribute.name: attribute for attribute in node.attribute}
    padding, dilations = attributes.get("auto_pad"), _integers(attributes, "dilations")
    if padding is None or padding.s not in (b"SAME_UPPER", b"SAME_LOWER") or set(dilations) <= {1}:
        return False
    sides = weight[2:]
    if set(_integers(attributes, "strides")) - {1} or len(sides) != len(dilations) or any(n % 2 == 0 for n in sides):
        raise ValueError("expected dilated convolutions of odd size and stride 1, got another one with auto_pad")
    pads = [dilation * (side // 2) for dilation, side in zip(dilations, sides, strict=True)] * 2
    node.attribute.remove(padding)
    node.attribute.add(name="pads", type=INTS, ints=pads)
    return True


def _integers(attributes: dict[str, Any], name: str) -> list[int]:
    return list(attributes[name].ints) if name in attributes else []


def _shape(value: Any) -> Shape:
    return tuple(n.dim_value if n.HasField("dim_value") else None for n in value.type.tensor_type.shape.dim)


def _parse(content: bytes) -> Any:
    from google.protobuf.message import DecodeError

    model = model_type()()
    try:
        model.ParseFromString(content)
    except DecodeError:
        raise ValueError("expected an ONNX file, got something else or a damaged one") from None
    if not model.graph.node or not model.graph.output:
        raise ValueError("expected an ONNX file, got one without a network")
    return model


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
