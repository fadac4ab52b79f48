"""The people of one frame as the tracker compares them: points with weights, sizes and places, all finite."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.arrays.host import take_on_host, to_numpy
from personlab.arrays.shapes import check_shape

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from personlab.poses import Poses
    from personlab.skeleton import Skeleton

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]

_FAR = 1e7  # pixels; points farther away are no keypoints
_CORNER_KAPPA = 0.2  # of the corners of boxes, as 2 sigma of keypoints
_CORNER_WEIGHT = 0.5  # of a corner beside that of a sure keypoint
_MASK_CELLS = 64  # along the longest side of masks when they are compared


@dataclass(frozen=True, eq=False)
class Seen:
    """P people of one frame, N = K + 2 points each: the keypoints, and two corners of the box where there is one."""

    points: Floats  # (P, N, 2) x, y, pixels; 0 where the weight is 0
    weights: Floats  # (P, N) 0 to 1
    sizes: Floats  # (P,) pixels, at least 1
    centres: Floats  # (P, 2) pixels
    scores: Floats  # (P,)
    shares: Floats  # (P,) of the points that are seen, 0 to 1
    masks: NDArray[np.float32] | None = None  # (P, h, w) 0 or 1, on cells of `cell` pixels
    cell: int = 1

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def known(self) -> Flags:
        """(P,) whether any point of the person is known."""
        known: Flags = np.logical_or.reduce(self.weights > 0, axis=1)
        return known


def kappas(skeleton: Skeleton) -> Floats:
    """Return 2 sigma of each of the N points (COCO keypoint evaluation)."""
    return np.array([*(2 * sigma for sigma in skeleton.sigmas), _CORNER_KAPPA, _CORNER_KAPPA])


def see(poses: Poses, boxes: Any, masks: Any, skeleton: Skeleton, min_keypoint: float) -> Seen:
    """Return the people of a frame; what is not finite has the weight 0.

    Raises:
        TypeError, ValueError: arrays of another type or shape than `Tracker.update` takes.
    """
    check_shape(poses.keypoints, "poses.keypoints", (None, skeleton.n_keypoints, 2), "(P, K, 2)")
    count = len(poses)
    corners = np.full((count, 2, 2), np.nan)
    if boxes is not None:
        taken = take_on_host(np.asarray(boxes, np.float32) if isinstance(boxes, (list, tuple)) else boxes, "boxes")
        check_shape(taken, "boxes", (count, 4), "(P, 4)")
        corners[:] = taken.to_float32().reshape(count, 2, 2)
    points = np.concatenate([poses.keypoints, corners], axis=1, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        usable: Flags = np.logical_and.reduce(np.abs(points) < _FAR, axis=2)
        if boxes is not None:
            usable[:, -2:] &= np.logical_and.reduce(corners[:, 1] > corners[:, 0], axis=1)[:, None]
        chances = np.nan_to_num(poses.keypoint_probabilities.astype(np.float64), nan=0.0, posinf=1.0, neginf=0.0)
        scores = np.nan_to_num(poses.scores.astype(np.float64), nan=0.0, posinf=1.0, neginf=0.0)
    weights = np.full(usable.shape, _CORNER_WEIGHT)
    weights[:, :-2] = _weights(chances, usable[:, :-2], min_keypoint)
    weights[~usable] = 0.0
    points[weights == 0] = 0.0
    total = weights.sum(axis=1)
    centres = np.einsum("pn,pnc->pc", weights, points) / np.maximum(total, 1e-12)[:, None]
    small, cell = (None, 1) if masks is None else _small_masks(masks, count)
    shares = weights[:, :-2].mean(axis=1)
    return Seen(points, weights, _sizes(points, weights), centres, scores, shares, small, cell)


def _weights(chances: Floats, usable: Flags, min_keypoint: float) -> Floats:
    """Return the weights of keypoints: their probabilities, or 1 for all of a pose without a probable one."""
    probable = usable & (chances >= min_keypoint) & (chances > 0)
    weights = np.where(probable, np.minimum(chances, 1.0), 0.0)
    unsure = ~probable.any(axis=1)
    weights[unsure] = usable[unsure]
    return weights


def _sizes(points: Floats, weights: Floats) -> Floats:
    """Return the square root of the area of the box of the points, each side at least a quarter of the other."""
    valid = (weights > 0)[..., None]
    low = np.where(valid, points, np.inf).min(axis=1)
    high = np.where(valid, points, -np.inf).max(axis=1)
    sides = np.where(valid.any(axis=1), high - low, 0.0)
    longest = sides.max(axis=1)
    area = longest * np.maximum(sides.min(axis=1), longest / 4)
    sizes: Floats = np.maximum(np.sqrt(area), 1.0)
    return sizes


def _small_masks(masks: Any, count: int) -> tuple[NDArray[np.float32] | None, int]:
    """Return every n-th pixel of masks (P, H, W) as 0 and 1, and n."""
    values = to_numpy(masks, "masks")
    if values.dtype != np.bool_:
        raise TypeError(f"masks: expected bool, got {values.dtype}")
    if values.ndim != 3 or len(values) != count:
        raise ValueError(f"masks: expected shape (P, H, W) = ({count}, any, any), got {values.shape}")
    cell = max(-(-max(values.shape[1:]) // _MASK_CELLS), 1)
    half = cell // 2 if min(values.shape[1:]) > cell // 2 else 0
    return values[:, half::cell, half::cell].astype(np.float32), cell
