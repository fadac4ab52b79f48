"""Non-maximum suppression of poses by their similarity, and of boxes by their overlap."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Numbers = NDArray[np.intp]

_TINY = float(np.finfo(np.float64).eps)  # added to an area that is divided by


def similarities(
    keypoints: Array, areas: Array, *, sigmas: Sequence[float], visible: float | None = None, original: bool = False
) -> Array:
    """Returns COCO's object keypoint similarity (P, P) of all pairs of poses (P, K, 3), on the mean of their areas.

    A keypoint that is not finite is like no other. With `visible`, keypoints count where both poses have them above
    it, or, by the originals' rules, where the second pose has; without such a keypoint, poses are not similar.
    """
    count, k = keypoints.shape[:2]
    if count == 0:
        return np.zeros((0, 0))
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        squared = ((keypoints[None, :, :, :2] - keypoints[:, None, :, :2]) ** 2).sum(axis=3)
        error = squared / (2 * np.array(sigmas)) ** 2 / ((areas[:, None] + areas) / 2 + _TINY)[..., None] / 2
        like = np.where(np.isfinite(error), np.exp(-error), 0)
    counted = np.ones((count, count, k), bool)
    if visible is not None:
        seen = keypoints[..., 2] > visible
        counted &= seen[None] if original else seen[None] & seen[:, None]
    sums: Array = np.where(counted, like, 0).sum(axis=2) / np.maximum(counted.sum(axis=2), 1)
    return sums


def suppress_poses(
    keypoints: Array,
    scores: Array,
    areas: Array,
    *,
    sigmas: Sequence[float],
    threshold: float,
    visible: float | None = None,
    original: bool = False,
) -> Numbers:
    """Returns the numbers of the poses that are no more similar than the threshold to a better one kept, best first."""
    similarity = similarities(keypoints, areas, sigmas=sigmas, visible=visible, original=original)
    return _greedy(scores, lambda better, own: bool(similarity[better, own] > threshold), last_first=original)


def suppress_boxes(boxes: Array, scores: Array, *, threshold: float, rules: str) -> Numbers:
    """Returns the numbers of the boxes (N, 4) that overlap no better one kept by more than the threshold, best first.

    The originals' boxes (rules "python" and "cython") are a pixel larger each way; Cython's drop those that overlap by
    the threshold, too.
    """
    more = 0 if rules == "default" else 1

    def area(box: Array) -> float:
        return max(0.0, float(box[2] - box[0] + more)) * max(0.0, float(box[3] - box[1] + more))

    def overlaps(better: int, own: int) -> bool:
        a, b = boxes[better], boxes[own]
        both = area(np.concatenate([np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])]))
        union = area(a) + area(b) - both
        ratio = both / union if union > 0 else 0.0
        return ratio >= threshold if rules == "cython" else ratio > threshold

    return _greedy(scores, overlaps, last_first=rules != "default")


def _greedy(scores: Array, drops: Callable[[int, int], bool], *, last_first: bool) -> Numbers:
    """Returns what no better one kept drops: of equal scores the first comes first, or by the originals the last.

    What has no finite score is dropped.
    """
    order = np.argsort(scores, kind="stable")[::-1] if last_first else np.argsort(-scores, kind="stable")
    kept: list[int] = []
    for n in order[np.isfinite(scores[order])].tolist():
        if not any(drops(better, n) for better in kept):
            kept.append(n)
    return np.array(kept, np.intp)
