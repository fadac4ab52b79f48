"""The published training's samples: which people of an image it centres on, and the affine map to the network input."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from personlab.arrays.shapes import check_shape

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

_MIN_KEYPOINTS, _MIN_AREA = 5, 32 * 32  # of a main person; pixels
_MIN_DISTANCE = 0.3  # of the centres of main people, sides of the box
_FINE, _SHARES = 1024, 32  # of a pixel: OpenCV's fixed-point positions, and those that it reads at
_SHARE = 0.6  # of the height of the input that the box of the main person takes


def choose_main_people(
    boxes: NDArray[Any], areas: NDArray[Any], labelled: NDArray[Any], *, original: bool = False
) -> list[int]:
    """Return the people of an image that make a sample each, the first annotated first.

    A main person has 5 labelled keypoints and 1024 pixels, and lies apart from those before: centre from centre at
    least 0.3 times the longer side of the earlier one's box.

    Args:
        boxes: (n, 4) x, y, w, h of all annotations, crowds too, pixels.
        areas: (n,) of the masks, pixels.
        labelled: (n,) number of labelled keypoints.
        original: take the side of the last annotation's box, as the published training does, for that of the earlier.

    Raises:
        ValueError: another shape.
    """
    check_shape(boxes, "boxes", (None, 4), "(n, 4)")
    check_shape(areas, "areas", (len(boxes),), "(n,)")
    check_shape(labelled, "labelled", (len(boxes),), "(n,)")
    centres, sides = boxes[:, :2] + boxes[:, 2:] / 2, boxes[:, 2:].max(axis=1, initial=0)
    chosen: list[int] = []
    for i in np.flatnonzero((labelled >= _MIN_KEYPOINTS) & (areas >= _MIN_AREA)).tolist():
        apart = (math.dist(centres[i], centres[j]) >= _MIN_DISTANCE * sides[-1 if original else j] for j in chosen)
        if all(apart):
            chosen.append(i)
    return chosen


class SampleView(NamedTuple):
    """How a sample's view differs from the plain one."""

    degree: float = 0.0  # of the rotation, counterclockwise as the image is seen
    shift: tuple[float, float] = (0.0, 0.0)  # (x, y) of the person from the centre, input pixels
    scale: float = 1.0  # factor on the size
    flip: bool = False  # mirrored: left and right keypoints are exchanged


_PLAIN = SampleView()


def sample_affine(
    box: NDArray[Any],
    view: SampleView = _PLAIN,
    *,
    size: int,
) -> NDArray[np.float64]:
    """Return the map (2, 3) from the pixels (x, y) of an image to those of a square input.

    x' = F s R (x - c) + (size - 1) / 2 + shift with c the centre of the box and s such that its height becomes 0.6
    times that of the input.

    Args:
        box: (4,) x, y, w, h of the main person, pixels.
        view: random changes.
        size: of the input, pixels.
    """
    x, y, width, height = map(float, box)
    angle, factor = math.radians(view.degree), _SHARE * (size - 1) / height * view.scale
    cosine, sine = factor * math.cos(angle), factor * math.sin(angle)
    linear = np.array([[cosine, sine], [-sine, cosine]])
    if view.flip:
        linear[0] = -linear[0]
    centre = np.array([x + width / 2, y + height / 2])
    offset = (size - 1) / 2 + np.array(view.shift, np.float64) - linear @ centre
    return np.concatenate([linear, offset[:, None]], axis=1)


def image_masks(
    masks: NDArray[Any], crowd: NDArray[Any], labelled: NDArray[Any]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which pixels (H, W) of an image are people, and which count.

    People without labelled keypoints do not count, and of a crowd the pixels that no person before it covers.

    Args:
        masks: (n, H, W) bool of all annotations.
        crowd: (n,) whether each is a crowd.
        labelled: (n,) number of labelled keypoints of each.
    """
    people, missing = np.zeros(masks.shape[1:], bool), np.zeros(masks.shape[1:], bool)
    crowds = np.zeros(masks.shape[1:], bool)
    for mask, is_crowd, count in zip(masks, crowd, labelled, strict=True):
        if is_crowd:
            crowds |= mask & ~people
            continue
        people |= mask
        if count == 0:
            missing |= mask
    return people | crowds, ~(missing | crowds)


def warp_mask(mask: NDArray[np.bool_], affine: NDArray[np.float64], size: int, *, outside: bool) -> NDArray[np.uint8]:
    """Return how much of each pixel of the input (size, size) a mask (H, W) covers, 0..255, read bilinearly.

    Computes what OpenCV 4 does, to the bit: positions in 32nds of a pixel, whole weights. Other versions round
    otherwise.

    Args:
        mask: of the image.
        affine: (2, 3) from its pixels to those of the input.
        size: of the input, pixels.
        outside: the value around the image.
    """
    linear = np.linalg.inv(affine[:, :2])
    back = np.concatenate([linear, -linear @ affine[:, 2:]], axis=1)
    steps = np.arange(size)
    fixed = [
        (np.rint(row[0] * steps * _FINE)[None] + np.rint((row[1] * steps + row[2]) * _FINE)[:, None]).astype(np.int64)
        for row in back
    ]  # x and y of each pixel, in 1024ths of a pixel
    (left, right_share), (top, bottom_share) = (
        np.divmod((one + _FINE // _SHARES // 2) // (_FINE // _SHARES), _SHARES) for one in fixed
    )
    height, width = mask.shape
    total = np.zeros((size, size), np.int64)
    for i, rows in enumerate((_SHARES - bottom_share, bottom_share)):
        for j, columns in enumerate((_SHARES - right_share, right_share)):
            y, x = top + i, left + j
            inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
            covers = np.where(inside, mask[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)], outside)
            total += rows * columns * covers * 255
    whole = _SHARES * _SHARES
    return ((total + whole // 2) // whole).astype(np.uint8)
