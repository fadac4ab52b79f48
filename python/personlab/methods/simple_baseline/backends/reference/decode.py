"""From peaks to poses: their places in the image, scores and suppression."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.methods.simple_baseline.backends.reference.peaks import find_peaks, merge
from personlab.methods.simple_baseline.backends.reference.suppress import suppress_poses

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from personlab.methods.simple_baseline.options import SimpleBaselineOptions

    Array = NDArray[np.float64]


def rescore(values: Array, box_scores: Array, *, options: SimpleBaselineOptions) -> Array:
    """Returns the scores (N,) of poses from the values of their keypoints (N, K) and the scores of their boxes (N,)."""
    if options.rescoring == "box":
        return box_scores
    if options.rescoring == "mean":
        mean: Array = values.sum(axis=1) / max(values.shape[1], 1)
        return mean
    counted = values > options.keypoint_threshold
    scores: Array = np.where(counted, values, 0).sum(axis=1) / np.maximum(counted.sum(axis=1), 1) * box_scores
    return scores


def decode_people(
    maps: NDArray[Any],
    mirrored: NDArray[Any] | None,
    *,
    affines: Array,
    box_scores: Array,
    size: tuple[int, int],
    flip: Sequence[int],
    sigmas: Sequence[float],
    options: SimpleBaselineOptions,
) -> tuple[Array, Array, Array, Array]:
    """Returns keypoints (P, K, 2) in pixels of the image, their scores and probabilities (P, K), and scores (P,)."""
    shown = maps if mirrored is None else merge(maps, mirrored, flip=flip, shift=options.flip_shift)
    cells, peaks = find_peaks(shown, options=options)
    h, w = maps.shape[2:]
    points = cells * np.array([size[1] / max(w, 1), size[0] / max(h, 1)])
    linear, offset = affines[:, :, :2], affines[:, :, 2]
    keypoints = np.linalg.solve(linear[:, None], (points - offset[:, None])[..., None])[..., 0]
    values = peaks.astype(np.float64) / options.full_value
    if options.rules == "default":
        values = np.clip(values, 0, 1)
    scores = rescore(values, box_scores, options=options)
    kept = np.arange(len(maps))
    if options.oks_threshold < 1:
        areas = size[0] * size[1] / np.abs(np.linalg.det(linear))
        kept = suppress_poses(
            np.concatenate([keypoints, values[..., None]], axis=2), scores, areas, sigmas=sigmas,
            threshold=options.oks_threshold, original=options.rules != "default",
        )  # fmt: skip
    return keypoints[kept], values[kept], values[kept], scores[kept]
