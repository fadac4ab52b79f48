"""WebDataset's tars: members of one key are an image and its annotations, read by where their bytes lie."""

from __future__ import annotations

import re
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from personlab.data.coco_file import one_line
from personlab.data.shards.sample import HEAD, MAX_TEXT, Sample, Stamp
from personlab.io.image_header import is_image
from personlab.io.images import MAX_BYTES

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from personlab.data.shards.sample import Place

_NAME = re.compile(r"((?:.*/)?[^./][^./]*)\.([^/]+)", re.DOTALL)  # WebDataset's key and ending: up to the first dot
_IMAGES = ("jpg", "jpeg", "png", "webp", "bmp", "tif", "tiff", "ppm", "pgm", "pnm", "gif", "jp2", "avif")
_BLOCK = 512  # bytes; a block of zeros is the end mark of a tar
_CHUNK = 2**16


class _Member(NamedTuple):
    name: str
    offset: int
    size: int


class TarShard:
    """A tar, not compressed, in the layout of WebDataset.

    Args:
        path: of the file.

    Raises:
        OSError: the file does not exist.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._stamp = Stamp.of(self.path)

    def samples(self) -> Iterator[Sample]:
        """Yield the samples in the order of their keys' first members; annotations are read, images are not.

        Raises:
            OSError, ValueError: the file cannot be read, is no tar, is cut short or damaged, or a key has no image or
                no annotations.
        """
        images: dict[str, _Member] = {}
        texts: dict[str, tuple[str, bytes]] = {}
        with self.path.open("rb") as file:
            for member in _members(file, self.path, self._stamp.size):
                match = _NAME.fullmatch(member.name)
                if match is None:
                    continue
                key, ending = match[1], match[2].lower()
                label = f"{self.path}: {one_line(member.name)}"
                if ending == "json":
                    if key in texts:
                        raise ValueError(f"{label}: expected one member of this name, got two")
                    texts[key] = label, _read_text(file, member, label)
                elif ending in _IMAGES:
                    if key in images:
                        raise ValueError(f"{label}: expected one image of the key {one_line(key)}, got two")
                    if member.size > MAX_BYTES or not is_image(_read_at(file, member.offset, min(HEAD, member.size))):
                        raise ValueError(f"{label}: expected an image, got another file")
                    images[key] = member
        self._check_pairs(images, texts)
        for key, member in images.items():
            label, text = texts[key]
            yield Sample(label, one_line(member.name), (member.offset, member.size), text)

    def _check_pairs(self, images: dict[str, Any], texts: dict[str, Any]) -> None:
        for key, member in images.items():
            if key not in texts:
                name = one_line(member.name)
                raise ValueError(f"{self.path}: {name}: expected {one_line(key)}.json beside it, got none")
        for key, (label, _) in texts.items():
            if key not in images:
                raise ValueError(f"{label}: expected an image beside it, got none")

    def read(self, place: Place) -> bytes:
        """Return the bytes of an image.

        Raises:
            OSError, ValueError: the file cannot be read, or has changed.
        """
        with self.path.open("rb", buffering=0) as file:
            self._stamp.check(file.fileno(), self.path)
            content = _read_at(file, *place)
        if len(content) < place[1]:
            raise ValueError(f"{self.path}: expected {place[1]} bytes at {place[0]}, got {len(content)}")
        return content


def _read_text(file: BinaryIO, member: _Member, label: str) -> bytes:
    if member.size > MAX_TEXT:
        raise ValueError(f"{label}: expected annotations of at most {MAX_TEXT} bytes, got {member.size}")
    return _read_at(file, member.offset, member.size)


def _read_at(file: Any, offset: int, size: int) -> bytes:
    file.seek(offset)
    content: bytes = file.read(size)
    while 0 < len(content) < size and (more := file.read(size - len(content))):  # a raw file may return less
        content += more
    return content


def _members(file: BinaryIO, path: Path, size: int) -> Iterator[_Member]:
    """Yield the files in a tar.

    Python's tarfile takes a damaged or missing header for the end: the end mark is looked for here.

    Raises:
        ValueError: no tar, or one that is cut short or damaged.
    """
    expected = f"{path}: expected a tar without compression"
    last = -1
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            while (member := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # else it keeps them all
                if not (member.size >= 0 and last < member.offset):
                    raise ValueError(f"{path}: {one_line(member.name)}: expected a size, got {member.size}")
                last = member.offset
                if member.isreg() and not member.issparse():
                    if member.offset_data + member.size > size:
                        name = one_line(member.name)
                        raise ValueError(f"{path}: the tar is cut short: {name} ends beyond its {size} bytes")
                    yield _Member(member.name, member.offset_data, member.size)
            end = tar.offset
    except tarfile.ReadError as error:
        if last >= 0:
            raise ValueError(f"{path}: the tar is cut short or damaged after byte {last} ({error})") from None
        raise ValueError(f"{expected}, got {'an empty file' if size == 0 else f'another file ({error})'}") from None
    except (tarfile.TarError, EOFError, OverflowError) as error:
        raise ValueError(f"{expected}, got a damaged one ({error})") from None
    _check_end(file, path, end, size)


def _check_end(file: BinaryIO, path: Path, end: int, size: int) -> None:
    """Check that a tar has its end mark, with zeros alone behind it."""
    if size < end + _BLOCK:
        raise ValueError(f"{path}: the tar is cut short: expected its end mark at byte {end}, got {size} bytes")
    file.seek(end)
    at = end
    while chunk := file.read(_CHUNK):
        if chunk.count(0) < len(chunk):
            at += len(chunk) - len(chunk.lstrip(b"\0"))
            raise ValueError(f"{path}: the tar is damaged: expected zeros from its end at byte {end} on, got others")
        at += len(chunk)
