"""Masks, dense refinement and targets on a GPU: checked arrays in its memory, work queued there, results that stay."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from personlab._arrays import BFLOAT16
from personlab._device import address_of, keep

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from personlab._device import DeviceArray, Queue
    from personlab.cuda import DevicePoses
    from personlab.options import MaskOptions
    from personlab.poses import Poses
    from personlab.skeleton import Skeleton

_TARGETS = {  # in the order of the native TargetViews: channels of each field, and what its elements are
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
    memory = native.Memory(array.nbytes, device, 0)
    native.upload(array.ctypes.data, memory.address, array.nbytes, device, 0)
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
    """Masks (P, H, W) bool of each picture of a batch, and their scores (P,) or None; see `personlab.decode_masks`."""
    counts = [len(one) for one in poses]
    first = np.cumsum([0, *counts])[:-1].tolist()
    rows, k, area = sum(counts), long_offsets.shape[1], size[0] * size[1]
    masks = queue.empty((rows * area,), "bool")
    if rows * area > 0:
        parts = [np.array([*first, *counts], np.int32)]
        parts += [one.keypoints.view(np.int32) for one in poses]
        parts += [one.keypoint_probabilities.view(np.int32) for one in poses]
        known = queue.upload(np.concatenate([part.ravel() for part in parts]))
        at, n = address_of(known), len(poses)
        keypoints = at + 4 * 2 * n
        weights = keypoints + 4 * 2 * rows * k
        batch = queue.native.PoseBatch(keypoints, weights, at, at + 4 * n, rows, max(counts), k)
        _give_pixels(
            queue, batch, segmentation, long_offsets, short_offsets,
            stride=stride, size=size, options=options, masks=masks,
        )  # fmt: skip
    parts = [queue.part(masks, at * area, (count, *size), "bool") for at, count in zip(first, counts, strict=True)]
    if not scored:
        return parts, [None] * len(poses)
    scores = score_masks(queue, parts, [one.scores for one in poses], segmentation, stride=stride, options=options)
    return parts, [queue.upload(one) for one in scores]


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
    if n * most * size[0] * size[1] > 0:
        batch = queue.native.PoseBatch(
            address_of(poses.keypoints), address_of(poses.keypoint_probabilities), 0, address_of(poses.counts),
            n * most, most, k,
        )  # fmt: skip
        _give_pixels(
            queue, batch, segmentation, long_offsets, short_offsets,
            stride=stride, size=size, options=options, masks=masks,
        )  # fmt: skip
        keep(queue, masks, poses)
    if not scored:
        return masks, None
    area = most * size[0] * size[1]
    parts = [queue.part(masks, i * area, (most, *size), "bool") for i in range(n)] if n * area > 0 else []
    scores = np.zeros((n, most), np.float32)
    if parts:
        given = list(queue.read(poses.scores))
        scores[:] = score_masks(queue, parts, given, segmentation, stride=stride, options=options)
    return masks, queue.upload(scores)


def score_masks(
    queue: Queue,
    masks: Sequence[Any],
    scores: Sequence[NDArray[np.float32]],
    segmentation: DeviceArray,
    *,
    stride: int,
    options: MaskOptions,
) -> list[NDArray[np.float32]]:
    """Mask scores (P,) of each picture's masks (P, H, W) on the device and instance scores (P,), in host memory.

    The core computes them: masks and segmentation are read back, which waits for the queue.
    """
    from personlab import _core

    wide = segmentation.element == "bfloat16"
    logits = queue.read(segmentation, "uint16").view(BFLOAT16) if wide else queue.read(segmentation)
    return [
        _core.score_masks(queue.read(marks), given, logits[i], stride, options.native)
        for i, (marks, given) in enumerate(zip(masks, scores, strict=True))
    ]


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
) -> None:
    short_too = short_offsets is not None and options.short_refine_steps > 0
    fields = [
        None if field is None else queue.field(field, stride, batch=True)
        for field in (segmentation, long_offsets, short_offsets)
    ]
    scratch = queue.empty((queue.native.mask_scratch(batch, fields[1], short_too, *size),), "uint8")
    keep(queue, masks, segmentation, long_offsets, short_offsets)
    queue.native.associate_pixels(
        batch, *fields, size, options.native, address_of(scratch), address_of(masks), queue.device, queue.stream
    )


def refine_offsets(
    queue: Queue, offsets: DeviceArray, by: DeviceArray, channels: Sequence[int], *, stride: int, steps: int
) -> Any:
    """Refined offsets (C, 2, h, w) float32; see `personlab.stages.refine_offsets`."""
    refined = queue.empty(offsets.shape, "float32")
    if offsets.size > 0:
        keep(queue, refined, offsets, by)
        numbers = _constant(queue.native, queue.device, tuple(channels))
        queue.native.refine_offsets(
            queue.field(offsets, stride), queue.field(by, stride), numbers.address, steps, address_of(refined),
            queue.device, queue.stream,
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
    scratch = queue.empty((queue.native.target_scratch(people, k, h, w),), "uint8")
    for array in arrays.values():
        keep(queue, array, keypoints, masks, crowd)
    from personlab.cuda import native_skeleton

    queue.native.encode_targets(
        keypoints.pointer, 0 if masks is None else masks.pointer, 0 if crowd is None else crowd.pointer, people, size,
        native_skeleton(queue.native, skeleton, queue.device), stride, disk_radius, address_of(scratch),
        [address_of(array) for array in arrays.values()], queue.device, queue.stream,
    )  # fmt: skip
    return arrays
