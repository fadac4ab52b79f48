"""Training targets of Simple Pose in plain float64 NumPy, written for reading: what the core has to equal.

Shapes: P people, K keypoint types, L limbs, h x w cells of s x s input pixels. Cell i has its centre at pixel
s * i + (s - 1) / 2.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from personlab.methods.simple_pose.target_options import TargetOptions
    from personlab.skeleton import Skeleton

_FLOOR = 0.01  # of limbs in Part B: value of cells in a limb's box whose own value is up to the threshold
_TINY = 1e-6  # added to a limb's length where the originals divide by it, input pixels


def encode_targets(
    keypoints: NDArray[Any],
    people: NDArray[np.uint8] | None,
    counted: NDArray[np.uint8] | None,
    *,
    size: tuple[int, int],
    stride: int,
    skeleton: Skeleton,
    options: TargetOptions,
) -> dict[str, NDArray[np.float64]]:
    """Returns the arrays of `Targets` for people with keypoints (P, K, 3) = (x, y, v); masks (H, W) are 0..255."""
    h, w = size[0] // stride, size[1] // stride
    rows, columns = np.arange(h), np.arange(w)
    xy, labelled = np.asarray(keypoints[..., :2], np.float64), keypoints[..., 2] > 0
    maps = np.zeros((skeleton.n_keypoints, h, w))
    for person, k in np.argwhere(labelled):
        maps[k] = np.maximum(maps[k], keypoint_map(xy[person, k], rows, columns, stride, options))
    limbs = np.zeros((skeleton.n_edges, h, w))
    for e, (a, b) in enumerate(skeleton.edges):
        both = labelled[:, a] & labelled[:, b]
        limbs[e] = merged(
            [limb_map(p, q, rows, columns, stride, options) for p, q in xy[both][:, (a, b)]], (h, w), options
        )
    person = _eroded(_per_cell(people, stride, (h, w), options, nothing=0.0))
    return {
        "limbs": np.clip(limbs, 0, 1),
        "keypoints": maps,
        "person": person[None],
        "brightest": maps.max(axis=0, initial=0.0)[None],
        "weights": _per_cell(counted, stride, (h, w), options, nothing=1.0)[None],
    }


def keypoint_map(
    point: NDArray[Any], rows: NDArray[Any], columns: NDArray[Any], stride: int, options: TargetOptions
) -> NDArray[np.float64]:
    """Returns the map (h, w) of one keypoint."""
    (x, y), double = point, 2 * options.keypoint_sigma**2
    dx, dy = (columns * stride + (stride - 1) / 2) - x, (rows * stride + (stride - 1) / 2) - y
    values: NDArray[np.float64] = np.exp(-(dy[:, None] ** 2) / double) * np.exp(-(dx**2) / double)
    if options.rules == "part_b":  # a square of cells around the nearest
        reach = math.ceil(math.sqrt(-double * math.log(options.threshold)) / stride)
        near = (abs(rows - np.rint(y / stride)) <= reach)[:, None] & (abs(columns - np.rint(x / stride)) <= reach)
        return np.where(near, values, 0.0)
    passes = values > options.threshold if options.rules == "part_a" else values >= options.threshold
    return np.where(passes, values, 0.0)


def limb_map(
    a: NDArray[Any], b: NDArray[Any], rows: NDArray[Any], columns: NDArray[Any], stride: int, options: TargetOptions
) -> NDArray[np.float64]:
    """Returns the map (h, w) of one limb from point a to point b; 0 where it does not count."""
    corner = 0.0 if options.rules == "part_a" else (stride - 1) / 2
    y, x = np.meshgrid(rows * stride + corner, columns * stride + corner, indexing="ij")
    along, (to_x, to_y) = b - a, (x - a[0], y - a[1])
    length = math.hypot(*along)
    if options.rules == "default":  # to the segment
        share = np.clip((to_x * along[0] + to_y * along[1]) / (length**2 or 1.0), 0, 1)
        squared = (to_x - share * along[0]) ** 2 + (to_y - share * along[1]) ** 2
    else:  # to the line
        squared = ((along[0] * to_y - along[1] * to_x) / (length + _TINY)) ** 2
    values: NDArray[np.float64] = np.exp(-squared / (2 * options.limb_sigma**2))
    passes = values > options.threshold
    if options.rules == "default":
        return np.where(passes, values, 0.0)
    margin, end = (stride, 1) if options.rules == "part_a" else (4, 0)
    low, high = np.minimum(a, b), np.maximum(a, b)
    first, last = np.rint((low - margin) / stride), np.rint((high + margin) / stride) - end
    box = ((rows >= first[1]) & (rows <= last[1]))[:, None] & (columns >= first[0]) & (columns <= last[0])
    return np.where(box, np.where(passes, values, _FLOOR if options.rules == "part_b" else 0.0), 0.0)


def merged(each: list[NDArray[np.float64]], shape: tuple[int, int], options: TargetOptions) -> NDArray[np.float64]:
    """Returns the map (h, w) of one limb of all people, from that of each."""
    if not each:
        return np.zeros(shape)
    stacked = np.stack(each)
    if options.overlap == "max":
        return stacked.max(axis=0)  # type: ignore[no-any-return]
    return stacked.sum(axis=0) / np.maximum((stacked > 0).sum(axis=0), 1)  # type: ignore[no-any-return]


def _per_cell(
    mask: NDArray[np.uint8] | None, stride: int, shape: tuple[int, int], options: TargetOptions, *, nothing: float
) -> NDArray[np.float64]:
    """Returns the mean of a mask over the pixels of each cell, 0..1; in Part B a whole number of 255ths."""
    if mask is None:
        return np.full(shape, nothing)
    (h, w), s = shape, stride
    mean = mask[: h * s, : w * s].reshape(h, s, w, s).mean(axis=(1, 3))
    return (np.rint(mean) if options.rules == "part_b" else mean) / 255  # type: ignore[no-any-return]


def _eroded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the min over each 3x3 cells, fewer at the border."""
    padded = np.pad(values, 1, constant_values=np.inf)
    h, w = values.shape
    return np.min([padded[i : i + h, j : j + w] for i in range(3) for j in range(3)], axis=0)  # type: ignore[no-any-return]
