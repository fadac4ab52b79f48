"""Seeded scenes of drawn people whose keypoints and masks are exact: to show, to test and to train with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from personlab._arrays import as_integer, as_size
from personlab.data.figure import Figure, Shape, make_figure
from personlab.skeleton import COCO_PERSON

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from personlab.fields import Fields

    Floats = NDArray[np.float64]

_PLACES = 30  # places tried for each person before the least hidden one is taken
_WANTED = 0.75  # share of a person's pixels that should be visible, and inside the picture


@dataclass(frozen=True, eq=False)
class Scene:
    """A picture of P people, nearest first, and what is true of them."""

    image: NDArray[np.uint8]  # (H, W, 3) RGB
    keypoints: NDArray[np.float32]  # (P, K, 3) x, y, v: 2 visible, 1 behind a nearer person, 0 (x = y = 0) outside
    masks: NDArray[np.bool_]  # (P, H, W) visible pixels of each person; no pixel is two people's


def make_scene(seed: int | Sequence[int], *, size: tuple[int, int] = (481, 641), people: int = 5) -> Scene:
    """Draw a scene; the same arguments give the same bytes.

    Args:
        seed: any non-negative integer, or a sequence of them such as (run, epoch, number).
        size: (H, W) of the picture, pixels.
        people: P, how many to draw. In a small crowded picture some may be hidden wholly, their masks empty.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: an argument out of range.
    """
    height, width = as_size(size, "size")
    people = as_integer(people, "people", 0, 1000)
    rng = np.random.default_rng(seed)
    figures, masks = _place(rng, height, width, people)
    image = _background(rng, height, width)
    for figure in reversed(figures):
        for shape in figure.shapes:
            _paint(image, shape, rng.uniform(0.0, 2 * np.pi))
    light = 1.0 + 0.15 * _smooth_noise(rng, height, width, cell=160)
    image = image * light[..., None] + rng.normal(0.0, rng.uniform(1.0, 5.0), image.shape)
    pixels = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    return Scene(pixels, _labelled(figures, masks, height, width), masks)


def add_noise(fields: Fields, *, seed: int, logit_noise: float = 1.0, offset_noise: float = 2.0) -> Fields:
    """Fields as a network less sure of itself would give them: Gaussian noise, alike in neighbouring cells.

    Args:
        fields: left as they are.
        seed: same seed, same noise.
        logit_noise: standard deviation on heatmaps and segmentation.
        offset_noise: standard deviation on short-range offsets, input pixels; twice that on mid-range and long-range
            ones, whose targets are farther.
    """
    rng = np.random.default_rng(seed)
    deviations = {
        "heatmaps": logit_noise,
        "short_offsets": offset_noise,
        "mid_offsets": 2 * offset_noise,
        "segmentation": logit_noise,
        "long_offsets": 2 * offset_noise,
    }
    noisy: dict[str, Any] = {}
    for name, deviation in deviations.items():
        field = getattr(fields, name)
        if field is not None:
            noise = rng.standard_normal(field.shape, np.float32)
            for axis in (-2, -1):  # the mean of 3 x 3 cells, times 3 to keep the deviation
                noise = (np.roll(noise, -1, axis) + noise + np.roll(noise, 1, axis)) / np.float32(np.sqrt(3))
            noisy[name] = field + np.float32(deviation) * noise
    return replace(fields, **noisy)


def _place(rng: np.random.Generator, height: int, width: int, people: int) -> tuple[list[Figure], NDArray[np.bool_]]:
    """People nearest first, each where enough of them can be seen, and their visible pixels (P, H, W)."""
    room = min(height, 1.4 * width / max(people, 1) ** 0.5)
    heights = np.sort(room * rng.uniform(0.5, 0.95, people))[::-1]
    masks = np.zeros((people, height, width), np.bool_)
    taken = np.zeros((height, width), np.bool_)
    figures = []
    for mask, tall in zip(masks, heights, strict=True):
        figure, best = make_figure(rng, float(tall)), -1.0
        area = max(_silhouette(figure.moved(np.array([tall, tall])), 2 * int(tall), 2 * int(tall)).sum(), 1)
        chosen = figure
        for _ in range(_PLACES):
            moved = figure.moved(np.array([rng.uniform(0.05, 0.95) * width, rng.uniform(0.4, 0.7) * height]))
            seen = _silhouette(moved, height, width) & ~taken
            share = seen.sum() / area
            if share > best:
                best, chosen, mask[:] = share, moved, seen
            if share >= _WANTED:
                break
        taken |= mask
        figures.append(chosen)
    return figures, masks


def _window(shape: Shape, height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of the picture that a shape can touch."""
    x0, y0, x1, y1 = shape.box
    rows = slice(min(max(int(y0), 0), height), min(max(int(y1) + 1, 0), height))
    return rows, slice(min(max(int(x0), 0), width), min(max(int(x1) + 1, 0), width))


def _grid(rows: slice, columns: slice) -> tuple[Floats, Floats]:
    """Of a window's pixels, x (1, w) and y (h, 1)."""
    x = np.arange(columns.start, columns.stop, dtype=np.float64)
    return x[None], np.arange(rows.start, rows.stop, dtype=np.float64)[:, None]


def _silhouette(figure: Figure, height: int, width: int) -> NDArray[np.bool_]:
    """(H, W): the pixels whose centre lies in one of a person's shapes."""
    mask = np.zeros((height, width), np.bool_)
    for shape in figure.shapes:
        window = _window(shape, height, width)
        mask[window] |= shape.distance(*_grid(*window)) <= 0
    return mask


def _paint(image: Floats, shape: Shape, phase: float) -> None:
    """Draw a shape on an (H, W, 3) image, blended over one pixel at its outline and darker towards it."""
    window = _window(shape, *image.shape[:2])
    x, y = _grid(*window)
    distance = shape.distance(x, y)
    thickness = max(*shape.radii, 1.0)
    shade = 0.6 + 0.4 * np.sqrt(np.clip(-distance / thickness, 0.0, 1.0))
    if shape.stripes:
        dx, dy = shape.corners[-1] - shape.corners[0]
        along = ((x - shape.corners[0, 0]) * dx + (y - shape.corners[0, 1]) * dy) / max(float(np.hypot(dx, dy)), 1e-9)
        shade = shade * (1.0 + shape.stripes * np.sin(along * 2.5 / thickness + phase))
    cover = np.clip(0.5 - distance, 0.0, 1.0)[..., None]
    image[window] += cover * (shape.colour * shade[..., None] - image[window])


def _smooth_noise(rng: np.random.Generator, height: int, width: int, cell: float) -> Floats:
    """(H, W) in -1..1: random values `cell` pixels apart, bilinear between them."""
    y, x = np.arange(height) / cell, np.arange(width) / cell
    values = rng.uniform(-1.0, 1.0, (int(height / cell) + 2, int(width / cell) + 2))
    i, j = y.astype(int), x.astype(int)
    rows = values[i] + (y - i)[:, None] * (values[i + 1] - values[i])
    noise: Floats = rows[:, j] + (x - j) * (rows[:, j + 1] - rows[:, j])
    return noise


def _background(rng: np.random.Generator, height: int, width: int) -> Floats:
    """(H, W, 3): a gradient, boxes and posts that are no people, and two scales of noise."""
    first, second = rng.uniform(40, 220, (2, 3))
    angle = rng.uniform(0.0, 2 * np.pi)
    x, y = _grid(slice(0, height), slice(0, width))
    mix = 0.5 + 0.7 * (np.cos(angle) * (x / max(width, 1) - 0.5) + np.sin(angle) * (y / max(height, 1) - 0.5))
    image: Floats = first + mix[..., None] * (second - first)
    for _ in range(int(rng.integers(6, 16))):
        centre, half = rng.uniform(0, 1, 2) * (width, height), rng.uniform(0.02, 0.15, 2) * min(height, width)
        corners = centre + half * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
        if rng.random() < 0.4:
            corners = np.stack([centre, centre + rng.uniform(-0.5, 0.5, 2) * min(height, width)])
        colour = rng.uniform(20, 235, 3)
        _paint(image, Shape(corners, (float(half.min()) / 3,) * 2, colour, rng.uniform(0.0, 0.3)), rng.uniform(0, 6))
    for cell, contrast in ((48, 18.0), (5, 10.0)):
        image += contrast * _smooth_noise(rng, height, width, cell)[..., None] * rng.uniform(0.5, 1.0, 3)
    return image


def _labelled(figures: list[Figure], masks: NDArray[np.bool_], height: int, width: int) -> NDArray[np.float32]:
    """(P, K, 3): the people's keypoints with their visibility."""
    keypoints = np.zeros((len(figures), COCO_PERSON.n_keypoints, 3), np.float32)
    nearer = np.zeros((height, width), np.bool_)
    for person, figure, mask in zip(keypoints, figures, masks, strict=True):
        x, y = figure.keypoints.astype(np.float32).T
        inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
        column, row = np.rint(x[inside]).astype(int), np.rint(y[inside]).astype(int)
        person[inside] = np.stack([x[inside], y[inside], np.where(nearer[row, column], 1, 2)], axis=1)
        nearer |= mask
    return keypoints
