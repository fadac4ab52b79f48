"""PCK of heatmaps against their targets, as training reports it: without boxes, heads or images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


def heatmap_pck(outputs: Array, targets: Array, *, threshold: float = 0.5, original: bool = False) -> Array:
    """Return the share of maxima that lie near those of the targets: the mean over keypoints, then each keypoint.

    A keypoint counts where its target has a value above 0. Distances are in tenths of the width and the height.

    Args:
        outputs: (N, K, h, w) heatmaps.
        targets: (N, K, h, w).
        threshold: of a right keypoint, in tenths.
        original: as human-pose-estimation.pytorch: x in tenths of the height and y in tenths of the width, keypoints
            whose target lies in the first two rows or columns do not count, and those that never count are -1.

    Returns:
        (K + 1,); NaN for keypoints that never count.

    Raises:
        ValueError: arrays of other shapes.
    """
    outputs, targets = np.asarray(outputs), np.asarray(targets)
    if outputs.ndim != 4 or outputs.shape != targets.shape or 0 in outputs.shape[2:]:
        raise ValueError(f"outputs, targets: expected one shape (N, K, h, w), got {outputs.shape}, {targets.shape}")
    height, width = outputs.shape[2:]
    tenths = np.array([height, width] if original else [width, height]) / 10
    (places, _), (wanted, peaks) = _maxima(outputs), _maxima(targets)
    counts = (wanted > 1).all(axis=2) if original else peaks > 0
    right = counts & (np.linalg.norm((places - wanted) / tenths, axis=2) < threshold)
    n_counted = counts.sum(axis=0)
    shares = np.divide(right.sum(axis=0), n_counted, out=np.full(len(n_counted), np.nan), where=n_counted > 0)
    mean = shares[n_counted > 0].mean() if n_counted.any() else np.nan
    figures = np.append(mean, shares)
    if original:
        figures = np.append(0.0 if np.isnan(mean) else mean, np.where(np.isnan(shares), -1.0, shares))
    return figures


def _maxima(maps: Array) -> tuple[Array, Array]:
    """Return the cell x, y (N, K, 2) and the value (N, K) of each map's max; cell (0, 0) where that is not above 0."""
    flat = maps.reshape(*maps.shape[:2], -1)
    place, value = flat.argmax(axis=2), flat.max(axis=2)
    cells = np.stack([place % maps.shape[3], place // maps.shape[3]], axis=2).astype(np.float64)
    return cells * (value > 0)[..., None], value
