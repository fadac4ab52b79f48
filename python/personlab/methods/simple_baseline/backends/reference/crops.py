"""Crops of an image by affine maps, read bilinearly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

_EXACT, _OPENCV = (16, 16), (10, 5)  # bits of a fraction of a pixel: as positions are computed, and as they are read at


def crop_image(image: NDArray[np.uint8], affines: Array, *, size: tuple[int, int], original: bool = False) -> Array:
    """Returns crops (N, h, w, 3), 0..255, of an image (H, W, 3); 0 outside of it.

    Args:
        image: (H, W, 3).
        affines: (N, 2, 3) from pixels (x, y) of the image to those of the crop.
        size: (h, w) of the crops.
        original: read at positions in 32nds of a pixel, as OpenCV 4's `warpAffine` does; else in 65536ths.
    """
    crops = np.zeros((len(affines), *size, 3))
    for crop, affine in zip(crops, affines, strict=True):
        (left, right), (top, below) = positions(affine, size, *(_OPENCV if original else _EXACT))
        upper = pixels(image, top, left) * (1 - right) + pixels(image, top, left + 1) * right
        lower = pixels(image, top + 1, left) * (1 - right) + pixels(image, top + 1, left + 1) * right
        crop[:] = upper * (1 - below) + lower * below
    return crops


def positions(affine: Array, size: tuple[int, int], fine: int, kept: int) -> list[tuple[NDArray[np.int64], Array]]:
    """Returns where pixels of a crop are read, for x and y: the pixel before, and the share of the next (h, w, 1)."""
    rows, columns, axes = np.arange(size[0]), np.arange(size[1]), []
    for along, down, start in inverse(affine):
        steps = np.rint(along * columns * 2**fine)[None] + np.rint((down * rows + start) * 2**fine)[:, None]
        drop = 2 ** (fine - kept)
        whole, part = np.divmod((steps.astype(np.int64) + drop // 2) // drop, 2**kept)
        axes.append((whole, (part / 2**kept)[..., None]))
    return axes


def inverse(affine: Array) -> Array:
    """Returns the map (2, 3) back, by the formula of OpenCV's `invertAffineTransform`."""
    (a, b, x), (c, d, y) = affine
    scale = 1 / (a * d - b * c)
    xx, xy, yx, yy = d * scale, -b * scale, -c * scale, a * scale
    return np.array([[xx, xy, -xx * x - xy * y], [yx, yy, -yx * x - yy * y]])


def pixels(image: NDArray[np.uint8], i: NDArray[np.int64], j: NDArray[np.int64]) -> NDArray[Any]:
    """Returns pixels (h, w, 3) of an image, 0 outside of it."""
    height, width = image.shape[:2]
    inside = (i >= 0) & (i < height) & (j >= 0) & (j < width)
    values = np.zeros((*i.shape, 3))
    values[inside] = image[i[inside], j[inside]]
    return values
