"""What the commands share: errors in the command line, flags from option classes, files of fields, tables, times."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import re
import sys
import time
from typing import TYPE_CHECKING, Any, TextIO, get_type_hints

from personlab.io.image_size import check_pixels
from personlab.methods.personlab.fields import Fields

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jsonargparse import ArgumentParser

_METAVARS: dict[Any, Any] = {
    int: {"metavar": "N"},
    float: {"metavar": "X"},
    tuple[int, int]: {"metavar": "N N"},
    tuple[float, float]: {"metavar": "X X"},
}
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.IGNORECASE)
_NESTED = re.compile(r"--\w+(\.\w+)+")


class UsageError(Exception):
    """The command line itself is wrong, whatever the files hold."""


def log(message: str) -> None:
    """Tell the person at the terminal something that is no result."""
    sys.stderr.write(f"personlab: {printable(message)}\n")


def printable(text: str) -> str:
    """Text in one line that a terminal shows as it is: line breaks, control characters and the like escaped."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def describe_error(error: Exception) -> str:
    """What went wrong, for a reader who does not know the code."""
    if isinstance(error, MemoryError):
        return f"out of memory{f': {error}' if str(error) else ''}"
    if isinstance(error, RecursionError):
        return "input nested too deeply (recursion limit reached)"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    return str(error)


def _comments(options: type) -> dict[str, str]:
    """What the comment beside each field of an options class says of it; none where the source is not installed."""
    try:
        source = inspect.getsource(options)
    except OSError:
        return {}
    return dict(re.findall(r"^    (\w+): [^#\n]*# (.+)$", source, re.MULTILINE))


def add_options(parser: ArgumentParser, title: str, prefix: str, options: Any, *, leave_out: str = "") -> None:
    """One flag `--prefix.name` for each field of an options dataclass; a flag that is not given reads None.

    A field that is such a dataclass itself becomes a group of its own, named as the field.

    Args:
        parser: gets the flags, in a group of their own.
        title: of the group.
        prefix: of the flags; none where empty.
        options: an instance, whose values the help tells as defaults.
        leave_out: a field that gets no flag.
    """
    group = parser.add_argument_group(title)
    hints, comments = get_type_hints(type(options)), _comments(type(options))
    nested = []
    for field in dataclasses.fields(options):
        if field.name == leave_out:
            continue
        name = f"{prefix}.{field.name}" if prefix else field.name.replace("_", "-")
        hint, default = hints[field.name], getattr(options, field.name)
        if dataclasses.is_dataclass(default):
            nested.append((name, default))
            continue
        shown = str(default).lower() if isinstance(default, bool) else default
        shown = " ".join(map(str, shown)) if isinstance(shown, tuple) else shown
        metavar: dict[str, Any] = _METAVARS.get(hint, {})
        told = "" if default is None else f" [{shown}]"
        help_text = f"{comments.get(field.name, field.name)}{told}".replace("%", "%%")
        group.add_argument(f"--{name}", type=hint, default=None, help=help_text, **metavar)
    for name, default in nested:
        add_options(parser, name, name, default)


def join_pairs(argv: Sequence[str]) -> list[str]:
    """A flag of an options class that two numbers follow, as `--data.crop 257 257`, with one word for both."""
    joined, rest = [], list(argv)
    while rest:
        flag, *rest = rest
        joined.append(flag)
        count = next((n for n, word in enumerate(rest) if not _NUMBER.fullmatch(word)), len(rest))
        if count == 2 and _NESTED.fullmatch(flag):
            joined.append(f"[{rest[0]}, {rest[1]}]")
            rest = rest[2:]
    return joined


def with_given(options: Any, given: Any) -> Any:
    """The options with the flags that were given in place of their values.

    Raises:
        UsageError: a value out of range.
    """
    values = {}
    for name, value in vars(given).items():
        own = getattr(options, name, None)
        if dataclasses.is_dataclass(own):
            values[name] = with_given(own, value)
        elif value is not None:
            values[name] = value
    try:
        return dataclasses.replace(options, **values)
    except (TypeError, ValueError) as error:
        raise UsageError(str(error)) from None


def read_fields(path: str) -> Fields:
    """The fields of the one image in a file.

    Raises:
        OSError: no such file.
        ValueError: a file of something else, or of several images.
    """
    fields = Fields.load(path)
    check_pixels(fields.image_size or fields.input_size, f"{path}: image_size")
    if fields.heatmaps.ndim != 4:
        return fields
    if len(fields.heatmaps) != 1:
        raise ValueError(f"{path}: expected the fields of one image, got a batch of {len(fields.heatmaps)}")
    return fields[0]


def write_table(header: list[str], rows: list[list[str]], stream: TextIO | None = None) -> None:
    """Columns as wide as their widest cell, numbers to the right and names to the left; to stdout unless told."""
    table = [[printable(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[c]) for row in table) for c in range(len(header))]
    numbers = [all(re.fullmatch(r"-?[\d.]+", row[c]) for row in rows) for c in range(len(header))]
    for row in table:
        cells = [
            text.rjust(width) if number else text.ljust(width)
            for text, width, number in zip(row, widths, numbers, strict=True)
        ]
        (stream or sys.stdout).write("  ".join(cells).rstrip() + "\n")


@contextlib.contextmanager
def timed(times: dict[str, float], name: str) -> Iterator[None]:
    """Note under `name` how long the block took, milliseconds."""
    start = time.perf_counter()
    yield
    times[name] = 1e3 * (time.perf_counter() - start)
