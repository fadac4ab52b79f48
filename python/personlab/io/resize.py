"""From an image to the input of a network: the size it gets by its longest side, and the one resize rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
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
    import cv2

    (width, height), (h, w) = size, image.shape[:2]
    if (w, h) == (width, height):
        return image
    sx, sy = (w - 1) / max(width - 1, 1), (h - 1) / max(height - 1, 1)  # image pixels for each input pixel
    blocks = max(int(sx), 1), max(int(sy), 1)
    if max(blocks) > 1:
        image = np.asarray(cv2.resize(image, (-(-w // blocks[0]), -(-h // blocks[1])), interpolation=cv2.INTER_AREA))
    # OpenCV shrinks edge on edge, not corner pixel on corner pixel: (x + 0.5) * kx - 0.5 is where pixel x went.
    kx, ky = image.shape[1] / w, image.shape[0] / h
    warp = np.array([[sx * kx, 0, 0.5 * kx - 0.5], [0, sy * ky, 0.5 * ky - 0.5]])
    resized = cv2.warpAffine(
        image, warp, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(resized, np.uint8)
