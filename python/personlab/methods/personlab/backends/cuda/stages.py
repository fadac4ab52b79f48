"""The stages on a GPU, one by one: dense arrays stay there; small ones are read back to be checked, or cut to size."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.arrays.device import FIELD_ELEMENTS, DeviceMemory, Queue, address_of, keep
from personlab.methods.personlab.backends.cuda.poses import CAPACITY, native_skeleton

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from personlab.arrays.device import DeviceArray
    from personlab.options import DecodeOptions
    from personlab.skeleton import Skeleton

_NUMBERS = ("float64", *FIELD_ELEMENTS, "int32", "int64", "uint8")  # what small arrays may hold


def read_numbers(value: Any, name: str) -> NDArray[Any]:
    """A copy in host memory of a small array on a GPU."""
    queue = Queue.of(**{name: value})
    array = queue.take(value, name, _NUMBERS)
    if array.element != "bfloat16":
        return queue.read(array)
    return (queue.read(array, "uint16").astype(np.uint32) << 16).view(np.float32)


@functools.cache
def _peak_dtype(native: Any) -> np.dtype[Any]:
    """The record type of a candidate: score, keypoint, x, y."""
    dtype: np.dtype[Any] = np.dtype(native.peak_layout)
    return dtype


def _peak_list(queue: Queue, capacity: int) -> Any:
    return queue.empty((capacity * _peak_dtype(queue.native).itemsize,), "uint8")


def hough_vote(
    queue: Queue, heatmaps: DeviceArray, short_offsets: DeviceArray, stride: int, options: DecodeOptions
) -> Any:
    """Hough scores (K, H', W') float32; see `personlab.stages.hough_vote`."""
    k, h, w = heatmaps.shape
    rows, columns = (((n - 1) * stride // options.hough_stride + 1) if h * w else 0 for n in (h, w))
    scores = queue.empty((k, rows, columns), "float32")
    sums = queue.empty((k, rows, columns), "int64")
    queue.native.hough_vote(
        heatmaps=queue.field(heatmaps, stride), short_offsets=queue.field(short_offsets, stride),
        options=options.native, sums=address_of(sums), scores=address_of(scores), device=queue.device,
        stream=queue.stream,
    )  # fmt: skip
    keep(queue, scores, heatmaps, short_offsets)
    return scores


def find_peaks(queue: Queue, hough: DeviceArray, options: DecodeOptions) -> tuple[Any, Any, Any]:
    """Keypoints (N,) int32, positions (N, 2), scores (N,); see `personlab.stages.find_peaks`."""
    capacity = CAPACITY
    count = queue.empty((1,), "int32")
    while True:
        peaks, ordered = _peak_list(queue, capacity), _peak_list(queue, capacity)
        queue.native.find_peaks(
            hough=queue.field(hough, 1), options=options.native, capacity=capacity, peaks=address_of(peaks),
            ordered=address_of(ordered), count=address_of(count), device=queue.device, stream=queue.stream,
        )  # fmt: skip
        found = int(queue.read(count)[0])
        if found <= capacity:
            break
        capacity = found
    listed = queue.read(ordered).view(_peak_dtype(queue.native))[:found]
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
    listed = np.empty(n, _peak_dtype(queue.native))
    listed["score"], listed["keypoint"] = scores, keypoints
    listed["x"], listed["y"] = positions[:, 0], positions[:, 1]
    ordered = _peak_list(queue, n)
    poses, probabilities = queue.empty((n, k, 2), "float64"), queue.empty((n, k), "float32")
    rows, accepted = queue.empty((n,), "int32"), queue.empty((1,), "int32")
    given, count = queue.upload(listed.view(np.uint8)), queue.upload(np.array([n], np.int32))
    scratch = queue.empty((queue.native.group_scratch_bytes(capacity=n),), "uint8")
    heatmaps, short_offsets, mid_offsets = (queue.field(field, stride) for field in fields)
    queue.native.group_poses(
        peaks=address_of(given), ordered=address_of(ordered), count=address_of(count), capacity=n,
        fields=queue.native.PoseFields(heatmaps=heatmaps, short_offsets=short_offsets, mid_offsets=mid_offsets),
        skeleton=native_skeleton(queue.native, skeleton, queue.device), options=options.native,
        keypoints=address_of(poses), probabilities=address_of(probabilities), scratch=address_of(scratch),
        rows=address_of(rows), accepted=address_of(accepted), device=queue.device, stream=queue.stream,
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
    scratch = queue.empty((queue.native.score_scratch_bytes(capacity=p, n_keypoints=k),), "uint8")
    counts, kept = queue.empty((1,), "int32"), queue.empty((room,), "int32")
    scores, keypoint_scores = queue.empty((room,), "float32"), queue.empty((room, k), "float32")
    out_keypoints, out_probabilities = queue.empty((room, k, 2), "float32"), queue.empty((room, k), "float32")
    queue.native.score_poses(
        keypoints=address_of(poses), probabilities=address_of(weights), capacity=p, rows=address_of(rows),
        accepted=address_of(accepted), hough=queue.field(hough, 1),
        skeleton=native_skeleton(queue.native, skeleton, queue.device), options=options.native,
        scratch=address_of(scratch), out_counts=address_of(counts), out_scores=address_of(scores),
        out_keypoints=address_of(out_keypoints), out_keypoint_scores=address_of(keypoint_scores),
        out_probabilities=address_of(out_probabilities), out_kept=address_of(kept), out_rows=room,
        device=queue.device, stream=queue.stream,
    )  # fmt: skip
    count = int(queue.read(counts)[0])
    return _head(kept, count), _head(keypoint_scores, count), _head(scores, count)


def sharpen_keypoints(queue: Queue, keypoints: NDArray[np.float32], hough: DeviceArray, options: DecodeOptions) -> Any:
    """Keypoints (P, K, 2); those given have been read back and checked."""
    sharpened = queue.upload(keypoints)
    poses, rows, count = _all_poses(queue, keypoints)
    if keypoints.size > 0:
        keep(queue, sharpened, hough, poses, rows, count)
        queue.native.sharpen_keypoints(
            keypoints=address_of(poses), count=len(keypoints), rows=address_of(rows), counts=address_of(count),
            hough=queue.field(hough, 1), options=options.native, sharpened=address_of(sharpened), device=queue.device,
            stream=queue.stream,
        )  # fmt: skip
    return sharpened


def _head(array: Any, count: int) -> Any:
    """The first entries of an array that `Queue.empty` gave."""
    return array.head(count) if isinstance(array, DeviceMemory) else array[:count]
