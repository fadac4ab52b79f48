"""Arguments that are no arrays: integers, numbers, sizes and types, checked; errors name what was expected and came."""

from __future__ import annotations

import math
import numbers
import operator
from typing import Any

MAX_SIDE = 2**20  # pixels each way: up to there float32 tells eighths of a pixel apart


def check_type(value: Any, name: str, cls: type) -> None:
    """Checks that a value is an instance of a class.

    Raises:
        TypeError: it is none.
    """
    if not isinstance(value, cls):
        raise TypeError(f"{name}: expected {cls.__name__}, got {type(value).__name__}")


def as_integer(value: Any, name: str, lowest: int = -(2**63), highest: int = 2**63 - 1) -> int:
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
    if not lowest <= number <= highest:
        raise ValueError(f"{name}: expected an integer from {lowest} to {highest}, got {number}")
    return number


def as_number(value: Any, name: str, lowest: float, highest: float = math.inf, *, above: bool = False) -> float:
    """Returns a finite Python float for anything that is a real number; `above` leaves `lowest` itself out.

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
    if not math.isfinite(number) or not (lowest < number if above else lowest <= number) or number > highest:
        bound = ">" if above else ">="
        limit = "" if highest == math.inf else f" and <= {highest:g}"
        raise ValueError(f"{name}: expected a finite number {bound} {lowest:g}{limit}, got {value!r}")
    return number


def as_size(value: Any, name: str, axes: str = "(H, W)", lowest: int = 0) -> tuple[int, int]:
    """Returns two extents of an image, in pixels.

    Raises:
        TypeError: not two integers.
        ValueError: below `lowest`, or above `MAX_SIDE`.
    """
    try:
        first, second = value
    except (TypeError, ValueError):
        raise TypeError(f"{name}: expected {axes}, got {value!r}") from None
    return as_integer(first, f"{name}[0]", lowest, MAX_SIDE), as_integer(second, f"{name}[1]", lowest, MAX_SIDE)
