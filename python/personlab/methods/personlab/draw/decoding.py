"""Draws decoding over the image: the order of the seeds, and the growth of one pose."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.io.images import as_image
from personlab.io.imaging import fit
from personlab.visualize import marks
from personlab.visualize.labels import draw_label
from personlab.visualize.people import person_colours

if TYPE_CHECKING:
    from collections.abc import Sequence

    from personlab.methods.personlab.explain import Explanation
    from personlab.visualize.canvas import Image

    Box = tuple[int, int, int, int]  # x0, y0, x1, y1, the last two exclusive

_MIN_SIDE = 480  # pixels of an explanation's longer side, for readable letters


def draw_order(image: Image, explanations: Sequence[Explanation]) -> Image:
    """Draw the seeds of the poses, numbered in the order of decoding, with thin lines for the poses.

    Seeds of poses that were dropped for a low score or as duplicates are grey.

    Args:
        image: (H, W, 3) uint8 RGB, not written to.
        explanations: as `explain_poses` returns them, scaled to pixels of `image`.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: an argument of the wrong shape.
    """
    image = as_image(image)
    drawn, unit = marks.dim(image), marks.unit_of(image)
    if image.size == 0:
        return drawn
    colours = person_colours(1 + max((e.rank for e in explanations if e.rank is not None), default=0))
    last_first = sorted(explanations, key=lambda e: (e.rank is not None, -(e.order or 0)))
    coloured = [(e, marks.GREY if e.rank is None else marks.rgb(colours[e.rank])) for e in last_first]
    for explained, colour in coloured:
        if explained.rank is None:
            continue
        for step in explained.steps:
            marks.line(drawn, step.start, step.path[-1], colour, max(1, round(0.8 * unit)))
    for explained, colour in coloured:
        radius = (2.5 if explained.rank is None else 4.0) * unit
        marks.disc(drawn, explained.seed_position, radius, colour, ring=marks.BLACK, width=max(1, round(0.5 * unit)))
    busy = np.zeros(image.shape[:2], np.uint8)
    for explained, colour in reversed(coloured):
        if explained.rank is not None:
            x, y = explained.seed_position.tolist()
            around = (x, y - 4 * unit, x, y + 4 * unit)
            draw_label(drawn, str((explained.order or 0) + 1), around, colour, busy)
    dropped = sum(explained.rank is None for explained in explanations)
    text = f"order of the seeds; grey: {dropped} dropped" if dropped else "order of the seeds"
    marks.place_legend(drawn, marks.note(text, marks.legend_unit(image)), np.minimum(busy, 1))
    return drawn


def draw_explanation(image: Image, explanation: Explanation) -> Image:
    """Draw one pose enlarged, its keypoints numbered in the order of decoding, beside a table of them.

    A white line leads from each keypoint along the mid-range offset; orange dots from its end are the refinements.
    Keypoints are coloured by their probability.

    Args:
        image: (H, W, 3) uint8 RGB, not written to.
        explanation: scaled to pixels of `image`.

    Returns:
        (H', W', 3) uint8 RGB, enlarged around the pose, with the table on the right.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: an argument of the wrong shape.
    """
    image = as_image(image)
    if image.size == 0:
        return image.copy()
    close, moved = _close_up(image, explanation)
    unit = max(0.85 * marks.unit_of(close), 1.1)
    for step in moved.steps:
        marks.line(close, step.start, step.path[0], marks.WHITE, max(1, round(0.8 * unit)))
    for step in moved.steps:
        for before, after in zip(step.path[:-1], step.path[1:], strict=True):
            marks.line(close, before, after, marks.PALETTE[0], max(1, round(unit)))
        for point in step.path[:-1]:
            marks.disc(close, point, 1.4 * unit, marks.PALETTE[0], ring=marks.BLACK)
    order = [moved.seed, *(step.target for step in moved.steps)]
    occupied: list[Box] = []
    for k in order:
        colour = marks.scalar_colours(moved.probabilities[k])
        radius = (5.0 if k == moved.seed else 3.2) * unit
        marks.disc(close, moved.keypoints[k], radius, colour, ring=marks.WHITE, width=max(1, round(unit)))
        x, y = moved.keypoints[k]
        occupied.append((round(x - radius), round(y - radius), round(x + radius), round(y + radius)))
    for number, k in enumerate(order, 1):
        _number(close, str(number), moved.keypoints[k], occupied, unit)
    panel = _panel(moved, order, unit)
    tall = max(close.shape[0], panel.shape[0])
    parts = [np.pad(part, ((0, tall - part.shape[0]), (0, 0), (0, 0))) for part in (close, panel)]
    return np.concatenate(parts, axis=1)


def _close_up(image: Image, explanation: Explanation) -> tuple[Image, Explanation]:
    """Return the dimmed and enlarged part of the image around a pose, and the explanation in its pixels."""
    points = np.concatenate([explanation.keypoints, *(step.path for step in explanation.steps)])
    height, width = image.shape[:2]
    margin = 0.12 * float(np.ptp(points, axis=0).max()) + 8 * marks.unit_of(image)
    corner = np.array([width - 1, height - 1])
    x0, y0 = np.floor(np.clip(points.min(axis=0) - margin, 0, corner)).astype(int)
    x1, y1 = np.ceil(np.clip(points.max(axis=0) + margin, 0, corner)).astype(int) + 1
    part = marks.dim(image[y0:y1, x0:x1])
    longer = max(x1 - x0, y1 - y0)
    factor = max(max(height, width, _MIN_SIDE) / longer, 1.0)
    size = (max(1, round((x1 - x0) * factor)), max(1, round((y1 - y0) * factor)))
    return fit(part, size), _move(explanation, np.array([x0, y0]), factor)


def _move(explanation: Explanation, corner: Any, factor: float) -> Explanation:
    """Convert an explanation to pixels of the part of the image at `corner`, enlarged by `factor`."""

    def move(points: Any) -> Any:
        return (points - corner + 0.5) * factor - 0.5  # resizing maps borders of pixels, not centres

    steps = tuple(replace(step, start=move(step.start), path=move(step.path)) for step in explanation.steps)
    at = move(explanation.seed_position)
    return replace(explanation, steps=steps, keypoints=move(explanation.keypoints), seed_position=at)


def _number(image: Image, text: str, point: Any, occupied: list[Box], unit: float) -> None:
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


def _panel(explanation: Explanation, order: Sequence[int], unit: float) -> Image:
    """Return the table beside an explanation: number, keypoint, probability p, score s; then the meaning of lines."""
    names, gap, swatch = explanation.skeleton.names, round(7 * unit), round(8 * unit)
    seeded = "" if explanation.order is None else f", seeded as number {explanation.order + 1}"
    heads = [
        f"{explanation.title}, score {explanation.score:.2f}{seeded}",
        f"seed: {names[explanation.seed]}, score {explanation.seed_score:.2f}",
    ]
    rows = [["#", "keypoint", "p", "s"]]
    for n, k in enumerate(order, 1):
        rows.append([str(n), names[k], f"{explanation.probabilities[k]:.2f}", f"{explanation.keypoint_scores[k]:.2f}"])
    rows += [["-", name, "", ""] for k, name in enumerate(names) if k not in order]
    widths = [max(marks.text_size(row[c], unit)[0] for row in rows) for c in range(4)]
    lefts = [gap + sum(widths[:c]) + c * gap for c in range(5)]
    _, tall, below = marks.text_size("Ag", unit)
    pitch = tall + below + max(2, round(3 * unit))
    key = [("mid-range offset", marks.WHITE), ("refinements", marks.PALETTE[0])]
    wide = max(lefts[4] + swatch, *(gap + marks.text_size(text, unit)[0] for text in heads)) + gap
    panel = np.zeros((pitch * (len(rows) + len(key) + 4) + gap, wide, 3), np.uint8)

    def write(text: str, left: int, row: float, ink: Any = marks.WHITE) -> int:
        baseline = gap + round(row * pitch) + tall
        marks.write_text(panel, text, left, baseline, ink, unit)
        return baseline

    for n, text in enumerate(heads):
        write(text, gap, n)
    for n, row in enumerate(rows):
        ink = marks.GREY if n == 0 or not row[2] else marks.WHITE
        for c, text in enumerate(row):
            left = lefts[c] + (0 if c == 1 else widths[c] - marks.text_size(text, unit)[0])
            baseline = write(text, left, n + 2.5, ink)
        if 0 < n <= len(order):
            colour = marks.scalar_colours(explanation.probabilities[order[n - 1]])
            panel[baseline - tall : baseline, lefts[4] : lefts[4] + swatch] = colour
    for n, (text, shade) in enumerate(key):
        y = write(text, 2 * gap + swatch, len(rows) + n + 3) - tall / 2
        marks.line(panel, (gap, y), (gap + swatch, y), shade, max(1, round(unit)))
    return panel
