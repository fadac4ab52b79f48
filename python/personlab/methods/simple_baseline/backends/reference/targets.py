"""Training targets of a crop: a Gaussian around each keypoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from personlab.methods.simple_baseline.options import TargetOptions

    Array = NDArray[np.float64]


def encode_targets(
    keypoints: NDArray[Any], *, size: tuple[int, int], stride: int, options: TargetOptions
) -> tuple[Array, Array]:
    """Returns heatmaps (P, K, h, w) and weights (P, K) of keypoints (P, K, 3) = (x, y, v) in pixels of a crop (H, W).

    Cell (i, j) lies at pixel (j * stride, i * stride).
    """
    h, w = size[0] // stride, size[1] // stride
    maps, weights = np.zeros((*keypoints.shape[:2], h, w)), np.zeros(keypoints.shape[:2])
    for n in np.ndindex(weights.shape):
        x, y, v = map(float, keypoints[n])
        if not (v > 0 or options.rules == "tensorflow") or not (np.isfinite(x) and np.isfinite(y)):
            continue
        across, x_counts = _line(x, w, w * stride, stride, options)
        down, y_counts = _line(y, h, h * stride, stride, options)
        weights[n] = v > 0 and x_counts and y_counts
        if weights[n] or options.rules == "tensorflow":
            maps[n] = options.full_value * down[:, None] * across
    return maps, weights


def _line(at: float, cells: int, pixels: int, stride: int, options: TargetOptions) -> tuple[Array, bool]:
    """Returns the Gaussian along an axis of cells, and whether its keypoint counts by this axis."""
    places, centre, window = np.arange(cells), at / stride, np.ones(cells, bool)
    counts = -3 * options.sigma <= centre <= cells - 1 + 3 * options.sigma
    if options.rules == "tensorflow":
        counts, centre = 0 <= at < pixels, np.floor(centre + 0.5)
    elif options.rules == "pytorch":
        centre, reach = int(centre + 0.5), int(3 * options.sigma)  # `int` cuts towards zero
        window = abs(places - centre) <= reach
        counts = centre - reach < cells and centre + reach + 1 >= 0  # a window that ends before the first cell counts
    return np.where(window, np.exp(-((places - centre) ** 2) / (2 * options.sigma**2)), 0.0), counts
