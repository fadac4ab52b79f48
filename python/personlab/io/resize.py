"""From an image to the input of a network: the size it gets by its longest side, and the one resize rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from personlab import _core
from personlab.io.imaging import imaging_library
from personlab.io.reduced import WHOLE, Along, block_of, size_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from personlab.io.reduced import ReducedImage

    Image = NDArray[np.uint8]  # (H, W, 3) RGB
    Size = tuple[int, int]  # (W, H)

MAX_SIDE = 2**14  # pixels of a network input


def input_size(size: Size, *, stride: int, long_edge: float, max_pixels: int) -> tuple[Size, bool]:
    """Compute the size (W, H) of the network input for an image of `size` (w, h), pixels.

    The longest side becomes `long_edge`, then each side the nearest multiple of the stride plus 1, min stride + 1.

    Returns:
        The size, and whether `max_pixels` or `MAX_SIDE` made it smaller than `long_edge` asks for.
    """

    def rounded(edge: float) -> Size:
        w, h = (max(round((side * edge / max(size) - 1) / stride), 1) * stride + 1 for side in size)
        return w, h

    wanted = width, height = rounded(long_edge)
    edge = min(long_edge, MAX_SIDE - stride)
    while (width * height > max_pixels or max(width, height) > MAX_SIDE) and edge > stride:
        edge = min(edge * (max_pixels / (width * height)) ** 0.5, edge - stride / 2)
        width, height = rounded(edge)
    return (width, height), (width, height) != wanted


def resize(image: Image | ReducedImage, size: Size) -> Image:
    """Resize an image to `size` (W, H), corner pixel on corner pixel, bilinearly.

    Where it shrinks to about half or less, blocks of pixels are averaged first, as bilinear reading would skip some.
    """
    (w, h), (width, height) = size_of(image), size
    pixels, at = (image, WHOLE) if isinstance(image, np.ndarray) else (image.pixels, image.position)
    if (w, h) == (width, height) and at is WHOLE:
        return pixels
    (kx, x0), (ky, y0) = at
    sx, sy = kx * ((w - 1) / max(width - 1, 1)), ky * ((h - 1) / max(height - 1, 1))  # pixels for each input pixel
    pixels, (bx, by) = _average(pixels, (sx, sy), size, exact=at is not WHOLE)
    # Pixel x went into the block at (x + 0.5) / b - 0.5.
    x, y = Along(sx / bx, (x0 + 0.5) / bx - 0.5), Along(sy / by, (y0 + 0.5) / by - 0.5)
    resized = np.empty((height, width, 3), np.uint8)
    _core.sample_image(image=_rows_of(pixels), x=x, y=y, result=resized)
    return resized


def _rows_of(pixels: Image) -> Image:
    """Return an image, copied where its rows do not lie in C order."""
    return pixels if pixels.strides[1:] == (3, 1) else np.ascontiguousarray(pixels)


def _average(
    pixels: Image, shrink: tuple[float, float], size: Size, *, exact: bool
) -> tuple[Image, tuple[float, float]]:
    """Average blocks of pixels, so that about one for each input pixel is left along an axis that shrinks much.

    Args:
        pixels: (h, w, 3).
        shrink: (x, y) pixels for each input pixel.
        size: (W, H) of the input.
        exact: whether blocks may end inside of pixels, too, which takes OpenCV ten times as long as whole ones.

    Returns:
        The averages, and (x, y) pixels of a block.
    """
    library = imaging_library()
    h, w = pixels.shape[:2]
    bx, by = min(block_of(shrink[0]), w), min(block_of(shrink[1]), h)
    if exact and max(shrink[0] / bx, shrink[1] / by) > 1.1:
        shape = min(size[0], w), min(size[1], h)
        return library.average(pixels, shape), (w / shape[0], h / shape[1])
    if max(bx, by) == 1:
        return pixels, (1, 1)
    shape = w // bx, h // by
    whole = pixels[: shape[1] * by, : shape[0] * bx]  # without the rest of a row, less than a pixel of the input
    return library.average(whole, shape), (bx, by)
