"""Sizes of image files: from the first bytes where they tell, without decoding the pixels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from personlab.io.image_header import check_pixels, read_format, read_orientation, read_size
from personlab.io.images import read_image_file

if TYPE_CHECKING:
    import os

_HEADER = 2**18  # bytes: a JPEG file's size and orientation are among them but for large previews


def read_image_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Return the size (w, h) of an image file, turned the way its EXIF orientation says.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file holds no image, or one of too many pixels.
    """
    with Path(path).open("rb") as file:
        head = file.read(_HEADER)
    size, orientation = read_size(head), read_orientation(head) if read_format(head) == "JPEG" else None
    if size is None or orientation is None or not all(size):
        h, w = read_image_file(path)[0].shape[:2]
        return w, h
    check_pixels(size, str(path))
    return size[::-1] if orientation > 4 else size
