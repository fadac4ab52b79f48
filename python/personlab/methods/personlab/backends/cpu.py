"""The stages on the compiled core: NumPy arrays of the host, read where they lie, and float32 results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from personlab import _core
from personlab.arrays.array import to_float32
from personlab.poses import Poses

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from personlab.arrays.array import FloatArray
    from personlab.options import DecodeOptions, MaskOptions
    from personlab.skeleton import Skeleton

    Elements = NDArray[Any]  # float32, float16 or BFLOAT16


def decode_pose_batch(
    heatmaps: Elements,
    short_offsets: Elements,
    mid_offsets: Elements,
    *,
    stride: int,
    skeleton: Skeleton,
    options: DecodeOptions,
) -> list[Poses]:
    """Returns the poses of each of N images; the fields hold elements of one type."""
    batch = _core.decode_poses(
        heatmaps=heatmaps, short_offsets=short_offsets, mid_offsets=mid_offsets, stride=stride,
        skeleton=skeleton.native, options=options.native,
    )  # fmt: skip
    return list(map(Poses._trusted, batch))


def hough_vote(heatmaps: Elements, short_offsets: Elements, *, stride: int, options: DecodeOptions) -> FloatArray:
    """Returns Hough scores (K, H', W')."""
    return _core.hough_vote(heatmaps=heatmaps, short_offsets=short_offsets, stride=stride, options=options.native)


def find_peaks(hough: NDArray[Any], *, options: DecodeOptions) -> tuple[NDArray[np.int32], FloatArray, FloatArray]:
    """Returns keypoints (N,), positions (N, 2) and scores (N,)."""
    return _core.find_peaks(hough=to_float32(hough), options=options.native)


def group_poses(
    peaks: tuple[NDArray[Any], NDArray[Any], NDArray[Any]],
    heatmaps: FloatArray,
    short_offsets: FloatArray,
    mid_offsets: FloatArray,
    *,
    stride: int,
    skeleton: Skeleton,
    options: DecodeOptions,
) -> tuple[FloatArray, FloatArray]:
    """Returns keypoints (P, K, 2) and probabilities (P, K)."""
    keypoints, positions, scores = peaks
    return _core.group_poses(
        peak_keypoints=np.ascontiguousarray(keypoints, np.int32), positions=to_float32(positions),
        scores=to_float32(scores), heatmaps=heatmaps, short_offsets=short_offsets, mid_offsets=mid_offsets,
        stride=stride, skeleton=skeleton.native, options=options.native,
    )  # fmt: skip


def score_poses(
    keypoints: NDArray[Any],
    probabilities: NDArray[Any],
    hough: NDArray[Any],
    *,
    skeleton: Skeleton,
    options: DecodeOptions,
) -> tuple[NDArray[np.int32], FloatArray, FloatArray]:
    """Returns the poses that are kept (Q,), keypoint scores (Q, K) and scores (Q,)."""
    return _core.score_poses(
        keypoints=to_float32(keypoints), probabilities=to_float32(probabilities), hough=to_float32(hough),
        skeleton=skeleton.native, options=options.native,
    )  # fmt: skip


def sharpen_keypoints(keypoints: NDArray[Any], hough: NDArray[Any], *, options: DecodeOptions) -> FloatArray:
    """Returns keypoints (P, K, 2)."""
    return _core.sharpen_keypoints(keypoints=to_float32(keypoints), hough=to_float32(hough), options=options.native)


def associate_pixels(
    poses: Poses,
    segmentation: Elements,
    long_offsets: Elements,
    short_offsets: Elements | None,
    *,
    stride: int,
    size: tuple[int, int],
    options: MaskOptions,
) -> NDArray[np.bool_]:
    """Returns masks (P, H, W)."""
    masks, _ = _masks_of(
        poses, segmentation, long_offsets, short_offsets,
        stride=stride, size=size, options=options, with_scores=False,
    )  # fmt: skip
    return masks


def decode_mask_batch(
    poses: Sequence[Poses],
    segmentation: Elements,
    long_offsets: Elements,
    short_offsets: Elements | None,
    *,
    stride: int,
    size: tuple[int, int],
    options: MaskOptions,
    with_scores: bool,
) -> tuple[list[NDArray[np.bool_]], list[FloatArray | None]]:
    """Returns masks (P, H, W) of each of N images, and mask scores (P,), or None in their places."""
    masks, scores = [], []
    for i, one in enumerate(poses):
        own, own_scores = _masks_of(
            one, segmentation[i], long_offsets[i], None if short_offsets is None else short_offsets[i],
            stride=stride, size=size, options=options, with_scores=with_scores,
        )  # fmt: skip
        masks.append(own)
        scores.append(own_scores)
    return masks, scores


def _masks_of(
    poses: Poses,
    segmentation: Elements,
    long_offsets: Elements,
    short_offsets: Elements | None,
    *,
    stride: int,
    size: tuple[int, int],
    options: MaskOptions,
    with_scores: bool,
) -> tuple[NDArray[np.bool_], FloatArray | None]:
    return _core.associate_pixels(
        keypoints=poses.keypoints, weights=poses.keypoint_probabilities, scores=poses.scores,
        segmentation=segmentation, long_offsets=long_offsets, short_offsets=short_offsets, stride=stride, size=size,
        options=options.native, scored=with_scores,
    )  # fmt: skip


def score_masks(
    masks: NDArray[np.bool_], scores: NDArray[Any], segmentation: Elements, *, stride: int, options: MaskOptions
) -> FloatArray:
    """Returns mask scores (P,)."""
    return _core.score_masks(
        masks=masks, scores=to_float32(scores), segmentation=segmentation, stride=stride, options=options.native
    )


def refine_offsets(
    offsets: FloatArray, by: FloatArray, channels: Sequence[int], *, stride: int, steps: int, threads: int
) -> FloatArray:
    """Returns offsets (C, 2, h, w)."""
    return _core.refine_offsets(offsets=offsets, by=by, channels=channels, stride=stride, steps=steps, threads=threads)


def encode_targets(
    keypoints: FloatArray,
    masks: NDArray[Any] | None,
    crowd: NDArray[Any] | None,
    *,
    size: tuple[int, int],
    stride: int,
    skeleton: Skeleton,
    disk_radius: float,
) -> dict[str, Any]:
    """Returns the arrays of `personlab.Targets` by name."""
    return _core.encode_targets(
        keypoints=keypoints, masks=_bytes(masks), crowd=_bytes(crowd), size=size, stride=stride,
        skeleton=skeleton.native, disk_radius=disk_radius,
    )  # fmt: skip


def _bytes(mask: NDArray[Any] | None) -> NDArray[np.uint8] | None:
    return None if mask is None else mask.view(np.uint8)
