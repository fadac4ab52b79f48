"""Lattice points in a disc around a keypoint, decided in float32 as every backend decides it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from personlab.methods.personlab.backends.reference.sampling import Array, Field

MAX_SCORE = 2.0**96  # a Hough score above it, or below its negative, counts as not finite: sums could overflow


class Disc(NamedTuple):
    """The lattice points of a square around a keypoint, n rows and m columns of them."""

    scores: Array  # (n, m) Hough scores; 0 where not finite or not in the disc
    dx: Array  # (m,) input pixels from the keypoint to the column
    dy: Array  # (n,) to the row


def in_disc(dx: Field, dy: Field, radius2: float) -> NDArray[np.bool_]:
    """Returns which offsets dx (m,), dy (n,) lie in a disc (n, m): dx^2 <= r^2 - dy^2, all in float32."""
    with np.errstate(over="ignore"):
        dx, dy = dx.astype(np.float32), dy.astype(np.float32)
        inside: NDArray[np.bool_] = dx * dx <= np.float32(radius2) - (dy * dy)[:, None]
    return inside


def read_disc(hough: Field, x: np.float64, y: np.float64, *, g: int, radius2: float) -> Disc:
    """Hough scores (H', W') of one keypoint type around (x, y), radius and coordinates in input pixels."""
    rows, columns = hough.shape
    reach = np.sqrt(radius2) + g  # no lattice point farther away is in the disc
    i0, i1 = (int(np.clip(i, 0, rows)) for i in ((y - reach) // g, (y + reach) // g + 1))
    j0, j1 = (int(np.clip(j, 0, columns)) for j in ((x - reach) // g, (x + reach) // g + 1))
    window = hough[i0:i1, j0:j1].astype(np.float64)
    dx, dy = (np.arange(a, b) * np.float64(g) - at for a, b, at in ((j0, j1, x), (i0, i1, y)))
    sound = in_disc(dx, dy, radius2) & (np.abs(window) <= MAX_SCORE)
    return Disc(np.where(sound, window, 0.0), dx, dy)
