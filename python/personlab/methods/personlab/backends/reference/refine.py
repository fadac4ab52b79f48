"""Dense refinement of whole offset fields (section 3.1.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from personlab.methods.personlab.backends.reference.sampling import sample_offset

if TYPE_CHECKING:
    from collections.abc import Sequence

    from personlab.methods.personlab.backends.reference.sampling import Array, Field


def refine_offsets(
    offsets: Field,
    by: Field,
    channels: Sequence[int],
    *,
    stride: int,
    steps: int,
    threads: int = 1,  # noqa: ARG001  # of the compiled core
) -> Array:
    """`steps` times M_c(x) <- M_c(x) + S_l(x + M_c(x)), l = channels[c]: M (C, 2, h, w), S (K, 2, h, w).

    What is not finite, or too large for float32 at the end, is an offset of (0, 0).
    """
    h, w = offsets.shape[-2:]
    refined = np.where(np.isfinite(offsets).all(axis=1, keepdims=True), offsets, 0.0).astype(np.float64)
    y, x = np.meshgrid(np.arange(h) * float(stride), np.arange(w) * float(stride), indexing="ij")
    for c, l in enumerate(channels):
        for _ in range(steps):
            dx, dy = sample_offset(by[l], x + refined[c, 0], y + refined[c, 1], stride)
            refined[c] += dx, dy
    with np.errstate(over="ignore"):
        finite = np.isfinite(refined.astype(np.float32)).all(axis=1, keepdims=True)
    return np.where(finite, refined, 0.0)
