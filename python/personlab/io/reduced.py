"""JPEG files at a fraction of their size: which one is enough, and where its pixels lie in the whole image."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from personlab.io.image_header import read_format, read_orientation, read_size

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    Image = NDArray[np.uint8]  # (H, W, 3) RGB
    Size = tuple[int, int]  # (w, h)

_FACTORS = (8, 4, 2)  # of the decoder: it computes so many pixels less along each axis
_MIRRORED_X, _MIRRORED_Y = (2, 3, 6, 7), (3, 4, 7, 8)  # EXIF orientations


class Along(NamedTuple):
    """Where the pixels of an image lie in its reduced pixels, along one axis: pixel x at k * x + x0."""

    k: float
    x0: float


WHOLE = (Along(1.0, 0.0), Along(1.0, 0.0))


class ReducedImage(NamedTuple):
    """An image that was read at a fraction of its size."""

    pixels: Image
    size: Size  # (w, h) of the image itself, pixels
    position: tuple[Along, Along]  # in x, in y


def size_of(image: Image | ReducedImage) -> Size:
    """Return the size (w, h) of an image, pixels, also where a fraction of it was read."""
    if isinstance(image, ReducedImage):
        return image.size
    h, w = image.shape[:2]
    return w, h


class Reduction(NamedTuple):
    """How a file is read at a fraction of its size."""

    factor: int  # 2, 4 or 8
    size: Size  # (w, h) of the image, its EXIF orientation followed
    orientation: int

    @property
    def reduced_size(self) -> Size:
        """(w, h) of the pixels that the decoder returns: part of a block at the end of a row counts as one pixel."""
        w, h = self.size
        return -(-w // self.factor), -(-h // self.factor)

    def place(self, pixels: Image) -> ReducedImage:
        """Return the pixels as an image at a fraction of its size."""
        mirrored = self.orientation in _MIRRORED_X, self.orientation in _MIRRORED_Y
        x, y = (self._along(*axis) for axis in zip(self.size, self.reduced_size, mirrored, strict=True))
        return ReducedImage(pixels, self.size, (x, y))

    def _along(self, length: int, reduced: int, mirrored: bool) -> Along:
        """Blocks begin at the first stored pixel, which is the last one where the image is mirrored."""
        k = 1 / self.factor
        return Along(k, reduced - 0.5 - (length - 0.5) * k if mirrored else 0.5 * k - 0.5)


def plan_reduction(content: bytes, reduction: Callable[[Size], float]) -> Reduction | None:
    """Return how to read an image file at a fraction of its size; None where it is to be read whole.

    Args:
        content: of the file.
        reduction: (w, h) of the image -> the factor by which it may be smaller.
    """
    size, orientation = read_size(content), read_orientation(content) if read_format(content) == "JPEG" else None
    if size is None or orientation is None or not all(size):
        return None
    size = size[::-1] if orientation > 4 else size
    limit = reduction(size)
    factor = next((factor for factor in _FACTORS if factor <= limit), None)
    return None if factor is None else Reduction(factor, size, orientation)
