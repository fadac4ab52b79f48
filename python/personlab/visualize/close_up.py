"""Enlarged views of one person: the part of the image, numbers beside points, and a table on the right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.io.imaging import fit
from personlab.visualize import marks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from personlab.visualize.canvas import Image

    Box = tuple[int, int, int, int]  # x0, y0, x1, y1, the last two exclusive

_MIN_SIDE = 480  # pixels of the longer side, for readable letters


def close_up(image: Image, points: Any) -> tuple[Image, Callable[[Any], Any]]:
    """Return the dimmed and enlarged part of an image around points (n, 2), and the map of points (..., 2) to it."""
    height, width = image.shape[:2]
    margin = 0.12 * float(np.ptp(points, axis=0).max()) + 8 * marks.unit_of(image)
    last = np.array([width - 1, height - 1])
    x0, y0 = np.floor(np.clip(points.min(axis=0) - margin, 0, last)).astype(int)
    x1, y1 = np.ceil(np.clip(points.max(axis=0) + margin, 0, last)).astype(int) + 1
    part = marks.dim(image[y0:y1, x0:x1])
    longer = max(x1 - x0, y1 - y0)
    factor = max(max(height, width, _MIN_SIDE) / longer, 1.0)
    size = (max(1, round((x1 - x0) * factor)), max(1, round((y1 - y0) * factor)))
    corner = np.array([x0, y0])

    def move(points: Any) -> Any:
        return (points - corner + 0.5) * factor - 0.5  # resizing maps borders of pixels, not centres

    return fit(part, size), move


def draw_number(image: Image, text: str, point: Any, occupied: list[Box], unit: float) -> None:
    """Draw a number near a point on `image` itself, outside of `occupied` if possible, with a line to the point."""
    height, width = image.shape[:2]
    wide, tall, below = marks.text_size(text, unit)
    pad = max(1, round(1.2 * unit))
    wide, tall = wide + 2 * pad, tall + below + 2 * pad
    if wide > width or tall > height:
        return
    places = []
    for distance in np.arange(10, 75, 6) * unit:
        for angle in np.deg2rad(np.arange(0, 360, 30)):
            x, y = point + distance * np.array([np.cos(angle), np.sin(angle)]) - (wide / 2, tall / 2)
            places.append((int(np.clip(x, 0, width - wide)), int(np.clip(y, 0, height - tall))))
    free = [
        (x, y) for x, y in places
        if not any(x < x1 and x0 < x + wide and y < y1 and y0 < y + tall for x0, y0, x1, y1 in occupied)
    ]  # fmt: skip
    x, y = (free or places)[0]
    occupied.append((x, y, x + wide, y + tall))
    marks.line(image, point, (x + wide / 2, y + tall / 2), marks.GREY, 1)
    marks.rectangle(image, x, y, wide, tall, marks.WHITE)
    marks.write_text(image, text, x + pad, y + tall - pad - below, marks.BLACK, unit)


def table_panel(
    heads: Sequence[str],
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    colours: Sequence[Any],
    key: Sequence[tuple[str, Any]],
    unit: float,
) -> Image:
    """Return a table on black.

    Args:
        heads: lines above it.
        header: of the columns; the second one is to the left, the others to the right.
        rows: of the table.
        colours: of the swatches behind the first rows; rows without one are grey.
        key: texts and colours of lines, below the table.
        unit: width of a line, pixels.
    """
    gap, swatch = round(7 * unit), round(8 * unit)
    table = [list(header), *map(list, rows)]
    columns = len(header)
    widths = [max(marks.text_size(row[c], unit)[0] for row in table) for c in range(columns)]
    lefts = [gap + sum(widths[:c]) + c * gap for c in range(columns + 1)]
    _, tall, below = marks.text_size("Ag", unit)
    pitch = tall + below + max(2, round(3 * unit))
    wide = max(lefts[columns] + swatch, *(gap + marks.text_size(text, unit)[0] for text in heads)) + gap
    panel = np.zeros((pitch * (len(table) + len(key) + len(heads) + 2) + gap, wide, 3), np.uint8)

    def write(text: str, left: int, row: float, ink: Any = marks.WHITE) -> int:
        baseline = gap + round(row * pitch) + tall
        marks.write_text(panel, text, left, baseline, ink, unit)
        return baseline

    for n, text in enumerate(heads):
        write(text, gap, n)
    for n, row in enumerate(table):
        has_swatch = 0 < n <= len(colours)
        for c, text in enumerate(row):
            left = lefts[c] + (0 if c == 1 else widths[c] - marks.text_size(text, unit)[0])
            baseline = write(text, left, n + len(heads) + 0.5, marks.WHITE if has_swatch else marks.GREY)
        if has_swatch:
            panel[baseline - tall : baseline, lefts[columns] : lefts[columns] + swatch] = colours[n - 1]
    for n, (text, shade) in enumerate(key):
        y = write(text, 2 * gap + swatch, len(table) + n + len(heads) + 1) - tall / 2
        marks.line(panel, (gap, y), (gap + swatch, y), shade, max(1, round(unit)))
    return panel


def beside(image: Image, panel: Image) -> Image:
    """Return an image with a panel on its right, the lower one padded with black."""
    tall = max(image.shape[0], panel.shape[0])
    parts = [np.pad(part, ((0, tall - part.shape[0]), (0, 0), (0, 0))) for part in (image, panel)]
    return np.concatenate(parts, axis=1)
