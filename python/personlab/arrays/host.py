"""Arrays of other libraries in host memory, taken as NumPy's views of it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.arrays.array import BFLOAT16, FIELDS, NUMBERS, Elements, HostArray, to_float32
from personlab.arrays.dlpack import bfloat16_bits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from personlab.arrays.array import FloatArray

_CPU_DEVICES = (1, 3)  # DLPack's kDLCPU and kDLCUDAHost: memory the host can read
_MAX_REPEAT = 1 << 30  # bytes of the copy of a view that shows its memory again and again


def take_on_host(value: Any, name: str, elements: Elements = FIELDS) -> HostArray:
    """Takes an array, a torch tensor or any DLPack producer in host memory; its shape is still to be checked.

    Nothing is copied but bfloat16 that NumPy cannot show: that of DLPack producers, and among other numbers all.

    Raises:
        TypeError: another element type, no array, on a device, or nothing its producer lets NumPy read.
        ValueError: a view that shows its memory again and again, too large to be copied.
    """
    kinds = elements.kinds
    values = to_numpy(value, name) if kinds else _view(value, name)
    dtype = values.dtype
    if not (dtype.kind in kinds if kinds else dtype in elements.dtypes):
        raise TypeError(f"{name}: expected {elements.expected}, got {'bfloat16' if dtype == BFLOAT16 else dtype}")
    check_copy(values, name)
    return HostArray(name, values, values.shape)


def check_copy(values: NDArray[Any], name: str) -> None:
    """Checks that an array is no larger as a copy: one broadcast, or strided over the same elements again, is.

    Raises:
        ValueError: it is, and larger than `_MAX_REPEAT`.
    """
    if values.nbytes <= _MAX_REPEAT:
        return
    own = values.itemsize + sum((n - 1) * abs(step) for n, step in zip(values.shape, values.strides, strict=True))
    if values.nbytes > own:
        raise ValueError(
            f"{name}: expected an array with memory of its own, or a view that a copy of {_MAX_REPEAT >> 20} MiB "
            f"could hold, got shape {values.shape} over {own} bytes"
        )


def as_field(value: Any, name: str) -> FloatArray:
    """Returns float32, float16 or bfloat16 in host memory as C-contiguous, aligned, native float32.

    Raises:
        TypeError, ValueError: as `take_on_host`.
    """
    return take_on_host(value, name).to_float32()


def as_numbers(value: Any, name: str) -> NDArray[Any]:
    """Returns NumPy's view of real numbers of any width in host memory.

    Raises:
        TypeError, ValueError: as `take_on_host`.
    """
    return take_on_host(value, name, NUMBERS).values


def to_numpy(value: Any, name: str) -> NDArray[Any]:
    """Returns NumPy's view of an array of any type in host memory; a copy of bfloat16 alone, as float32.

    Raises:
        TypeError: no array, on a device, or nothing its producer lets NumPy read.
        ValueError: bfloat16 too large to be copied.
    """
    values = _view(value, name)
    if values.dtype.kind == "V" and values.dtype == BFLOAT16:
        check_copy(values, name)
        return to_float32(values)
    return values


def _view(value: Any, name: str) -> NDArray[Any]:
    """Returns NumPy's view of the memory; what is bfloat16 as `BFLOAT16`."""
    if isinstance(value, np.ndarray):
        dtype = value.dtype
        return value.view(BFLOAT16) if dtype.kind == "V" and dtype.type.__name__ == "bfloat16" else value
    torch = sys.modules.get("torch")
    is_torch = torch is not None and isinstance(value, torch.Tensor)
    if not (is_torch and value.is_cpu):
        _check_device(value, name)
    try:
        return _read_tensor(value, torch) if is_torch else _read_producer(value)
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        kind = type(value).__name__
        raise TypeError(f"{name}: expected a tensor that NumPy can read, got {kind}: {error}") from None


def _check_device(value: Any, name: str) -> None:
    if not hasattr(value, "__dlpack__"):
        raise TypeError(f"{name}: expected an array or tensor, got {type(value).__name__}")
    try:
        device = value.__dlpack_device__()[0]
    except (AttributeError, IndexError, TypeError, ValueError):  # torch's "meta" has no number in DLPack
        device = None
    if device not in _CPU_DEVICES:
        raise TypeError(f"{name}: expected host memory, got a tensor on {getattr(value, 'device', f'device {device}')}")


def _read_tensor(tensor: Any, torch: Any) -> NDArray[Any]:
    if tensor.requires_grad:
        tensor = tensor.detach()
    if tensor.dtype is torch.bfloat16:  # NumPy has no bfloat16: take the bits
        bits: NDArray[np.int16] = tensor.view(torch.int16).numpy()
        return bits.view(BFLOAT16)
    values: NDArray[Any] = tensor.numpy()
    return values


def _read_producer(value: Any) -> NDArray[Any]:
    try:
        return np.from_dlpack(value)
    except (BufferError, RuntimeError, SystemError):  # a type NumPy lacks; SystemError where a destructor is Python
        return bfloat16_bits(value).view(BFLOAT16)
