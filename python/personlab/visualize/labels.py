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
    top = np.unique(np.clip(rows, 0, height - tall).astype(int))[:, None]
    y, x = int(top[0, 0]), int(left[0])
    reach = busy[y : top[-1, 0] + tall, x : left[-1] + wide]
    summed = np.pad(reach.cumsum(axis=0, dtype=np.int64).cumsum(axis=1), ((1, 0), (1, 0)))
    above, before = top - y, left - x
    below, after = above + tall, before + wide
    covered = summed[below, after] - summed[above, after] - summed[below, before] + summed[above, before]
    away = np.abs(left - wished[0]) / wide + np.abs(top - wished[1]) / tall
    cost = np.round(_COVER_WEIGHT * covered / (wide * tall) + away, 6)  # rounded: sums are not exact
    row, column = np.unravel_index(np.argmin(cost), cost.shape)
    x, y = int(left[column]), int(top[row, 0])
    busy[y : y + tall, x : x + wide] = _LABEL_COST
    marks.rectangle(image, x, y, wide, tall, colour)
    marks.write_text(image, text, x + pad, y + tall - pad - depth, marks.ink_on(colour), unit)
