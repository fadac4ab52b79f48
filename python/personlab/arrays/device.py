"""Arrays in the memory of a GPU: how they are recognised, where work on them is queued and results are put."""

from __future__ import annotations

import functools
import importlib
import math
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from personlab.arrays.dlpack import tensor_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DLPACK_DEVICES = (2, 13)  # kDLCUDA and kDLCUDAManaged (dlpack.h)
_LEGACY_STREAM = 1  # the default stream, as DLPack and __cuda_array_interface__ number it
FIELD_ELEMENTS = ("float32", "float16", "bfloat16")  # of the native DeviceField


class _Element(NamedTuple):
    typestr: str  # of __cuda_array_interface__; bfloat16 has none
    size: int  # bytes
    dlpack: tuple[int, int, int]  # type code, bits, lanes


_ELEMENTS = {
    "float32": _Element("<f4", 4, (2, 32, 1)),
    "float16": _Element("<f2", 2, (2, 16, 1)),
    "bfloat16": _Element("", 2, (4, 16, 1)),
    "float64": _Element("<f8", 8, (2, 64, 1)),
    "int32": _Element("<i4", 4, (0, 32, 1)),
    "int64": _Element("<i8", 8, (0, 64, 1)),
    "uint8": _Element("|u1", 1, (1, 8, 1)),
    "bool": _Element("|b1", 1, (6, 8, 1)),
}
_BY_TYPESTR = {element.typestr: name for name, element in _ELEMENTS.items() if element.typestr}
_BY_DLPACK = {element.dlpack: name for name, element in _ELEMENTS.items()}


@functools.cache
def _load() -> tuple[Any, str]:
    """The module _cuda, or None and why it is not there."""
    try:
        return importlib.import_module("personlab._cuda"), ""
    except ModuleNotFoundError as error:
        if error.name != "personlab._cuda":
            raise
        return None, (
            "personlab was built without CUDA: when it was installed there was no CUDA compiler on PATH, or no GPU; "
            "install it from source where both are (-Ccmake.define.PERSONLAB_CUDA=ON builds it without a GPU, too)"
        )
    except ImportError as error:
        if error.name != "personlab._cuda":
            raise
        return None, f"the module personlab._cuda cannot be loaded: {error}"


def _why_not(module: Any) -> str:
    """Why a module cannot use a GPU; empty where it can."""
    reason: str = module.unavailable_reason()
    if reason and module.versions()[0] == 0:  # CUDA's own words are of a driver too old
        return "no NVIDIA driver is installed"
    return reason


def native() -> Any:
    """The module _cuda, whose stages run on a GPU.

    Raises:
        RuntimeError: it is not there, or no GPU can be used.
    """
    module, reason = _load()
    if module is None:
        raise RuntimeError(f"CUDA: {reason}")
    reason = _why_not(module)
    if reason:
        raise RuntimeError(f"CUDA: no GPU can be used: {reason}")
    return module


def describe() -> str:
    """Whether CUDA can be used, on what, and why not."""
    module, reason = _load()
    if module is None:
        return f"no: {reason}"
    built = f"{module.compiler} for architectures {module.architectures}"
    reason = _why_not(module)
    if reason:
        return f"no: {reason}; built by {built}"
    driver = module.versions()[0]
    return (
        f"yes: {module.device_name(device=0)}, driver for CUDA {driver // 1000}.{driver % 1000 // 10}; built by {built}"
    )


def _torch_of(value: Any) -> Any:
    """torch, where the value is one of its tensors."""
    torch = sys.modules.get("torch")
    return torch if torch is not None and isinstance(value, getattr(torch, "Tensor", ())) else None


def is_on_device(value: Any) -> bool:
    """Whether an array lies in the memory of an NVIDIA GPU."""
    if isinstance(value, np.ndarray):
        return False
    if _torch_of(value) is not None:
        return bool(value.is_cuda)
    if hasattr(value, "__cuda_array_interface__"):
        return True
    try:
        return value.__dlpack_device__()[0] in _DLPACK_DEVICES
    except (AttributeError, TypeError, ValueError):
        return False


def all_on_device(**arrays: Any) -> bool:
    """Whether all arrays lie in the memory of a GPU, rather than none; what is None counts for nothing.

    Raises:
        TypeError: some do and some do not.
    """
    host = device = ""
    for name, value in arrays.items():
        if value is None:
            continue
        if is_on_device(value):
            device = device or name
        else:
            host = host or name
    if host and device:
        raise TypeError(f"{host}: expected device memory, as {device} is, got host memory")
    return bool(device)


@dataclass(frozen=True)
class DeviceArray:
    """Where the elements of a C-contiguous array lie on a device."""

    pointer: int
    shape: tuple[int, ...]
    element: str
    device: int
    owner: Any  # keeps the memory

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int) -> DeviceArray:
        """One entry along the first axis."""
        inner = self.shape[1:]
        at = self.pointer + index * math.prod(inner) * _ELEMENTS[self.element].size
        return DeviceArray(at, inner, self.element, self.device, self.owner)


class DeviceMemory:
    """An array on a device that a backend made; other libraries read it through `__cuda_array_interface__`."""

    def __init__(self, pointer: int, shape: tuple[int, ...], element: str, stream: int, owner: Any) -> None:
        self.pointer, self.shape, self.element, self._stream, self._owner = pointer, shape, element, stream, owner

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "shape": self.shape,
            "typestr": _ELEMENTS[self.element].typestr,
            "data": (self.pointer, False),
            "strides": None,
            "stream": self._stream,
            "version": 3,
        }

    def head(self, count: int) -> DeviceMemory:
        """The first entries along the first axis."""
        return DeviceMemory(self.pointer, (count, *self.shape[1:]), self.element, self._stream, self)

    def __len__(self) -> int:
        return self.shape[0]


@dataclass(frozen=True)
class Queue:
    """Where the work of one call is queued: a device and one of its streams; memory comes from there too."""

    native: Any  # the module _cuda
    device: int
    stream: int
    torch: Any  # the module, where memory is to be its; else None

    @classmethod
    def of(cls, **arrays: Any) -> Queue:
        """The queue of a call with these arrays, all on one device; what is None counts for nothing.

        That is torch's current stream where any is torch's, else the stream that the first array with one names, else
        the legacy default stream.

        Raises:
            RuntimeError: no GPU can be used.
            ValueError: they lie on several devices.
        """
        given = {name: value for name, value in arrays.items() if value is not None}
        module = native()
        devices = {name: _device_of(value, name, module) for name, value in given.items()}
        first, device = next(iter(devices.items()))
        for name, other in devices.items():
            if other != device:
                raise ValueError(f"{name}: expected device {device}, where {first} lies, got device {other}")
        for value in given.values():
            torch = _torch_of(value)
            if torch is not None:
                return cls(module, device, torch.cuda.current_stream(device).cuda_stream, torch)
        streams = (_stream_of(value) for value in given.values())
        return cls(module, device, next((stream for stream in streams if stream), _LEGACY_STREAM), None)

    def current(self) -> Queue:
        """The queue that torch works on now, after it was made to wait for this one; this one where none is torch's."""
        if self.torch is None:
            return self
        now = replace(self, stream=self.torch.cuda.current_stream(self.device).cuda_stream)
        if now.stream != self.stream:
            self.native.wait_for(stream=now.stream, other=self.stream, device=self.device)
        return now

    def take(self, value: Any, name: str, elements: tuple[str, ...] = FIELD_ELEMENTS) -> DeviceArray:
        """An array of one of these element types, as it will be when this queue has come so far.

        Raises:
            TypeError: another element type.
            ValueError: not C-contiguous, where its maker cannot be asked for a copy that is.
        """
        array = as_device_array(value, name, self)
        if array.element not in elements:
            expected = " or ".join(filter(None, (", ".join(elements[:-1]), elements[-1])))
            raise TypeError(f"{name}: expected {expected}, got {array.element}")
        return array

    def empty(self, shape: tuple[int, ...], element: str) -> Any:
        """An array that nothing has been written to: torch's, where the call's are torch's."""
        if self.torch is not None:
            return self.torch.empty(shape, dtype=getattr(self.torch, element), device=f"cuda:{self.device}")
        size = math.prod(shape) * _ELEMENTS[element].size
        memory = self.native.Memory(size=size, device=self.device, stream=self.stream)
        return DeviceMemory(memory.address, shape, element, self.stream, memory)

    def part(self, array: Any, start: int, shape: tuple[int, ...], element: str) -> Any:
        """Elements of an array that `empty` gave, from one on, as another array; elements of both are of one size."""
        if self.torch is not None:
            return array.view(getattr(self.torch, element))[start : start + math.prod(shape)].view(shape)
        at = array.pointer + start * _ELEMENTS[element].size
        return DeviceMemory(at, shape, element, self.stream, array)

    def upload(self, array: NDArray[Any]) -> Any:
        """A copy of a C-contiguous array in host memory."""
        copy = self.empty(array.shape, array.dtype.name)
        self.native.upload(
            host=array.ctypes.data, memory=address_of(copy), size=array.nbytes, device=self.device, stream=self.stream
        )
        return copy

    def read(self, array: Any, dtype: str | None = None) -> NDArray[Any]:
        """A copy in host memory of an array that `empty` or `take` gave; waits for this queue."""
        if dtype is None:
            dtype = array.element if isinstance(array, (DeviceArray, DeviceMemory)) else str(array.dtype).split(".")[-1]
        copy = np.empty(tuple(array.shape), dtype)
        self.native.download(
            memory=address_of(array), host=copy.ctypes.data, size=copy.nbytes, device=self.device, stream=self.stream
        )
        return copy

    def field(self, array: DeviceArray, stride: int, *, batch: bool = False) -> Any:
        """The native view of fields ([N,] K, h, w) or offsets ([N,] C, 2, h, w)."""
        *outer, h, w = array.shape
        images = outer.pop(0) if batch else 1
        return self.native.DeviceField(
            data=array.pointer, element=array.element, images=images, planes=math.prod(outer), height=h, width=w,
            stride=stride,
        )  # fmt: skip


def address_of(array: Any) -> int:
    """The device address of an array that `Queue.empty` or `Queue.take` gave."""
    return int(array.pointer if isinstance(array, (DeviceArray, DeviceMemory)) else array.data_ptr())


def keep(queue: Queue, result: Any, *inputs: Any) -> None:
    """Lets a result keep what it is made of; torch's own memory waits for the work on it by itself."""
    if queue.torch is None:
        result._owner = result._owner, inputs


def _device_of(value: Any, name: str, module: Any) -> int:
    if _torch_of(value) is not None:
        return int(value.device.index)
    if not hasattr(value, "__cuda_array_interface__"):
        return int(value.__dlpack_device__()[1])
    device = int(module.device_of(address=value.__cuda_array_interface__["data"][0] or 0))
    if device < 0:
        raise TypeError(f"{name}: expected device memory, got an address that CUDA does not know")
    return device


def _stream_of(value: Any) -> int | None:
    if not hasattr(value, "__cuda_array_interface__"):
        return None
    stream: int | None = value.__cuda_array_interface__.get("stream")
    return stream


def as_device_array(value: Any, name: str, queue: Queue) -> DeviceArray:
    """An array on the queue's device: torch's, or of anything with `__cuda_array_interface__` or DLPack.

    Raises:
        TypeError: an element type that no stage knows.
        ValueError: not C-contiguous; torch's are copied then.
    """
    if _torch_of(value) is not None:
        tensor = (value.detach() if value.requires_grad else value).resolve_neg().contiguous()
        return DeviceArray(
            tensor.data_ptr(), tuple(tensor.shape), str(tensor.dtype).split(".")[-1], queue.device, tensor
        )
    if hasattr(value, "__cuda_array_interface__"):
        return _from_interface(value, name, queue)
    return _from_dlpack(value, name, queue)


def _from_interface(value: Any, name: str, queue: Queue) -> DeviceArray:
    interface = value.__cuda_array_interface__
    typestr, shape = interface["typestr"], tuple(interface["shape"])
    if typestr not in _BY_TYPESTR or interface.get("mask") is not None:
        kind = f"element type {typestr!r}" if interface.get("mask") is None else "a mask"
        raise TypeError(f"{name}: expected an array of {', '.join(_BY_TYPESTR.values())}, got {kind}")
    element = _BY_TYPESTR[typestr]
    _check_strides(shape, interface.get("strides"), _ELEMENTS[element].size, name)
    stream = interface.get("stream")
    if stream and stream != queue.stream:
        queue.native.wait_for(stream=queue.stream, other=stream, device=queue.device)
    pointer = _aligned(interface["data"][0] or 0, element, name)
    return DeviceArray(pointer, shape, element, queue.device, value)


def _from_dlpack(value: Any, name: str, queue: Queue) -> DeviceArray:
    capsule = value.__dlpack__(stream=queue.stream or _LEGACY_STREAM)
    tensor = tensor_of(capsule)
    element = (tensor.type_code, tensor.type_bits, tensor.type_lanes)
    if element not in _BY_DLPACK:
        raise TypeError(
            "{}: expected an array of {}, got DLPack's type of code {}, {} bits, {} lanes".format(
                name, ", ".join(_ELEMENTS), *element
            )
        )
    known = _BY_DLPACK[element]
    shape = tuple(tensor.shape[: tensor.ndim])
    strides = tuple(tensor.strides[: tensor.ndim]) if tensor.strides else None
    _check_strides(shape, strides, 1, name)
    pointer = _aligned((tensor.data or 0) + tensor.byte_offset, known, name)
    return DeviceArray(pointer, shape, known, queue.device, (value, capsule))


def _aligned(pointer: int, element: str, name: str) -> int:
    if pointer % _ELEMENTS[element].size:
        raise ValueError(f"{name}: expected an aligned array of {element}, got one at address {pointer:#x}")
    return pointer


def _check_strides(shape: tuple[int, ...], strides: tuple[int, ...] | None, step: int, name: str) -> None:
    """Refuse strides, in units of `step` for one element, that are not those of C order."""
    if strides is None or 0 in shape:
        return
    for n, stride in zip(reversed(shape), reversed(strides), strict=True):
        if n > 1 and stride != step:
            raise ValueError(f"{name}: expected a C-contiguous array, got strides {strides} for shape {shape}")
        step *= n
