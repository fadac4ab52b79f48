"""Lines, discs and letters by OpenCV."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from personlab.visualize.surfaces import Colour, Image, Point

_SHIFT = 4  # OpenCV takes coordinates as integers with this many fractional bits
_MAX_FIXED = 2**26  # beyond any image, and safe from overflow in OpenCV
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def line(image: Image, start: Point, end: Point, colour: Colour, width: int) -> None:
    """Draw a smooth line with round ends."""
    cv2.line(image, _to_fixed(start), _to_fixed(end), colour, width, cv2.LINE_AA, _SHIFT)


def disc(image: Image, centre: Point, radius: float, colour: Colour) -> None:
    """Draw a smooth, filled disc."""
    cv2.circle(image, _to_fixed(centre), round(radius * 2**_SHIFT), colour, cv2.FILLED, cv2.LINE_AA, _SHIFT)


def ring(image: Image, centre: Point, radius: float, colour: Colour, width: int) -> None:
    """Draw a smooth circle."""
    cv2.circle(image, _to_fixed(centre), round(radius * 2**_SHIFT), colour, width, cv2.LINE_AA, _SHIFT)


def text_size(text: str, scale: float) -> tuple[int, int, int]:
    """Return the width of a text, the height of its capital letters and the depth below the baseline, pixels."""
    (wide, tall), below = cv2.getTextSize(text, _FONT, 0.42 * scale, _thickness(scale))
    return wide, tall, below


def text(image: Image, text: str, left: int, baseline: int, colour: Colour, scale: float) -> None:
    """Write a text."""
    cv2.putText(image, text, (left, baseline), _FONT, 0.42 * scale, colour, _thickness(scale), cv2.LINE_AA)


def _thickness(scale: float) -> int:
    return max(1, round(scale * 0.8))


def _to_fixed(point: Point) -> tuple[int, int]:
    """Convert a point to OpenCV's fixed-point integers, clamped to their range."""
    x, y = np.clip(np.rint(np.asarray(point, np.float64) * 2**_SHIFT), -_MAX_FIXED, _MAX_FIXED).astype(int)
    return int(x), int(y)
