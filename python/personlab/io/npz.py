"""Reads arrays of an .npz file: each is checked by its header first, so that no file costs more than it holds."""

from __future__ import annotations

import errno
import io
import math
import struct
import tokenize
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.arrays.array import BFLOAT16

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_MIN_LIMIT = 512 << 20  # bytes that the arrays may always have together
_MAX_RATIO = 16  # and for larger files, times their size: fields compress by far less
_CHUNK = 1 << 20  # bytes unpacked at once
_MAX_AXES, _MAX_AXIS = 8, 2**31  # more than arrays of fields have
_MAX_HEADER = 10_000  # bytes, as in NumPy
_MAX_READ = 1 << 20  # bytes: more than ten thousand members
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError, OverflowError, RuntimeError, struct.error,
    UnicodeError,
)  # fmt: skip


def read_arrays(path: Path, names: Sequence[str], kind: str) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """Read those of the named arrays that an .npz file has, and the names of all its members.

    Args:
        path: the file.
        names: the arrays to read.
        kind: the expected kind of file, for messages.

    Raises:
        OSError: the file cannot be read.
        ValueError: another kind of file, a damaged one, one with too large arrays, or elements that are no numbers.
    """
    with path.open("rb") as opened:
        start = opened.read(4)
        if start not in (b"PK\x03\x04", b"PK\x05\x06"):  # np.load takes other files for pickles
            raise ValueError(f"expected {kind}, got no zip archive")
        raw = opened.raw if opened.seekable() else io.BytesIO(start + opened.read())
        try:
            with _Reader(raw) as file, zipfile.ZipFile(file) as archive:
                members = archive.infolist()
                return _read(archive, _chosen(members, names), file.seek(0, io.SEEK_END)), _named(members)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
        except _DAMAGE:
            pass
    raise ValueError(f"expected {kind}, got a damaged one")  # EINVAL: an impossible position in the file


class _Reader(io.BufferedReader):
    """Limits what zipfile reads at once: the list of members, which alone is long."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _MAX_READ:
            raise ValueError(f"expected a list of members of at most {_MAX_READ} bytes, got {size}")
        return super().read(size)


def _named(members: Sequence[zipfile.ZipInfo]) -> list[str]:
    return [member.filename.removesuffix(".npy") for member in members]


def _chosen(members: Sequence[zipfile.ZipInfo], names: Sequence[str]) -> dict[str, zipfile.ZipInfo]:
    """Return the members with these names; each must be unique."""
    chosen: dict[str, zipfile.ZipInfo] = {}
    for member, name in zip(members, _named(members), strict=True):
        if name in chosen:
            raise ValueError(f"{name}: expected one array of that name, got two")
        if name in names:
            chosen[name] = member
    return {name: chosen[name] for name in names if name in chosen}


def _read(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], size: int) -> dict[str, NDArray[Any]]:
    limit = max(_MIN_LIMIT, _MAX_RATIO * size)
    total = sum(member.file_size for member in members.values())
    if total > limit:
        raise ValueError(
            f"expected arrays of at most {limit >> 20} MiB ({_MIN_LIMIT >> 20} MiB, or {_MAX_RATIO} times the file), "
            f"got {total >> 20} MiB in a file of {size} bytes"
        )
    arrays = {}
    for name, member in members.items():
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            method = f"compression method {member.compress_type}"
            raise ValueError(f"{name}: expected an array stored or deflated, as NumPy writes it, got {method}")
        with archive.open(member) as stream:
            arrays[name] = _read_array(stream, name, member.file_size)
    return arrays


def _read_array(stream: Any, name: str, size: int) -> NDArray[Any]:
    """Read an array as `np.save` writes it; header and elements together have `size` bytes."""
    start = stream.peek(12)[:12]  # the magic bytes, the version, and the length of the header in 2 or 4 bytes
    if int.from_bytes(start[8 : 10 if start[6:7] == b"\1" else 12], "little") > _MAX_HEADER:
        raise ValueError(f"{name}: expected an array with a header of at most {_MAX_HEADER} bytes, got a longer one")
    try:
        shape, by_columns, dtype = _HEADERS[np.lib.format.read_magic(stream)](stream)
    except (KeyError, MemoryError, RecursionError, SyntaxError, TypeError, ValueError, tokenize.TokenError):
        raise ValueError(f"{name}: expected an array of numbers, got a damaged array or none") from None
    if dtype.hasobject:
        raise ValueError(f"{name}: expected an array of numbers, got a pickled object")
    if dtype.shape or (dtype.names and dtype != BFLOAT16) or not dtype.itemsize:
        raise ValueError(f"{name}: expected an array of numbers, got elements {dtype}")
    bytes_ = math.prod(shape) * dtype.itemsize
    if len(shape) > _MAX_AXES or not all(0 <= n <= _MAX_AXIS for n in shape) or bytes_ != size - stream.tell():
        raise ValueError(f"{name}: expected {bytes_} bytes for shape {shape} of {dtype}, got {size - stream.tell()}")
    content = np.empty(bytes_, np.uint8)  # takes memory as it is filled
    view, at = content.data, 0
    while at < bytes_:
        got = stream.readinto(view[at : at + _CHUNK])
        if not got:
            raise EOFError
        at += got
    if stream.read(1):  # also compares the checksum
        raise EOFError
    return content.view(dtype).reshape(shape, order="F" if by_columns else "C")
