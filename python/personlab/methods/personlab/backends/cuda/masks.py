"""Masks and their scores on a GPU: work is queued, results stay in its memory."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.arrays.array import to_float32
from personlab.arrays.stream import address_of
from personlab.methods.personlab.backends.cuda.views import field_view

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from personlab.arrays.array import DeviceArray
    from personlab.methods.personlab.backends.cuda.poses import DevicePoses
    from personlab.options import MaskOptions
    from personlab.poses import Poses


def associate_pixels(
    poses: Poses,
    segmentation: DeviceArray,
    long_offsets: DeviceArray,
    short_offsets: DeviceArray | None,
    *,
    stride: int,
    size: tuple[int, int],
    options: MaskOptions,
) -> Any:
    """Returns masks (P, H, W) bool."""
    (masks,), _ = decode_mask_batch(
        [poses], segmentation[None], long_offsets[None], None if short_offsets is None else short_offsets[None],
        stride=stride, size=size, options=options, with_scores=False,
    )  # fmt: skip
    return masks


def decode_mask_batch(
    poses: Sequence[Poses],
    segmentation: DeviceArray,
    long_offsets: DeviceArray,
    short_offsets: DeviceArray | None,
    *,
    stride: int,
    size: tuple[int, int],
    options: MaskOptions,
    with_scores: bool,
) -> tuple[list[Any], list[Any]]:
    """Returns masks (P, H, W) bool of each of N images, and mask scores (P,), or None in their places."""
    stream = segmentation.stream
    counts = [len(one) for one in poses]
    first = np.cumsum([0, *counts])[:-1].tolist()
    rows, k, area = sum(counts), long_offsets.shape[1], size[0] * size[1]
    masks = stream.empty((rows * area,), "bool")
    scores = stream.empty((rows,), "float32") if with_scores else None
    if rows > 0:
        parts = [np.array([*first, *counts], np.int32)]
        for name in ("keypoints", "keypoint_probabilities", "scores"):
            parts += [getattr(one, name).view(np.int32) for one in poses]
        uploaded = stream.upload(np.concatenate([part.ravel() for part in parts]))
        at, n = address_of(uploaded), len(poses)
        keypoints = at + 4 * 2 * n
        weights = keypoints + 4 * 2 * rows * k
        batch = stream.native.PoseBatch(
            keypoints=keypoints, weights=weights, scores=weights + 4 * rows * k, first=at, counts=at + 4 * n, rows=rows,
            max_poses=max(counts), n_keypoints=k,
        )  # fmt: skip
        _fill_masks(
            batch, segmentation, long_offsets, short_offsets,
            stride=stride, size=size, options=options, masks=masks, scores=scores,
        )  # fmt: skip
    rows_of = list(zip(first, counts, strict=True))
    return [stream.part(masks, row * area, (count, *size), "bool") for row, count in rows_of], [
        None if scores is None else stream.part(scores, row, (count,), "float32") for row, count in rows_of
    ]


def decode_device_masks(
    poses: DevicePoses,
    segmentation: DeviceArray,
    long_offsets: DeviceArray,
    short_offsets: DeviceArray | None,
    *,
    stride: int,
    size: tuple[int, int],
    options: MaskOptions,
    with_scores: bool,
) -> tuple[Any, Any]:
    """Returns masks (N, C, H, W) bool of poses on the device, and scores (N, C) or None; waits for nothing."""
    stream, (n, rows, k) = segmentation.stream, poses.shape
    masks = stream.empty((n, rows, *size), "bool")
    scores = stream.empty((n, rows), "float32") if with_scores else None
    if n * rows > 0:
        batch = stream.native.PoseBatch(
            keypoints=address_of(poses.keypoints), weights=address_of(poses.keypoint_probabilities),
            scores=address_of(poses.scores), first=0, counts=address_of(poses.counts), rows=n * rows, max_poses=rows,
            n_keypoints=k,
        )  # fmt: skip
        _fill_masks(
            batch, segmentation, long_offsets, short_offsets,
            stride=stride, size=size, options=options, masks=masks, scores=scores,
        )  # fmt: skip
        stream.keep_alive(masks, poses)
    return masks, scores


def score_masks(
    masks: DeviceArray, scores: NDArray[Any], segmentation: DeviceArray, *, stride: int, options: MaskOptions
) -> Any:
    """Returns mask scores (P,)."""
    stream, rows = masks.stream, len(scores)
    mask_scores = stream.empty((rows,), "float32")
    if rows > 0:
        numbers, ranked = stream.upload(np.array([0, rows], np.int32)), stream.upload(to_float32(scores))
        at = address_of(numbers)
        batch = stream.native.PoseBatch(
            keypoints=0, weights=0, scores=address_of(ranked), first=at, counts=at + 4, rows=rows, max_poses=rows,
            n_keypoints=0,
        )  # fmt: skip
        _fill_scores(
            batch, segmentation[None], masks,
            stride=stride, size=masks.shape[1:], options=options, scores=mask_scores,
        )  # fmt: skip
    return mask_scores


def _fill_masks(
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
    """Fills masks (rows, H, W), and their scores (rows,) unless these are None."""
    stream = segmentation.stream
    if 0 not in size:
        with_short = short_offsets is not None and options.short_refine_steps > 0
        long_field = field_view(long_offsets, stride, batch=True)
        scratch_size = stream.native.mask_scratch_bytes(
            poses=batch, long_offsets=long_field, with_short=with_short, size=size
        )
        scratch = stream.empty((scratch_size,), "uint8")
        stream.keep_alive(masks, segmentation, long_offsets, short_offsets)
        stream.native.associate_pixels(
            poses=batch, segmentation=field_view(segmentation, stride, batch=True), long_offsets=long_field,
            short_offsets=None if short_offsets is None else field_view(short_offsets, stride, batch=True),
            size=size, options=options.native, scratch=address_of(scratch), masks=address_of(masks),
            device=stream.device, stream=stream.stream,
        )  # fmt: skip
    if scores is not None:
        _fill_scores(batch, segmentation, masks, stride=stride, size=size, options=options, scores=scores)


def _fill_scores(
    batch: Any,
    segmentation: DeviceArray,
    masks: Any,
    *,
    stride: int,
    size: tuple[int, ...],
    options: MaskOptions,
    scores: Any,
) -> None:
    """Fills the scores (rows,) of masks (rows, H, W)."""
    stream = segmentation.stream
    scratch_size = stream.native.mask_score_scratch_bytes(rows=math.prod(scores.shape), size=size)
    scratch = stream.empty((scratch_size,), "uint8")
    stream.keep_alive(scores, segmentation, masks)
    stream.native.score_masks(
        poses=batch, masks=address_of(masks), segmentation=field_view(segmentation, stride, batch=True), size=size,
        options=options.native, scratch=address_of(scratch), scores=address_of(scores), device=stream.device,
        stream=stream.stream,
    )  # fmt: skip
