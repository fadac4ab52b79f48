"""Scores of keypoints and poses, and soft non-maximum suppression (section 3.1.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from personlab.methods.personlab.backends.reference.disc import read_disc
from personlab.methods.personlab.backends.reference.sampling import single

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from personlab.methods.personlab.backends.reference.sampling import Array, Field
    from personlab.options import DecodeOptions
    from personlab.skeleton import Skeleton


def pose_size(keypoints: Field) -> Array:
    """lambda_j (P,): the square root of the area, at least 1, of the tight box of each pose (P, K, 2)."""
    if len(keypoints) == 0:
        return np.zeros(0)
    extent = np.ptp(np.asarray(keypoints, np.float64), axis=1)
    size: Array = np.sqrt(np.maximum(extent[:, 0] * extent[:, 1], 1.0))
    return size


def expected_oks(
    keypoints: Field, probabilities: Field, hough: Field, *, skeleton: Skeleton, options: DecodeOptions
) -> Array:
    """s_jk (P, K): the probability at a keypoint times the Hough-weighted mean OKS over its disc of radius R.

    0 where that is too large for float32, as Hough scores below 0 can make it.
    """
    size = pose_size(keypoints)
    scores = np.zeros(np.shape(probabilities))
    for j, k in zip(*np.nonzero(np.asarray(probabilities) > 0), strict=True):
        x, y = keypoints[j, k].astype(np.float64)
        radius2 = single(options.disk_radius) ** 2
        weight, dx, dy = read_disc(hough[k], x, y, g=options.hough_stride, radius2=radius2)
        if weight.sum() > 0:
            kappa = 2 * skeleton.sigmas[k]
            oks = np.exp(-(dx**2 + dy[:, None] ** 2) / (2 * size[j] ** 2 * kappa**2))
            score = probabilities[j, k] * ((weight * oks).sum() / weight.sum())
            scores[j, k] = score if abs(score) <= np.finfo(np.float32).max else 0.0
    return scores


def seniority(scores: Array, *, options: DecodeOptions) -> NDArray[np.intp]:
    """Poses in the order of soft NMS: as they come, by their seeds, or by their mean s_jk."""
    if options.ranking == "seed":
        return np.arange(len(scores))
    return np.argsort(-scores.mean(axis=1), kind="stable")


def find_takers(keypoints: Field, order: NDArray[np.intp], *, nms_radius: float) -> NDArray[np.intp]:
    """Returns the taker of each keypoint (P, K): the first pose ahead that has it within the radius, or -1."""
    takers = np.full(keypoints.shape[:2], -1)
    for rank, j in enumerate(order):
        apart = keypoints[order[:rank]].astype(np.float64) - keypoints[j].astype(np.float64)  # (rank, K, 2)
        near = apart[..., 0] ** 2 + apart[..., 1] ** 2 <= single(nms_radius) ** 2
        lost = near.any(axis=0)
        if lost.any():
            takers[j, lost] = order[near.argmax(axis=0)[lost]]
    return takers


def instance_scores(scores: Array, free: NDArray[np.bool_], *, options: DecodeOptions) -> Array:
    """(P,): root mean square, or mean, of s_jk over all K keypoints, of which one that is not free counts as 0."""
    counted = np.where(free, np.maximum(scores, 0.0), 0.0)
    if options.instance_score == "mean":
        return np.asarray(counted.mean(axis=1))
    return np.asarray(np.sqrt((counted**2).mean(axis=1)))


def rank_poses(keypoints: Field, scores: Array, *, options: DecodeOptions) -> tuple[NDArray[np.intp], Array]:
    """Returns which poses (P, K, 2) with scores (P, K) are kept, best first: index (Q,), instance scores (Q,)."""
    if len(scores) == 0:
        return np.zeros(0, np.intp), np.zeros(0)
    order = seniority(scores, options=options)
    free = find_takers(keypoints, order, nms_radius=options.nms_radius) < 0
    instance = instance_scores(scores, free, options=options)
    best = order[np.argsort(-instance[order], kind="stable")]
    best = best[instance[best] >= single(options.min_score)][: options.max_poses]
    return best, instance[best]


def score_poses(
    keypoints: Field, probabilities: Field, hough: Field, *, skeleton: Skeleton, options: DecodeOptions
) -> tuple[NDArray[np.intp], Array, Array]:
    """Returns the poses that are kept, best first: index (Q,), s_jk (Q, K), instance scores (Q,)."""
    scores = np.asarray(probabilities, np.float64)
    if options.scoring == "expected_oks":
        scores = expected_oks(keypoints, probabilities, hough, skeleton=skeleton, options=options)
    kept, instance = rank_poses(keypoints, scores, options=options)
    return kept, scores[kept], instance
