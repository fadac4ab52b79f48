"""Seeded scenes of drawn people with exact keypoints and masks, for demonstrations, tests and training."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from personlab.arrays.numbers import as_integer, as_size
from personlab.data.synthetic.figure import Shape, make_figure
from personlab.skeleton import COCO_PERSON

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Pixels = NDArray[np.floating[Any]]

_MAX_PEOPLE = 1000  # in one scene
_MAX_PLACES = 30  # tried for each person; the least hidden one is used
_MIN_VISIBLE = 0.75  # share of a person's pixels, visible and inside the image, that ends the search
# 256 quantiles of the normal distribution: picking one by a random byte is five times as fast as a draw
_NORMAL = np.array([NormalDist().inv_cdf((i + 0.5) / 256) for i in range(256)], np.float32)


@dataclass(frozen=True, eq=False)
class Scene:
    """An image of P people, nearest first, with exact annotations."""

    image: NDArray[np.uint8]  # (H, W, 3) RGB
    keypoints: NDArray[np.float32]  # (P, K, 3) x, y, v: 2 visible, 1 behind a nearer person, 0 (x = y = 0) outside
    masks: NDArray[np.bool_]  # (P, H, W) visible pixels of each person; masks are disjoint


def make_scene(seed: int | Sequence[int], *, size: tuple[int, int] = (481, 641), people: int = 5) -> Scene:
    """Draw a scene; equal arguments give equal bytes.

    Args:
        seed: a non-negative integer, or a sequence of them such as (run, epoch, number).
        size: (H, W) of the image, pixels.
        people: P, the number of people. In a small crowded image some may be hidden: their masks are empty.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: an argument out of range.
    """
    height, width = as_size(size, "size")
    people = as_integer(people, "people", 0, _MAX_PEOPLE)
    rng = np.random.default_rng(seed)
    placed, masks = _place(rng, height, width, people)
    image = draw_background(rng, height, width)
    for person in reversed(placed):
        for trace in person.traces:
            paint(image, trace, rng.uniform(0.0, 2 * np.pi), person.shift)
    image *= 1.0 + 0.15 * _smooth_noise(rng, height, width, cell=160)
    grain = _NORMAL * np.float32(rng.uniform(1.0, 5.0))
    image += np.take(grain, rng.integers(0, len(grain), image.shape, np.uint8))
    colours = np.clip(np.rint(image, out=image), 0, 255, out=image).astype(np.uint8)
    pixels = np.empty((height, width, 3), np.uint8)
    for channel, colour in enumerate(colours):
        pixels[..., channel] = colour
    return Scene(pixels, _label(placed, masks, height, width), masks)


def numbered_scene(seed: int, number: int, *, size: tuple[int, int], people: tuple[int, int]) -> Scene:
    """Draw scene `number` of an endless series, as `personlab scenes` writes and training draws it.

    Args:
        seed: of the series, non-negative.
        number: of the scene, non-negative.
        size: (H, W) of the image, pixels.
        people: (min, max) number of people, inclusive.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: an argument out of range.
    """
    key = (as_integer(seed, "seed", 0), as_integer(number, "number", 0))
    low, high = as_size(people, "people", "(min, max)")
    if not low <= high <= _MAX_PEOPLE:
        raise ValueError(f"people: expected (min, max) up to {_MAX_PEOPLE}, got {(low, high)}")
    # The 1 makes this stream another than the scene's; a 0 would not, as trailing zeros do not change a seed.
    count = np.random.default_rng((*key, 1)).integers(low, high, endpoint=True)
    return make_scene(key, size=size, people=int(count))


class _Trace(NamedTuple):
    """A shape and the pixels that it can touch."""

    shape: Shape
    left: int  # column of the first pixel, in the shape's own coordinates
    top: int  # row of the first pixel
    distance: Pixels  # (h, w) from the pixels' centres to the outline, pixels, negative inside

    def window(self, shift: tuple[int, int], height: int, width: int) -> tuple[slice, slice]:
        """Return the rows and columns of an H x W image that the shape touches, moved by `shift` (x, y) pixels."""
        (h, w), (x, y) = self.distance.shape, shift
        return clip(self.top + y, h, height), clip(self.left + x, w, width)


class _Placed(NamedTuple):
    """A person at a place in the image."""

    keypoints: NDArray[np.float64]  # (K, 2) x, y in pixels of the image
    traces: list[_Trace]  # of the person's shapes, farthest first
    shift: tuple[int, int]  # (x, y) from the traces to the image, whole pixels: distances stay valid


def clip(start: int, length: int, limit: int) -> slice:
    """Return the part of `length` pixels from `start` that lies in 0..limit."""
    return slice(min(max(start, 0), limit), min(max(start + length, 0), limit))


def _shift(pixels: slice, shift: int) -> slice:
    return slice(pixels.start + shift, pixels.stop + shift)


def trace_shape(shape: Shape) -> _Trace:
    """Return a shape with the distances of the pixels around it."""
    left, top, right, bottom = (math.floor(edge) for edge in shape.box)
    x = np.arange(left, right + 1, dtype=np.float32)
    y = np.arange(top, bottom + 1, dtype=np.float32)[:, None]
    return _Trace(shape, left, top, shape.distance(x, y))


def silhouette(traces: list[_Trace]) -> tuple[NDArray[np.bool_], int, int]:
    """Return the mask (h, w) of a person's shapes, and the column and row of its first pixel."""
    left, top = min(trace.left for trace in traces), min(trace.top for trace in traces)
    right = max(trace.left + trace.distance.shape[1] for trace in traces)
    bottom = max(trace.top + trace.distance.shape[0] for trace in traces)
    mask = np.zeros((bottom - top, right - left), np.bool_)
    for trace in traces:
        mask[trace.window((-left, -top), *mask.shape)] |= trace.distance <= 0
    return mask, left, top


def _place(rng: np.random.Generator, height: int, width: int, people: int) -> tuple[list[_Placed], NDArray[np.bool_]]:
    """Place people, nearest first, where enough of each is visible; return them and their visible pixels (P, H, W)."""
    room = min(height, 1.4 * width / max(people, 1) ** 0.5)
    heights = np.sort(room * rng.uniform(0.5, 0.95, people))[::-1]
    masks = np.zeros((people, height, width), np.bool_)
    free = np.ones((height, width), np.bool_)
    placed = []
    for mask, tall in zip(masks, heights.tolist(), strict=True):
        figure = make_figure(rng, tall)
        x, y = _draw_place(rng, height, width)
        figure = figure.moved(np.array([x % 1, y % 1]))  # places to try differ by whole pixels
        traces = [trace_shape(shape) for shape in figure.shapes]
        body, left, top = silhouette(traces)
        area, best, shift = max(int(np.count_nonzero(body)), 1), -1, (0, 0)
        for _ in range(_MAX_PLACES):
            column, row = left + math.floor(x), top + math.floor(y)
            rows, columns = clip(row, body.shape[0], height), clip(column, body.shape[1], width)
            shown = body[_shift(rows, -row), _shift(columns, -column)] & free[rows, columns]
            visible = int(np.count_nonzero(shown))
            if visible > best:
                best, shift = visible, (math.floor(x), math.floor(y))
                mask[:] = False
                mask[rows, columns] = shown
            if visible >= _MIN_VISIBLE * area:
                break
            x, y = _draw_place(rng, height, width)
        free &= ~mask
        placed.append(_Placed(figure.keypoints + shift, traces, shift))
    return placed, masks


def _draw_place(rng: np.random.Generator, height: int, width: int) -> tuple[float, float]:
    """Draw a place (x, y) for a person's pelvis, pixels."""
    return rng.uniform(0.05, 0.95) * width, rng.uniform(0.4, 0.7) * height


def paint(image: Pixels, trace: _Trace, phase: float, shift: tuple[int, int] = (0, 0)) -> None:
    """Draw a shape on a (3, H, W) image, blended over one pixel at its outline and darker towards it."""
    shape, left, top, whole = trace
    rows, columns = trace.window(shift, *image.shape[1:])
    own_rows, own_columns = _shift(rows, -shift[1]), _shift(columns, -shift[0])
    distance = whole[_shift(own_rows, -top), _shift(own_columns, -left)]
    thickness = max(*shape.radii, 1.0)
    shade = distance * (-1.0 / thickness)
    np.sqrt(np.clip(shade, 0.0, 1.0, out=shade), out=shade)
    shade *= 0.4
    shade += 0.6
    if shape.stripes:
        (x0, y0), (x1, y1) = shape.corners[0].tolist(), shape.corners[-1].tolist()
        pitch = 2.5 / thickness / max(math.hypot(x1 - x0, y1 - y0), 1e-9)  # radians a pixel, per pixel from end to end
        x = np.arange(own_columns.start, own_columns.stop, dtype=np.float32) - x0
        y = np.arange(own_rows.start, own_rows.stop, dtype=np.float32)[:, None] - y0
        wave = x * (pitch * (x1 - x0)) + (y * (pitch * (y1 - y0)) + phase)
        np.sin(wave, out=wave)
        wave *= shape.stripes
        wave += 1.0
        shade *= wave
    cover = np.subtract(0.5, distance)
    shade *= np.clip(cover, 0.0, 1.0, out=cover)
    block = image[:, rows, columns]
    block *= np.subtract(1.0, cover, out=cover)
    block += shape.colour.astype(np.float32)[:, None, None] * shade


def _smooth_noise(rng: np.random.Generator, height: int, width: int, cell: int) -> Pixels:
    """Return noise (H, W) in -1..1: random values `cell` pixels apart, interpolated bilinearly."""
    values = rng.uniform(-1.0, 1.0, (height // cell + 2, width // cell + 2)).astype(np.float32)
    rows = np.ascontiguousarray(_spread(values.T, cell, width).T)
    return _spread(rows, cell, height)


def _spread(values: Pixels, cell: int, length: int) -> Pixels:
    """Interpolate (M, N) to (length, N), linearly between values `cell` apart along the first axis."""
    between = np.arange(cell, dtype=np.float32)[:, None] / cell
    spread = values[:-1, None] + between * np.diff(values, axis=0)[:, None]  # (M - 1, cell, N)
    return spread.reshape(-1, values.shape[1])[:length]


def draw_background(rng: np.random.Generator, height: int, width: int) -> Pixels:
    """Draw a background (3, H, W): a gradient, boxes and posts as distractors, and noise of two scales."""
    first, second = rng.uniform(40, 220, (2, 3))
    angle = rng.uniform(0.0, 2 * np.pi)
    across = 0.5 + 0.7 * np.cos(angle) * (np.arange(width) / max(width, 1) - 0.5)
    down = 0.7 * np.sin(angle) * (np.arange(height) / max(height, 1) - 0.5)
    start, change = first[:, None], (second - first)[:, None]
    image: Pixels = np.add(
        (start + change * across).astype(np.float32)[:, None], (change * down).astype(np.float32)[:, :, None]
    )
    for _ in range(int(rng.integers(6, 16))):
        centre, half = rng.uniform(0, 1, 2) * (width, height), rng.uniform(0.02, 0.15, 2) * min(height, width)
        corners = centre + half * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
        if rng.random() < 0.4:
            corners = np.stack([centre, centre + rng.uniform(-0.5, 0.5, 2) * min(height, width)])
        colour = rng.uniform(20, 235, 3)
        shape = Shape(corners, (float(half.min()) / 3,) * 2, colour, rng.uniform(0.0, 0.3))
        paint(image, trace_shape(shape), rng.uniform(0, 6))
    for cell, contrast in ((48, 18.0), (5, 10.0)):
        noise = _smooth_noise(rng, height, width, cell)
        image += noise * (contrast * rng.uniform(0.5, 1.0, 3)).astype(np.float32)[:, None, None]
    return image


def _label(placed: list[_Placed], masks: NDArray[np.bool_], height: int, width: int) -> NDArray[np.float32]:
    """Return keypoints (P, K, 3) with their visibility."""
    keypoints = np.zeros((len(placed), COCO_PERSON.n_keypoints, 3), np.float32)
    nearer = np.zeros((height, width), np.bool_)
    for labels, person, mask in zip(keypoints, placed, masks, strict=True):
        x, y = person.keypoints.astype(np.float32).T
        inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
        column, row = np.rint(x[inside]).astype(int), np.rint(y[inside]).astype(int)
        labels[inside] = np.stack([x[inside], y[inside], np.where(nearer[row, column], 1, 2)], axis=1)
        nearer |= mask
    return keypoints
