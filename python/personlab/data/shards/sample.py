"""What a shard holds of an image: a key, the bytes of its file, and its annotations as a COCO file of one image."""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from personlab.data.coco_file import not_coco, read_entries, read_integer, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

MAX_TEXT = 2**26  # bytes of the annotations of an image
HEAD = 32  # bytes of an image by which its format is known

Place = tuple[int, int]  # of an image in its shard: offset and bytes in a tar, row group and row in Parquet


class Sample(NamedTuple):
    """An image of a shard, without its bytes."""

    label: str  # the shard and what holds the annotations in it, for messages
    member: str  # what holds the image, for messages
    place: Place
    text: bytes | str  # its annotations


class Shard(Protocol):
    """A file of samples; any number of threads and processes may read it."""

    path: Path

    def samples(self) -> Iterator[Sample]:
        """Yield the samples; what is wrong with one raises ValueError, and names it."""

    def read(self, place: Place) -> bytes:
        """Return the bytes of an image."""


class Stamp(NamedTuple):
    """Size and time of a file, by which a change is noticed."""

    size: int
    changed: int  # nanoseconds

    @classmethod
    def of(cls, file: int | Path) -> Stamp:
        """Return that of a path or of an open file's descriptor.

        Raises:
            OSError: no such file.
        """
        status = os.stat(file)  # noqa: PTH116  # or a descriptor
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{file}: expected a file, got a folder or a device")
        return cls(status.st_size, status.st_mtime_ns)

    def check(self, file: int | Path, path: Path) -> None:
        """Check that a file is as it was.

        Raises:
            ValueError: it has changed.
        """
        if Stamp.of(file) != self:
            raise ValueError(f"{path}: expected the shard that was opened, got one that has changed since")


def read_sample(sample: Sample) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return the image of a sample, whose id is an integer, and the content of the COCO file that it is from.

    Raises:
        ValueError: no COCO file of one image, or annotations of another one.
    """
    try:
        content = json.loads(sample.text)
    except RecursionError:
        raise not_coco(sample.label, "JSON nested too deep") from None
    except ValueError as error:
        raise not_coco(sample.label, f"no JSON: {str(error).partition(';')[0]}") from None
    if not isinstance(content, dict):
        raise not_coco(sample.label, shown(content))
    images = read_entries(content, "images", sample.label)
    if len(images) != 1:
        raise ValueError(f"{sample.label}: expected annotations of one image, got {len(images)} images")
    number = read_integer(images[0], "id", f"{sample.label}: images[0]")
    for place, entry in enumerate(read_entries(content, "annotations", sample.label)):
        label = f"{sample.label}: annotations[{place}]"
        if (own := read_integer(entry, "image_id", label)) != number:
            raise ValueError(f"{label}: image_id: expected {number}, the image beside it, got {own}")
    return {**images[0], "id": number}, content
