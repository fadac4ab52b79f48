"""Masks of poses, and their scores (section 3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from personlab.arrays.numbers import MAX_SIDE
from personlab.methods.personlab.backends.reference.sampling import (
    log_odds,
    sample,
    sample_offset,
    sample_probability,
)
from personlab.methods.personlab.backends.reference.score import pose_size

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from personlab.methods.personlab.backends.reference.sampling import Array, Field
    from personlab.options import MaskOptions
    from personlab.poses import Poses


def place_pixels(shape: tuple[int, ...], size: tuple[int, int], stride: int) -> tuple[Array, Array]:
    """Returns y and x (H, W), input pixels, of the pixels of an image of `size` (H, W) over a grid (..., h, w)."""
    (h, w), (height, width) = shape[-2:], size
    y, x = np.meshgrid(
        np.arange(height) * ((h - 1) * stride) / max(height - 1, 1),  # in this order exact on the cells
        np.arange(width) * ((w - 1) * stride) / max(width - 1, 1),
        indexing="ij",
    )
    return y, x


def follow(offsets: Field, x: Array, y: Array, stride: int) -> tuple[Array, Array]:
    """Points moved by the offsets (2, h, w) read there; one that would leave the range of float32 stays."""
    dx, dy = sample_offset(offsets, x, y, stride)
    with np.errstate(over="ignore"):
        finite = np.isfinite(np.float32(x + dx)) & np.isfinite(np.float32(y + dy))
    return np.where(finite, x + dx, x), np.where(finite, y + dy, y)


def associate_pixels(
    poses: Poses,
    segmentation: Field,
    long_offsets: Field,
    short_offsets: Field | None,
    *,
    stride: int,
    size: tuple[int, int],
    options: MaskOptions,
) -> NDArray[np.bool_]:
    """Masks (P, H, W) of poses weighed by their probabilities, at pixels over which the fields are stretched.

    Of masks that exclude each other, a pose yields a pixel where some pose of a higher score is nearer.
    """
    keypoints, weights, scores = poses.keypoints, poses.keypoint_probabilities, poses.scores
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
    sound = np.array([(np.abs(pose) <= MAX_SIDE).all() for pose in keypoints])  # lies somewhere
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
