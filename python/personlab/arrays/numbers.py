"""Arguments that are no arrays: integers, numbers, sizes and types, checked; errors name what was expected and came."""

from __future__ import annotations

import math
import numbers
import operator
from typing import Any

from personlab import _core

MAX_SIDE = _core.MAX_INPUT  # pixels each way


def check_type(value: Any, name: str, cls: type) -> None:
    """Checks that a value is an instance of a class.

    Raises:
        TypeError: it is none.
    """
    if not isinstance(value, cls):
        raise TypeError(f"{name}: expected {cls.__name__}, got {type(value).__name__}")


def as_integer(value: Any, name: str, minimum: int = -(2**63), maximum: int = 2**63 - 1) -> int:
    """Returns a Python int for anything that is an integer.

    Raises:
        TypeError: no integer.
        ValueError: out of range.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise TypeError(f"{name}: expected an integer, got {value!r}")
    if not minimum <= number <= maximum:
        raise ValueError(f"{name}: expected an integer from {minimum} to {maximum}, got {number}")
    return number


def as_number(value: Any, name: str, minimum: float, maximum: float = math.inf, *, above: bool = False) -> float:
    """Returns a finite Python float for anything that is a real number; `above` leaves `minimum` itself out.

    Raises:
        TypeError: no number.
        ValueError: out of range.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name}: expected a number, got {value!r}")
    try:
        number = float(value)
    except OverflowError:  # an int or a fraction past float64
        number = math.inf
    if not math.isfinite(number) or not (minimum < number if above else minimum <= number) or number > maximum:
        bound = ">" if above else ">="
        limit = "" if maximum == math.inf else f" and <= {maximum:g}"
        raise ValueError(f"{name}: expected a finite number {bound} {minimum:g}{limit}, got {value!r}")
    return number


def as_size(value: Any, name: str, axes: str = "(H, W)", minimum: int = 0) -> tuple[int, int]:
    """Returns two extents of an image, in pixels.

    Raises:
        TypeError: not two integers.
        ValueError: below `minimum`, or above `MAX_SIDE`.
    """
    try:
        first, second = value
    except (TypeError, ValueError):
        raise TypeError(f"{name}: expected {axes}, got {value!r}") from None
    return as_integer(first, f"{name}[0]", minimum, MAX_SIDE), as_integer(second, f"{name}[1]", minimum, MAX_SIDE)
