"""Writes many images at once: on a contact sheet, and as files of a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from personlab.arrays.numbers import as_integer
from personlab.io.images import as_image, write_image
from personlab.io.imaging import fit
from personlab.visualize import marks

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from personlab.visualize.canvas import Image


def contact_sheet(images: Mapping[str, Image], *, columns: int = 4, width: int = 1600) -> Image:
    """Lay images out on one sheet, each under its name.

    Args:
        images: name -> (H, W, 3) uint8 RGB, of any sizes; laid out row by row in order.
        columns: images side by side.
        width: of the sheet, pixels; at least 16 for each column.

    Returns:
        (H', width, 3) uint8 RGB; (0, width, 3) without images.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: an argument of the wrong shape or out of range.
    """
    columns = as_integer(columns, "columns", 1, 1000)
    width = as_integer(width, "width", 16 * columns, 2**15)
    cell = width // columns
    tiles = [_tile(name, as_image(image), cell) for name, image in images.items()]
    rows = [tiles[i : i + columns] for i in range(0, len(tiles), columns)]
    sheet = np.full((sum(max(t.shape[0] for t in row) for row in rows), width, 3), 24, np.uint8)
    top = 0
    for row in rows:
        for c, tile in enumerate(row):
            sheet[top : top + tile.shape[0], c * cell : (c + 1) * cell] = tile
        top += max(tile.shape[0] for tile in row)
    return sheet


def _tile(name: str, image: Image, cell: int) -> Image:
    """Return one image of a sheet under its name, `cell` pixels wide with margins."""
    gap = max(1, cell // 80)
    wide = cell - 2 * gap
    unit = max(wide / 330, 0.9)
    while unit > 0.9 and marks.text_size(name, unit)[0] > wide:
        unit *= 0.9
    _, tall, below = marks.text_size("Ag", unit)
    head = tall + below + 2 * gap
    height, width = image.shape[:2]
    factor = min(wide / max(width, 1), 1.5 * wide / max(height, 1))
    w, h = max(1, round(width * factor)), max(1, round(height * factor))
    tile = np.full((head + h + gap, cell, 3), 24, np.uint8)
    marks.write_text(tile, name, gap, gap + tall, marks.WHITE, unit)
    if image.size:
        left = gap + (wide - w) // 2
        tile[head : head + h, left : left + w] = fit(image, (w, h))
    return tile


def write_gallery(folder: str | os.PathLike[str], images: Mapping[str, Image], *, columns: int = 4) -> list[Path]:
    """Write images as NAME.png, and all as `contact_sheet.png`, into a folder, which is made where missing.

    Returns:
        The paths of the files.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: an argument of the wrong shape or out of range.
        OSError: the folder cannot be made or written to.
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    written = []
    for name, image in {**images, "contact_sheet": contact_sheet(images, columns=columns)}.items():
        path = target / f"{name}.png"
        write_image(path, image)
        written.append(path)
    return written
