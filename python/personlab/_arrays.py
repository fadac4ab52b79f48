"""Foreign arrays become checked NumPy arrays here; errors name the argument, what was expected and what came."""

from __future__ import annotations

import operator
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
_CPU_DEVICES = (1, 3)  # DLPack's kDLCPU and kDLCUDAHost: memory the host can read


def to_numpy(value: Any, name: str) -> NDArray[Any]:
    """NumPy's view of an array, a torch tensor or any DLPack producer in host memory; copies nothing.

    Raises:
        TypeError: no such thing, or on a device this backend cannot read.
    """
    if isinstance(value, np.ndarray):
        return value
    if not hasattr(value, "__dlpack__"):
        raise TypeError(f"{name}: expected an array or tensor, got {type(value).__name__}")
    device = value.__dlpack_device__()[0]
    if device not in _CPU_DEVICES:
        raise TypeError(f"{name}: expected host memory, got a tensor on {getattr(value, 'device', f'device {device}')}")
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        value = value.detach()
        if value.dtype == torch.bfloat16:  # NumPy has no bfloat16: take the bits
            return _bfloat16_bits_to_float32(value.view(torch.int16).numpy().view(np.uint16))
        array: NDArray[Any] = value.numpy()
        return array
    return np.from_dlpack(value)


def _bfloat16_bits_to_float32(bits: NDArray[np.uint16]) -> FloatArray:
    return (bits.astype(np.uint32) << 16).view(np.float32)


def as_field(value: Any, name: str) -> FloatArray:
    """A C-contiguous, aligned, native float32 array of what may be float32, float16 or bfloat16.

    Raises:
        TypeError: another element type, or no array.
    """
    if type(value) is np.ndarray and value.dtype == np.float32 and value.flags.c_contiguous and value.flags.aligned:
        return value
    array = to_numpy(value, name)
    if array.dtype.name == "bfloat16":
        array = _bfloat16_bits_to_float32(array.view(np.uint16))
    if array.dtype not in (np.float32, np.float16):
        raise TypeError(f"{name}: expected float32, float16 or bfloat16, got {array.dtype}")
    return np.require(array, np.float32, ["C", "A"])


def check_shape(array: NDArray[Any], name: str, expected: tuple[int | None, ...], meaning: str) -> None:
    """Compare a shape with the expected one, in which None stands for any length.

    Raises:
        ValueError: they differ.
    """
    shape = array.shape
    if len(shape) != len(expected) or any(e is not None and e != s for e, s in zip(expected, shape, strict=True)):
        wanted = ", ".join("any" if e is None else str(e) for e in expected)
        raise ValueError(f"{name}: expected shape {meaning} = ({wanted}), got {shape}")


def as_integer(value: Any, name: str, lowest: int, highest: int = 2**31 - 1) -> int:
    """A Python int from anything that is an integer.

    Raises:
        TypeError: no integer.
        ValueError: out of range.
    """
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name}: expected an integer, got {value!r}")
    number = operator.index(value)
    if not lowest <= number <= highest:
        raise ValueError(f"{name}: expected an integer from {lowest} to {highest}, got {number}")
    return number


def as_size(value: Any, name: str) -> tuple[int, int]:
    """(H, W) of a picture.

    Raises:
        TypeError: not two integers.
        ValueError: negative, or more than one memory can hold.
    """
    try:
        height, width = value
    except (TypeError, ValueError):
        raise TypeError(f"{name}: expected (H, W), got {value!r}") from None
    return as_integer(height, f"{name}[0]", 0, 2**20), as_integer(width, f"{name}[1]", 0, 2**20)
