"""Masks (section 3.2) and dense refinement in plain float64 NumPy: what works on whole offset fields.

Shapes: K keypoint types, P poses, a field grid of h x w cells; coordinates are (x, y) input pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.arrays.host import LARGEST_INPUT
from personlab.methods.personlab.backends.reference import (
    log_odds,
    pose_size,
    sample,
    sample_offset,
    sample_probability,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from personlab.methods.personlab.backends.reference import Array, Field
    from personlab.options import MaskOptions


def place_pixels(shape: tuple[int, ...], size: tuple[int, int], stride: int) -> tuple[Array, Array]:
    """Where the pixels of an image of `size` (H, W) lie over a grid (..., h, w): y and x (H, W) in input pixels."""
    (h, w), (height, width) = shape[-2:], size
    y, x = np.meshgrid(
        np.arange(height) * ((h - 1) * stride) / max(height - 1, 1),  # in this order exact on the cells
        np.arange(width) * ((w - 1) * stride) / max(width - 1, 1),
        indexing="ij",
    )
    return y, x


def follow(offsets: Field, x: Array, y: Array, stride: int) -> tuple[Array, Array]:
    """Points moved by the offsets (2, h, w) read there; one that would get too far for float32 stays."""
    dx, dy = sample_offset(offsets, x, y, stride)
    with np.errstate(over="ignore"):
        finite = np.isfinite(np.float32(x + dx)) & np.isfinite(np.float32(y + dy))
    return np.where(finite, x + dx, x), np.where(finite, y + dy, y)


def associate_pixels(
    keypoints: Field,
    weights: Field,
    scores: Field,
    segmentation: Field,
    long_offsets: Field,
    short_offsets: Field | None,
    *,
    stride: int,
    size: tuple[int, int],
    options: MaskOptions,
) -> NDArray[np.bool_]:
    """Masks (P, H, W) of poses (P, K, 2) weighed by (P, K), at pixels over which the fields are stretched.

    Of masks that exclude each other, a pose yields a pixel where some pose of a higher score (P,) is nearer.
    """
    h, w = segmentation.shape[-2:]
    height, width = size
    masks = np.zeros((len(keypoints), height, width), bool)
    if len(keypoints) == 0 or 0 in (h, w, height, width):
        return masks
    y, x = place_pixels(segmentation.shape, size, stride)
    rows, columns = np.nonzero(sample(segmentation[0], x, y, stride) >= log_odds(options.mask_threshold))
    x, y = x[rows, columns], y[rows, columns]
    distance = np.zeros((len(keypoints), len(x)))
    for k in range(keypoints.shape[1]):
        fields = [long_offsets[k]] * (1 + options.long_refine_steps)
        if short_offsets is not None:
            fields += [short_offsets[k]] * options.short_refine_steps
        gx, gy = x, y
        for offsets in fields:
            gx, gy = follow(offsets, gx, gy, stride)
        for j in range(len(keypoints)):
            with np.errstate(invalid="ignore"):
                distance[j] += weights[j, k] * np.hypot(gx - keypoints[j, k, 0], gy - keypoints[j, k, 1])
    with np.errstate(divide="ignore", invalid="ignore"):
        distance /= (pose_size(keypoints) * weights.sum(axis=1, dtype=np.float64))[:, None]
    sound = np.array([(np.abs(pose) <= LARGEST_INPUT).all() for pose in keypoints])  # lies somewhere
    sound &= np.array([(weight >= 0).all() and bool(np.isfinite(weight).all()) for weight in weights])
    belongs = (distance <= options.distance_threshold) & sound[:, None]  # NaN, a pose without weight, owns nothing
    if options.exclusive:
        rival = np.where(belongs, distance, np.inf)
        stronger = [scores > score for score in scores]
        belongs &= [~(rival[stronger[j]] < distance[j]).any(axis=0) for j in range(len(keypoints))]
    masks[:, rows, columns] = belongs
    return masks


def score_masks(
    masks: NDArray[np.bool_], scores: Field, segmentation: Field, *, stride: int, options: MaskOptions
) -> Array:
    """Mask scores (P,): score times the mean person probability over the mask to a power; 0 for an empty mask."""
    mask_scores = np.zeros(len(masks))
    if 0 in masks.shape or segmentation.size == 0:
        return mask_scores
    y, x = place_pixels(segmentation.shape, masks.shape[1:], stride)
    person = sample_probability(segmentation[0], x, y, stride)
    for j, mask in enumerate(masks):
        if mask.any() and np.isfinite(scores[j]):
            mask_scores[j] = scores[j] * person[mask].mean() ** options.score_power
    return mask_scores


def refine_offsets(
    offsets: Field, by: Field, channels: Sequence[int] | NDArray[np.integer[Any]], *, stride: int, steps: int
) -> Array:
    """`steps` times M_c(x) <- M_c(x) + S_l(x + M_c(x)), l = channels[c]: M (C, 2, h, w), S (K, 2, h, w).

    What is not finite, or too large for float32 at the end, is an offset of (0, 0).
    """
    h, w = offsets.shape[-2:]
    refined = np.where(np.isfinite(offsets).all(axis=1, keepdims=True), offsets, 0.0).astype(np.float64)
    y, x = np.meshgrid(np.arange(h) * float(stride), np.arange(w) * float(stride), indexing="ij")
    for c, l in enumerate(channels):
        for _ in range(steps):
            dx, dy = sample_offset(by[l], x + refined[c, 0], y + refined[c, 1], stride)
            refined[c] += dx, dy
    with np.errstate(over="ignore"):
        finite = np.isfinite(refined.astype(np.float32)).all(axis=1, keepdims=True)
    return np.where(finite, refined, 0.0)
