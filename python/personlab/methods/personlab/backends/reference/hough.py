"""Hough voting (section 3.1.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from personlab.methods.personlab.backends.reference.sampling import log_odds, sample, sigmoid, single

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from personlab.methods.personlab.backends.reference.sampling import Array, Field
    from personlab.options import DecodeOptions


def lattice_logits(heatmap: Field, *, stride: int, g: int) -> NDArray[np.float32]:
    """Logits (H', W') by which it is decided who votes: float32, each cell's weight in it multiplied out first.

    A cell of weight zero is not read. Backends compute these numbers to the last bit, so that a logit exactly on the
    vote threshold votes with all of them or with none.
    """

    def place(cells: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
        pixels = np.arange((cells - 1) * stride // g + 1) * g
        first = np.minimum(pixels // stride, max(cells - 2, 0))
        t: NDArray[np.float32] = (pixels - first * stride).astype(np.float32) / np.float32(stride)
        return first, np.minimum(first + 1, cells - 1), t

    (top, bottom, ty), (left, right, tx) = place(heatmap.shape[0]), place(heatmap.shape[1])
    values, one = heatmap.astype(np.float32), np.float32(1)

    def part(weight_y: Field, row: Field, weight_x: Field, column: Field) -> Field:
        weight = weight_y[:, None] * weight_x
        return np.where(weight > 0, weight * values[np.ix_(row, column)], np.float32(0))

    with np.errstate(invalid="ignore", over="ignore"):
        upper = part(one - ty, top, one - tx, left) + part(one - ty, top, tx, right)
        lower = part(ty, bottom, one - tx, left) + part(ty, bottom, tx, right)
        logits: NDArray[np.float32] = upper + lower
    return logits


def hough_vote(heatmaps: Field, short_offsets: Field, *, stride: int, options: DecodeOptions) -> Array:
    """Hough scores h_k on the lattice of pixels that are multiples of g: (K, H', W'), H' = floor((H - 1) / g) + 1."""
    g = options.hough_stride
    count, h, w = heatmaps.shape
    if h == 0 or w == 0:
        return np.zeros((count, 0, 0))
    rows, columns = (h - 1) * stride // g + 1, (w - 1) * stride // g + 1
    y, x = np.meshgrid(np.arange(rows) * float(g), np.arange(columns) * float(g), indexing="ij")
    hough = np.zeros((count, rows, columns))
    for k in range(count):
        voters = np.nonzero(lattice_logits(heatmaps[k], stride=stride, g=g) >= log_odds(options.vote_threshold))
        p = sigmoid(sample(heatmaps[k], x[voters], y[voters], stride))
        dx, dy = sample(short_offsets[k], x[voters], y[voters], stride)
        u, v = (x[voters] + dx) / g, (y[voters] + dy) / g
        inside = (u > -1) & (u < columns) & (v > -1) & (v < rows)  # drops non-finite votes too
        p, u, v = p[inside], u[inside], v[inside]
        left, top = np.floor(u).astype(int), np.floor(v).astype(int)
        for row, weight_y in ((top, 1 - (v - top)), (top + 1, v - top)):
            for column, weight_x in ((left, 1 - (u - left)), (left + 1, u - left)):
                on = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
                np.add.at(hough[k], (row[on], column[on]), (p * weight_y * weight_x)[on])
    return hough * (g * g / (np.pi * single(options.disk_radius) ** 2))
