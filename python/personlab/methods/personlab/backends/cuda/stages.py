"""The stages of poses on a GPU, one by one: results stay in its memory, cut to size after a look at their number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.arrays.array import to_float32
from personlab.arrays.stream import address_of
from personlab.methods.personlab.backends.cuda import views

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from personlab.arrays.array import DeviceArray, FloatArray
    from personlab.arrays.stream import DeviceStream
    from personlab.options import DecodeOptions
    from personlab.skeleton import Skeleton


def hough_vote(heatmaps: DeviceArray, short_offsets: DeviceArray, *, stride: int, options: DecodeOptions) -> Any:
    """Returns Hough scores (K, H', W') float32."""
    stream, (k, h, w) = heatmaps.stream, heatmaps.shape
    rows, columns = (((n - 1) * stride // options.hough_stride + 1) if h * w else 0 for n in (h, w))
    scores = stream.empty((k, rows, columns), "float32")
    sums = stream.empty((k, rows, columns), "int64")
    stream.native.hough_vote(
        heatmaps=views.field_view(heatmaps, stride), short_offsets=views.field_view(short_offsets, stride),
        options=options.native, sums=address_of(sums), scores=address_of(scores), device=stream.device,
        stream=stream.stream,
    )  # fmt: skip
    stream.keep_alive(scores, heatmaps, short_offsets)
    return scores


def find_peaks(hough: DeviceArray, *, options: DecodeOptions) -> tuple[Any, Any, Any]:
    """Returns keypoints (N,) int32, positions (N, 2) and scores (N,)."""
    stream, capacity = hough.stream, views.CAPACITY
    count = stream.empty((1,), "int32")
    while True:
        peaks, ordered = _candidate_list(stream, capacity), _candidate_list(stream, capacity)
        stream.native.find_peaks(
            hough=views.field_view(hough, 1), options=options.native, capacity=capacity, peaks=address_of(peaks),
            ordered=address_of(ordered), count=address_of(count), device=stream.device, stream=stream.stream,
        )  # fmt: skip
        n = int(stream.read(count)[0])
        if n <= capacity:
            break
        capacity = n
    listed = stream.read(ordered).view(views.candidate_dtype(stream.native))[:n]
    positions = np.stack([listed["x"], listed["y"]], axis=1)
    keypoints, scores = (np.ascontiguousarray(listed[name]) for name in ("keypoint", "score"))
    return stream.upload(keypoints), stream.upload(positions), stream.upload(scores)


def group_poses(
    peaks: tuple[NDArray[Any], NDArray[Any], NDArray[Any]],
    heatmaps: DeviceArray,
    short_offsets: DeviceArray,
    mid_offsets: DeviceArray,
    *,
    stride: int,
    skeleton: Skeleton,
    options: DecodeOptions,
) -> tuple[Any, Any]:
    """Returns keypoints (P, K, 2) and probabilities (P, K)."""
    stream, (keypoints, positions, scores) = heatmaps.stream, peaks
    n, k = len(scores), skeleton.n_keypoints
    if n == 0:
        return stream.empty((0, k, 2), "float32"), stream.empty((0, k), "float32")
    positions = to_float32(positions)
    listed = np.empty(n, views.candidate_dtype(stream.native))
    listed["score"], listed["keypoint"] = to_float32(scores), keypoints
    listed["x"], listed["y"] = positions[:, 0], positions[:, 1]
    ordered = _candidate_list(stream, n)
    poses, probabilities = stream.empty((n, k, 2), "float64"), stream.empty((n, k), "float32")
    rows, accepted = stream.empty((n,), "int32"), stream.empty((1,), "int32")
    seeds, count = stream.upload(listed.view(np.uint8)), stream.upload(np.array([n], np.int32))
    scratch = stream.empty((stream.native.group_scratch_bytes(capacity=n),), "uint8")
    stream.native.group_poses(
        peaks=address_of(seeds), ordered=address_of(ordered), count=address_of(count), capacity=n,
        fields=stream.native.PoseFields(
            heatmaps=views.field_view(heatmaps, stride), short_offsets=views.field_view(short_offsets, stride),
            mid_offsets=views.field_view(mid_offsets, stride),
        ),
        skeleton=views.device_skeleton(stream, skeleton), options=options.native, keypoints=address_of(poses),
        probabilities=address_of(probabilities), scratch=address_of(scratch), rows=address_of(rows),
        accepted=address_of(accepted), device=stream.device, stream=stream.stream,
    )  # fmt: skip
    chosen = stream.read(rows)[: stream.read(accepted)[0]]
    return (
        stream.upload(stream.read(poses)[chosen].astype(np.float32)),
        stream.upload(stream.read(probabilities)[chosen]),
    )


def score_poses(
    keypoints: NDArray[Any],
    probabilities: NDArray[Any],
    hough: DeviceArray,
    *,
    skeleton: Skeleton,
    options: DecodeOptions,
) -> tuple[Any, Any, Any]:
    """Returns the poses that are kept (Q,) int32, keypoint scores (Q, K) and scores (Q,)."""
    stream, (p, k) = hough.stream, probabilities.shape
    room = min(options.max_poses, p)
    poses, rows, accepted = _upload_poses(stream, to_float32(keypoints))
    weights = stream.upload(to_float32(probabilities))
    scratch = stream.empty((stream.native.score_scratch_bytes(capacity=p, n_keypoints=k),), "uint8")
    counts, kept = stream.empty((1,), "int32"), stream.empty((room,), "int32")
    scores, keypoint_scores = stream.empty((room,), "float32"), stream.empty((room, k), "float32")
    out_keypoints, out_probabilities = stream.empty((room, k, 2), "float32"), stream.empty((room, k), "float32")
    stream.native.score_poses(
        keypoints=address_of(poses), probabilities=address_of(weights), capacity=p, rows=address_of(rows),
        accepted=address_of(accepted), hough=views.field_view(hough, 1),
        skeleton=views.device_skeleton(stream, skeleton), options=options.native, scratch=address_of(scratch),
        out_counts=address_of(counts), out_scores=address_of(scores), out_keypoints=address_of(out_keypoints),
        out_keypoint_scores=address_of(keypoint_scores), out_probabilities=address_of(out_probabilities),
        out_kept=address_of(kept), out_rows=room, device=stream.device, stream=stream.stream,
    )  # fmt: skip
    count = int(stream.read(counts)[0])
    return stream.first(kept, count), stream.first(keypoint_scores, count), stream.first(scores, count)


def sharpen_keypoints(keypoints: NDArray[Any], hough: DeviceArray, *, options: DecodeOptions) -> Any:
    """Returns keypoints (P, K, 2)."""
    stream, keypoints = hough.stream, to_float32(keypoints)
    sharpened = stream.upload(keypoints)
    poses, rows, count = _upload_poses(stream, keypoints)
    if keypoints.size > 0:
        stream.keep_alive(sharpened, hough, poses, rows, count)
        stream.native.sharpen_keypoints(
            keypoints=address_of(poses), count=len(keypoints), rows=address_of(rows), counts=address_of(count),
            hough=views.field_view(hough, 1), options=options.native, sharpened=address_of(sharpened),
            device=stream.device, stream=stream.stream,
        )  # fmt: skip
    return sharpened


def _candidate_list(stream: DeviceStream, capacity: int) -> Any:
    return stream.empty((capacity * views.candidate_dtype(stream.native).itemsize,), "uint8")


def _upload_poses(stream: DeviceStream, keypoints: FloatArray) -> tuple[Any, Any, Any]:
    """Returns poses (P, K, 2) in double, the numbers 0 .. P - 1, and P."""
    p = len(keypoints)
    numbers = np.arange(p, dtype=np.int32), np.array([p], np.int32)
    return stream.upload(keypoints.astype(np.float64)), *map(stream.upload, numbers)
