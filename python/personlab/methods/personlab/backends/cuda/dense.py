"""Masks, dense refinement and targets on a GPU: checked arrays in its memory, work queued there, results that stay."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.arrays.device import address_of, keep

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from personlab.arrays.device import DeviceArray, Queue
    from personlab.methods.personlab.backends.cuda.poses import DevicePoses
    from personlab.options import MaskOptions
    from personlab.poses import Poses
    from personlab.skeleton import Skeleton

_TARGETS = {  # channels of each field, and what its elements are
    "heatmaps": ("K", "float32"),
    "short_offsets": ("K2", "float32"),
    "mid_offsets": ("E2", "float32"),
    "segmentation": ("1", "float32"),
    "long_offsets": ("K2", "float32"),
    "heatmap_valid": ("1", "bool"),
    "short_valid": ("K", "bool"),
    "mid_valid": ("E", "bool"),
    "segmentation_valid": ("1", "bool"),
    "long_valid": ("K", "bool"),
}


@functools.cache  # there are few of them, and uploading waits for the device
def _constant(native: Any, device: int, numbers: tuple[int, ...]) -> Any:
    """Memory on a device that holds these numbers in 32 bits, for good."""
    array = np.array(numbers, np.int32)
    memory = native.Memory(size=array.nbytes, device=device, stream=0)
    native.upload(host=array.ctypes.data, memory=memory.address, size=array.nbytes, device=device, stream=0)
    return memory


def associate_pixels(
    queue: Queue,
    poses: Sequence[Poses],
    segmentation: DeviceArray,
    long_offsets: DeviceArray,
    short_offsets: DeviceArray | None,
    *,
    stride: int,
    size: tuple[int, int],
    options: MaskOptions,
    scored: bool,
) -> tuple[list[Any], list[Any]]:
    """Masks (P, H, W) bool of each image of a batch, and their scores (P,) or None; see `personlab.decode_masks`."""
    counts = [len(one) for one in poses]
    first = np.cumsum([0, *counts])[:-1].tolist()
    rows, k, area = sum(counts), long_offsets.shape[1], size[0] * size[1]
    masks = queue.empty((rows * area,), "bool")
    scores = queue.empty((rows,), "float32") if scored else None
    if rows > 0:
        parts = [np.array([*first, *counts], np.int32)]
        for name in ("keypoints", "keypoint_probabilities", "scores"):
            parts += [getattr(one, name).view(np.int32) for one in poses]
        known = queue.upload(np.concatenate([part.ravel() for part in parts]))
        at, n = address_of(known), len(poses)
        keypoints = at + 4 * 2 * n
        weights = keypoints + 4 * 2 * rows * k
        batch = queue.native.PoseBatch(
            keypoints=keypoints, weights=weights, scores=weights + 4 * rows * k, first=at, counts=at + 4 * n, rows=rows,
            max_poses=max(counts), n_keypoints=k,
        )  # fmt: skip
        _give_pixels(
            queue, batch, segmentation, long_offsets, short_offsets,
            stride=stride, size=size, options=options, masks=masks, scores=scores,
        )  # fmt: skip
    places = list(zip(first, counts, strict=True))
    return [queue.part(masks, at * area, (count, *size), "bool") for at, count in places], [
        None if scores is None else queue.part(scores, at, (count,), "float32") for at, count in places
    ]


def associate_pixels_there(
    queue: Queue,
    poses: DevicePoses,
    segmentation: DeviceArray,
    long_offsets: DeviceArray,
    short_offsets: DeviceArray | None,
    *,
    stride: int,
    size: tuple[int, int],
    options: MaskOptions,
    scored: bool,
) -> tuple[Any, Any]:
    """Masks (N, C, H, W) bool of poses on the device, and scores (N, C) or None; see `personlab.cuda.decode_masks`."""
    n, most, k = poses.keypoint_scores.shape
    masks = queue.empty((n, most, *size), "bool")
    scores = queue.empty((n, most), "float32") if scored else None
    if n * most > 0:
        batch = queue.native.PoseBatch(
            keypoints=address_of(poses.keypoints), weights=address_of(poses.keypoint_probabilities),
            scores=address_of(poses.scores), first=0, counts=address_of(poses.counts), rows=n * most, max_poses=most,
            n_keypoints=k,
        )  # fmt: skip
        _give_pixels(
            queue, batch, segmentation, long_offsets, short_offsets,
            stride=stride, size=size, options=options, masks=masks, scores=scores,
        )  # fmt: skip
        keep(queue, masks, poses)
    return masks, scores


def score_masks(
    queue: Queue,
    masks: DeviceArray,
    scores: NDArray[np.float32],
    segmentation: DeviceArray,
    *,
    stride: int,
    options: MaskOptions,
) -> Any:
    """Mask scores (P,) of masks (P, H, W) and instance scores (P,); see `personlab.stages.score_masks`."""
    rows = len(scores)
    mask_scores = queue.empty((rows,), "float32")
    if rows > 0:
        numbers = queue.upload(np.array([0, rows], np.int32))
        given, at = queue.upload(scores), address_of(numbers)
        batch = queue.native.PoseBatch(
            keypoints=0, weights=0, scores=address_of(given), first=at, counts=at + 4, rows=rows, max_poses=rows,
            n_keypoints=0,
        )  # fmt: skip
        _score_masks(queue, batch, segmentation, stride, masks.shape[1:], options, masks, mask_scores)
    return mask_scores


def _give_pixels(
    queue: Queue,
    batch: Any,
    segmentation: DeviceArray,
    long_offsets: DeviceArray,
    short_offsets: DeviceArray | None,
    *,
    stride: int,
    size: tuple[int, int],
    options: MaskOptions,
    masks: Any,
    scores: Any,
) -> None:
    """Fill masks, and their scores where these are wanted."""
    if 0 not in size:
        short_too = short_offsets is not None and options.short_refine_steps > 0
        long_field = queue.field(long_offsets, stride, batch=True)
        scratch_size = queue.native.mask_scratch_bytes(
            poses=batch, long_offsets=long_field, with_short=short_too, size=size
        )
        scratch = queue.empty((scratch_size,), "uint8")
        keep(queue, masks, segmentation, long_offsets, short_offsets)
        queue.native.associate_pixels(
            poses=batch, segmentation=queue.field(segmentation, stride, batch=True), long_offsets=long_field,
            short_offsets=None if short_offsets is None else queue.field(short_offsets, stride, batch=True),
            size=size, options=options.native, scratch=address_of(scratch), masks=address_of(masks),
            device=queue.device, stream=queue.stream,
        )  # fmt: skip
    if scores is not None:
        _score_masks(queue, batch, segmentation, stride, size, options, masks, scores)


def _score_masks(
    queue: Queue,
    batch: Any,
    segmentation: DeviceArray,
    stride: int,
    size: tuple[int, ...],
    options: MaskOptions,
    masks: Any,
    scores: Any,
) -> None:
    """Fill the scores (rows,) of masks (rows, H, W)."""
    scratch_size = queue.native.mask_score_scratch_bytes(rows=math.prod(scores.shape), size=size)
    scratch = queue.empty((scratch_size,), "uint8")
    keep(queue, scores, segmentation, masks)
    queue.native.score_masks(
        poses=batch, masks=address_of(masks), segmentation=queue.field(segmentation, stride, batch=True), size=size,
        options=options.native, scratch=address_of(scratch), scores=address_of(scores), device=queue.device,
        stream=queue.stream,
    )  # fmt: skip


def refine_offsets(
    queue: Queue, offsets: DeviceArray, by: DeviceArray, channels: Sequence[int], *, stride: int, steps: int
) -> Any:
    """Refined offsets (C, 2, h, w) float32; see `personlab.stages.refine_offsets`."""
    refined = queue.empty(offsets.shape, "float32")
    if offsets.size > 0:
        keep(queue, refined, offsets, by)
        numbers = _constant(queue.native, queue.device, tuple(channels))
        queue.native.refine_offsets(
            offsets=queue.field(offsets, stride), by=queue.field(by, stride), channels=numbers.address, steps=steps,
            refined=address_of(refined), device=queue.device, stream=queue.stream,
        )  # fmt: skip
    return refined


def encode_targets(
    queue: Queue,
    keypoints: DeviceArray,
    masks: DeviceArray | None,
    crowd: DeviceArray | None,
    *,
    size: tuple[int, int],
    stride: int,
    skeleton: Skeleton,
    disk_radius: float,
) -> dict[str, Any]:
    """The arrays of `personlab.Targets`; see `personlab.encode_targets`."""
    h, w = ((n - 1) // stride + 1 for n in size)
    k, e = skeleton.n_keypoints, skeleton.n_edges
    channels = {"1": (1,), "K": (k,), "K2": (k, 2), "E": (2 * e,), "E2": (2 * e, 2)}
    arrays = {name: queue.empty((*channels[key], h, w), element) for name, (key, element) in _TARGETS.items()}
    people = len(keypoints)
    scratch_size = queue.native.target_scratch_bytes(n_people=people, n_keypoints=k, height=h, width=w)
    scratch = queue.empty((scratch_size,), "uint8")
    for array in arrays.values():
        keep(queue, array, keypoints, masks, crowd)
    from personlab.methods.personlab.backends.cuda.poses import native_skeleton

    queue.native.encode_targets(
        keypoints=keypoints.pointer, masks=0 if masks is None else masks.pointer,
        crowd=0 if crowd is None else crowd.pointer, n_people=people, size=size,
        skeleton=native_skeleton(queue.native, skeleton, queue.device), stride=stride, disk_radius=disk_radius,
        scratch=address_of(scratch), **{name: address_of(array) for name, array in arrays.items()},
        device=queue.device, stream=queue.stream,
    )  # fmt: skip
    return arrays
