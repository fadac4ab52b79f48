"""Fits the calibration of instance scores to poses of measured quality, by isotonic regression."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from personlab.calibration import Calibration, scheme_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from personlab.options import DecodeOptions

_MAX_KNOTS = 12  # of a fitted map
_TOLERANCE = 0.02  # of expected OKS, between the map and the isotonic regression
_GROUP = 30  # poses whose mean OKS is one value of the regression
_MIN_RISE = 0.01  # of expected OKS over all scores
_SCORE_MARGIN = 1e-9  # distance of knots from scores 0 and 1
_OKS_MARGIN = 1e-3  # distance of knots from OKS 0 and 1: the map rises everywhere


def fit_isotonic(values: ArrayLike, weights: ArrayLike) -> NDArray[np.float64]:
    """Return the non-decreasing sequence nearest to `values` in weighted least squares (pool adjacent violators)."""
    means: list[float] = []
    totals: list[float] = []
    lengths: list[int] = []
    for value, weight in zip(np.asarray(values, float), np.asarray(weights, float), strict=True):
        mean, total, length = value, weight, 1
        while means and means[-1] >= mean:
            before = totals.pop()
            mean = (means.pop() * before + mean * total) / (before + total)
            total, length = before + total, length + lengths.pop()
        means.append(mean)
        totals.append(total)
        lengths.append(length)
    return np.repeat(means, lengths)


def fit_calibration(
    scores: ArrayLike, oks: ArrayLike, *, options: DecodeOptions, knots: int = _MAX_KNOTS
) -> Calibration:
    """Fit a calibration to poses of measured quality: isotonic regression, reduced to a few knots.

    Args:
        scores: (N,) instance scores from 0 to 1.
        oks: (N,) OKS of each pose.
        options: of the decoding.
        knots: max number of knots.

    Raises:
        ValueError: too few poses, or their quality does not rise with the score.
    """
    score, reached = np.asarray(scores, np.float64), np.asarray(oks, np.float64)
    if len(score) < 2 * _GROUP:
        raise ValueError(f"scores: expected at least {2 * _GROUP} poses to calibrate with, got {len(score)}")
    edges = np.unique(np.quantile(score, np.linspace(0, 1, len(score) // _GROUP + 1)[1:-1]))
    _, group = np.unique(np.searchsorted(edges, score, side="right"), return_inverse=True)
    count = np.bincount(group).astype(float)
    fitted = fit_isotonic(np.bincount(group, reached) / count, count)
    _, block = np.unique(np.clip(fitted, _OKS_MARGIN, 1 - _OKS_MARGIN)[group], return_inverse=True)
    weight = np.bincount(block)
    centres = np.clip(np.bincount(block, score) / weight, _SCORE_MARGIN, 1 - _SCORE_MARGIN)
    values = np.clip(np.bincount(block, reached) / weight, _OKS_MARGIN, 1 - _OKS_MARGIN)
    if values[-1] - values[0] < _MIN_RISE:
        raise ValueError("oks: expected poses of a higher score to be better, got no such tendency")
    chosen = _simplify(centres, values, knots)
    return Calibration(
        scores=tuple(centres[chosen].tolist()),
        expected_oks=tuple(values[chosen].tolist()),
        scheme=scheme_of(options),
    )


def _simplify(x: NDArray[np.float64], y: NDArray[np.float64], max_points: int) -> NDArray[np.intp]:
    """Choose up to `max_points` points of a rising curve whose connecting lines stay within `_TOLERANCE` of it."""
    chosen = [0, len(x) - 1]
    while len(chosen) < max_points:
        off = np.abs(np.interp(x, x[chosen], y[chosen]) - y)
        if off.max() <= _TOLERANCE:
            break
        chosen = sorted([*chosen, int(off.argmax())])
    return np.array(chosen)
