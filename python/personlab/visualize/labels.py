"""Places labels beside boxes: inside the image, on free ground, each in its own colour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.visualize import marks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from personlab.visualize.canvas import Image

_LABEL_COST = 40  # of a pixel of another label
_COVER_WEIGHT = 4.0  # of a mean cost of 1 below the label, in label sizes of distance from the wished place


def draw_label(
    image: Image, text: str, box: tuple[float, float, float, float], colour: Any, busy: NDArray[np.uint8]
) -> None:
    """Draw a label above a box, or at the nearest place that covers little, on `image` itself.

    Draws nothing where the label is larger than the image.

    Args:
        image: (H, W, 3) uint8 RGB.
        text: a few characters.
        box: x0, y0, x1, y1, pixels; parts may lie outside the image.
        colour: behind the text.
        busy: (H, W) cost of covering each pixel, 0: free; the label's own cost is written into it.
    """
    height, width = image.shape[:2]
    unit = marks.unit_of(image)
    wide, tall, depth = marks.text_size(text, unit)
    pad = max(2, round(2 * unit))
    wide, tall = wide + 2 * pad, tall + depth + 2 * pad
    if wide > width or tall > height:
        return
    x0, y0, x1, y1 = np.clip(box, -1, [width, height, width, height]).tolist()
    wished = np.clip([(x0 + x1 - wide) / 2, y0 - pad - tall], -1, [width - wide, height - tall])
    columns = np.append(np.arange(x0 - wide, x1 + 1, max(wide / 4, 1)), wished[0])
    rows = np.append(np.arange(y0 - 4 * tall, y1 + tall + 1, max(tall / 4, 1)), wished[1])
    left = np.unique(np.clip(columns, 0, width - wide).astype(int))
    top = np.unique(np.clip(rows, 0, height - tall).astype(int))
    covered = _sums(busy, top, tall, left, wide)
    away = np.abs(left - wished[0]) / wide + np.abs(top - wished[1])[:, None] / tall
    cost = np.round(_COVER_WEIGHT * covered / (wide * tall) + away, 6)  # rounded: sums are not exact
    row, column = np.unravel_index(np.argmin(cost), cost.shape)
    x, y = int(left[column]), int(top[row])
    busy[y : y + tall, x : x + wide] = _LABEL_COST
    marks.rectangle(image, x, y, wide, tall, colour)
    marks.write_text(image, text, x + pad, y + tall - pad - depth, marks.ink_on(colour), unit)


def _sums(costs: NDArray[np.uint8], top: Any, tall: int, left: Any, wide: int) -> NDArray[np.int64]:
    """Return the sums of `costs` in the boxes of one size with these corners, (rows, columns)."""
    rows, columns = (np.unique([first, first + size]) for first, size in ((top, tall), (left, wide)))
    part = costs[rows[0] : rows[-1], columns[0] : columns[-1]]
    bands = np.add.reduceat(part, rows[:-1] - rows[0], axis=0, dtype=np.uint32)  # at most 255 for each row
    cells = np.add.reduceat(bands, columns[:-1] - columns[0], axis=1, dtype=np.int64)
    summed = np.pad(cells.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))  # above and before each pair of limits
    above, below = (np.searchsorted(rows, row) for row in (top, top + tall))
    before, after = (np.searchsorted(columns, column) for column in (left, left + wide))
    strips = summed[below] - summed[above]
    sums: NDArray[np.int64] = strips[:, after] - strips[:, before]
    return sums
