"""Peaks of the Hough scores, and the order of all candidates (section 3.1.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from personlab.methods.personlab.backends.reference.sampling import single

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from personlab.methods.personlab.backends.reference.sampling import Array, Field
    from personlab.options import DecodeOptions


def sort_order(scores: Field, keypoints: Field, y: Field, x: Field) -> NDArray[np.intp]:
    """The order of all candidates: score descending, ties by keypoint, y, x ascending."""
    return np.lexsort((x, y, keypoints, -scores))


def find_peaks(hough: Field, *, options: DecodeOptions) -> tuple[NDArray[np.intp], Array, Array]:
    """Local maxima of (K, H', W') scores: keypoint (N,), position (N, 2) in input pixels, score (N,); best first.

    A score that is not finite counts as 0: it is no peak and hides none.
    """
    count, rows, columns = hough.shape
    padded = np.full((count, rows + 2, columns + 2), -np.inf)
    padded[:, 1:-1, 1:-1] = np.where(np.isfinite(hough), hough, 0.0)
    centre = padded[:, 1:-1, 1:-1]
    peak = centre >= single(options.peak_threshold)
    for di, dj in ((-1, -1), (-1, 0), (-1, 1), (0, -1)):
        peak &= centre > padded[:, 1 + di : 1 + di + rows, 1 + dj : 1 + dj + columns]
        peak &= centre >= padded[:, 1 - di : 1 - di + rows, 1 - dj : 1 - dj + columns]
    k, i, j = np.nonzero(peak)
    scores: Array = centre[k, i, j]
    order = sort_order(scores, k, i, j)
    positions: Array = np.stack([j, i], axis=1)[order] * np.float64(options.hough_stride)
    return k[order], positions, scores[order]
