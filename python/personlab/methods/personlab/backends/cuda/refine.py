"""Dense refinement of offsets on a GPU."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.arrays.stream import address_of
from personlab.methods.personlab.backends.cuda.views import field_view

if TYPE_CHECKING:
    from collections.abc import Sequence

    from personlab.arrays.array import DeviceArray


def refine_offsets(
    offsets: DeviceArray,
    by: DeviceArray,
    channels: Sequence[int],
    *,
    stride: int,
    steps: int,
    threads: int,  # noqa: ARG001  # of the host
) -> Any:
    """Returns offsets (C, 2, h, w) float32."""
    stream = offsets.stream
    refined = stream.empty(offsets.shape, "float32")
    if offsets.size > 0:
        stream.keep_alive(refined, offsets, by)
        numbers = _constant(stream.native, stream.device, tuple(channels))
        stream.native.refine_offsets(
            offsets=field_view(offsets, stride), by=field_view(by, stride), channels=numbers.address, steps=steps,
            refined=address_of(refined), device=stream.device, stream=stream.stream,
        )  # fmt: skip
    return refined


@functools.cache  # few skeletons are in use, and uploading waits for the device
def _constant(native: Any, device: int, numbers: tuple[int, ...]) -> Any:
    """Returns memory on a device that holds these numbers in 32 bits, for good."""
    array = np.array(numbers, np.int32)
    memory = native.Memory(size=array.nbytes, device=device, stream=0)
    native.upload(host=array.ctypes.data, memory=memory.address, size=array.nbytes, device=device, stream=0)
    return memory
