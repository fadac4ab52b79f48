"""Overlap of boxes, for comparing tracked people with true ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.arrays.shapes import check_shape

if TYPE_CHECKING:
    from numpy.typing import NDArray


def box_overlap(first: Any, second: Any) -> NDArray[np.float64]:
    """Return intersection over union (A, B) of boxes x0, y0, x1, y1; 0 where a box is not finite or has no area.

    Raises:
        ValueError: shapes other than (A, 4) and (B, 4).
    """
    boxes = [np.asarray(one, np.float64) for one in (first, second)]
    for box, name in zip(boxes, ("first", "second"), strict=True):
        check_shape(box, name, (None, 4), "(N, 4)")
    a, b = (np.where(np.isfinite(one).all(axis=1, keepdims=True), one, 0.0) for one in boxes)
    sides = np.minimum(a[:, None, 2:], b[:, 2:]) - np.maximum(a[:, None, :2], b[:, :2])
    common = np.maximum(sides, 0.0).prod(axis=2)
    areas = [np.maximum(one[:, 2:] - one[:, :2], 0.0).prod(axis=1) for one in (a, b)]
    union = areas[0][:, None] + areas[1] - common
    overlap: NDArray[np.float64] = np.divide(common, union, out=np.zeros_like(common), where=union > 0)
    return overlap
