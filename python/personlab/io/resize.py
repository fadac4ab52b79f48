"""From an image to the input of a network: the size it gets by its longest side, and the one resize rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from personlab.io.imaging import imaging_library

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

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


def resize(image: Image, size: Size) -> Image:
    """Resize an image to `size` (W, H), corner pixel on corner pixel, bilinearly.

    Where it shrinks to half or less, blocks of pixels are averaged first, as bilinear reading would skip some.
    """
    if size == image.shape[1::-1]:
        return image
    return imaging_library().resize(image, size)
