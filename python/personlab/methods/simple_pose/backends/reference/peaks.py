"""Peaks of the keypoint maps, and where they lie between cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from personlab.methods.simple_pose.backends.reference.arithmetic import in_order, logarithm
from personlab.methods.simple_pose.steps import PeakArrays

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from personlab.methods.simple_pose.options import SimplePoseOptions

    Array = NDArray[np.float64]


_LARGEST = float(np.finfo(np.float32).max)
_RADIUS = 12  # of the Gaussian filter, cells: 4 sigma


def to_single(values: Array | float) -> NDArray[np.float32]:
    """Numbers as float32, the largest one where they are too large."""
    return np.clip(values, -_LARGEST, _LARGEST).astype(np.float32)


def find_peaks(maps: Array, *, options: SimplePoseOptions) -> PeakArrays:
    """Local maxima of maps (K, h, w).

    Originals take every cell that equals the highest of its 3 x 3
    window; the default, of equal neighbours, the first in raster order alone.
    """
    if options.rules == "part_a":
        smoothed = smooth(maps)
        peak = _maxima(smoothed, 0.0, strict=False) & (smoothed > options.peak_threshold)
    else:
        decided = to_single(maps)  # values that differ by less than float32 can say are equal
        peak = _maxima(decided, -np.inf, strict=options.rules == "default")
        peak &= decided >= to_single(options.peak_threshold)
    for plane, marks in zip(maps, peak, strict=True):
        _keep_highest(plane, marks, options.max_peaks, options)
    k, i, j = np.nonzero(peak)
    anchors = np.stack([j, i], 1)
    positions, scores = anchors.astype(np.float64), np.zeros(len(k))
    for n, (part, y, x) in enumerate(zip(k, i, j, strict=True)):
        positions[n], scores[n] = locate(maps[part], int(x), int(y), options=options)
    return PeakArrays(k, anchors, positions, scores)


def _keep_highest(plane: Array, marks: NDArray[np.bool_], count: int, options: SimplePoseOptions) -> None:
    """Unmarks all but the cells of the highest confidence; ties go to the first in raster order."""
    i, j = np.nonzero(marks)
    if len(i) > count:
        scores = [locate(plane, int(x), int(y), options=options)[1] for x, y in zip(j, i, strict=True)]
        lower = np.argsort(-np.array(scores), kind="stable")[count:]
        marks[i[lower], j[lower]] = False


def _maxima(maps: NDArray[np.floating], outside: float, *, strict: bool) -> NDArray[np.bool_]:
    """Cells not smaller than their neighbours; `strict`: greater than those that precede them in raster order."""
    _, rows, columns = maps.shape
    padded = np.pad(maps, ((0, 0), (1, 1), (1, 1)), constant_values=outside)
    peak = np.ones(maps.shape, bool)
    for di, dj in ((-1, 0), (0, -1), (-1, -1), (-1, 1)):
        before = padded[:, 1 + di : 1 + di + rows, 1 + dj : 1 + dj + columns]
        after = padded[:, 1 - di : 1 - di + rows, 1 - dj : 1 - dj + columns]
        peak &= (maps > before if strict else maps >= before) & (maps >= after)
    return peak


def locate(plane: Array, x: int, y: int, *, options: SimplePoseOptions) -> tuple[tuple[float, float], float]:
    """The position of a peak at cell (x, y), in cells, and its confidence."""
    value = float(plane[y, x])
    if options.position == "cell":
        return (float(x), float(y)), value
    if options.position == "parabola":
        return (x + _vertex(plane[y], x), y + _vertex(plane[:, x], y)), value
    h, w = plane.shape
    r = options.box_radius
    if not (r <= x < w - r and r <= y < h - r):
        return (float(x), float(y)), value
    box = plane[y - r : y + r + 1, x - r : x + r + 1]
    offsets, total = np.arange(-r, r + 1), np.float64(in_order(box))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        down, right = in_order(box * offsets[:, None]) / total, in_order(box * offsets) / total
    if not (np.isfinite(down) and np.isfinite(right)):
        return (float(x), float(y)), value
    if options.position == "swapped_centroid":  # the original adds the row offset to x
        down, right = right, down
    if options.rules == "default":  # where values are negative, the sum may be next to nothing
        down, right = np.clip((down, right), -r, r)
    return (x + right, y + down), float(to_single(total / box.size))


def _vertex(line: Array, centre: int) -> float:
    """How far the maximum lies from a cell of a line, as a parabola through the logarithms of three cells has it.

    At most half a cell; 0 at a border or where a value is not positive.
    """
    if not 0 < centre < len(line) - 1:
        return 0.0
    three = line[centre - 1 : centre + 2]
    if not (np.isfinite(three).all() and (three > 0).all()):
        return 0.0
    before, at, after = (logarithm(float(v)) for v in three)
    bend = before - 2 * at + after
    return min(max(0.5 * (before - after) / bend, -0.5), 0.5) if bend < 0 else 0.0


def gaussian_weights() -> list[float]:
    """Weights of the cells 0, 1 .. 12 from the middle of a Gaussian of 3 cells; those of both sides sum to 1.

    exp(-d^2 / 18) by products of exp(-1 / 18) alone: a library's exponentials may differ in their last bit.
    """
    ratio = 0.9459594689067654  # exp(-1 / 18)
    weights, factor = [1.0], ratio
    for _ in range(_RADIUS):
        weights.append(weights[-1] * factor)
        factor *= ratio * ratio
    sides = 0.0
    for weight in weights[:0:-1]:
        sides += weight
    return [weight / (2 * sides + 1) for weight in weights]


def smooth(maps: Array) -> Array:
    """A Gaussian filter of 3 cells of each map as SciPy's: cut at 4 sigma, borders mirrored with the edge repeated.

    Sums are SciPy's too: the middle, and then the two cells of each distance together, the farthest first.
    """
    weights = gaussian_weights()
    for axis in (1, 2):
        length = maps.shape[axis]
        if length == 0:
            return maps
        total = weights[0] * maps
        for d in range(_RADIUS, 0, -1):
            before, after = (np.take(maps, _mirrored(np.arange(length) + step, length), axis) for step in (-d, d))
            total = total + (before + after) * weights[d]
        maps = total
    return maps


def _mirrored(index: NDArray[np.intp], length: int) -> NDArray[np.intp]:
    """Indices of 0 .. length - 1, mirrored at both ends with the ends repeated."""
    folded = index % (2 * length)
    return np.minimum(folded, 2 * length - 1 - folded)
