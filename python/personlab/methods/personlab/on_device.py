"""Poses and masks that stay on a GPU: for further work on them, and for CUDA graphs (`personlab.cuda`).

`personlab.decode_poses` takes arrays in the memory of a GPU too, and waits for what it returns; here nothing waits
until `DevicePoses.read`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from personlab.arrays.numbers import as_integer, check_type
from personlab.arrays.take import place_of, take
from personlab.methods.personlab.backends.cuda.masks import decode_device_masks
from personlab.methods.personlab.backends.cuda.poses import MAX_CAPACITY, DevicePoses, decode_device_poses
from personlab.methods.personlab.backends.cuda.views import CAPACITY
from personlab.methods.personlab.checks import check_fields_of_masks, check_pose_fields
from personlab.options import DecodeOptions, MaskOptions
from personlab.skeleton import COCO_PERSON, Skeleton

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DevicePoses", "decode_masks", "decode_poses"]

_DECODE_DEFAULTS = DecodeOptions()
_MASK_DEFAULTS = MaskOptions()


def _check_place(arrays: Mapping[str, Any]) -> None:
    if place_of(arrays) != "cuda":
        raise TypeError(f"{next(iter(arrays))}: expected device memory, got host memory")


def decode_poses(
    heatmaps: Any,
    short_offsets: Any,
    mid_offsets: Any,
    *,
    stride: int,
    skeleton: Skeleton = COCO_PERSON,
    options: DecodeOptions = _DECODE_DEFAULTS,
    capacity: int = CAPACITY,
    out: DevicePoses | None = None,
) -> DevicePoses:
    """Queues the decoding of fields on a GPU; nothing waits for it.

    Work is queued on torch's current stream where the fields are torch's, else on the stream that they name. A call
    that fills `out` allocates nothing and can be captured in a CUDA graph; make `out` by a call like it before.

    Args:
        heatmaps: ([N,] K, h, w) logits, as in `personlab.decode_poses`, in the memory of a GPU, the others too; without
            the axis N it is a batch of one.
        short_offsets: ([N,] K, 2, h, w).
        mid_offsets: ([N,] 2E, 2, h, w).
        stride: input pixels from cell to cell.
        skeleton: the keypoints, at most 256 on a GPU, and edges that the network was trained for.
        options: how to decode; threads are of no importance.
        capacity: candidates of one image to make room for.
        out: what an earlier call returned, to be filled again.

    Returns:
        The poses, with as many rows as `options.max_poses` and `capacity` allow; or `out`.

    Raises:
        RuntimeError: no GPU can be used.
        TypeError: an argument of the wrong type.
        ValueError: an argument of the wrong shape or range, or arrays on several devices.
    """
    check_type(options, "options", DecodeOptions)
    check_type(skeleton, "skeleton", Skeleton)
    arrays = {"heatmaps": heatmaps, "short_offsets": short_offsets, "mid_offsets": mid_offsets}
    _check_place(arrays)
    capacity = as_integer(capacity, "capacity", 1, MAX_CAPACITY)
    fields = take(arrays, place="cuda")
    stride = check_pose_fields(*fields, stride=stride, skeleton=skeleton, options=options)
    return decode_device_poses(
        *(field.contiguous() for field in fields),
        stride=stride, skeleton=skeleton, options=options, capacity=capacity, out=out,
    )  # fmt: skip


def decode_masks(
    poses: DevicePoses,
    segmentation: Any,
    long_offsets: Any,
    *,
    short_offsets: Any = None,
    stride: int,
    size: tuple[int, int],
    options: MaskOptions = _MASK_DEFAULTS,
    return_scores: bool = False,
) -> Any:
    """Queues what `personlab.decode_masks` does, for poses that are on the device; nothing waits for it.

    Args:
        poses: of N images, decoded on the stream of the fields, or on another one that has come so far.
        segmentation: (N, 1, h, w) logits, in the memory of the same GPU, the others too; for fields that were no batch,
            without the axis N.
        long_offsets: ([N,] K, 2, h, w).
        short_offsets: ([N,] K, 2, h, w), or None.
        stride: input pixels from cell to cell.
        size: (H, W) of the images.
        options: thresholds and refinement steps, whether masks exclude each other, and the power in mask scores.
        return_scores: whether to return mask scores, too, by which masks are to be ranked.

    Returns:
        (N, C, H, W) bool, on the GPU: the masks of the C rows of `poses`, empty past each image's count. With
        `return_scores`, these and the scores (N, C) float32, on the GPU as well, 0 where a mask is empty.

    Raises:
        RuntimeError: no GPU can be used.
        TypeError: an argument of the wrong type.
        ValueError: an argument of the wrong shape or range, or arrays on several devices.
    """
    check_type(poses, "poses", DevicePoses)
    check_type(options, "options", MaskOptions)
    check_type(return_scores, "return_scores", bool)
    arrays = {"segmentation": segmentation, "long_offsets": long_offsets, "short_offsets": short_offsets}
    _check_place(arrays)
    _, *fields = take({"poses": poses.keypoints, **arrays}, optional=["short_offsets"], place="cuda")
    n, _, k = poses.shape
    if not poses.is_batch:
        fields = [None if field is None else field[None] for field in fields]
    stride, size = check_fields_of_masks(*fields, batch=(n,), n_keypoints=k, stride=stride, size=size)
    dense: list[Any] = [None if field is None else field.contiguous() for field in fields]
    masks, scores = decode_device_masks(
        poses, *dense, stride=stride, size=size, options=options, with_scores=return_scores
    )
    return (masks, scores) if return_scores else masks
