"""How maps of the network become maps of the image: OpenCV's cubic enlargement, as a matrix for each axis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from personlab.methods.simple_pose.grid import MapGrid

    Array = NDArray[np.float64]


def cubic_weights(t: Array) -> Array:
    """Returns the weights (..., 4) of cells -1, 0, 1, 2 at distance t behind cell 0: cubic convolution, a = -3/4."""
    a = -0.75
    near, far = np.stack([t, 1 - t], -1), np.stack([1 + t, 2 - t], -1)
    inner = ((a + 2) * near - (a + 3)) * near * near + 1
    outer = ((a * far - 5 * a) * far + 8 * a) * far - 4 * a
    return np.stack([outer[..., 0], inner[..., 0], inner[..., 1], outer[..., 1]], -1)


def resize_matrix(old: int, new: int, scale: float | None = None) -> NDArray[np.float64]:
    """Returns (new, old): what OpenCV's cubic resize of an axis does; cells outside repeat those of the border.

    Args:
        old: cells before.
        new: cells after.
        scale: cells before for each after; old / new if None.
    """
    step = old / new if scale is None else scale
    # Positions and weights are float32 in OpenCV.
    position = ((np.arange(new) + 0.5) * step - 0.5).astype(np.float32)
    first = np.floor(position)
    weights = cubic_weights((position - first).astype(np.float64))
    matrix = np.zeros((new, old))
    for tap in range(4):
        cells = np.clip(first.astype(int) + tap - 1, 0, old - 1)
        np.add.at(matrix, (np.arange(new), cells), weights[:, tap])
    return matrix


def axis_matrix(cells: int, stride: int, inner: int, size: int) -> Array:
    """Returns (size, cells): an axis of maps enlarged by the stride, cut to the part that shows the image, resized."""
    return resize_matrix(inner, size) @ resize_matrix(cells, cells * stride, 1 / stride)[:inner]


def enlarge(maps: Array, grid: MapGrid) -> Array:
    """Returns maps (N, h, w) at each pixel of the image, (N, H, W), as the originals enlarge them."""
    (inner_rows, inner_columns), (rows, columns) = grid.input_size, grid.size
    down = axis_matrix(maps.shape[1], grid.stride, inner_rows, rows)
    across = axis_matrix(maps.shape[2], grid.stride, inner_columns, columns)
    enlarged: Array = down @ maps @ across.T
    return enlarged


def read_between_cells(plane: Array, points: Array) -> Array:
    """Returns the values (n,) of a map (h, w) at points (n, 2) x, y in cells: bilinear, clamped to the grid."""
    h, w = plane.shape
    x, y = np.clip(points[:, 0], 0, w - 1), np.clip(points[:, 1], 0, h - 1)
    j, i = np.floor(x).astype(int), np.floor(y).astype(int)
    right, below = np.minimum(j + 1, w - 1), np.minimum(i + 1, h - 1)
    tx, ty = x - j, y - i
    upper = plane[i, j] * (1 - tx) + plane[i, right] * tx
    lower = plane[below, j] * (1 - tx) + plane[below, right] * tx
    values: Array = upper * (1 - ty) + lower * ty
    return values
