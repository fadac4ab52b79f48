"""Draws how people are assembled: connections in the order in which they were taken, and the bodies they make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.methods.simple_pose.decode import decode_simple_pose
from personlab.methods.simple_pose.stages import decode_steps
from personlab.visualize import marks
from personlab.visualize.close_up import beside, close_up, draw_number, table_panel
from personlab.visualize.labels import draw_label
from personlab.visualize.people import person_colours

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from personlab.methods.simple_pose.fields import SimplePoseFields
    from personlab.methods.simple_pose.options import SimplePoseOptions
    from personlab.methods.simple_pose.parts import BodyParts
    from personlab.methods.simple_pose.steps import Body, Connection, PeakArrays
    from personlab.poses import Poses
    from personlab.visualize.canvas import Image
    from personlab.visualize.close_up import Box

    Floats = NDArray[np.float64]

_BODY_COST = 4  # of a pixel below a label
_SAME = 0.01  # pixels of the image between a person's keypoint and its peak


@dataclass(frozen=True, eq=False)
class Assembly:
    """The steps of decoding an image, as drawings need them."""

    parts: BodyParts
    peaks: PeakArrays
    places: Floats  # (N, 2) x, y of the peaks, pixels of the image
    connections: Sequence[Connection]  # in the order in which they were taken
    bodies: Sequence[Body]  # that people are made of, best first
    people: Poses  # pixels of the image
    owners: NDArray[np.intp]  # for each connection, the body that has both ends; -1: none
    joins: NDArray[np.bool_]  # whether it brought a peak into that body; others lie inside it already


def explain_assembly(fields: SimplePoseFields, parts: BodyParts, options: SimplePoseOptions) -> Assembly:
    """Decode maps again, and return what was joined, in which order.

    Raises:
        TypeError, ValueError: as `decode_simple_pose`.
    """
    (maps, where), grid = fields.arguments, fields.grid
    steps = decode_steps(*maps, **where, parts=parts, options=options)
    people: Any = decode_simple_pose(*maps, **where, parts=parts, options=options)
    places = steps.peaks.positions
    if options.rules == "default":  # in cells
        factor = np.array(grid.size[::-1]) / np.maximum(grid.input_size[::-1], 1)
        places = ((places + 0.5) * grid.stride) * factor - 0.5
    bodies = _in_order(steps.bodies, people, places, parts)
    owners, joins = _replayed(steps.connections, bodies, len(places))
    return Assembly(parts, steps.peaks, places, steps.connections, bodies, people, owners, joins)


def _in_order(bodies: Sequence[Body], people: Poses, places: Floats, parts: BodyParts) -> list[Body]:
    """Return the body of each person: the one whose peaks lie at the person's keypoints."""
    peaks = np.array([[body.slots.get(k, (-1,))[0] for k in parts.keypoints] for body in bodies], np.intp)
    ordered = []
    for keypoints, scores in zip(people.keypoints, people.keypoint_scores, strict=True):
        own = peaks[:, scores > 0].reshape(len(bodies), -1)
        if not own.size:
            continue
        away = np.hypot(*np.moveaxis(places[own] - keypoints[scores > 0], -1, 0))
        away = np.where(own < 0, np.inf, away).max(axis=1)
        if away.min() <= _SAME + 1e-5 * float(np.abs(keypoints).max()):  # as far as float32 holds positions
            ordered.append(bodies[int(away.argmin())])
    return ordered


def _replayed(
    connections: Sequence[Connection], bodies: Sequence[Body], count: int
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Return the body of each connection, and whether it joined parts of that body that nothing had joined before."""
    owner = np.full(count, -1)
    for number, body in enumerate(bodies):
        for peak, _ in body.slots.values():
            owner[peak] = number
    group = np.arange(count)
    owners, joins = np.full(len(connections), -1), np.zeros(len(connections), bool)
    for n, one in enumerate(connections):
        if owner[one.a] == owner[one.b] and owner[one.a] >= 0:
            owners[n] = owner[one.a]
            joins[n] = group[one.a] != group[one.b]
            group[group == group[one.b]] = group[one.a]
    return owners, joins


def draw_order(image: Image, assembly: Assembly, scale: Any) -> Image:
    """Draw all connections, coloured by the order in which they were taken: the first yellow, the last violet.

    Connections whose ends did not come into one body, and peaks of no body, are grey.

    Args:
        image: (H, W, 3) uint8 RGB, not written to.
        assembly: of its maps.
        scale: (sx, sy) from pixels of the maps' image to those of `image`.
    """
    drawn, unit, places = marks.dim(image), marks.unit_of(image), assembly.places * scale
    if image.size == 0:
        return drawn
    count = len(assembly.connections)
    for owner, one in zip(assembly.owners, assembly.connections, strict=True):
        if owner < 0:
            marks.line(drawn, places[one.a], places[one.b], marks.GREY, 1, outline=0)
    for n in reversed(range(count)):
        one = assembly.connections[n]
        if assembly.owners[n] >= 0:
            colour = marks.scalar_colours(1 - n / max(count - 1, 1))
            width = max(1, round((1.6 if assembly.joins[n] else 0.6) * unit))
            marks.line(drawn, places[one.a], places[one.b], colour, width)
    inside = {peak for body in assembly.bodies for peak, _ in body.slots.values()}
    for n, place in enumerate(places):
        if n in inside:
            marks.disc(drawn, place, 2 * unit, marks.WHITE, ring=marks.BLACK)
        else:
            marks.disc(drawn, place, 1.6 * unit, marks.GREY, ring=marks.BLACK)
    lost = int((assembly.owners < 0).sum())
    text = f"{count} connections, from yellow to violet" + (f"; grey: {lost} in no body" if lost else "")
    marks.place_legend(drawn, marks.note(text, marks.legend_unit(image)), _busy(image, places))
    return drawn


def draw_bodies(image: Image, assembly: Assembly, scale: Any) -> Image:
    """Draw the body of each person with all connections inside it, those that joined it thick, and a label.

    Args:
        image: (H, W, 3) uint8 RGB, not written to.
        assembly: of its maps.
        scale: (sx, sy) from pixels of the maps' image to those of `image`.
    """
    drawn, unit, places = marks.dim(image), marks.unit_of(image), assembly.places * scale
    if image.size == 0:
        return drawn
    colours = person_colours(len(assembly.bodies))
    for thick in (False, True):
        for owner, joined, one in zip(assembly.owners, assembly.joins, assembly.connections, strict=True):
            if owner >= 0 and joined == thick:
                width = max(1, round((1.8 if thick else 0.6) * unit))
                marks.line(drawn, places[one.a], places[one.b], marks.rgb(colours[owner]), width)
    busy = (_busy(image, places) * _BODY_COST).astype(np.uint8)
    for body, colour in zip(assembly.bodies, colours, strict=True):
        for peak, _ in body.slots.values():
            marks.disc(drawn, places[peak], 2 * unit, marks.rgb(colour), ring=marks.BLACK)
    for number, (body, colour) in enumerate(zip(assembly.bodies, colours, strict=True), 1):
        points = places[[peak for peak, _ in body.slots.values()]]
        (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
        draw_label(drawn, f"{number}: {len(points)}", (x0, y0 - 2 * unit, x1, y1), colour, busy)
    note = marks.note("bodies: person, keypoints", marks.legend_unit(image))
    marks.place_legend(drawn, note, np.minimum(busy + _busy(image, places), 1))
    return drawn


def draw_body(image: Image, assembly: Assembly, number: int, scale: Any) -> Image:
    """Draw one body enlarged, beside a table of the connections that joined it, in the order of assembly.

    Connections are coloured by their scores; thin grey lines are those between keypoints joined already.

    Args:
        image: (H, W, 3) uint8 RGB, not written to.
        assembly: of its maps.
        number: of the body.
        scale: (sx, sy) from pixels of the maps' image to those of `image`.

    Returns:
        (H', W', 3) uint8 RGB, enlarged around the body, with the table on the right.
    """
    if image.size == 0:
        return image.copy()
    body, places = assembly.bodies[number], assembly.places * scale
    own = [peak for peak, _ in body.slots.values()]
    close, move = close_up(image, places[own])
    unit = max(0.85 * marks.unit_of(close), 1.1)
    inside = [(n, one) for n, one in enumerate(assembly.connections) if assembly.owners[n] == number]
    joining = [(n, one) for n, one in inside if assembly.joins[n]]
    places = move(places)
    for n, one in inside:
        if not assembly.joins[n]:
            marks.line(close, places[one.a], places[one.b], marks.GREY, 1, outline=0)
    colours = [marks.scalar_colours(one.score) for _, one in joining]
    for (_, one), colour in zip(joining, colours, strict=True):
        marks.line(close, places[one.a], places[one.b], colour, max(2, round(1.8 * unit)))
    occupied: list[Box] = []
    for peak in own:
        colour, radius = marks.scalar_colours(assembly.peaks.scores[peak]), 3.2 * unit
        marks.disc(close, places[peak], radius, colour, ring=marks.WHITE, width=max(1, round(unit)))
        x, y = places[peak]
        occupied.append((round(x - radius), round(y - radius), round(x + radius), round(y + radius)))
    for step, (_, one) in enumerate(joining, 1):
        draw_number(close, str(step), (places[one.a] + places[one.b]) / 2, occupied, unit)
    return beside(close, _panel(assembly, number, joining, len(inside), colours, unit))


def _panel(
    assembly: Assembly,
    number: int,
    joining: Sequence[tuple[int, Connection]],
    inside: int,
    colours: Sequence[Any],
    unit: float,
) -> Image:
    """Return the table beside a body: step, limb, place in the order of all connections, and score."""
    skeleton, body = assembly.parts.skeleton, assembly.bodies[number]
    heads = [
        f"person {number + 1}, score {assembly.people.scores[number]:.2f}",
        f"{len(body.slots)} keypoints, {len(joining)} of {inside} connections joined them",
    ]
    limbs = [" - ".join(skeleton.names[end] for end in skeleton.edges[one.limb]) for _, one in joining]
    rows = [
        [str(step), limb, str(n + 1), f"{one.score:.2f}"]
        for step, (limb, (n, one)) in enumerate(zip(limbs, joining, strict=True), 1)
    ]
    rows += [["-", name, "", ""] for k, name in enumerate(skeleton.names) if k not in body.slots]
    return table_panel(heads, ["#", "limb", "of all", "score"], rows, colours, [("joined already", marks.GREY)], unit)


def _busy(image: Image, places: Floats) -> NDArray[np.float32]:
    """Return where an image has marks, 0 or 1."""
    busy = np.zeros(image.shape[:2], np.float32)
    reach = round(12 * marks.unit_of(image))
    for x, y in places[np.isfinite(places).all(axis=1)].round().astype(int):
        busy[max(y - reach, 0) : max(y + reach, 0), max(x - reach, 0) : max(x + reach, 0)] = 1
    return busy
