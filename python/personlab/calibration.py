"""Calibration: a monotone map from instance scores to expected OKS, as data that travels with a network."""

from __future__ import annotations

import reprlib
from dataclasses import asdict, dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from personlab.options import DecodeOptions


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """A strictly rising, piecewise linear map of [0, 1] to [0, 1] through (0, 0), the knots and (1, 1).

    Raises:
        TypeError: `scores` or `expected_oks` are not numbers, or `scheme` is not a text.
        ValueError: the two do not rise strictly between 0 and 1, or differ in length.
    """

    scores: tuple[float, ...]
    """instance scores of the knots, as decoding returns them"""

    expected_oks: tuple[float, ...]
    """mean OKS of poses of these scores"""

    scheme: str
    """how the scores are computed (`scheme_of`); the map holds for these alone"""

    def __post_init__(self) -> None:
        for name in ("scores", "expected_oks"):
            object.__setattr__(self, name, _rising(getattr(self, name), name))
        if len(self.scores) != len(self.expected_oks):
            raise ValueError(
                f"expected_oks: expected {len(self.scores)} numbers as scores has, got {self.expected_oks}"
            )
        if not isinstance(self.scheme, str):
            raise TypeError(f"scheme: expected a text, got {self.scheme!r}")

    def __call__(self, scores: ArrayLike) -> NDArray[np.float32]:
        """Return the expected OKS of instance scores of any shape; keeps their order."""
        knots, values = (0.0, *self.scores, 1.0), (0.0, *self.expected_oks, 1.0)
        return np.interp(np.asarray(scores, np.float64), knots, values).astype(np.float32)

    def suits(self, options: DecodeOptions) -> bool:
        """Whether decoding with these options computes the scores that the map was fitted to."""
        return self.scheme == scheme_of(options)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as values that JSON can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Any) -> Calibration:
        """Make a calibration of the dict that `to_dict` returned.

        Raises:
            TypeError, ValueError: another value.
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
    """Return the options that instance scores depend on, as a text."""
    return f"{options.decoder} {options.scoring} {options.ranking} {options.instance_score}"


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
