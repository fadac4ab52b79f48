"""DLPack capsules: bfloat16 in host memory, which NumPy cannot read, and arrays in the memory of a GPU."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BFLOAT16 = (4, 16, 1)  # dlpack.h: kDLBfloat, bits, lanes
_get_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)


class _Tensor(ctypes.Structure):
    """DLTensor, with which the DLManagedTensor of a capsule begins (dlpack.h)."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("type_code", ctypes.c_uint8),
        ("type_bits", ctypes.c_uint8),
        ("type_lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),  # elements; null where compact in C order
        ("byte_offset", ctypes.c_uint64),
    )


def tensor_of(capsule: Any) -> _Tensor:
    """Returns the tensor of a capsule, which has to be kept alive for as long.

    Raises:
        ValueError: no DLPack capsule.
    """
    return _Tensor.from_address(_get_pointer(capsule, b"dltensor"))


def bfloat16_bits(producer: Any) -> NDArray[np.uint16]:
    """Returns a copy of the elements of a tensor in host memory, 16 bits each.

    The capsule is never marked as used, so that dropping it calls the producer's deleter.

    Raises:
        BufferError: the producer does not export it.
        TypeError: another element type.
        ValueError: no DLPack capsule.
    """
    capsule = producer.__dlpack__()
    tensor = tensor_of(capsule)
    element = (tensor.type_code, tensor.type_bits, tensor.type_lanes)
    if element != _BFLOAT16:
        raise TypeError("DLPack's element type of code {}, {} bits, {} lanes".format(*element))
    shape = tuple(tensor.shape[: tensor.ndim])
    if 0 in shape:
        return np.empty(shape, np.uint16)
    if tensor.strides:
        strides = tuple(2 * stride for stride in tensor.strides[: tensor.ndim])
    else:
        strides = np.empty(shape, np.uint16).strides
    reach = [(n - 1) * stride for n, stride in zip(shape, strides, strict=True)]  # bytes to the last along each axis
    first, last = sum(min(r, 0) for r in reach), sum(max(r, 0) for r in reach)
    memory = (ctypes.c_uint8 * (last + 2 - first)).from_address(tensor.data + tensor.byte_offset + first)
    return np.ndarray(shape, np.uint16, memory, -first, strides).copy()
