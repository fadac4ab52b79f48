"""The stages on a GPU, one by one: dense arrays stay there; small ones are read back to be checked, or cut to size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.arrays.device import FIELD_ELEMENTS, DeviceMemory, Queue, address_of, keep
from personlab.methods.personlab.backends.cuda.poses import CAPACITY, native_skeleton

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from personlab.arrays.device import DeviceArray
    from personlab.options import DecodeOptions
    from personlab.skeleton import Skeleton

_PEAK = np.dtype([("score", "<f4"), ("keypoint", "<i4"), ("x", "<f4"), ("y", "<f4")])  # struct Peak
_NUMBERS = ("float64", *FIELD_ELEMENTS, "int32", "int64", "uint8")  # what small arrays may hold


def read_numbers(value: Any, name: str) -> NDArray[Any]:
    """A copy in host memory of a small array on a GPU."""
    queue = Queue.of(**{name: value})
    array = queue.take(value, name, _NUMBERS)
    if array.element != "bfloat16":
        return queue.read(array)
    return (queue.read(array, "uint16").astype(np.uint32) << 16).view(np.float32)


def _peak_lists(queue: Queue, capacity: int) -> tuple[Any, Any]:
    return queue.empty((capacity * _PEAK.itemsize,), "uint8"), queue.empty((capacity * _PEAK.itemsize,), "uint8")


def hough_vote(
    queue: Queue, heatmaps: DeviceArray, short_offsets: DeviceArray, stride: int, options: DecodeOptions
) -> Any:
    """Hough scores (K, H', W') float32; see `personlab.stages.hough_vote`."""
    k, h, w = heatmaps.shape
    rows, columns = (((n - 1) * stride // options.hough_stride + 1) if h * w else 0 for n in (h, w))
    scores = queue.empty((k, rows, columns), "float32")
    sums = queue.empty((k, rows, columns), "int64")
    queue.native.hough_vote(
        queue.field(heatmaps, stride), queue.field(short_offsets, stride), options.native, address_of(sums),
        address_of(scores), queue.device, queue.stream,
    )  # fmt: skip
    keep(queue, scores, heatmaps, short_offsets)
    return scores


def find_peaks(queue: Queue, hough: DeviceArray, options: DecodeOptions) -> tuple[Any, Any, Any]:
    """Keypoints (N,) int32, positions (N, 2), scores (N,); see `personlab.stages.find_peaks`."""
    capacity = CAPACITY
    count = queue.empty((1,), "int32")
    while True:
        peaks, ordered = _peak_lists(queue, capacity)
        queue.native.find_peaks(
            queue.field(hough, 1), options.native, capacity, address_of(peaks), address_of(ordered), address_of(count),
            queue.device, queue.stream,
        )  # fmt: skip
        found = int(queue.read(count)[0])
        if found <= capacity:
            break
        capacity = found
    listed = queue.read(ordered).view(_PEAK)[:found]
    positions = np.stack([listed["x"], listed["y"]], axis=1)
    keypoints, scores = (np.ascontiguousarray(listed[name]) for name in ("keypoint", "score"))
    return queue.upload(keypoints), queue.upload(positions), queue.upload(scores)


def group_poses(
    queue: Queue,
    peaks: tuple[NDArray[Any], NDArray[Any], NDArray[Any]],
    fields: tuple[DeviceArray, DeviceArray, DeviceArray],
    stride: int,
    skeleton: Skeleton,
    options: DecodeOptions,
) -> tuple[Any, Any]:
    """Keypoints (P, K, 2) and probabilities (P, K); `peaks` have been read back and checked."""
    keypoints, positions, scores = peaks
    n, k = len(scores), skeleton.n_keypoints
    if n == 0:
        return queue.empty((0, k, 2), "float32"), queue.empty((0, k), "float32")
    listed = np.empty(n, _PEAK)
    listed["score"], listed["keypoint"] = scores, keypoints
    listed["x"], listed["y"] = positions[:, 0], positions[:, 1]
    _, ordered = _peak_lists(queue, n)
    poses, probabilities = queue.empty((n, k, 2), "float64"), queue.empty((n, k), "float32")
    rows, accepted = queue.empty((n,), "int32"), queue.empty((1,), "int32")
    given, count = queue.upload(listed.view(np.uint8)), queue.upload(np.array([n], np.int32))
    scratch = queue.empty((queue.native.group_scratch(n),), "uint8")
    queue.native.group_poses(
        address_of(given), address_of(ordered), address_of(count), n,
        queue.native.PoseFields(*(queue.field(field, stride) for field in fields)),
        native_skeleton(queue.native, skeleton, queue.device), options.native, address_of(poses),
        address_of(probabilities), address_of(scratch), address_of(rows), address_of(accepted), queue.device,
        queue.stream,
    )  # fmt: skip
    chosen = queue.read(rows)[: queue.read(accepted)[0]]
    return (
        queue.upload(queue.read(poses)[chosen].astype(np.float32)),
        queue.upload(queue.read(probabilities)[chosen]),
    )


def _all_poses(queue: Queue, keypoints: NDArray[np.float32]) -> tuple[Any, Any, Any]:
    """Poses (P, K, 2) in double, the numbers 0 .. P - 1, and P."""
    p = len(keypoints)
    numbers = np.arange(p, dtype=np.int32), np.array([p], np.int32)
    return queue.upload(keypoints.astype(np.float64)), *map(queue.upload, numbers)


def score_poses(
    queue: Queue,
    groups: tuple[NDArray[np.float32], NDArray[np.float32]],
    hough: DeviceArray,
    skeleton: Skeleton,
    options: DecodeOptions,
) -> tuple[Any, Any, Any]:
    """Which poses are kept (Q,) int32, s_jk (Q, K), scores (Q,); `groups` have been read back and checked."""
    keypoints, probabilities = groups
    p, k = probabilities.shape
    room = min(options.max_poses, p)
    poses, rows, accepted = _all_poses(queue, keypoints)
    weights = queue.upload(probabilities)
    scratch = queue.empty((queue.native.score_scratch(p, k),), "uint8")
    shapes: list[tuple[tuple[int, ...], str]] = [
        ((1,), "int32"), ((room,), "float32"), ((room, k, 2), "float32"), ((room, k), "float32"),
        ((room, k), "float32"), ((room,), "int32"),
    ]  # fmt: skip
    out = [queue.empty(*shape) for shape in shapes]
    queue.native.score_poses(
        address_of(poses), address_of(weights), p, address_of(rows), address_of(accepted), queue.field(hough, 1),
        native_skeleton(queue.native, skeleton, queue.device), options.native, address_of(scratch),
        [address_of(array) for array in out], room, queue.device, queue.stream,
    )  # fmt: skip
    kept = int(queue.read(out[0])[0])
    return _head(out[5], kept), _head(out[3], kept), _head(out[1], kept)


def sharpen_keypoints(queue: Queue, keypoints: NDArray[np.float32], hough: DeviceArray, options: DecodeOptions) -> Any:
    """Keypoints (P, K, 2); those given have been read back and checked."""
    sharpened = queue.upload(keypoints)
    poses, rows, count = _all_poses(queue, keypoints)
    if keypoints.size > 0:
        keep(queue, sharpened, hough, poses, rows, count)
        queue.native.sharpen_keypoints(
            address_of(poses), len(keypoints), address_of(rows), address_of(count), queue.field(hough, 1),
            options.native, address_of(sharpened), queue.device, queue.stream,
        )  # fmt: skip
    return sharpened


def _head(array: Any, count: int) -> Any:
    """The first entries of an array that `Queue.empty` gave."""
    return array.head(count) if isinstance(array, DeviceMemory) else array[:count]
