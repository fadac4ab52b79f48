"""Heatmaps of one person at a time in float64 NumPy: drawn from keypoints, and read back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

_TINY = 1e-10  # added to values before their logarithm


def draw_maps(points: Array, shape: tuple[int, int], sigma: float) -> NDArray[np.float32]:
    """Return Gaussians (..., h, w) around points (..., 2) = (x, y) in cells; sigma in cells, too."""
    across = np.exp(-((np.arange(shape[1]) - points[..., :1]) ** 2) / (2 * sigma**2))
    down = np.exp(-((np.arange(shape[0]) - points[..., 1:]) ** 2) / (2 * sigma**2))
    maps: NDArray[np.float32] = (down[..., :, None] * across[..., None, :]).astype(np.float32)
    return maps


def find_peaks(maps: NDArray[Any]) -> tuple[Array, Array]:
    """Return where maps (..., h, w) are highest, as (x, y) in cells (..., 2), and how high (...), the cell's value.

    Along each axis the top of the parabola through the logarithms of three cells, at most half a cell away.
    """
    h, w = maps.shape[-2:]
    flat = np.nan_to_num(maps.reshape(-1, h, w).astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    y, x = np.divmod(flat.reshape(len(flat), -1).argmax(1), w)
    rows = np.arange(len(flat))
    logs = np.log(np.maximum(np.pad(flat, ((0, 0), (1, 1), (1, 1)), mode="edge"), _TINY))
    moved = []
    for before, after, inner in (
        (logs[rows, y + 1, x], logs[rows, y + 1, x + 2], (x > 0) & (x < w - 1)),
        (logs[rows, y, x + 1], logs[rows, y + 2, x + 1], (y > 0) & (y < h - 1)),
    ):
        bend = before - 2 * logs[rows, y + 1, x + 1] + after
        with np.errstate(divide="ignore", invalid="ignore"):
            step = np.where(inner & (bend < 0), (before - after) / (2 * bend), 0.0)
        moved.append(np.clip(step, -0.5, 0.5))
    points = np.stack([x + moved[0], y + moved[1]], axis=-1)
    return points.reshape(*maps.shape[:-2], 2), flat[rows, y, x].reshape(maps.shape[:-2])


def suppress(keypoints: Array, scores: Array, areas: Array, sigmas: Array, threshold: float) -> NDArray[np.intp]:
    """Return the people to keep, best first: those whose OKS to each kept one is at most `threshold`.

    Args:
        keypoints: (P, K, 2).
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
            oks = np.exp(-squares / (2 * sigmas) ** 2 / middle[:, None] / 2).mean(1)
            if oks.max() > threshold:
                continue
        kept.append(int(n))
    return np.array(kept, np.intp)
