"""Peaks of heatmaps of one person: the highest cell, and where between cells the maximum lies."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from personlab.methods.simple_baseline.options import SimpleBaselineOptions

    Array = NDArray[np.float64]

_BEYOND = 2.0  # cells beyond a border where a maximum may lie: of a keypoint outside of the crop, seen by its side
_SMALLEST = 1e-10  # of what DARK takes the logarithm of


def merge(maps: NDArray[Any], mirrored: NDArray[Any], *, flip: Sequence[int], shift: int) -> NDArray[np.float32]:
    """Returns the mean of maps (N, K, h, w) and of those of mirrored crops, mirrored back and moved to the right.

    Columns that nothing moves to stay where they are. In float32, as the originals have it.
    """
    back = np.asarray(mirrored, np.float32)[:, list(flip), :, ::-1]
    moved = back.copy()
    moved[..., shift:] = back[..., : back.shape[-1] - shift]
    with np.errstate(over="ignore", invalid="ignore"):
        return (np.asarray(maps, np.float32) + moved) * np.float32(0.5)


def find_peaks(maps: NDArray[Any], *, options: SimpleBaselineOptions) -> tuple[Array, NDArray[np.float32]]:
    """Returns positions (N, K, 2) = (x, y), cells, and values (N, K) of the peaks of maps (N, K, h, w).

    Cells that are not finite are none; a map without others has its peak at (0, 0), of value 0.
    """
    positions, values = np.zeros((*maps.shape[:2], 2)), np.zeros(maps.shape[:2], np.float32)
    for n in np.ndindex(values.shape):
        finite = np.isfinite(maps[n])
        if not finite.any():
            continue
        y, x = divmod(int(np.where(finite, maps[n], -np.inf).argmax()), maps.shape[3])
        values[n] = maps[n][y, x]
        if options.rules == "pytorch" and values[n] <= 0:
            y = x = 0
        positions[n] = locate(np.where(finite, maps[n], 0).astype(np.float64), x, y, options=options)
    return positions, values


def locate(plane: Array, x: int, y: int, *, options: SimpleBaselineOptions) -> tuple[float, float]:
    """Returns where the maximum near cell (x, y) of a map (h, w) lies, cells."""
    h, w = plane.shape
    inner = 1 < x < w - 1 and 1 < y < h - 1
    if options.position == "cell" or (options.position == "quarter" and not inner):
        return x, y
    if options.position == "quarter":
        dx, dy = plane[y, x + 1] - plane[y, x - 1], plane[y + 1, x] - plane[y - 1, x]
        return x + 0.25 * np.sign(dx), y + 0.25 * np.sign(dy)
    if options.position == "dark" and inner and x < w - 2 and y < h - 2:
        return _dark(plane, x, y, options.blur)
    return _along(plane[y], x), _along(plane[:, x], y)


def _along(line: Array, at: int) -> float:
    """Returns where the parabola through the logarithms of three cells of a line has its maximum.

    At a border it goes through the last three cells.
    """
    n = len(line)
    if n < 3:
        return at
    middle = min(max(at, 1), n - 2)
    three = line[middle - 1 : middle + 2]
    if not (three > 0).all():
        return at
    before, here, after = map(math.log, three)
    bend = before - 2 * here + after
    if bend >= 0 or before == after:
        return at
    place = middle + 0.5 * (before - after) / bend
    low, high = (_BEYOND if at == border else 0.5 for border in (0, n - 1))
    return min(max(place, at - low), at + high)


def _dark(plane: Array, x: int, y: int, sigma: float) -> tuple[float, float]:
    """Returns the maximum by a Newton step on the logarithm of a map smoothed by a Gaussian (DARK, CVPR 2020)."""
    radius = math.ceil(2.5 * sigma)
    line = np.exp(-0.5 * np.arange(-radius, radius + 1) ** 2 / sigma**2)
    weights = np.outer(line, line) / line.sum() ** 2
    padded = np.pad(plane, radius)  # zeros

    def f(dx: int, dy: int) -> float:
        box = padded[y + dy : y + dy + 2 * radius + 1, x + dx : x + dx + 2 * radius + 1]
        return math.log(max(float((box * weights).sum()), _SMALLEST))

    slope = 0.5 * np.array([f(1, 0) - f(-1, 0), f(0, 1) - f(0, -1)])
    xx, yy = (0.25 * (f(*far) - 2 * f(0, 0) + f(*back)) for far, back in (((2, 0), (-2, 0)), ((0, 2), (0, -2))))
    xy = 0.25 * (f(1, 1) - f(1, -1) - f(-1, 1) + f(-1, -1))
    determinant = xx * yy - xy * xy
    if not (xx < 0 and determinant > 0):  # no maximum
        return x, y
    step = -np.array([[yy, -xy], [-xy, xx]]) @ slope / determinant
    right, down = np.clip(step, -1, 1)
    return x + right, y + down
