"""Draws decoding over the image: the order of the seeds, and the growth of one pose."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from personlab.io.images import as_image
from personlab.visualize import marks
from personlab.visualize.close_up import beside, close_up, draw_number, table_panel
from personlab.visualize.labels import draw_label
from personlab.visualize.people import person_colours

if TYPE_CHECKING:
    from collections.abc import Sequence

    from personlab.methods.personlab.explain import Explanation
    from personlab.visualize.canvas import Image
    from personlab.visualize.close_up import Box


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
        draw_number(close, str(number), moved.keypoints[k], occupied, unit)
    return beside(close, _panel(moved, order, unit))


def _close_up(image: Image, explanation: Explanation) -> tuple[Image, Explanation]:
    """Return the dimmed and enlarged part of the image around a pose, and the explanation in its pixels."""
    points = np.concatenate([explanation.keypoints, *(step.path for step in explanation.steps)])
    close, move = close_up(image, points)
    steps = tuple(replace(step, start=move(step.start), path=move(step.path)) for step in explanation.steps)
    at = move(explanation.seed_position)
    return close, replace(explanation, steps=steps, keypoints=move(explanation.keypoints), seed_position=at)


def _panel(explanation: Explanation, order: Sequence[int], unit: float) -> Image:
    """Return the table beside an explanation: number, keypoint, probability p, score s; then the meaning of lines."""
    names = explanation.skeleton.names
    seeded = "" if explanation.order is None else f", seeded as number {explanation.order + 1}"
    heads = [
        f"{explanation.title}, score {explanation.score:.2f}{seeded}",
        f"seed: {names[explanation.seed]}, score {explanation.seed_score:.2f}",
    ]
    rows = [
        [str(n), names[k], f"{explanation.probabilities[k]:.2f}", f"{explanation.keypoint_scores[k]:.2f}"]
        for n, k in enumerate(order, 1)
    ]
    rows += [["-", name, "", ""] for k, name in enumerate(names) if k not in order]
    colours = [marks.scalar_colours(explanation.probabilities[k]) for k in order]
    key = [("mid-range offset", marks.WHITE), ("refinements", marks.PALETTE[0])]
    return table_panel(heads, ["#", "keypoint", "p", "s"], rows, colours, key, unit)
