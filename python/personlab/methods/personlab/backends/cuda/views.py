"""What the module _cuda takes beside addresses: views of fields, skeletons on a device, records of candidates."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from personlab import _cuda
    from personlab.arrays.array import DeviceArray
    from personlab.arrays.stream import DeviceStream
    from personlab.skeleton import Skeleton

CAPACITY = 4096  # candidates of an image, unless a caller wants another number


def field_view(array: DeviceArray, stride: int, *, batch: bool = False) -> _cuda.DeviceField:
    """Returns the view of fields ([N,] K, h, w) or offsets ([N,] C, 2, h, w); with the axis N where it is a batch."""
    *outer, h, w = array.shape
    images = outer.pop(0) if batch else 1
    view: _cuda.DeviceField = array.stream.native.DeviceField(
        data=array.pointer, element=array.element, images=images, planes=math.prod(outer), height=h, width=w,
        stride=stride,
    )  # fmt: skip
    return view


def device_skeleton(stream: DeviceStream, skeleton: Skeleton) -> _cuda.DeviceSkeleton:
    """Returns the skeleton in the memory of a device; the first call with one copies it there, and waits for that.

    Raises:
        ValueError: more keypoints than the stages take.
    """
    return _device_skeleton(stream.native, skeleton, stream.device)


@functools.lru_cache(maxsize=64)
def _device_skeleton(native: Any, skeleton: Skeleton, device: int) -> _cuda.DeviceSkeleton:
    if skeleton.n_keypoints > native.max_keypoints:
        raise ValueError(
            f"skeleton: expected at most {native.max_keypoints} keypoints on a GPU, got {skeleton.n_keypoints}"
        )
    uploaded: _cuda.DeviceSkeleton = native.DeviceSkeleton(skeleton=skeleton.native, device=device)
    return uploaded


@functools.cache
def candidate_dtype(native: Any) -> np.dtype[Any]:
    """Returns the record type of a candidate: score, keypoint, x, y."""
    dtype: np.dtype[Any] = np.dtype(native.peak_layout)
    return dtype
