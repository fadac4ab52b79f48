"""Reads JSON of bounded size and checks single values of it; errors name file and field."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.io.files import read_up_to

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from numpy.typing import NDArray

    PathLike = str | os.PathLike[str]

MAX_BYTES = 2**31  # of a file
MAX_COORDINATE = 2**20  # pixels either way: float32 resolves an eighth of a pixel up to here
_MAX_INTEGER = 2**63 - 1
_MAX_SHOWN = 40  # characters of a value in an error message
_NUMBERS = frozenset((int, float))  # without bool: JSON's true and false are not numbers


def read_json(path: PathLike) -> dict[str, Any]:
    """Read the JSON object in a file of at most `MAX_BYTES`: UTF-8, UTF-16 or UTF-32, with or without byte order mark.

    Raises:
        OSError: the file cannot be read.
        RecursionError: the JSON is nested deeper than Python's recursion limit.
        ValueError: the file is larger, or holds no JSON object.
    """
    data = read_up_to(path, MAX_BYTES)
    try:
        content = json.loads(data)
    except ValueError as error:  # no JSON, no Unicode, or an integer of thousands of digits
        raise not_coco(path, f"no JSON: {str(error).partition(';')[0]}") from None
    if not isinstance(content, dict):
        raise not_coco(path, shown(content))
    return content


def not_coco(path: PathLike, got: str) -> ValueError:
    """Return the error for a file that as a whole is not in COCO's format."""
    return ValueError(f"{path}: expected annotations in COCO's format, got {got}")


def read_entries(content: Mapping[str, Any], name: str, path: PathLike) -> list[dict[str, Any]]:
    """Return the list of objects under a name.

    Raises:
        ValueError: the list is missing, or holds other values than objects.
    """
    entries = content.get(name)
    if not isinstance(entries, list):
        raise not_coco(path, f"{shown(entries)} as {name}")
    for place, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise not_coco(path, f"{shown(entry)} as {name}[{place}]")
    return entries


def shown(value: Any) -> str:
    """Return a value as an error message shows it: shortened where it is long."""
    if value is None:
        return "none"
    if isinstance(value, (dict, list)):
        return f"an object of {len(value)}" if isinstance(value, dict) else f"a list of {len(value)}"
    text = json.dumps(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


def one_line(text: str) -> str:
    """Return a name as an error message shows it: quoted where it holds line breaks or other control characters."""
    return text if text.isprintable() else json.dumps(text)


def as_integer_or_none(value: Any) -> int | None:
    """Return an integer of 64 bits, also of a float such as 1.0; None for other values."""
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is int and -_MAX_INTEGER <= value <= _MAX_INTEGER:
        return value
    return None


def read_integer(entry: Mapping[str, Any], name: str, label: str, *, high: int | None = None) -> int:
    """Read an integer, from 1 to `high` where `high` is not None.

    Raises:
        ValueError: another value.
    """
    value = as_integer_or_none(entry.get(name))
    if value is None or (high is not None and not 1 <= value <= high):
        expected = "an integer" if high is None else f"an integer from 1 to {high}"
        raise ValueError(f"{label}: {name}: expected {expected}, got {shown(entry.get(name))}")
    return value


def read_numbers(values: Any, label: str, expected: str) -> NDArray[np.float64]:
    """Read a list of numbers, NaN and infinity included.

    Raises:
        ValueError: another value.
    """
    if type(values) is not list:
        raise ValueError(f"{label}: expected {expected}, got {shown(values)}")
    if not _NUMBERS.issuperset(map(type, values)):
        odd = next(value for value in values if type(value) not in _NUMBERS)
        raise ValueError(f"{label}: expected {expected}, got {shown(odd)} among them")
    try:
        return np.array(values, np.float64)
    except OverflowError:
        raise ValueError(f"{label}: expected {expected}, got one of hundreds of digits") from None


def are_within(values: NDArray[Any], low: float, high: float) -> bool:
    """Whether all values lie in [low, high]; NaN does not."""
    return values.size == 0 or bool(values.min() >= low and values.max() <= high)
