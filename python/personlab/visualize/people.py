"""Who was found, drawn over the image: poses and masks, one colour and number for each person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from personlab._arrays import check_shape, to_numpy
from personlab.skeleton import COCO_PERSON, Skeleton
from personlab.visualize import marks
from personlab.visualize.images import as_image

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from personlab.poses import Poses
    from personlab.visualize.images import Image

    Masks = NDArray[np.bool_]  # (P, H, W)
    Box = tuple[int, int, int, int]  # x0, y0, x1, y1, the last two beyond

_SHADES = ((0, 0.0), (255, 0.5), (0, 0.4), (255, 0.75), (0, 0.65))  # towards white or black, and how far
_SURE = 0.5  # keypoint probability from which a keypoint is drawn filled


def person_colours(count: int) -> Image:
    """(count, 3) uint8 RGB: a colour for each person; 35 differ, then they repeat."""
    colours = [
        [round(c + (target - c) * share) for c in colour] for target, share in _SHADES for colour in marks.PALETTE
    ]  # each shade of the palette in turn
    return np.array([colours[j % len(colours)] for j in range(count)], np.uint8).reshape(count, 3)


def draw_masks(image: Image, masks: Masks, *, opacity: float = 0.45) -> Image:
    """Fill each person's mask with a translucent colour and draw its outline.

    Args:
        image: (H, W, 3) uint8 RGB, left as it is.
        masks: (P, H, W) bool, best first as `decode_masks` gives them.
        opacity: share of the colour in the fill, 0 to 1.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: an argument of the wrong shape.
    """
    import cv2

    image, masks = as_image(image).copy(), to_numpy(masks, "masks")
    if masks.dtype != np.bool_:
        raise TypeError(f"masks: expected bool, got {masks.dtype}")
    check_shape(masks, "masks", (None, *image.shape[:2]), "(P, H, W)")
    line = max(1, round(marks.unit_of(image)))
    if image.size == 0:
        return image
    for mask, colour in reversed(list(zip(masks, person_colours(len(masks)), strict=True))):
        image[mask] = np.rint(image[mask] * (1 - opacity) + colour * np.float32(opacity)).astype(np.uint8)
        outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(image, outlines, -1, marks.rgb(colour), line, cv2.LINE_AA)
    return image


def draw_poses(
    image: Image, poses: Poses, *, skeleton: Skeleton = COCO_PERSON, min_probability: float = 0.1, labels: bool = True
) -> Image:
    """Draw each person's keypoints, the edges between them, and a label with the person's number and score.

    Keypoints of probability 0.5 and more are filled; less sure ones are white inside and their edges thin.

    Args:
        image: (H, W, 3) uint8 RGB, left as it is.
        poses: P poses in pixels of `image`, best first.
        skeleton: the keypoints and edges of the poses.
        min_probability: keypoints of a lower probability are left out.
        labels: whether people are labelled.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: an argument of the wrong shape.
    """
    image = as_image(image).copy()
    check_shape(poses.keypoints, "poses.keypoints", (None, skeleton.n_keypoints, 2), "(P, K, 2)")
    people = list(zip(poses.keypoints, poses.keypoint_probabilities, person_colours(len(poses)), strict=True))
    for points, probabilities, colour in reversed(people):
        _draw_person(image, points, probabilities, colour, skeleton=skeleton, min_probability=min_probability)
    taken: list[tuple[int, int, int, int]] = []
    for j, (points, probabilities, colour) in enumerate(people if labels else []):
        seen = points[probabilities >= min_probability]
        if len(seen):
            draw_label(image, f"{j + 1}: {poses.scores[j]:.2f}", seen, colour, taken)
    return image


def overlay(image: Image, poses: Poses, masks: Masks | None = None, *, skeleton: Skeleton = COCO_PERSON) -> Image:
    """Masks, where given, and poses over the image; arguments and errors as in `draw_masks` and `draw_poses`."""
    if masks is not None:
        if len(masks) != len(poses):
            raise ValueError(f"masks: expected one for each of {len(poses)} poses, got {len(masks)}")
        image = draw_masks(image, masks)
    return draw_poses(image, poses, skeleton=skeleton)


def _draw_person(
    image: Image, points: Any, probabilities: Any, colour: Any, *, skeleton: Skeleton, min_probability: float
) -> None:
    """One pose on `image` itself, its lines as wide as the picture and the person's size allow."""
    shown = probabilities >= min_probability
    if image.size == 0 or not shown.any():
        return
    extent = float(np.hypot(*np.ptp(points[shown], axis=0)))
    unit = min(marks.unit_of(image), max(extent / 90, 0.75))
    for a, b in skeleton.edges:
        if not (shown[a] and shown[b]):
            continue
        sure = min(probabilities[a], probabilities[b]) >= _SURE
        width = max(1, round(2.2 * unit)) if sure else 1
        marks.line(image, points[a], points[b], colour, width, outline=max(1, round(unit)))
    for k in np.flatnonzero(shown):
        if probabilities[k] >= _SURE:
            ring, width = marks.darker(colour), max(1, round(0.6 * unit))
            marks.disc(image, points[k], 2.4 * unit, colour, ring=ring, width=width)
        else:
            marks.disc(image, points[k], 2.4 * unit, marks.WHITE, ring=colour, width=max(1, round(unit)))


def draw_label(image: Image, text: str, points: Any, colour: Any, taken: list[Box]) -> None:
    """Write `text` above points (N, 2) on `image` itself, clear of the boxes in `taken`, to which its own is added."""
    import cv2

    height, width = image.shape[:2]
    unit = marks.unit_of(image)
    wide, tall, below = marks.text_size(text, unit)
    pad = max(2, round(2 * unit))
    wide, tall = wide + 2 * pad, tall + below + 2 * pad
    if wide > width or tall > height:
        return
    x0 = int(np.clip((points[:, 0].min() + points[:, 0].max() - wide) / 2, 0, width - wide))
    forehead = 0.1 * np.ptp(points[:, 1])
    wished = int(np.clip(points[:, 1].min() - forehead - tall - pad, 0, height - tall))
    for y0 in sorted(range(wished % tall, height - tall + 1, tall), key=lambda y: abs(y - wished)):
        if not any(x0 < x3 and x2 < x0 + wide and y0 < y3 and y2 < y0 + tall for x2, y2, x3, y3 in taken):
            break
    else:
        y0 = wished
    taken.append((x0, y0, x0 + wide, y0 + tall))
    cv2.rectangle(image, (x0, y0), (x0 + wide - 1, y0 + tall - 1), marks.rgb(colour), cv2.FILLED)
    marks.write_text(image, text, x0 + pad, y0 + tall - pad - below, marks.ink_on(colour), unit)
