"""From an image to the input of a network: the size it gets by its longest side, and the one resize rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from personlab.io.imaging import imaging_library
from personlab.io.reduced import WHOLE, Along, size_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from personlab.io.reduced import ReducedImage

    Image = NDArray[np.uint8]  # (H, W, 3) RGB
    Size = tuple[int, int]  # (W, H)

MAX_SIDE = 2**14  # pixels of a network input; OpenCV warps up to 2**15


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
    rows, columns = pixels.shape[:2]
    library = imaging_library()
    bx, by = _block(sx, columns), _block(sy, rows)
    if max(bx, by) > 1:  # whole blocks are fast: the rest of a row, less than a pixel of the input, is left out
        shape = columns // bx, rows // by
        pixels = library.average(pixels[: shape[1] * by, : shape[0] * bx], shape)
    # Pixel x went into the block at (x + 0.5) / b - 0.5.
    return library.sample(pixels, size, Along(sx / bx, (x0 + 0.5) / bx - 0.5), Along(sy / by, (y0 + 0.5) / by - 0.5))


def _block(shrink: float, length: int) -> int:
    """Return how many pixels of a row become one before it is read bilinearly, at best about one for one.

    Sides of inputs are multiples of the stride plus 1, so that 1280 pixels for 641 are "twice" as many.
    """
    return min(max(int(1.05 * shrink), 1), length)
