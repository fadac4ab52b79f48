"""The marks of all drawings: sizes that scale with the image, colours for any colour vision, arrows, legends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.visualize.surfaces import surface

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
# Every 15th of viridis' 256 colours.
_VIRIDIS = np.array(
    [
        (68, 1, 84), (72, 23, 105), (71, 42, 122), (67, 61, 132), (61, 78, 138), (53, 94, 141), (46, 109, 142),
        (41, 123, 142), (35, 137, 142), (31, 151, 139), (33, 165, 133), (46, 179, 124), (70, 192, 111), (101, 203, 94),
        (137, 213, 72), (176, 221, 47), (216, 226, 25), (253, 231, 37),
    ],
    np.float32,
)  # fmt: skip


def unit_of(image: Image) -> float:
    """Return the width of a line in pixels: 1 in an image of 400 pixels, 4 in one of 1600."""
    height, width, _ = image.shape
    return min(max(float(np.sqrt(height * width)) / 400, 0.75), 12.0)


def rgb(colour: Any) -> Colour:
    """Convert a colour to three integers, as surfaces take it."""
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
    steps = np.arange(len(_VIRIDIS)) * (255 / (len(_VIRIDIS) - 1))
    ramp = np.stack([np.interp(np.arange(256), steps, _VIRIDIS[:, c]) for c in range(3)], axis=1)
    colours: NDArray[np.uint8] = np.rint(ramp).astype(np.uint8)[np.rint(np.clip(values, 0, 1) * 255).astype(np.intp)]
    return colours


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


def line(image: Image, start: Any, end: Any, colour: Any, width: int, *, outline: int = 1) -> None:
    """Draw a line on `image` itself over an outline, `outline` pixels wider; skips ends that are not finite."""
    if not np.isfinite([start, end]).all():
        return
    on, start, end = surface(), _pair(start), _pair(end)
    if outline:
        on.line(image, start, end, darken(colour), width + outline)
    on.line(image, start, end, rgb(colour), width)


def disc(image: Image, centre: Any, radius: float, colour: Any, *, ring: Any = None, width: int = 1) -> None:
    """Draw a filled disc on `image` itself, with a ring unless None; skips a centre that is not finite."""
    if not np.isfinite(centre).all():
        return
    on, centre = surface(), _pair(centre)
    on.disc(image, centre, radius, rgb(colour))
    if ring is not None:
        on.ring(image, centre, radius, rgb(ring), width)


def circle(image: Image, centre: Any, radius: float, colour: Any, width: int) -> None:
    """Draw a ring with a light outline on `image` itself."""
    on, centre = surface(), _pair(centre)
    on.ring(image, centre, radius, GREY, width + 1)
    on.ring(image, centre, radius, rgb(colour), width)


def arrow(image: Image, start: Any, end: Any, colour: Any, unit: float) -> None:
    """Draw an arrow on `image` itself; a dot for a length below 1 pixel."""
    back = np.subtract(start, end)
    length = float(np.hypot(*back))
    width = max(1, round(0.9 * unit))
    if length < 1:
        disc(image, start, 1.2 * unit, colour)
        return
    on, start, end = surface(), _pair(start), _pair(end)
    x, y = back * min(4.5 * unit / length, 0.4) * np.sqrt(0.5)
    barbs = [(end[0] + x - y, end[1] + x + y), (end[0] + x + y, end[1] + y - x)]  # 45 degrees on either side
    for shade, wide in ((darken(colour), width + max(1, round(0.8 * unit))), (rgb(colour), width)):
        on.line(image, start, end, shade, wide)
        for barb in barbs:
            on.line(image, barb, end, shade, wide)


def rectangle(image: Image, left: int, top: int, wide: int, tall: int, colour: Any) -> None:
    """Fill a rectangle that lies inside of `image`."""
    image[top : top + tall, left : left + wide] = rgb(colour)


def outline(image: Image, mask: NDArray[np.bool_], colour: Any, width: int) -> None:
    """Draw the border of a mask (H, W) on `image` itself, inside of it and `width` pixels wide, with a soft edge."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return
    box = (slice(max(rows[0] - 1, 0), rows[-1] + 2), slice(max(columns[0] - 1, 0), columns[-1] + 2))
    inside = mask[box]
    core = inside
    for _ in range(width):
        core = _shrink(core)
    border = (inside & ~core).astype(np.uint8)
    soft = np.pad(border, 1)
    soft = soft[:-2] + 2 * soft[1:-1] + soft[2:]
    soft = soft[:, :-2] + 2 * soft[:, 1:-1] + soft[:, 2:]  # 16 times the mean around each pixel
    cover = np.where(border, np.float32(1), soft * np.float32(0.75 / 16))
    touched = cover > 0
    part = image[box]
    below = part[touched]
    part[touched] = np.rint(below + (np.asarray(colour, np.float32) - below) * cover[touched][:, None])


def _shrink(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels of a mask whose four neighbours belong to it, too; those outside of the array do."""
    inner = mask.copy()
    inner[1:] &= mask[:-1]
    inner[:-1] &= mask[1:]
    inner[:, 1:] &= mask[:, :-1]
    inner[:, :-1] &= mask[:, 1:]
    return inner


def legend_unit(image: Image) -> float:
    """Return the width of a line in a legend, pixels: legends have thinner lines and smaller letters than labels."""
    return max(0.75 * unit_of(image), 0.9)


def text_size(text: str, unit: float) -> tuple[int, int, int]:
    """Return width, height above the baseline and depth below it of a text, pixels."""
    return surface().text_size(text, max(unit, 0.9))


def write_text(image: Image, text: str, left: int, baseline: int, colour: Any, unit: float) -> None:
    """Write a text on `image` itself, from column `left` on, its letters on row `baseline`."""
    surface().text(image, text, left, baseline, rgb(colour), max(unit, 0.9))


def _pair(point: Any) -> tuple[float, float]:
    x, y = point
    return float(x), float(y)


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
