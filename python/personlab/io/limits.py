"""Files of bounded size: what a stranger's file may make the program read into memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os

LONGEST_HEADER = 4 << 20  # bytes of a safetensors file that are not weights; networks here have some 10 thousand


def read_limited(path: Path, limit: int) -> bytes:
    """Read a file of at most `limit` bytes.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is longer.
    """
    if not path.is_file():  # a pipe would be waited for
        raise FileNotFoundError(f"{path}: no such file")
    with path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ValueError(f"{path.name}: expected at most {limit} bytes, got {path.stat().st_size}")
    return content


def check_header(path: str | os.PathLike[str]) -> None:
    """Check that the header of a safetensors file is not too long to be read.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is too long.
    """
    with Path(path).open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if LONGEST_HEADER < length <= Path(path).stat().st_size:  # else it is no safetensors file
        raise ValueError(f"{path}: expected a header of at most {LONGEST_HEADER} bytes, got {length}")
