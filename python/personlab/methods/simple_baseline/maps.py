"""Heatmaps of one person at a time in float64 NumPy: drawn from keypoints, and read back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

REACH = 6  # cells outside of a map up to which a keypoint is recognised by the slope of its Gaussian
_TINY = 1e-10  # added to values before their logarithm


def draw_maps(points: Array, shape: tuple[int, int], sigma: float) -> NDArray[np.float32]:
    """Return Gaussians (..., h, w) around points (..., 2) = (x, y) in cells; sigma in cells, too."""
    across = np.exp(-((np.arange(shape[1]) - points[..., :1]) ** 2) / (2 * sigma**2))
    down = np.exp(-((np.arange(shape[0]) - points[..., 1:]) ** 2) / (2 * sigma**2))
    maps: NDArray[np.float32] = (down[..., :, None] * across[..., None, :]).astype(np.float32)
    return maps


def find_peaks(maps: NDArray[Any]) -> tuple[Array, Array]:
    """Return where maps (..., h, w) are highest, as (x, y) in cells (..., 2), and how high (...), the cell's value.

    Along each axis the top of the parabola through the logarithms of three cells: the highest and its neighbours, at
    most half a cell away, or at a border the first three, up to `REACH` cells outside.
    """
    h, w = maps.shape[-2:]
    flat = np.nan_to_num(maps.reshape(-1, h, w).astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    y, x = np.divmod(flat.reshape(len(flat), h * w).argmax(1), w)
    rows = np.arange(len(flat))
    logs = np.log(np.maximum(flat, _TINY))
    points = np.stack([_top(logs[rows, y], x), _top(logs[rows, :, x], y)], axis=-1)
    return points.reshape(*maps.shape[:-2], 2), flat[rows, y, x].reshape(maps.shape[:-2])


def _top(lines: Array, place: NDArray[np.intp]) -> Array:
    """Return the tops of lines (n, length) near their highest cells (n,)."""
    length = lines.shape[1]
    if length < 3:
        return place.astype(np.float64)
    rows, middle = np.arange(len(lines)), np.clip(place, 1, length - 2)
    before, own, after = (lines[rows, middle + step] for step in (-1, 0, 1))
    bend = before - 2 * own + after
    with np.errstate(divide="ignore", invalid="ignore"):
        step = np.where(bend < 0, (before - after) / (2 * bend), 0.0)
    inner = place == middle
    low = np.where(inner, -0.5, np.where(place == 0, -REACH - 1, 0.5))
    high = np.where(inner, 0.5, np.where(place == 0, -0.5, REACH + 1))
    sure = np.where(bend < 0, np.clip(step, low, high), 0.0)
    return np.where(inner | (bend < 0), middle + sure, place)


def suppress(
    keypoints: Array, counted: NDArray[np.bool_], scores: Array, areas: Array, sigmas: Array, threshold: float
) -> NDArray[np.intp]:
    """Return the people to keep, best first: those whose OKS to each kept one is at most `threshold`.

    OKS is that of the keypoints that count in both; where none does it is 0.

    Args:
        keypoints: (P, K, 2).
        counted: (P, K).
        scores: (P,).
        areas: (P,) of the grown boxes.
        sigmas: (K,) of OKS.
        threshold: of OKS.
    """
    kept: list[int] = []
    for n in np.argsort(-scores, kind="stable"):
        if kept:
            squares = ((keypoints[kept] - keypoints[n]) ** 2).sum(2)
            middle = (areas[kept] + areas[n]) / 2 + np.spacing(1)
            both = counted[kept] & counted[n]
            likeness = np.where(both, np.exp(-squares / (2 * sigmas) ** 2 / middle[:, None] / 2), 0.0)
            oks = likeness.sum(1) / np.maximum(both.sum(1), 1)
            if oks.max() > threshold:
                continue
        kept.append(int(n))
    return np.array(kept, np.intp)
