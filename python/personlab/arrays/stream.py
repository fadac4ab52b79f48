"""One stream of a GPU: where the work of a call is queued, and where the memory of its results comes from."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.arrays.array import SIZES, DeviceArray

if TYPE_CHECKING:
    from numpy.typing import NDArray

TYPESTRS = {  # of __cuda_array_interface__, which has none for bfloat16
    "float32": "<f4", "float16": "<f2", "float64": "<f8", "int32": "<i4", "int64": "<i8", "uint8": "|u1", "bool": "|b1",
}  # fmt: skip


class DeviceMemory:
    """An array on a device that a backend made; other libraries read it through `__cuda_array_interface__`."""

    def __init__(self, pointer: int, shape: tuple[int, ...], element: str, stream: int, owner: Any) -> None:
        self.pointer, self.shape, self.element, self._stream, self.owner = pointer, shape, element, stream, owner

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "shape": self.shape,
            "typestr": TYPESTRS[self.element],
            "data": (self.pointer, False),
            "strides": None,
            "stream": self._stream,
            "version": 3,
        }

    def __len__(self) -> int:
        return self.shape[0]


@dataclass(frozen=True)
class DeviceStream:
    """A stream of a device. Arrays that it makes are torch's where the call's are, else `DeviceMemory`."""

    native: Any  # the module _cuda
    device: int
    stream: int
    torch: Any  # the module, where memory is to be its; else None

    def current(self) -> DeviceStream:
        """Returns torch's current stream, which waits for this one; this one where no array is torch's."""
        if self.torch is None:
            return self
        now = replace(self, stream=self.torch.cuda.current_stream(self.device).cuda_stream)
        now.wait_for(self.stream)
        return now

    def wait_for(self, other: int) -> None:
        """Orders what is queued here from now on after what has been queued on another stream of the device."""
        if other != self.stream:
            self.native.wait_for(stream=self.stream, other=other, device=self.device)

    def empty(self, shape: tuple[int, ...], element: str) -> Any:
        """Returns an array of uninitialised memory."""
        if self.torch is not None:
            return self.torch.empty(shape, dtype=getattr(self.torch, element), device=f"cuda:{self.device}")
        memory = self.native.Memory(size=math.prod(shape) * SIZES[element], device=self.device, stream=self.stream)
        return DeviceMemory(memory.address, shape, element, self.stream, memory)

    def part(self, array: Any, start: int, shape: tuple[int, ...], element: str) -> Any:
        """Returns elements of an array of `empty` from one on as another array; elements of both are of one size."""
        if self.torch is not None:
            return array.view(getattr(self.torch, element))[start : start + math.prod(shape)].view(shape)
        at = array.pointer + start * SIZES[element]
        return DeviceMemory(at, shape, element, self.stream, array)

    def first(self, array: Any, count: int) -> Any:
        """Returns the first entries of an array of `empty` along its first axis."""
        if self.torch is not None:
            return array[:count]
        return DeviceMemory(array.pointer, (count, *array.shape[1:]), array.element, self.stream, array)

    def upload(self, values: NDArray[Any]) -> Any:
        """Returns a copy of a C-contiguous array in host memory."""
        copy = self.empty(values.shape, values.dtype.name)
        self.native.upload(
            host=values.ctypes.data, memory=address_of(copy), size=values.nbytes, device=self.device, stream=self.stream
        )
        return copy

    def read(self, array: Any, dtype: str | None = None) -> NDArray[Any]:
        """Returns a copy in host memory of a `DeviceArray` or of an array of `empty`; waits for this stream."""
        if dtype is None:
            dtype = array.element if isinstance(array, (DeviceArray, DeviceMemory)) else str(array.dtype).split(".")[-1]
        copy = np.empty(tuple(array.shape), dtype)
        self.native.download(
            memory=address_of(array), host=copy.ctypes.data, size=copy.nbytes, device=self.device, stream=self.stream
        )
        return copy

    def keep_alive(self, result: Any, *inputs: Any) -> None:
        """Lets a result keep what it is computed from; torch's own memory waits for the work on it by itself."""
        if self.torch is None:
            result.owner = result.owner, inputs


def address_of(array: Any) -> int:
    """Returns the device address of a C-contiguous `DeviceArray`, or of an array of `DeviceStream.empty`."""
    return int(array.pointer if isinstance(array, (DeviceArray, DeviceMemory)) else array.data_ptr())
