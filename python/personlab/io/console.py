"""What every part of the program says to a terminal with: log lines, tables, progress bars, times, errors in a line."""

from __future__ import annotations

import contextlib
import re
import sys
import time
import warnings
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator


def log(message: str) -> None:
    """Write a line to standard error, after the program's name."""
    sys.stderr.write(f"personlab: {printable(message)}\n")


def printable(text: str) -> str:
    """Escape line breaks, control characters and the like: one line that a terminal shows as it is."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def describe_error(error: Exception) -> str:
    """Say what went wrong to a reader who does not know the code."""
    if isinstance(error, MemoryError):
        return f"out of memory{f': {error}' if str(error) else ''}"
    if isinstance(error, RecursionError):
        return "input nested too deeply (recursion limit reached)"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    return str(error)


def describe_failure(name: str, error: Exception) -> str:
    """Say in one line, which begins with the input's name, why it could not be processed."""
    line = " ".join(describe_error(error).split()) or type(error).__name__
    return line if line.startswith(name) else f"{name}: {line}"


@contextlib.contextmanager
def warnings_as_lines() -> Iterator[None]:
    """Log each RuntimeWarning once, as a line, while the block runs."""
    with warnings.catch_warnings():
        warnings.simplefilter("once", RuntimeWarning)

        def show(message: Warning | str, *_: Any, **__: Any) -> None:
            with above_progress():
                log(f"warning: {message}")

        warnings.showwarning = show
        yield


@contextlib.contextmanager
def above_progress() -> Iterator[None]:
    """Lines written by the block stand above progress bars, not in them."""
    try:
        from tqdm import tqdm
    except ImportError:  # there are no bars then
        yield
        return
    with tqdm.external_write_mode(file=sys.stderr):
        yield


class _NoBar(contextlib.AbstractContextManager["_NoBar"]):
    """Stands in for a progress bar."""

    def __exit__(self, *_: object) -> None:
        """End nothing."""

    def update(self, n: float = 1) -> None:
        """Count nothing."""

    def close(self) -> None:
        """End nothing."""


def progress_bar(total: int | None, label: str = "", *, unit: str = "images", done: int = 0, keep: bool = False) -> Any:
    """Make a tqdm progress bar on standard error, silent where that is no terminal or tqdm is not installed.

    Args:
        total: units in all; None where that is unknown.
        label: stands before the bar.
        unit: what is counted; "B" for bytes, shown in KiB and MiB.
        done: units done before.
        keep: the bar stays when it is closed.
    """
    try:
        from tqdm import tqdm
    except ImportError:
        return _NoBar()
    is_bytes = unit == "B"
    return tqdm(
        total=total, initial=done, desc=label or None, unit=unit if is_bytes else f" {unit}", unit_scale=is_bytes,
        unit_divisor=1024, file=sys.stderr, disable=None, leave=keep, dynamic_ncols=True,
    )  # fmt: skip


def write_table(header: list[str], rows: list[list[str]], stream: TextIO | None = None) -> None:
    """Write columns as wide as their widest cell, numbers to the right and text to the left; to stdout by default."""
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
    """Store in `times[name]` how long the block took, milliseconds."""
    start = time.perf_counter()
    yield
    times[name] = 1e3 * (time.perf_counter() - start)
