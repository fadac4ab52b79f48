"""Draws people over an image: poses and masks, one colour and number for each person."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.arrays.host import to_numpy
from personlab.arrays.shapes import check_shape
from personlab.io.images import as_image
from personlab.skeleton import COCO_PERSON, Skeleton
from personlab.visualize import marks
from personlab.visualize.labels import draw_label

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from personlab.poses import Poses
    from personlab.visualize.canvas import Image

    Masks = NDArray[np.bool_]  # (P, H, W)
    Flags = NDArray[np.bool_]

_SHADES = ((0, 0.0), (255, 0.5), (0, 0.4), (255, 0.75), (0, 0.65))  # target grey level, share of it
_SURE = 0.5  # min probability of a filled keypoint
_MIN_PROBABILITY = 0.2  # keypoints of lower probability are mostly wrong: they lie on tables and on neighbours
_SIDES = {"left": (255, 0.45), "right": (0, 0.3)}  # shades of a person's colour: target grey level, share
_FACE = re.compile(r"(?:^|[^a-z])(?:nose|eye|ear|mouth|head|face)(?:[^a-z]|$)", re.IGNORECASE)
_BODY_COST, _HEAD_COST = 1, 8  # of a pixel below a label
_NO_TRACK = (150, 150, 150)  # colour of people without an id


def _shade(colour: Any, target: int, share: float) -> list[int]:
    return [round(int(c) + (target - int(c)) * share) for c in colour]


def person_colours(count: int) -> Image:
    """Return a colour for each person, (count, 3) uint8 RGB: 35 different ones, repeated."""
    colours = [_shade(colour, *shade) for shade in _SHADES for colour in marks.PALETTE]  # each shade in turn
    return np.array([colours[j % len(colours)] for j in range(count)], np.uint8).reshape(count, 3)


def track_colours(track_ids: Any) -> Image:
    """Return the colour of each id, (count, 3) uint8 RGB, as of person 1, 2 .. in `person_colours`; grey below 1.

    Raises:
        TypeError: no integers.
        ValueError: no list of them.
    """
    ids = to_numpy(track_ids, "track_ids")
    if ids.dtype.kind not in "iu" and ids.size:
        raise TypeError(f"track_ids: expected integers, got {ids.dtype}")
    check_shape(ids, "track_ids", (None,), "(P,)")
    palette = person_colours(len(_SHADES) * len(marks.PALETTE))
    colours = palette[(ids.astype(np.int64) - 1) % len(palette)].reshape(-1, 3)
    colours[ids < 1] = _NO_TRACK
    return colours


def _colours(count: int, track_ids: Any) -> Image:
    """Return the colours of people by their ids, or by their places without."""
    if track_ids is None:
        return person_colours(count)
    colours = track_colours(track_ids)
    check_shape(colours, "track_ids", (count, 3), "(P, 3)")
    return colours


def draw_masks(image: Image, masks: Masks, *, opacity: float = 0.4, track_ids: Any = None) -> Image:
    """Fill each person's mask with a translucent colour and draw its outline.

    A pixel of several people has the colour of the best of them; all outlines are drawn.

    Args:
        image: (H, W, 3) uint8 RGB, not written to.
        masks: (P, H, W) bool, best first as `decode_masks` gives them.
        opacity: share of the colour in the fill, 0 to 1.
        track_ids: (P,) identities, by which people have their colours; -1 for none.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: an argument of the wrong shape.
    """
    image, masks = as_image(image).copy(), to_numpy(masks, "masks")
    if masks.dtype != np.bool_:
        raise TypeError(f"masks: expected bool, got {masks.dtype}")
    check_shape(masks, "masks", (None, *image.shape[:2]), "(P, H, W)")
    line = max(1, round(1.3 * marks.unit_of(image)))
    if image.size == 0:
        return image
    free = np.ones(image.shape[:2], np.bool_)
    colours = _colours(len(masks), track_ids)
    for mask, colour in zip(masks, colours, strict=True):
        _tint(image, mask & free, colour, opacity)
        free &= ~mask
    for mask, colour in reversed(list(zip(masks, colours, strict=True))):
        marks.outline(image, mask, colour, line)
    return image


def _tint(image: Image, mask: Flags, colour: Any, opacity: float) -> None:
    """Blend a colour over the pixels of a mask on `image` itself."""
    rows = np.flatnonzero(mask.any(axis=1))
    if len(rows):
        part, inside = image[rows[0] : rows[-1] + 1], mask[rows[0] : rows[-1] + 1]
        levels = np.arange(256)[:, None] * (1 - opacity) + colour * np.float32(opacity)
        blended = np.rint(levels).astype(np.uint8)  # (256, 3): what each level of each channel becomes
        for channel in range(3):
            np.copyto(part[..., channel], blended[:, channel][part[..., channel]], where=inside)


def draw_poses(
    image: Image,
    poses: Poses,
    *,
    skeleton: Skeleton = COCO_PERSON,
    min_probability: float = _MIN_PROBABILITY,
    labels: bool = True,
    track_ids: Any = None,
) -> Image:
    """Draw each person's keypoints, the edges between them, and a label with the person's number and score.

    Keypoints of probability 0.5 and more are filled; less sure ones are white inside and their edges thin. The left
    side is a lighter shade of the person's colour and the right side a darker one. Marks shrink where keypoints lie
    close together, as on a face.

    Args:
        image: (H, W, 3) uint8 RGB, not written to.
        poses: P poses in pixels of `image`, best first; keypoints that are not finite are not drawn.
        skeleton: the keypoints and edges of the poses.
        min_probability: of keypoints and edges that are drawn.
        labels: whether to draw number and score of each person.
        track_ids: (P,) identities, as `Tracker` gives them: people have the colour and the number of their id, and
            those of -1 are grey, without a number.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: an argument of the wrong shape.
    """
    return _draw(as_image(image).copy(), poses, None, skeleton, min_probability, labels=labels, track_ids=track_ids)


def overlay(
    image: Image,
    poses: Poses,
    masks: Masks | None = None,
    *,
    skeleton: Skeleton = COCO_PERSON,
    min_probability: float = _MIN_PROBABILITY,
    track_ids: Any = None,
) -> Image:
    """Draw masks, unless None, and poses over the image; arguments and errors as in `draw_masks` and `draw_poses`."""
    if masks is not None and len(masks) != len(poses):
        raise ValueError(f"masks: expected one for each of {len(poses)} poses, got {len(masks)}")
    image = as_image(image).copy() if masks is None else draw_masks(image, masks, track_ids=track_ids)
    return _draw(image, poses, masks, skeleton, min_probability, labels=True, track_ids=track_ids)


def _draw(
    image: Image,
    poses: Poses,
    masks: Masks | None,
    skeleton: Skeleton,
    min_probability: float,
    *,
    labels: bool,
    track_ids: Any,
) -> Image:
    """Draw poses on `image` itself, labels last."""
    check_shape(poses.keypoints, "poses.keypoints", (None, skeleton.n_keypoints, 2), "(P, K, 2)")
    if image.size == 0:
        return image
    colours = _colours(len(poses), track_ids)
    shown = np.isfinite(poses.keypoints).all(axis=2) & (poses.keypoint_probabilities >= min_probability)
    for j in reversed(range(len(poses))):
        _draw_person(image, poses.keypoints[j], poses.keypoint_probabilities[j], shown[j], colours[j], skeleton)
    if labels:
        numbers = np.arange(len(poses)) + 1 if track_ids is None else to_numpy(track_ids, "track_ids")
        texts = [
            f"{number}: {score:.2f}" if number > 0 else f"{score:.2f}"
            for number, score in zip(numbers.tolist(), poses.scores.tolist(), strict=True)
        ]
        _draw_labels(image, poses, shown, masks, skeleton, list(zip(texts, colours, strict=True)))
    return image


def _draw_person(image: Image, points: Any, probabilities: Any, shown: Flags, colour: Any, skeleton: Skeleton) -> None:
    """Draw one pose on `image` itself; marks scale with the image and the distances between keypoints."""
    unit = marks.unit_of(image)
    sides = [_side(skeleton, k) for k in range(skeleton.n_keypoints)]
    edges = [(a, b) for a, b in skeleton.edges if shown[a] and shown[b]]
    near = np.full(len(points), np.inf)  # distance to the nearest keypoint along an edge, pixels
    for a, b in edges:
        length = float(np.hypot(*(points[a].astype(np.float64) - points[b])))
        near[[a, b]] = np.minimum(near[[a, b]], length)
    units = np.clip(near / 16, 0.35 * unit, unit)  # at each keypoint
    for a, b in edges:
        side = sides[a] if sides[a] == sides[b] else (sides[a] or sides[b]) if not (sides[a] and sides[b]) else ""
        sure = min(probabilities[a], probabilities[b]) >= _SURE
        local = min(units[a], units[b])
        width = max(1, round(2.2 * local)) if sure else 1
        marks.line(image, points[a], points[b], _shade_of_side(colour, side), width, outline=round(local))
    for k in np.flatnonzero(shown):
        local, own = units[k], _shade_of_side(colour, sides[k])
        if probabilities[k] >= _SURE:
            ring, width = marks.darken(own), max(1, round(0.6 * local))
            marks.disc(image, points[k], max(2.4 * local, 1.2), own, ring=ring, width=width)
        else:
            marks.disc(image, points[k], max(2.4 * local, 1.2), marks.WHITE, ring=own, width=max(1, round(local)))


def _side(skeleton: Skeleton, k: int) -> str:
    """Return left, right, or an empty text for a keypoint without partner on the other side."""
    partner = skeleton.flip[k]
    if partner == k:
        return ""
    name = skeleton.names[k].lower()
    if ("left" in name) != ("right" in name):
        return "left" if "left" in name else "right"
    return "left" if k < partner else "right"


def _shade_of_side(colour: Any, side: str) -> Any:
    return _shade(colour, *_SIDES[side]) if side else colour


def _draw_labels(
    image: Image, poses: Poses, shown: Flags, masks: Masks | None, skeleton: Skeleton, labels: list[tuple[str, Any]]
) -> None:
    """Draw the label of each person, text and colour, on `image` itself, above mask or keypoints, not on heads."""
    busy = np.zeros(image.shape[:2], np.uint8)
    if masks is not None and len(masks):
        busy[np.logical_or.reduce(masks)] = _BODY_COST
    face = np.array([_FACE.search(name.replace("_", " ")) is not None for name in skeleton.names])
    for points, on_face in zip(poses.keypoints, shown & face, strict=True):
        if on_face.any():
            _cover(busy, points[on_face], _HEAD_COST)
    for j, (text, colour) in enumerate(labels):
        box = None if masks is None else _mask_box(masks[j])
        points = poses.keypoints[j][shown[j]]
        if box is None and len(points):
            low, high = points.min(axis=0), points.max(axis=0)
            forehead = 0.1 * float(high[1] - low[1])
            box = (float(low[0]), float(low[1]) - forehead, float(high[0]), float(high[1]))
        if box is not None:
            draw_label(image, text, box, colour, busy)


def _cover(busy: Any, points: Any, cost: int) -> None:
    """Write the cost of a head into `busy`: a square around these keypoints."""
    low, high = points.min(axis=0), points.max(axis=0)
    radius = max(float((high - low).max()) * 0.9, 3 * marks.unit_of(busy[..., None]))
    x, y = (low + high) / 2
    top, left, bottom, right = (
        int(np.clip(value, 0, limit))
        for value, limit in zip(
            (y - radius, x - radius, y + radius, x + radius), (*busy.shape, *busy.shape), strict=True
        )
    )
    busy[top:bottom, left:right] = cost


def _mask_box(mask: Flags) -> tuple[float, float, float, float] | None:
    """Return (x0, y0, x1, y1) of the longest piece of a mask, pieces being apart in rows or columns; None if empty."""
    if not mask.any():
        return None
    rows = _longest_run(mask.any(axis=1))
    columns = _longest_run(mask[rows].any(axis=0))
    rows = _longest_run(mask[:, columns].any(axis=1))
    return columns.start, rows.start, columns.stop, rows.stop


def _longest_run(flags: Any) -> slice:
    """Return the longest run of flags that are set."""
    starts, stops = np.flatnonzero(np.diff(np.pad(flags, 1).view(np.int8))).reshape(-1, 2).T
    longest = int(np.argmax(stops - starts))
    return slice(int(starts[longest]), int(stops[longest]))
