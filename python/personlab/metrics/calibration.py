"""Scores that mean something: a monotone map from instance scores to the Object Keypoint Similarity to expect."""

from __future__ import annotations

import reprlib
from dataclasses import asdict, dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from personlab.arrays.array import FloatArray
    from personlab.options import DecodeOptions

_KNOTS = 12  # of a fitted map, at most
_TOLERANCE = 0.02  # expected OKS that the knots may be off the isotonic regression
_FEWEST = 30  # poses whose mean a fitted map starts from
_LEAST_RISE = 0.01  # of expected OKS over all scores
_LEAST = 1e-9  # score that knots keep from 0 and 1
_MARGIN = 1e-3  # expected OKS that fitted values keep from 0 and 1, so that the map rises everywhere


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """A strictly rising, piecewise linear map of [0, 1] to [0, 1] through (0, 0), the knots and (1, 1).

    Raises:
        TypeError: values that are no numbers, or a scheme that is no text.
        ValueError: knots that do not rise, lie outside 0..1, or are not as many as their values.
    """

    scores: tuple[float, ...]
    """instance scores of the knots, as decoding gives them"""

    expected_oks: tuple[float, ...]
    """what poses of these scores reach on average"""

    scheme: str
    """how the scores are computed (`scheme_of`): the map says nothing of others"""

    def __post_init__(self) -> None:
        for name in ("scores", "expected_oks"):
            object.__setattr__(self, name, _rising(getattr(self, name), name))
        if len(self.scores) != len(self.expected_oks):
            raise ValueError(
                f"expected_oks: expected {len(self.scores)} numbers as scores has, got {self.expected_oks}"
            )
        if not isinstance(self.scheme, str):
            raise TypeError(f"scheme: expected a text, got {self.scheme!r}")

    def __call__(self, scores: ArrayLike) -> FloatArray:
        """The expected OKS of poses by their instance scores, of any shape; their order stays."""
        knots, values = (0.0, *self.scores, 1.0), (0.0, *self.expected_oks, 1.0)
        return np.interp(np.asarray(scores, np.float64), knots, values).astype(np.float32)

    def suits(self, options: DecodeOptions) -> bool:
        """Whether these options compute the scores that the map is of."""
        return self.scheme == scheme_of(options)

    def to_dict(self) -> dict[str, Any]:
        """What JSON can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Any) -> Calibration:
        """What `to_dict` gave.

        Raises:
            TypeError, ValueError: something else.
        """
        names = ("scores", "expected_oks", "scheme")
        if not isinstance(values, dict):
            raise TypeError(f"calibration: expected a JSON object, got {type(values).__name__}")
        missing = [name for name in names if name not in values]
        if missing:
            raise ValueError(f"calibration: expected {', '.join(names)}, got no {missing[0]}")
        try:
            return cls(**{name: values[name] for name in names})
        except (TypeError, ValueError) as error:
            raise type(error)(f"calibration.{error}") from None


def scheme_of(options: DecodeOptions) -> str:
    """What an instance score depends on apart from the image and the network."""
    return f"{options.decoder} {options.scoring} {options.ranking} {options.instance_score}"


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


def _rising(values: Any, name: str) -> tuple[float, ...]:
    try:
        numbers = tuple(map(_number, values))
    except (OverflowError, TypeError):
        raise TypeError(f"{name}: expected numbers, got {reprlib.repr(values)}") from None
    edges = np.array((0.0, *numbers, 1.0))
    if not (np.diff(edges) > 0).all():  # NaN, too
        raise ValueError(f"{name}: expected rising numbers between 0 and 1, got {list(numbers)}")
    return numbers


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError
    return float(value)
