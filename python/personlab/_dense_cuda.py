"""Masks, dense refinement and targets on a GPU: checked arrays in its memory, work queued there, results that stay."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from personlab._device import DeviceArray, DeviceMemory, Queue, address_of

if TYPE_CHECKING:
    from collections.abc import Sequence

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


def _scratch(queue: Queue, size: int) -> Any:
    """Memory to work in, given back once the work queued so far is done."""
    return queue.empty((size,), "uint8")


def _rows(array: Any, first: int, count: int) -> Any:
    """Some entries along the first axis of an array that `Queue.empty` gave."""
    if not isinstance(array, DeviceMemory):
        return array[first : first + count]
    at = array.pointer + first * int(np.prod(array.shape[1:], dtype=np.int64))  # of one byte each
    stream = array.__cuda_array_interface__["stream"]
    return DeviceMemory(at, (count, *array.shape[1:]), array.element, stream, array)


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
) -> list[Any]:
    """Masks (P, H, W) bool of each picture of a batch; see `personlab.decode_masks`."""
    counts = [len(one) for one in poses]
    first = np.cumsum([0, *counts])[:-1]
    rows, k = sum(counts), long_offsets.shape[1]
    masks = queue.empty((rows, *size), "bool")
    if rows > 0 and 0 not in size:
        parts = [np.array([*first, *counts], np.int32)]
        parts += [one.keypoints.view(np.int32) for one in poses]
        parts += [one.keypoint_probabilities.view(np.int32) for one in poses]
        known = queue.upload(np.concatenate([part.ravel() for part in parts]))
        at, n = address_of(known), len(poses)
        keypoints = at + 4 * 2 * n
        weights = keypoints + 4 * 2 * rows * k
        batch = queue.native.PoseBatch(keypoints, weights, at, at + 4 * n, rows, max(counts), k)
        short_too = short_offsets is not None and options.short_refine_steps > 0
        fields = [
            None if field is None else queue.field(field, stride, batch=True)
            for field in (segmentation, long_offsets, short_offsets)
        ]
        scratch = _scratch(queue, queue.native.mask_scratch(batch, fields[1], short_too, *size))
        queue.native.associate_pixels(
            batch, *fields, size, options.native, address_of(scratch), address_of(masks), queue.device, queue.stream
        )
    return [_rows(masks, int(at), count) for at, count in zip(first, counts, strict=True)]


def refine_offsets(
    queue: Queue, offsets: DeviceArray, by: DeviceArray, channels: Sequence[int], *, stride: int, steps: int
) -> Any:
    """Refined offsets (C, 2, h, w) float32; see `personlab.stages.refine_offsets`."""
    refined = queue.empty(offsets.shape, "float32")
    if offsets.size > 0:
        numbers = _constant(queue.native, queue.device, tuple(channels))
        queue.native.refine_offsets(
            queue.field(offsets, stride), queue.field(by, stride), numbers.address, steps, address_of(refined),
            queue.device, queue.stream,
        )  # fmt: skip
    return refined


def _edge_lists(skeleton: Skeleton) -> tuple[int, ...]:
    """Where the edges of each keypoint begin, and where the last ones end; then channel and target of each."""
    edges = [
        [(channel, target) for channel, (source, target) in enumerate(skeleton.directed_edges) if source == k]
        for k in range(skeleton.n_keypoints)
    ]
    first = np.cumsum([0, *map(len, edges)]).tolist()
    return (*first, *(number for own in edges for edge in own for number in edge))


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
    scratch = _scratch(queue, queue.native.target_scratch(people, k, h, w))
    edges = _constant(queue.native, queue.device, _edge_lists(skeleton))
    queue.native.encode_targets(
        keypoints.pointer, 0 if masks is None else masks.pointer, 0 if crowd is None else crowd.pointer, people, size,
        edges.address, (k, e), stride, disk_radius, address_of(scratch), [address_of(a) for a in arrays.values()],
        queue.device, queue.stream,
    )  # fmt: skip
    return arrays
