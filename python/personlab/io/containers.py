"""Reads the outer structure of video files: which kind a file is of, and whether it is complete."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide")  # with which files of MP4's kind begin
_EBML, _SEGMENT = b"\x1aE\xdf\xa3", b"\x18S\x80g"  # Matroska's first two elements
_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")  # its header, and in it the object that holds the file's size
_ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")


def is_cut_short(path: str | os.PathLike[str]) -> bool:
    """Return whether the file ends before its last part; False for formats without lengths, as MPEG streams."""
    size = Path(path).stat().st_size
    with Path(path).open("rb") as file:
        return any(end > size for end in _ends(file, size))


def is_mp4(start: bytes) -> bool:
    """Return whether a file that begins so is of MP4's kind: a row of boxes."""
    return start[4:8] in _BOXES


def has_table_at_end(start: bytes) -> bool:
    """Return whether a file of MP4's kind that begins so has its table of frames after them: it is read by seeking."""
    data, table = start.find(b"mdat"), start.find(b"moov")
    return is_mp4(start) and data >= 0 and not 0 <= table < data


def is_avi(path: str | os.PathLike[str]) -> bool:
    """Return whether the file is an AVI file: its header counts frames."""
    start = _start(path)
    return start[:4] == b"RIFF" and start[8:12] == b"AVI "


def _start(path: str | os.PathLike[str]) -> bytes:
    with Path(path).open("rb") as file:
        return file.read(16)


def _ends(file: BinaryIO, size: int) -> Iterator[int]:
    """Yield the end of each part of the outermost level, up to the first part without a length."""
    start = file.read(16)
    if start[4:8] in _BOXES:
        yield from _box_ends(file, size)
    elif start[:4] == b"RIFF":
        yield from _chunk_ends(file, size)
    elif start[:4] == _EBML:
        yield from _element_ends(file)
    elif start == _ASF:
        header = file.read(1 << 16)
        place = header.find(_ASF_PROPERTIES) + 40
        yield int.from_bytes(header[place : place + 8], "little") if place >= 40 else 0
    elif start[:3] == b"FLV":
        yield size if _ends_with_a_tag(file, size) else size + 1
    elif start[:4] == b"GIF8":
        yield size if _reaches_trailer(file) else size + 1


def _box_ends(file: BinaryIO, size: int) -> Iterator[int]:
    position = 0
    while position < size:
        file.seek(position)
        head = file.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1:  # the length follows in 64 bits
            length = int.from_bytes(head[8:16], "big")
        if length < 8:  # 0: up to the end of the file
            return
        position += length
        yield position


def _chunk_ends(file: BinaryIO, size: int) -> Iterator[int]:
    position = 0
    while position < size:
        file.seek(position)
        head = file.read(8)
        length = int.from_bytes(head[4:8], "little")
        if head[:4] != b"RIFF" or length in (0, 0xFFFFFFFF):  # a recording that was never finished
            return
        position += 8 + length
        yield position


def _element_ends(file: BinaryIO) -> Iterator[int]:
    file.seek(4)
    header = _variable_length(file)
    if header is None:
        return
    file.seek(header, 1)
    if file.read(4) == _SEGMENT and (length := _variable_length(file)) is not None:
        yield file.tell() + length


def _variable_length(file: BinaryIO) -> int | None:
    """Read a number of Matroska's, whose first bits give its bytes; None where the length is open."""
    first = file.read(1)
    if not first or first[0] == 0:
        return None
    more = 8 - first[0].bit_length()
    value = (first[0] & (0x7F >> more)) << 8 * more | int.from_bytes(file.read(more), "big")
    return None if value == (1 << 7 * (more + 1)) - 1 else value


def _ends_with_a_tag(file: BinaryIO, size: int) -> bool:
    """Return whether a Flash video ends with a complete tag and the length of that tag."""
    file.seek(max(size - 4, 0))
    length = int.from_bytes(file.read(4), "big")
    file.seek(max(size - 4 - length, 0))
    return int.from_bytes(file.read(4)[1:], "big") + 11 == length


def _reaches_trailer(file: BinaryIO) -> bool:
    """Return whether a GIF file's blocks, each with its length, lead to the one that ends it."""
    file.seek(10)
    file.seek(2 + _colours(file.read(1)), 1)
    while (kind := file.read(1)) in (b"!", b","):
        if kind == b"!":  # an extension: its label
            file.seek(1, 1)
        else:  # an image: place and size, flags, its own colours, the size of its codes
            file.seek(8, 1)
            file.seek(1 + _colours(file.read(1)), 1)
        while (length := file.read(1)) not in (b"", b"\0"):
            file.seek(length[0], 1)
    return kind == b";"


def _colours(flags: bytes) -> int:
    """Return the bytes of the colour table by a GIF file's flags."""
    return 3 << (flags[0] & 7) + 1 if flags and flags[0] & 0x80 else 0
