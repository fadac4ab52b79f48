"""Arrays of other libraries in the memory of a GPU: taken on one stream."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from personlab.arrays.array import SIZES, DeviceArray, Elements
from personlab.arrays.dlpack import tensor_of
from personlab.arrays.stream import TYPESTRS, DeviceStream

if TYPE_CHECKING:
    from collections.abc import Mapping

_LEGACY_STREAM = 1  # the default stream, as DLPack and __cuda_array_interface__ number it
_BY_TYPESTR = {typestr: element for element, typestr in TYPESTRS.items()}
_BY_DLPACK = {  # type code, bits, lanes
    (2, 32, 1): "float32", (2, 16, 1): "float16", (4, 16, 1): "bfloat16", (2, 64, 1): "float64", (0, 32, 1): "int32",
    (0, 64, 1): "int64", (1, 8, 1): "uint8", (6, 8, 1): "bool",
}  # fmt: skip


def _torch_of(value: Any) -> Any:
    """Returns torch, where the value is one of its tensors, else None."""
    torch = sys.modules.get("torch")
    return torch if torch is not None and isinstance(value, getattr(torch, "Tensor", ())) else None


def stream_of(native: Any, arrays: Mapping[str, Any]) -> DeviceStream:
    """Returns the stream of a call with these arrays, by name, all on one device.

    That is torch's current stream where any is torch's, else the stream that the first array with one names, else
    the legacy default stream.

    Args:
        native: the module _cuda.
        arrays: at least one.

    Raises:
        TypeError: no array, or an address that CUDA does not know.
        ValueError: they lie on several devices.
    """
    devices = {name: _device_of(value, name, native) for name, value in arrays.items()}
    first, device = next(iter(devices.items()))
    for name, other in devices.items():
        if other != device:
            raise ValueError(f"{name}: expected device {device}, where {first} lies, got device {other}")
    for value in arrays.values():
        torch = _torch_of(value)
        if torch is not None:
            return DeviceStream(native, device, torch.cuda.current_stream(device).cuda_stream, torch)
    streams = (getattr(value, "__cuda_array_interface__", {}).get("stream") for value in arrays.values())
    return DeviceStream(native, device, next((stream for stream in streams if stream), _LEGACY_STREAM), None)


def _device_of(value: Any, name: str, native: Any) -> int:
    if _torch_of(value) is not None:
        return int(value.device.index)
    if not hasattr(value, "__cuda_array_interface__"):
        return int(value.__dlpack_device__()[1])
    device = int(native.device_of(address=value.__cuda_array_interface__["data"][0] or 0))
    if device < 0:
        raise TypeError(f"{name}: expected device memory, got an address that CUDA does not know")
    return device


def take_on_device(value: Any, name: str, elements: Elements, stream: DeviceStream) -> DeviceArray:
    """Takes an array on a stream's device: torch's, or of anything with `__cuda_array_interface__` or DLPack.

    Reads are ordered after the work that its maker has queued.

    Raises:
        TypeError: another element type.
        ValueError: an address between elements.
    """
    if value is None:
        raise TypeError(f"{name}: expected an array or tensor, got NoneType")
    if _torch_of(value) is not None:
        tensor = (value.detach() if value.requires_grad else value).resolve_neg()
        strides = None if tensor.is_contiguous() else tuple(tensor.stride())
        element = str(tensor.dtype).split(".")[-1]
        array = DeviceArray(name, tensor.data_ptr(), tuple(tensor.shape), element, strides, stream, tensor)
    elif hasattr(value, "__cuda_array_interface__"):
        array = _from_interface(value, name, stream)
    else:
        array = _from_dlpack(value, name, stream)
    if elements.names and array.element not in elements.names:
        *others, last = elements.names
        listed = f"{', '.join(others)} or {last}" if others else last
        raise TypeError(f"{name}: expected {listed}, got {array.element}")
    return array


def _from_interface(value: Any, name: str, stream: DeviceStream) -> DeviceArray:
    interface = value.__cuda_array_interface__
    typestr, shape = interface["typestr"], tuple(interface["shape"])
    if typestr not in _BY_TYPESTR or interface.get("mask") is not None:
        kind = f"element type {typestr!r}" if interface.get("mask") is None else "a mask"
        raise TypeError(f"{name}: expected an array of {', '.join(_BY_TYPESTR.values())}, got {kind}")
    element = _BY_TYPESTR[typestr]
    if interface.get("stream"):
        stream.wait_for(interface["stream"])
    pointer = _aligned(interface["data"][0] or 0, element, name)
    strides = _unless_in_c_order(shape, interface.get("strides"), SIZES[element])
    return DeviceArray(name, pointer, shape, element, strides, stream, value)


def _from_dlpack(value: Any, name: str, stream: DeviceStream) -> DeviceArray:
    capsule = value.__dlpack__(stream=stream.stream or _LEGACY_STREAM)
    tensor = tensor_of(capsule)
    code = tensor.type_code, tensor.type_bits, tensor.type_lanes
    if code not in _BY_DLPACK:
        raise TypeError(
            "{}: expected an array of {}, got DLPack's type of code {}, {} bits, {} lanes".format(
                name, ", ".join(_BY_DLPACK.values()), *code
            )
        )
    element, shape = _BY_DLPACK[code], tuple(tensor.shape[: tensor.ndim])
    pointer = _aligned((tensor.data or 0) + tensor.byte_offset, element, name)
    strides = _unless_in_c_order(shape, tuple(tensor.strides[: tensor.ndim]) if tensor.strides else None, 1)
    return DeviceArray(name, pointer, shape, element, strides, stream, (value, capsule))


def _aligned(pointer: int, element: str, name: str) -> int:
    if pointer % SIZES[element]:
        raise ValueError(f"{name}: expected an aligned array of {element}, got one at address {pointer:#x}")
    return pointer


def _unless_in_c_order(shape: tuple[int, ...], strides: tuple[int, ...] | None, step: int) -> tuple[int, ...] | None:
    """Returns strides, in units of `step` for one element, unless they are those of C order."""
    if strides is None or 0 in shape:
        return None
    for n, stride in zip(reversed(shape), reversed(strides), strict=True):
        if n > 1 and stride != step:
            return strides
        step *= n
    return None
