"""How maps of the network become maps of the image: OpenCV's cubic enlargement, tap by tap along each axis."""

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
    cells, weights = _cubic_taps(old, new, old / new if scale is None else scale)
    matrix = np.zeros((new, old))
    for tap in range(4):
        np.add.at(matrix, (np.arange(new), cells[:, tap]), weights[:, tap])
    return matrix


def _cubic_taps(old: int, new: int, step: float) -> tuple[NDArray[np.intp], Array]:
    """Returns the cells (new, 4) that each new cell reads, and their weights (new, 4)."""
    # Positions and weights are float32 in OpenCV.
    position = ((np.arange(new) + 0.5) * step - 0.5).astype(np.float32)
    first = np.floor(position)
    cells = np.clip(first.astype(int)[:, None] + np.arange(-1, 3), 0, old - 1)
    return cells, cubic_weights((position - first).astype(np.float64))


def axis_matrix(cells: int, stride: int, inner: int, size: int) -> Array:
    """Returns (size, cells): an axis of maps enlarged by the stride, cut to the part that shows the image, resized."""
    pixels, coarse = _cubic_taps(inner, size, inner / size)
    sources, fine = (taps[:inner] for taps in _cubic_taps(cells, cells * stride, 1 / stride))
    matrix = np.zeros((size, cells))
    for k in range(4):
        for m in range(4):
            weights = coarse[:, k] * fine[pixels[:, k], m]
            np.add.at(matrix, (np.arange(size), sources[pixels[:, k], m]), weights)
    return matrix


def enlarge(maps: Array, grid: MapGrid) -> Array:
    """Returns maps (N, h, w) at each pixel of the image, (N, H, W), as the originals enlarge them.

    Each pixel is the sum over rows of the sums over columns, both from the first cell to the last.
    """
    (inner_rows, inner_columns), (rows, columns) = grid.input_size, grid.size
    down = axis_matrix(maps.shape[1], grid.stride, inner_rows, rows)
    across = axis_matrix(maps.shape[2], grid.stride, inner_columns, columns)
    return _weighted(_weighted(maps, across, 2), down, 1)


def _weighted(maps: Array, matrix: Array, axis: int) -> Array:
    """Returns an axis of maps multiplied by a matrix of few taps; a product by BLAS has no order of its own."""
    used = matrix != 0
    first = np.argmax(used, axis=1)
    count = int((np.where(used, np.arange(matrix.shape[1]), 0).max(axis=1) - first).max(initial=0)) + 1
    lines = np.arange(len(matrix))
    total = np.zeros([*maps.shape[:axis], len(matrix), *maps.shape[axis + 1 :]])
    for tap in range(count):
        cells = np.minimum(first + tap, matrix.shape[1] - 1)
        weights = np.where(first + tap < matrix.shape[1], matrix[lines, cells], 0.0)
        total += weights.reshape(-1, *[1] * (maps.ndim - 1 - axis)) * np.take(maps, cells, axis)
    return total


def read_between_cells(plane: Array, points: Array) -> Array:
    """Returns the values (n,) of a map (h, w) at points (n, 2) x, y in cells: bilinear, clamped to the grid."""
    h, w = plane.shape
    x, y = np.clip(points[:, 0], 0, w - 1), np.clip(points[:, 1], 0, h - 1)
    j, i = np.floor(x).astype(int), np.floor(y).astype(int)
    right, below = np.minimum(j + 1, w - 1), np.minimum(i + 1, h - 1)
    tx, ty = x - j, y - i
    upper = (1 - tx) * plane[i, j] + tx * plane[i, right]
    lower = (1 - tx) * plane[below, j] + tx * plane[below, right]
    values: Array = (1 - ty) * upper + ty * lower
    return values
