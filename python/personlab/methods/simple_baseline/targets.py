"""Training targets of the top-down method: the keypoints of a person in a crop as the heatmaps of a perfect network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from personlab import _core
from personlab.arrays.host import as_numbers
from personlab.arrays.numbers import as_integer, as_size, check_type
from personlab.methods.simple_baseline.options import MAX_CROP, TargetOptions

if TYPE_CHECKING:
    from personlab.arrays.array import FloatArray

_DEFAULTS = TargetOptions()


@dataclass(frozen=True, eq=False)
class CropTargets:
    """What a network has to output for a crop, or for each of N crops. Cell (i, j) lies at its pixel (s j, s i)."""

    heatmaps: FloatArray  # ([N,] K, h, w)
    weights: FloatArray  # ([N,] K) 1 where the map of a keypoint counts, else 0


def encode_targets(
    keypoints: Any,
    *,
    size: tuple[int, int] = (256, 192),
    stride: int = 4,
    options: TargetOptions = _DEFAULTS,
    backend: Literal["cpu", "reference"] = "cpu",
) -> CropTargets:
    """Return the training targets of one crop, or of N.

    By default, a Gaussian lies at the very keypoint, between cells, and a keypoint counts where it is labelled and lies
    in the crop or so near that 3 sigmas reach the cells; other maps are 0.

    Args:
        keypoints: ([N,] K, 3) x, y, v: pixels of the crop, labelled where v > 0.
        size: (H, W) of the crops, multiples of the stride.
        stride: pixels from cell to cell.
        options: how keypoints become maps.
        backend: the compiled core, or the float64 reference in NumPy.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: an argument of the wrong shape or range.
    """
    check_type(options, "options", TargetOptions)
    if backend not in ("cpu", "reference"):
        raise ValueError(f"backend: expected cpu or reference, got {backend!r}")
    given = as_numbers(keypoints, "keypoints")
    if given.ndim not in (2, 3) or given.shape[-1] != 3:
        raise ValueError(f"keypoints: expected shape ([N,] K, 3), got {given.shape}")
    stride, (height, width) = as_integer(stride, "stride", 1, MAX_CROP), as_size(size, "size", "(H, W)", 1)
    if height % stride or width % stride or max(height, width) > MAX_CROP:
        raise ValueError(f"size: expected multiples of the stride {stride} up to {MAX_CROP}, got {size}")
    points = np.ascontiguousarray(given, np.float64)
    if not np.isfinite(points[points[..., 2] > 0]).all() or np.isnan(points[..., 2]).any():
        raise ValueError("keypoints: expected finite coordinates where v > 0, got NaN or infinity")
    if backend == "reference":
        from personlab.methods.simple_baseline.backends import reference

        batch = points[None] if points.ndim == 2 else points
        made = reference.encode_targets(batch, size=(height, width), stride=stride, options=options)
        maps, weights = (np.asarray(one, np.float32) for one in made)
        return CropTargets(maps[0], weights[0]) if points.ndim == 2 else CropTargets(maps, weights)
    maps = np.empty((*points.shape[:-1], height // stride, width // stride), np.float32)
    weights = np.empty(points.shape[:-1], np.float32)
    _core.encode_baseline_targets(
        keypoints=points, stride=stride, sigma=options.sigma, full_value=options.full_value, rules=options.rules,
        threads=options.threads, maps=maps, weights=weights,
    )  # fmt: skip
    return CropTargets(maps, weights)
