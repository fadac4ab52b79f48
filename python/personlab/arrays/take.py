"""The arrays of a call, of any library and in any memory, taken once: where they lie, and a record of each."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from personlab.arrays import cuda_module
from personlab.arrays.array import FIELDS, Elements
from personlab.arrays.device import stream_of, take_on_device
from personlab.arrays.host import take_on_host

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_DLPACK_DEVICES = (2, 13)  # kDLCUDA and kDLCUDAManaged (dlpack.h)
Place = Literal["cpu", "cuda"]  # host memory, or that of an NVIDIA GPU


def is_on_device(value: Any) -> bool:
    """Returns whether an array lies in the memory of an NVIDIA GPU."""
    if isinstance(value, np.ndarray):
        return False
    tensor: Any = getattr(sys.modules.get("torch"), "Tensor", ())
    if isinstance(value, tensor):
        return bool(value.is_cuda)
    if hasattr(value, "__cuda_array_interface__"):
        return True
    try:
        return value.__dlpack_device__()[0] in _DLPACK_DEVICES
    except (AttributeError, TypeError, ValueError):
        return False


def place_of(arrays: Mapping[str, Any]) -> Place:
    """Returns where all arrays, by name, lie; None counts for nothing, and what is no array for host memory.

    Raises:
        TypeError: some lie in host memory and some on a GPU.
    """
    on_host = on_device = ""
    for name, value in arrays.items():
        if value is None:
            continue
        if is_on_device(value):
            on_device = on_device or name
        else:
            on_host = on_host or name
    if on_host and on_device:
        raise TypeError(f"{on_host}: expected device memory, as {on_device} is, got host memory")
    return "cuda" if on_device else "cpu"


def take(
    arrays: Mapping[str, Any],
    elements: Mapping[str, Elements] | None = None,
    *,
    optional: Collection[str] = (),
    place: Place | None = None,
) -> list[Any]:
    """Returns a record of each array, `HostArray` or `DeviceArray`, by which it can be checked before it is copied.

    Arrays are NumPy's, torch's, or of anything with `__cuda_array_interface__` or DLPack. On a GPU all records have
    one stream: reads are ordered after the work that the arrays' makers have queued.

    Args:
        arrays: by name.
        elements: what each may hold, where that is not `FIELDS`.
        optional: names of those that may be None, and then stay None.
        place: where they lie, as `place_of` says, if the caller has asked it already.

    Raises:
        RuntimeError: arrays on a GPU, and CUDA cannot be used.
        TypeError: no array, another element type, or arrays in host memory and on a GPU.
        ValueError: arrays on several GPUs, at an odd address, or too large to be copied.
    """
    stream = None
    if (place or place_of(arrays)) == "cuda":
        present = {name: value for name, value in arrays.items() if value is not None}
        stream = stream_of(cuda_module.native(), present)
    records: list[Any] = []
    for name, value in arrays.items():
        what = FIELDS if elements is None else elements.get(name, FIELDS)
        if value is None and name in optional:
            records.append(None)
        elif stream is None:
            records.append(take_on_host(value, name, what))
        else:
            records.append(take_on_device(value, name, what, stream))
    return records
