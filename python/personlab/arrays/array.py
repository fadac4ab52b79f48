"""A foreign array as one record: what checks look at, and what stages read once these have passed."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Sequence

    from personlab.arrays.stream import DeviceStream

FloatArray = NDArray[np.float32]
BFLOAT16 = np.dtype([("bfloat16", np.uint16)], align=True)  # the bits, under a name: NumPy has no such type
_FLOAT32 = np.dtype(np.float32)  # native; one object for all arrays
_READY = 0x0001 | 0x0100  # NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED


class Elements(NamedTuple):
    """What an array may hold."""

    expected: str  # of an array in host memory, in errors
    names: tuple[str, ...]  # element types; () on a device: any
    dtypes: tuple[np.dtype[Any], ...]  # the same, as NumPy's
    kinds: str  # NumPy's kinds, of any width: in host memory these count instead, unless empty


def elements(expected: str, *names: str, kinds: str = "") -> Elements:
    """Returns what an array of these element types, or in host memory of these kinds of NumPy's, may hold."""
    return Elements(expected, names, tuple(BFLOAT16 if n == "bfloat16" else np.dtype(n) for n in names), kinds)


FIELDS = elements("float32, float16 or bfloat16", "float32", "float16", "bfloat16")  # in the order of enum Element
NUMBERS = elements("numbers", "float64", *FIELDS.names, "int32", "int64", "uint8", kinds="fiu")
SIZES = {  # bytes
    "float32": 4, "float16": 2, "bfloat16": 2, "float64": 8, "int32": 4, "int64": 8, "uint8": 1, "bool": 1,
}  # fmt: skip


def contiguous(values: NDArray[Any]) -> NDArray[Any]:
    """Returns an array C-contiguous and aligned; a copy where it is not."""
    return values if values.flags.num & _READY == _READY else np.require(values, None, ["C", "A"])


def to_float32(values: NDArray[Any]) -> FloatArray:
    """Returns numbers as C-contiguous, aligned, native float32; infinite where they are too large for it."""
    if values.dtype is _FLOAT32 and values.flags.num & _READY == _READY:
        return values
    if values.dtype == BFLOAT16:
        return (contiguous(values).view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    with np.errstate(over="ignore"):
        return np.require(values, np.float32, ["C", "A"])


@dataclass(slots=True, eq=False)  # frozen would cost as much as all else that is looked at
class HostArray:
    """An array in host memory; nothing has been copied."""

    place: ClassVar[str] = "cpu"
    name: str  # of the argument, in errors
    values: NDArray[Any]  # NumPy's view of the memory; of type `BFLOAT16` where it holds that
    shape: tuple[int, ...]

    def contiguous(self) -> NDArray[Any]:
        """Returns the elements as they are, C-contiguous and aligned."""
        return contiguous(self.values)

    def to_float32(self) -> FloatArray:
        """Returns the elements as C-contiguous, aligned float32."""
        return to_float32(self.values)

    def to_host(self) -> NDArray[Any]:
        """Returns the elements where they lie."""
        return self.values


@dataclass(frozen=True, slots=True, eq=False)
class DeviceArray:
    """An array in the memory of a GPU; reads are ordered after the work that was queued before it was taken."""

    place: ClassVar[str] = "cuda"
    name: str  # of the argument, in errors
    pointer: int
    shape: tuple[int, ...]
    element: str  # name of the element type
    strides: tuple[int, ...] | None  # in its maker's unit; None in C order
    stream: DeviceStream
    owner: Any  # keeps the memory; a tensor where it is torch's

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    def contiguous(self) -> DeviceArray:
        """Returns the array in C order; a copy where it is torch's and is not.

        Raises:
            ValueError: it is not, and its maker cannot be asked for a copy.
        """
        if self.strides is None:
            return self
        if self.stream.torch is None or not isinstance(self.owner, self.stream.torch.Tensor):
            raise ValueError(
                f"{self.name}: expected a C-contiguous array, got strides {self.strides} for shape {self.shape}"
            )
        tensor = self.owner.contiguous()
        return replace(self, pointer=tensor.data_ptr(), strides=None, owner=tensor)

    def to_float32(self) -> DeviceArray:
        """Returns the array in C order: the stages of a GPU read any of `FIELDS`, and compute in float32."""
        return self.contiguous()

    def to_host(self) -> NDArray[Any]:
        """Returns a copy in host memory, bfloat16 as float32; waits for the stream."""
        array = self.contiguous()
        if array.element != "bfloat16":
            return array.stream.read(array)
        return (array.stream.read(array, "uint16").astype(np.uint32) << 16).view(np.float32)

    def __getitem__(self, index: int | None) -> DeviceArray:
        """Returns one entry of an array in C order, or with None the same array under an axis of length 1."""
        if index is None:
            return replace(self, shape=(1, *self.shape))
        inner = self.shape[1:]
        return replace(self, pointer=self.pointer + index * math.prod(inner) * SIZES[self.element], shape=inner)


Array = HostArray | DeviceArray


def dense(arrays: Sequence[Array]) -> list[Any]:
    """Returns arrays of one place C-contiguous; in host memory of one element type, float32 where theirs differ."""
    first: Any = None
    for array in arrays:
        if isinstance(array, HostArray):
            first = first or array.values.dtype
            if array.values.dtype != first:
                return [each.to_float32() for each in arrays]
    return [array.contiguous() for array in arrays]
