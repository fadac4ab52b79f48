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

    Where it shrinks to half or less, blocks of pixels are averaged first, as bilinear reading would skip some.
    """
    (w, h), (width, height) = size_of(image), size
    pixels, at = (image, WHOLE) if isinstance(image, np.ndarray) else (image.pixels, image.position)
    if (w, h) == (width, height) and at is WHOLE:
        return pixels
    (kx, x0), (ky, y0) = at
    sx, sy = (w - 1) / max(width - 1, 1), (h - 1) / max(height - 1, 1)  # image pixels for each input pixel
    blocks = max(int(sx * kx), 1), max(int(sy * ky), 1)
    rows, columns = pixels.shape[:2]
    library = imaging_library()
    if max(blocks) > 1:
        pixels = library.average(pixels, (-(-columns // blocks[0]), -(-rows // blocks[1])))
    # Averages lie border on border, not corner pixel on corner pixel: (x + 0.5) * k - 0.5 is where pixel x went.
    bx, by = pixels.shape[1] / columns, pixels.shape[0] / rows
    x, y = Along(sx * kx * bx, (x0 + 0.5) * bx - 0.5), Along(sy * ky * by, (y0 + 0.5) * by - 0.5)
    return library.sample(pixels, size, x, y)
