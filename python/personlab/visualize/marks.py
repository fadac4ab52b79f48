"""The marks of all drawings: sizes that scale with the image, colours for any colour vision, arrows, legends."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from personlab.arrays.array import FloatArray
    from personlab.visualize.canvas import Image

    Colour = tuple[int, int, int]

# Okabe and Ito's palette without black, ordered so that neighbours differ strongly.
PALETTE = ((230, 159, 0), (86, 180, 233), (213, 94, 0), (0, 158, 115), (240, 228, 66), (204, 121, 167), (0, 114, 178))
WHITE, BLACK, GREY = (255, 255, 255), (0, 0, 0), (170, 170, 170)
# Directions clockwise from right in steps of 45 degrees. Right and left differ in warm and cool, down and up in light
# and dark: all are distinct in red-green colour blindness.
_DIRECTIONS = np.array(
    [
        (213, 94, 0), (230, 159, 0), (240, 228, 66), (130, 205, 150), (86, 180, 233), (0, 114, 178), (85, 55, 160),
        (165, 60, 110),
    ],
    np.float32,
)  # fmt: skip
_SHIFT = 4  # OpenCV takes coordinates as integers with this many fractional bits
_MAX_FIXED = 2**26  # beyond any image, and safe from overflow in OpenCV
_FONT = 0  # cv2.FONT_HERSHEY_SIMPLEX, without importing OpenCV


def unit_of(image: Image) -> float:
    """Return the width of a line in pixels: 1 in an image of 400 pixels, 4 in one of 1600."""
    height, width, _ = image.shape
    return min(max(float(np.sqrt(height * width)) / 400, 0.75), 12.0)


def rgb(colour: Any) -> Colour:
    """Convert a colour to three integers, as OpenCV takes it."""
    red, green, blue = (int(c) for c in colour)
    return red, green, blue


def darken(colour: Any) -> Colour:
    """Return the shade of a colour that outlines it."""
    return rgb(np.asarray(colour) * 0.35)


def ink_on(colour: Any) -> Colour:
    """Return black or white, the one with more contrast to a colour."""
    return BLACK if np.dot(colour, (0.299, 0.587, 0.114)) > 110 else WHITE


def dim(image: Image) -> Image:
    """Return the image in dark grey, as background of the colours of a field."""
    grey = image @ np.array([0.299, 0.587, 0.114], np.float32)
    return np.repeat((grey * np.float32(0.55)).astype(np.uint8)[..., None], 3, axis=2)


def blend(image: Image, colours: Any, opacity: Any) -> Image:
    """Blend `colours` (H, W, 3) over `image` with `opacity` (H, W), 0 to 1."""
    share = np.asarray(opacity, np.float32)[..., None]
    mixed: Image = np.rint(image * (1 - share) + colours * share).astype(np.uint8)
    return mixed


def scalar_colours(values: Any) -> NDArray[np.uint8]:
    """Return the viridis colours (..., 3) uint8 RGB of numbers from 0 to 1."""
    colours: NDArray[np.uint8] = _viridis()[np.rint(np.clip(values, 0, 1) * 255).astype(np.intp)]
    return colours


@cache
def _viridis() -> NDArray[np.uint8]:
    import cv2

    ramp = np.arange(256, dtype=np.uint8)[:, None]
    return np.ascontiguousarray(cv2.applyColorMap(ramp, cv2.COLORMAP_VIRIDIS)[:, 0, ::-1], np.uint8)


def direction_colours(dx: Any, dy: Any, longest: float) -> NDArray[np.uint8]:
    """Return colours (..., 3) uint8 RGB of offsets: hue by direction, value by length, full at `longest`."""
    eighth = np.arctan2(dy, dx) * np.float32(4 / np.pi) % 8
    before = np.floor(eighth).astype(np.intp)
    share = (eighth - before)[..., None]
    hue = _DIRECTIONS[before % 8] * (1 - share) + _DIRECTIONS[(before + 1) % 8] * share
    # The root keeps the hue of short offsets visible; the legend's wheel uses it, too.
    value = np.sqrt(np.clip(np.hypot(dx, dy) / max(longest, 1e-6), 0, 1))[..., None]
    colours: NDArray[np.uint8] = np.rint(hue * value).astype(np.uint8)
    return colours


def to_fixed(point: Any) -> tuple[int, int]:
    """Convert a point (x, y) to OpenCV's fixed-point integers, clamped to their range."""
    x, y = np.clip(np.rint(np.asarray(point, np.float64) * 2**_SHIFT), -_MAX_FIXED, _MAX_FIXED).astype(int)
    return int(x), int(y)


def line(image: Image, start: Any, end: Any, colour: Any, width: int, *, outline: int = 1) -> None:
    """Draw a line on `image` itself over an outline, `outline` pixels wider; skips ends that are not finite."""
    import cv2

    if not np.isfinite([start, end]).all():
        return
    if outline:
        cv2.line(image, to_fixed(start), to_fixed(end), darken(colour), width + outline, cv2.LINE_AA, _SHIFT)
    cv2.line(image, to_fixed(start), to_fixed(end), rgb(colour), width, cv2.LINE_AA, _SHIFT)


def disc(image: Image, centre: Any, radius: float, colour: Any, *, ring: Any = None, width: int = 1) -> None:
    """Draw a filled disc on `image` itself, with a ring unless None; skips a centre that is not finite."""
    import cv2

    if not np.isfinite(centre).all():
        return
    around, at = round(radius * 2**_SHIFT), to_fixed(centre)
    cv2.circle(image, at, around, rgb(colour), cv2.FILLED, cv2.LINE_AA, _SHIFT)
    if ring is not None:
        cv2.circle(image, at, around, rgb(ring), width, cv2.LINE_AA, _SHIFT)


def circle(image: Image, centre: Any, radius: float, colour: Any, width: int) -> None:
    """Draw a ring with a light outline on `image` itself."""
    import cv2

    around, at = round(radius * 2**_SHIFT), to_fixed(centre)
    cv2.circle(image, at, around, GREY, width + 1, cv2.LINE_AA, _SHIFT)
    cv2.circle(image, at, around, rgb(colour), width, cv2.LINE_AA, _SHIFT)


def arrow(image: Image, start: Any, end: Any, colour: Any, unit: float) -> None:
    """Draw an arrow on `image` itself; a dot for a length below 1 pixel."""
    import cv2

    length = float(np.hypot(*np.subtract(end, start)))
    width = max(1, round(0.9 * unit))
    if length < 1:
        disc(image, start, 1.2 * unit, colour)
        return
    tip = min(4.5 * unit / length, 0.4)
    for shade, wide in ((darken(colour), width + max(1, round(0.8 * unit))), (rgb(colour), width)):
        cv2.arrowedLine(image, to_fixed(start), to_fixed(end), shade, wide, cv2.LINE_AA, _SHIFT, tip)


def legend_unit(image: Image) -> float:
    """Return the width of a line in a legend, pixels: legends have thinner lines and smaller letters than labels."""
    return max(0.75 * unit_of(image), 0.9)


def text_size(text: str, unit: float) -> tuple[int, int, int]:
    """Return width, height above the baseline and depth below it of a text, pixels."""
    import cv2

    (wide, tall), below = cv2.getTextSize(text, _FONT, _scale(unit), _thickness(unit))
    return wide, tall, below


def write_text(image: Image, text: str, left: int, baseline: int, colour: Any, unit: float) -> None:
    """Write a text on `image` itself, from column `left` on, its letters on row `baseline`."""
    import cv2

    cv2.putText(image, text, (left, baseline), _FONT, _scale(unit), rgb(colour), _thickness(unit), cv2.LINE_AA)


def _scale(unit: float) -> float:
    return 0.42 * max(unit, 0.9)


def _thickness(unit: float) -> int:
    return max(1, round(unit * 0.8))


# --- Legends: small images, placed in the corner with the fewest marks ----------------------------------


def note(text: str, unit: float, *, wide: int = 0) -> Image:
    """Return an image of white text on black, at least `wide` pixels wide."""
    pad = max(3, round(3 * unit))
    width, tall, below = text_size(text, unit)
    patch = np.zeros((tall + below + 2 * pad, max(width + 2 * pad, wide), 3), np.uint8)
    write_text(patch, text, (patch.shape[1] - width) // 2, pad + tall, WHITE, unit)
    return patch


def bar(title: str, lowest: float, highest: float, unit: float) -> Image:
    """Return a legend of the colours of scalars from `lowest` to `highest`, under a title."""
    head = note(title, unit, wide=round(90 * unit))
    pad, wide = max(3, round(3 * unit)), head.shape[1]
    ramp = np.zeros((round(9 * unit), wide, 3), np.uint8)
    ramp[:, pad : wide - pad] = scalar_colours(np.linspace(0, 1, wide - 2 * pad))
    low, high = f"{lowest:.2g}", f"{highest:.2g}"
    foot = np.zeros((note(low, unit).shape[0], wide, 3), np.uint8)
    baseline = pad + text_size(low, unit)[1]
    write_text(foot, low, pad, baseline, WHITE, unit)
    write_text(foot, high, wide - pad - text_size(high, unit)[0], baseline, WHITE, unit)
    return np.concatenate([head, ramp, foot])


def wheel(title: str, longest: float, unit: float) -> Image:
    """Return a legend of the colours of offsets: a disc whose rim stands for `longest` pixels, under a title."""
    head = note(title, unit, wide=round(66 * unit))
    foot = note(f"rim: {longest:.3g} px", unit, wide=head.shape[1])
    radius = round(26 * unit)
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1].astype(np.float32)
    rosette = direction_colours(x, y, radius)
    rosette[np.hypot(x, y) > radius] = 0
    wide = max(head.shape[1], foot.shape[1], rosette.shape[1])
    return np.concatenate([_centred(part, wide) for part in (head, rosette, foot)])


def _centred(patch: Image, wide: int) -> Image:
    left = (wide - patch.shape[1]) // 2
    return np.pad(patch, ((0, 0), (left, wide - patch.shape[1] - left), (0, 0)))


def place_legend(image: Image, legend: Image, busy: FloatArray) -> None:
    """Draw a legend into the corner of `image` itself where `busy` (H, W), 0 to 1, is lowest; skips small images."""
    (height, width), (tall, wide) = image.shape[:2], legend.shape[:2]
    gap = max(2, round(2 * unit_of(image)))
    if tall + 2 * gap > 0.6 * height or wide + 2 * gap > 0.6 * width:
        return
    corners = [(top, left) for top in (height - tall - gap, gap) for left in (gap, width - wide - gap)]
    # Rounded: small differences leave the legend in the first corner.
    top, left = min(corners, key=lambda at: round(10 * float(busy[at[0] : at[0] + tall, at[1] : at[1] + wide].mean())))
    below = image[top : top + tall, left : left + wide]
    below[:] = np.where(legend.any(axis=2, keepdims=True), legend, below // 4)
