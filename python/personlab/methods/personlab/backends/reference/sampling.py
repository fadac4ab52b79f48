"""What all stages of the reference read fields with, and the float32 arithmetic in which backends decide alike."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Field = NDArray[Any]  # float32 as it came, or float64


def sigmoid(logit: Field) -> Array:
    """Probability of a logit."""
    with np.errstate(over="ignore"):
        return 1.0 / (1.0 + np.exp(-np.asarray(logit, np.float64)))


def single(option: float) -> float:
    """An option as backends hold it, in float32: what is compared with it is decided alike everywhere."""
    return float(np.float32(option))


def log_odds(probability: float) -> float:
    """Logit of a probability, rounded to float32 as that is; infinite at 0 and 1."""
    p = single(probability)
    if p in (0, 1):
        return math.inf if p else -math.inf
    return single(math.log(p) - math.log1p(-p))


def sample(field: Field, x: Field, y: Field, stride: int) -> Field:
    """Read field (..., h, w) bilinearly at input pixels x, y (any shape n): (..., n), in the precision of x and y.

    Coordinates are clamped to the grid. A cell of weight zero is not read, so that a non-finite value reaches exactly
    the points that lie beside it.
    """
    h, w = field.shape[-2:]
    x, y = np.asarray(x), np.asarray(y)
    cx, cy = np.clip(x / x.dtype.type(stride), 0, w - 1), np.clip(y / y.dtype.type(stride), 0, h - 1)
    j = np.minimum(np.floor(cx).astype(int), max(w - 2, 0))
    i = np.minimum(np.floor(cy).astype(int), max(h - 2, 0))
    right, below = np.minimum(j + 1, w - 1), np.minimum(i + 1, h - 1)
    tx, ty = cx - j.astype(x.dtype), cy - i.astype(y.dtype)

    def weighed(weight: Field, value: Field) -> Field:
        return np.where(weight > 0, weight * value, x.dtype.type(0))

    a, b, c, d = (field[..., row, column].astype(x.dtype) for row in (i, below) for column in (j, right))
    with np.errstate(invalid="ignore", over="ignore"):  # 0 * inf, +inf beside -inf, sums past float32
        top, bottom = weighed(1 - tx, a) + weighed(tx, b), weighed(1 - tx, c) + weighed(tx, d)
        return weighed(1 - ty, top) + weighed(ty, bottom)


def sample_offset(offsets: Field, x: Field, y: Field, stride: int) -> tuple[Field, Field]:
    """Read an offset field (2, h, w) at input pixels x, y; a non-finite offset counts as (0, 0)."""
    dx, dy = sample(offsets, x, y, stride)
    finite = np.isfinite(dx) & np.isfinite(dy)
    zero = dx.dtype.type(0)
    return np.where(finite, dx, zero), np.where(finite, dy, zero)


def sample_probability(heatmap: Field, x: Field, y: Field, stride: int) -> Array:
    """Probability that heatmap (h, w) of logits gives at input pixels x, y; 0 where the logit is NaN."""
    return np.nan_to_num(sigmoid(sample(heatmap, x, y, stride)), nan=0.0)
