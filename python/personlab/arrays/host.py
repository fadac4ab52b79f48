"""Foreign arrays become checked NumPy arrays here; errors name the argument, what was expected and what came."""

from __future__ import annotations

import math
import numbers
import operator
import sys
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from personlab import _core
from personlab.arrays.dlpack import bfloat16_bits

if TYPE_CHECKING:
    from collections.abc import Callable

FloatArray = NDArray[np.float32]
_FLOAT32 = np.dtype(np.float32)  # native; one object for all arrays
_FLOAT16 = np.dtype(np.float16)
_NATIVE = frozenset((_FLOAT32, _FLOAT16))
_READY = 0x0001 | 0x0100  # NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED
BFLOAT16 = np.dtype([("bfloat16", np.uint16)], align=True)  # the bits, under a name: NumPy has no such type
_CPU_DEVICES = (1, 3)  # DLPack's kDLCPU and kDLCUDAHost: memory the host can read
_LARGEST_REPEAT = 1 << 30  # bytes of the copy of a view that shows its memory again and again
# Limits of the core, which its fast path keeps to as well.
LARGEST_INPUT = _core.MAX_INPUT  # pixels each way
_LARGEST_GRID = _core.MAX_GRID  # cells, or lattice points, of one keypoint type


class Shaped(Protocol):
    """Arrays anywhere: their shapes are checked alike."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis."""


def check_type(value: Any, name: str, cls: type) -> None:
    """Refuse what is no instance of a class.

    Raises:
        TypeError: it is none.
    """
    if not isinstance(value, cls):
        raise TypeError(f"{name}: expected {cls.__name__}, got {type(value).__name__}")


def _view(value: Any, name: str) -> NDArray[Any]:
    """NumPy's view of an array, a torch tensor or any DLPack producer in host memory; what is bfloat16 as `BFLOAT16`.

    Raises:
        TypeError: no such thing, on a device this backend cannot read, or nothing its producer lets NumPy read.
    """
    if isinstance(value, np.ndarray):
        return value.view(BFLOAT16) if value.dtype.type.__name__ == "bfloat16" else value
    if not (_is_torch(value) and value.device.type == "cpu"):
        _check_device(value, name)
    try:
        return _read_tensor(value)
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        kind = type(value).__name__
        raise TypeError(f"{name}: expected a tensor that NumPy can read, got {kind}: {error}") from None


def _is_torch(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _check_device(value: Any, name: str) -> None:
    if not hasattr(value, "__dlpack__"):
        raise TypeError(f"{name}: expected an array or tensor, got {type(value).__name__}")
    try:
        device = value.__dlpack_device__()[0]
    except (AttributeError, IndexError, TypeError, ValueError):  # torch's "meta" has no number in DLPack
        device = None
    if device not in _CPU_DEVICES:
        raise TypeError(f"{name}: expected host memory, got a tensor on {getattr(value, 'device', f'device {device}')}")


def _read_tensor(value: Any) -> NDArray[Any]:
    if _is_torch(value):
        torch = sys.modules["torch"]
        if value.requires_grad:
            value = value.detach()
        if value.dtype == torch.bfloat16:  # NumPy has no bfloat16: take the bits
            bits: NDArray[np.int16] = value.view(torch.int16).numpy()
            return bits.view(BFLOAT16)
        array: NDArray[Any] = value.numpy()
        return array
    try:
        return np.from_dlpack(value)
    except (BufferError, RuntimeError, SystemError):  # a type NumPy lacks; SystemError where a destructor is Python
        return bfloat16_bits(value).view(BFLOAT16)


def to_numpy(value: Any, name: str) -> NDArray[Any]:
    """NumPy's view of an array, a torch tensor or any DLPack producer in host memory; copies bfloat16 alone, widened.

    Raises:
        TypeError: no such thing, on a device this backend cannot read, or nothing its producer lets NumPy read.
    """
    array = _view(value, name)
    if array.dtype == BFLOAT16:
        check_copy(array, name)
        return widened(array)
    return array


def as_elements(value: Any, name: str) -> NDArray[Any]:
    """A C-contiguous, aligned, native array of float32, float16 or `BFLOAT16`, whichever it is.

    Raises:
        TypeError: another element type, or no array.
    """
    array = view_elements(value, name)
    return array if array.flags.num & _READY == _READY else np.require(array, None, ["C", "A"])


def view_elements(value: Any, name: str) -> NDArray[Any]:
    """A view of what `as_elements` takes, for its shape to be checked before anything is copied.

    Raises:
        TypeError: another element type, or no array.
        ValueError: a view that shows its memory again and again, too large to be copied.
    """
    if type(value) is np.ndarray and value.dtype in _NATIVE and value.flags.num & _READY == _READY:
        return value
    array = _view(value, name)
    if array.dtype is not BFLOAT16 and array.dtype not in (_FLOAT32, _FLOAT16, BFLOAT16):
        raise TypeError(f"{name}: expected float32, float16 or bfloat16, got {array.dtype}")
    check_copy(array, name)
    return array


def check_copy(array: NDArray[Any], name: str) -> None:
    """Refuse an array that would be much larger as a copy: one broadcast, or strided over the same elements again.

    Raises:
        ValueError: it would be.
    """
    if array.nbytes <= _LARGEST_REPEAT:
        return
    own = array.itemsize + sum((n - 1) * abs(step) for n, step in zip(array.shape, array.strides, strict=True))
    if array.nbytes > own:
        raise ValueError(
            f"{name}: expected an array with memory of its own, or a view that a copy of {_LARGEST_REPEAT >> 20} MiB "
            f"could hold, got shape {array.shape} over {own} bytes"
        )


def look_for(take: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
    """What to check an array's shape by before `take` copies it; arrays on a device are not copied."""
    return view_elements if take in (as_elements, as_field) else take


def widened(array: NDArray[Any]) -> FloatArray:
    """What `as_elements` gave, as float32."""
    if array.dtype == BFLOAT16:
        return (array.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float32, copy=False)


def as_field(value: Any, name: str) -> FloatArray:
    """A C-contiguous, aligned, native float32 array of what may be float32, float16 or bfloat16.

    Raises:
        TypeError: another element type, or no array.
    """
    return widened(as_elements(value, name))


def as_numbers(value: Any, name: str) -> NDArray[Any]:
    """An array of real numbers of any width.

    Raises:
        TypeError: another element type, or no array.
        ValueError: a view that shows its memory again and again, too large to be copied.
    """
    array = to_numpy(value, name)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{name}: expected numbers, got {array.dtype}")
    check_copy(array, name)
    return array


def narrowed(array: NDArray[Any]) -> FloatArray:
    """The same numbers as C-contiguous, aligned, native float32; infinite where these are too large for it."""
    with np.errstate(over="ignore"):
        return np.require(array, np.float32, ["C", "A"])


def check_shape(array: Shaped, name: str, expected: tuple[int | None, ...], meaning: str) -> None:
    """Compare a shape with the expected one, in which None stands for any length.

    Raises:
        ValueError: they differ.
    """
    shape = array.shape
    if len(shape) != len(expected) or any(e is not None and e != s for e, s in zip(expected, shape, strict=True)):
        wanted = ", ".join("any" if e is None else str(e) for e in expected)
        raise ValueError(f"{name}: expected shape {meaning} = ({wanted}), got {shape}")


def as_integer(value: Any, name: str, lowest: int = -(2**63), highest: int = 2**63 - 1) -> int:
    """A Python int from anything that is an integer.

    Raises:
        TypeError: no integer.
        ValueError: out of range.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise TypeError(f"{name}: expected an integer, got {value!r}")
    if not lowest <= number <= highest:
        raise ValueError(f"{name}: expected an integer from {lowest} to {highest}, got {number}")
    return number


def as_number(value: Any, name: str, lowest: float, highest: float = math.inf, *, above: bool = False) -> float:
    """A finite Python float from anything that is a real number; `above` leaves `lowest` itself out.

    Raises:
        TypeError: no number.
        ValueError: out of range.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name}: expected a number, got {value!r}")
    try:
        number = float(value)
    except OverflowError:  # an int or a fraction past float64
        number = math.inf
    if not math.isfinite(number) or not (lowest < number if above else lowest <= number) or number > highest:
        bound = ">" if above else ">="
        limit = "" if highest == math.inf else f" and <= {highest:g}"
        raise ValueError(f"{name}: expected a finite number {bound} {lowest:g}{limit}, got {value!r}")
    return number


def as_size(value: Any, name: str, axes: str = "(H, W)", lowest: int = 0) -> tuple[int, int]:
    """Two extents of an image, in pixels.

    Raises:
        TypeError: not two integers.
        ValueError: too small, or more than one memory can hold.
    """
    try:
        first, second = value
    except (TypeError, ValueError):
        raise TypeError(f"{name}: expected {axes}, got {value!r}") from None
    return (
        as_integer(first, f"{name}[0]", lowest, LARGEST_INPUT),
        as_integer(second, f"{name}[1]", lowest, LARGEST_INPUT),
    )


def check_extent(array: Shaped, name: str, stride: int, hough_stride: int | None = None) -> None:
    """Refuse a grid (..., h, w) over more input pixels, or more Hough lattice points, than coordinates can tell apart.

    Raises:
        ValueError: too large.
    """
    h, w = array.shape[-2:]
    bottom, right = (h - 1) * stride, (w - 1) * stride
    if bottom >= LARGEST_INPUT or right >= LARGEST_INPUT:
        raise ValueError(
            f"{name}: expected a grid over at most {LARGEST_INPUT} input pixels each way, "
            f"got {h} x {w} cells of stride {stride}"
        )
    if h * w >= _LARGEST_GRID or array.shape[0] >= _LARGEST_GRID:
        raise ValueError(f"{name}: expected fewer than {_LARGEST_GRID} cells, and images, got shape {array.shape}")
    if hough_stride is not None and (bottom // hough_stride + 1) * (right // hough_stride + 1) > _LARGEST_GRID:
        raise ValueError(
            f"hough_stride: expected at most {_LARGEST_GRID} lattice points on {bottom + 1} x {right + 1} "
            f"input pixels, got {hough_stride}"
        )
