"""Pictures of what was found: poses and masks drawn over the image, one colour and number for each person."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from personlab._arrays import as_size, check_shape, to_numpy
from personlab._files import write_whole
from personlab.skeleton import COCO_PERSON, Skeleton

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

    from personlab.fields import Fields
    from personlab.poses import Poses

    Image = NDArray[np.uint8]  # (H, W, 3) RGB
    Masks = NDArray[np.bool_]  # (P, H, W)
    Colour = tuple[int, int, int]

# Okabe and Ito's palette, told apart with any colour vision, less its black; neighbours differ most.
_PALETTE = ((230, 159, 0), (86, 180, 233), (213, 94, 0), (0, 158, 115), (240, 228, 66), (204, 121, 167), (0, 114, 178))
_SHADES = ((0, 0.0), (255, 0.5), (0, 0.4), (255, 0.75), (0, 0.65))  # towards white or black, and how far
_SURE = 0.5  # keypoint probability from which a keypoint is drawn filled
_SHIFT = 4  # OpenCV takes coordinates as integers with this many fractional bits
_FAR = 2**26  # largest such integer handed to OpenCV: beyond any picture, and safe from overflow


def read_image(path: str | os.PathLike[str]) -> Image:
    """An image file as (H, W, 3) uint8 RGB, turned the way its EXIF orientation says.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no image that can be read.
    """
    import cv2

    content = np.frombuffer(Path(path).read_bytes(), np.uint8)
    try:
        image = cv2.imdecode(content, cv2.IMREAD_COLOR) if content.size else None
    except cv2.error as error:
        raise ValueError(f"{path}: {error.err or error}") from None
    if image is None:
        raise ValueError(f"{path}: expected an image, got a file that is none")
    return np.ascontiguousarray(image[..., ::-1], np.uint8)


def write_image(path: str | os.PathLike[str], image: Image) -> None:
    """Write (H, W, 3) uint8 RGB in the format that the name's ending says; the file appears whole or not at all.

    Raises:
        FileNotFoundError: the folder does not exist.
        ValueError: an ending that names no known format.
    """
    import cv2

    image, suffix = _as_image(image), Path(path).suffix
    try:
        done, content = cv2.imencode(suffix or ".", np.ascontiguousarray(image[..., ::-1]))
    except cv2.error:
        done = False
    if not done:
        raise ValueError(f"{path}: expected a name that ends in .png, .jpg or another image format, got {suffix!r}")
    write_whole(path, content.tobytes())


def person_colours(count: int) -> Image:
    """(count, 3) uint8 RGB: a colour for each person; 35 differ, then they repeat."""
    colours = [
        [round(c + (target - c) * share) for c in colour] for target, share in _SHADES for colour in _PALETTE
    ]  # each shade of the palette in turn
    return np.array([colours[j % len(colours)] for j in range(count)], np.uint8).reshape(count, 3)


def canvas(fields: Fields) -> Image:
    """A stand-in for the picture where there is none: its size in grey, brighter where the fields see a person."""
    import cv2

    size = fields.image_size or fields.input_size
    width, height = as_size(size, "image_size")
    grey = np.full((height, width, 3), 96, np.uint8)
    if fields.segmentation is None or fields.segmentation.size == 0 or grey.size == 0:
        return grey
    logits = np.nan_to_num(fields.segmentation[0], nan=-50.0)
    probability = (0.5 + 0.5 * np.tanh(0.5 * logits)).astype(np.float32)
    h, w = probability.shape
    to_cells = np.array([[(w - 1) / max(width - 1, 1), 0, 0], [0, (h - 1) / max(height - 1, 1), 0]])
    spread = cv2.warpAffine(
        probability, to_cells, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    grey += (np.asarray(spread)[..., None] * 96).astype(np.uint8)
    return grey


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

    image, masks = _as_image(image).copy(), to_numpy(masks, "masks")
    if masks.dtype != np.bool_:
        raise TypeError(f"masks: expected bool, got {masks.dtype}")
    check_shape(masks, "masks", (None, *image.shape[:2]), "(P, H, W)")
    line = max(1, round(_unit(image)))
    if image.size == 0:
        return image
    for mask, colour in reversed(list(zip(masks, person_colours(len(masks)), strict=True))):
        image[mask] = np.rint(image[mask] * (1 - opacity) + colour * np.float32(opacity)).astype(np.uint8)
        outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(image, outlines, -1, _rgb(colour), line, cv2.LINE_AA)
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
    image = _as_image(image).copy()
    check_shape(poses.keypoints, "poses.keypoints", (None, skeleton.n_keypoints, 2), "(P, K, 2)")
    people = list(zip(poses.keypoints, poses.keypoint_probabilities, person_colours(len(poses)), strict=True))
    for points, probabilities, colour in reversed(people):
        _draw_person(image, points, probabilities, colour, skeleton=skeleton, min_probability=min_probability)
    taken: list[tuple[int, int, int, int]] = []
    for j, (points, probabilities, colour) in enumerate(people if labels else []):
        seen = points[probabilities >= min_probability]
        if len(seen):
            _draw_label(image, f"{j + 1}: {poses.scores[j]:.2f}", seen, colour, taken)
    return image


def overlay(image: Image, poses: Poses, masks: Masks | None = None, *, skeleton: Skeleton = COCO_PERSON) -> Image:
    """Masks, where given, and poses over the image; arguments and errors as in `draw_masks` and `draw_poses`."""
    if masks is not None:
        if len(masks) != len(poses):
            raise ValueError(f"masks: expected one for each of {len(poses)} poses, got {len(masks)}")
        image = draw_masks(image, masks)
    return draw_poses(image, poses, skeleton=skeleton)


def _as_image(value: Any) -> Image:
    array = to_numpy(value, "image")
    if array.dtype != np.uint8:
        raise TypeError(f"image: expected uint8, got {array.dtype}")
    check_shape(array, "image", (None, None, 3), "(H, W, 3)")
    return np.ascontiguousarray(array)


def _unit(image: Image) -> float:
    """Pixels that look one line wide: 1 in a picture of 400 pixels, 4 in one of 1600."""
    height, width, _ = image.shape
    return min(max(float(np.sqrt(height * width)) / 400, 0.75), 12.0)


def _rgb(colour: Any) -> Colour:
    red, green, blue = (int(c) for c in colour)
    return red, green, blue


def _fixed(point: Any) -> tuple[int, int]:
    """A point (x, y) as OpenCV's fixed-point integers, clamped to what they can hold."""
    x, y = np.clip(np.rint(np.asarray(point, np.float64) * 2**_SHIFT), -_FAR, _FAR).astype(int)
    return int(x), int(y)


def _draw_person(
    image: Image, points: Any, probabilities: Any, colour: Any, *, skeleton: Skeleton, min_probability: float
) -> None:
    """One pose on `image` itself, its lines as wide as the picture and the person's size allow."""
    import cv2

    shown = probabilities >= min_probability
    if image.size == 0 or not shown.any():
        return
    extent = float(np.hypot(*np.ptp(points[shown], axis=0)))
    unit = min(_unit(image), max(extent / 90, 0.75))
    dark = tuple(int(c) for c in colour * 0.35)
    for a, b in skeleton.edges:
        if not (shown[a] and shown[b]):
            continue
        start, end = _fixed(points[a]), _fixed(points[b])
        sure = min(probabilities[a], probabilities[b]) >= _SURE
        width = max(1, round(2.2 * unit)) if sure else 1
        cv2.line(image, start, end, dark, width + max(1, round(unit)), cv2.LINE_AA, _SHIFT)
        cv2.line(image, start, end, _rgb(colour), width, cv2.LINE_AA, _SHIFT)
    radius = round(2.4 * unit * 2**_SHIFT)
    for k in np.flatnonzero(shown):
        centre = _fixed(points[k])
        if probabilities[k] >= _SURE:
            cv2.circle(image, centre, radius, _rgb(colour), cv2.FILLED, cv2.LINE_AA, _SHIFT)
            cv2.circle(image, centre, radius, dark, max(1, round(0.6 * unit)), cv2.LINE_AA, _SHIFT)
        else:
            cv2.circle(image, centre, radius, (255, 255, 255), cv2.FILLED, cv2.LINE_AA, _SHIFT)
            cv2.circle(image, centre, radius, _rgb(colour), max(1, round(unit)), cv2.LINE_AA, _SHIFT)


def _draw_label(image: Image, text: str, points: Any, colour: Any, taken: list[tuple[int, int, int, int]]) -> None:
    """Write `text` above a person's keypoints, clear of the boxes in `taken`, to which its own is added."""
    import cv2

    height, width = image.shape[:2]
    font, scale = cv2.FONT_HERSHEY_SIMPLEX, 0.42 * max(_unit(image), 0.9)
    thick = max(1, round(_unit(image) * 0.8))
    (wide, tall), below = cv2.getTextSize(text, font, scale, thick)
    pad = max(2, round(2 * _unit(image)))
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
    cv2.rectangle(image, (x0, y0), (x0 + wide - 1, y0 + tall - 1), _rgb(colour), cv2.FILLED)
    ink = (0, 0, 0) if np.dot(colour, (0.299, 0.587, 0.114)) > 110 else (255, 255, 255)
    cv2.putText(image, text, (x0 + pad, y0 + tall - pad - below), font, scale, ink, thick, cv2.LINE_AA)
