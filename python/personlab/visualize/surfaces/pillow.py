"""Lines and discs by NumPy, as Pillow draws none with smooth borders, and letters by Pillow."""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image as PilImage
from PIL import ImageDraw, ImageFont

if TYPE_CHECKING:
    from personlab.visualize.surfaces import Colour, Image, Point

_FONT_SIZE = 13.5  # pixels at a scale of 1
_SPREAD = 0.5  # pixels that lines reach farther on either side, as OpenCV's do
_STRIP = 64  # pixels of the longer side of a line that are drawn at once


def line(image: Image, start: Point, end: Point, colour: Colour, width: int) -> None:
    """Draw a smooth line with round ends, strip by strip across its direction."""
    half = width / 2 + _SPREAD
    if abs(end[1] - start[1]) > abs(end[0] - start[0]):
        image, start, end = image.swapaxes(0, 1), start[::-1], end[::-1]
    (x0, y0), (x1, y1) = sorted((start, end))
    dx, dy = x1 - x0, y1 - y0
    length = max(dx * dx + dy * dy, 1e-12)
    last = math.ceil(min(x1 + half, image.shape[1] - 1)) + 1
    for left in range(math.floor(max(x0 - half, 0)), last, _STRIP):
        right = min(left + _STRIP, last)
        feet = [y0 + dy * min(max((x - x0) / max(dx, 1e-12), 0), 1) for x in (left - half, right + half)]
        top = math.floor(min(max(min(feet) - half, 0), image.shape[0]))
        bottom = math.ceil(max(min(max(feet) + half, image.shape[0] - 1), -1)) + 1
        x, y = np.arange(left, right) - x0, np.arange(top, bottom)[:, None] - y0
        share = np.clip((x * dx + y * dy) / length, 0, 1)
        _blend(image[top:bottom, left:right], colour, half - np.hypot(x - share * dx, y - share * dy))


def disc(image: Image, centre: Point, radius: float, colour: Colour) -> None:
    """Draw a smooth, filled disc."""
    part, x, y = _around(image, (centre,), radius)
    _blend(part, colour, radius - np.hypot(x - centre[0], y - centre[1]))


def ring(image: Image, centre: Point, radius: float, colour: Colour, width: int) -> None:
    """Draw a smooth circle."""
    half = width / 2 + _SPREAD
    part, x, y = _around(image, (centre,), radius + half)
    _blend(part, colour, half - np.abs(np.hypot(x - centre[0], y - centre[1]) - radius))


def _around(image: Image, points: tuple[Point, ...], reach: float) -> tuple[Image, Any, Any]:
    """Return the part of an image within `reach` of the box around points, and its columns (w,) and rows (h, 1)."""
    limits = np.array(image.shape[1::-1])
    low = np.clip(np.floor(np.min(points, axis=0) - reach), 0, limits).astype(int)
    high = np.clip(np.ceil(np.max(points, axis=0) + reach) + 1, 0, limits).astype(int)
    part = image[low[1] : high[1], low[0] : high[0]]
    return part, np.arange(low[0], low[0] + part.shape[1]), np.arange(low[1], low[1] + part.shape[0])[:, None]


def _blend(part: Image, colour: Colour, depth: Any) -> None:
    """Colour the pixels of `part` that lie `depth` (h, w) pixels within a shape, half of them at its border."""
    inside = depth > -0.5
    cover = np.minimum(depth[inside] + 0.5, 1)[:, None]
    below = part[inside]
    part[inside] = np.rint(below + (np.asarray(colour) - below) * cover)


def text_size(text: str, scale: float) -> tuple[int, int, int]:
    """Return the width of a text, the height of its capital letters and the depth below the baseline, pixels."""
    font = _font(scale)
    capital, small = (font.getbbox(letter, anchor="ls") for letter in "Eg")
    return round(font.getlength(text)), -round(capital[1]), round(1.2 * small[3])


def text(image: Image, text: str, left: int, baseline: int, colour: Colour, scale: float) -> None:
    """Write a text."""
    wide, tall, below = text_size(text, scale)
    pad = tall  # for what letters reach beyond
    size = (wide + 2 * pad, tall + below + 2 * pad)
    letters = PilImage.new("L", size)
    ImageDraw.Draw(letters).text((pad, pad + tall), text, 255, _font(scale), anchor="ls")
    top, left = baseline - tall - pad, left - pad
    part = image[max(top, 0) : max(top + size[1], 0), max(left, 0) : max(left + size[0], 0)]
    cover = np.asarray(letters)[max(-top, 0) :, max(-left, 0) :][: part.shape[0], : part.shape[1]]
    part[:] = np.rint(part + (np.asarray(colour) - part) * (cover[..., None] / 255))


@cache
def _font(scale: float) -> Any:
    return ImageFont.load_default(round(_FONT_SIZE * scale, 1))
