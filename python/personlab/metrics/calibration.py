"""Fits the calibration of instance scores to poses of measured quality, by isotonic regression."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from personlab.calibration import Calibration, scheme_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from personlab.options import DecodeOptions

_KNOTS = 12  # of a fitted map, at most
_TOLERANCE = 0.02  # expected OKS that the knots may be off the isotonic regression
_FEWEST = 30  # poses whose mean a fitted map starts from
_LEAST_RISE = 0.01  # of expected OKS over all scores
_LEAST = 1e-9  # score that knots keep from 0 and 1
_MARGIN = 1e-3  # expected OKS that fitted values keep from 0 and 1, so that the map rises everywhere


def fit_isotonic(values: ArrayLike, weights: ArrayLike) -> NDArray[np.float64]:
    """The non-decreasing sequence nearest to `values` in weighted least squares, by pooling adjacent violators."""
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


def fit_calibration(scores: ArrayLike, oks: ArrayLike, *, options: DecodeOptions, knots: int = _KNOTS) -> Calibration:
    """The map that fits poses of known quality: isotonic regression, of which the knots that matter are kept.

    Args:
        scores: (N,) instance scores from 0 to 1.
        oks: (N,) OKS that each pose reached.
        options: how the poses were decoded.
        knots: at most so many.

    Raises:
        ValueError: too few poses to fit a map to, or their quality does not rise with the score.
    """
    score, reached = np.asarray(scores, np.float64), np.asarray(oks, np.float64)
    if len(score) < 2 * _FEWEST:
        raise ValueError(f"scores: expected at least {2 * _FEWEST} poses to calibrate with, got {len(score)}")
    edges = np.unique(np.quantile(score, np.linspace(0, 1, len(score) // _FEWEST + 1)[1:-1]))
    _, group = np.unique(np.searchsorted(edges, score, side="right"), return_inverse=True)
    count = np.bincount(group).astype(float)
    fitted = fit_isotonic(np.bincount(group, reached) / count, count)
    _, block = np.unique(np.clip(fitted, _MARGIN, 1 - _MARGIN)[group], return_inverse=True)
    weight = np.bincount(block)
    centres = np.clip(np.bincount(block, score) / weight, _LEAST, 1 - _LEAST)
    values = np.clip(np.bincount(block, reached) / weight, _MARGIN, 1 - _MARGIN)
    if values[-1] - values[0] < _LEAST_RISE:
        raise ValueError("oks: expected poses of a higher score to be better, got no such tendency")
    chosen = _simplify(centres, values, knots)
    return Calibration(
        scores=tuple(centres[chosen].tolist()),
        expected_oks=tuple(values[chosen].tolist()),
        scheme=scheme_of(options),
    )


def _simplify(x: NDArray[np.float64], y: NDArray[np.float64], most: int) -> NDArray[np.intp]:
    """Points of a rising curve whose straight connections stay within `_TOLERANCE` of it, at most so many."""
    chosen = [0, len(x) - 1]
    while len(chosen) < most:
        off = np.abs(np.interp(x, x[chosen], y[chosen]) - y)
        if off.max() <= _TOLERANCE:
            break
        chosen = sorted([*chosen, int(off.argmax())])
    return np.array(chosen)
