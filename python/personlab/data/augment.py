"""Random views of an annotated image: one affine map for pixels, keypoints and masks."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from personlab.arrays.numbers import as_integer, as_number
from personlab.data.coco import People

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from personlab.data.images import Example
    from personlab.skeleton import Skeleton

_BORDER = 127  # grey level outside the image, of 0..255


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Random changes of an image in training (section 4); the defaults change the size alone.

    Attributes:
        long_edge: scale the longest side of an image to this first, pixels [images keep their size]
        scale: min and max of a random factor on that size
        rotation: max rotation either way, degrees
        flip: probability of mirroring the image
        centre: centre of the view: a random person with labels, or the image's centre
        shift: max shift of the centre, in sides of the crop, each way
        colour: max share by which brightness and contrast change; a quarter of it for each channel alone

    Raises:
        TypeError: a value of the wrong type.
        ValueError: a value out of range.
    """

    long_edge: int | None = None
    scale: tuple[float, float] = (1.0, 1.0)
    rotation: float = 0.0
    flip: float = 0.0
    centre: Literal["person", "image", "picture"] = field(default="image", metadata={"metavar": "{person,image}"})
    shift: float = 0.0
    colour: float = 0.0

    def __post_init__(self) -> None:
        if len(self.scale) != 2:
            raise ValueError(f"scale: expected (min, max), got {self.scale}")
        as_number(self.scale[0], "scale[0]", 0, above=True)
        as_number(self.scale[1], "scale[1]", self.scale[0])
        if self.long_edge is not None:
            as_integer(self.long_edge, "long_edge", 2)
        as_number(self.rotation, "rotation", 0, 180)
        as_number(self.flip, "flip", 0, 1)
        as_number(self.shift, "shift", 0)
        as_number(self.colour, "colour", 0, 1)
        if self.centre == "picture":  # as runs of version 0.1 name it
            object.__setattr__(self, "centre", "image")
        if self.centre not in ("person", "image"):
            raise ValueError(f"centre: expected person or image, got {self.centre!r}")


class View(NamedTuple):
    """The affine map from the pixels of an image to those of its view."""

    linear: NDArray[np.float64]  # (2, 2) of x, y
    shift: NDArray[np.float64]  # (2,) pixels: point p of the image is linear @ p + shift in the view
    flipped: bool  # mirrored: left and right keypoints are swapped


class Show(NamedTuple):
    """How training shows an example."""

    draw: Callable[[np.random.Generator, People, tuple[int, int], Augmentation], View]
    """(random numbers, people of the image, (H, W) of the view, options) -> a random view"""
    take: Callable[[Any, View, tuple[int, int], Skeleton], Any]
    """(`Example`, view, (H, W) of it, skeleton) -> the pixels and people of the view, as an `Example`"""


def draw_view(rng: np.random.Generator, people: People, crop: tuple[int, int], options: Augmentation) -> View:
    """Draw a random view (H', W') = `crop` of an image.

    The centre is moved so that the view shows as much of the image as possible: nothing outside of a larger image, the
    whole of a smaller one (exact without rotation). Without scaling and rotation, the shift is a whole number of
    pixels.
    """
    height, width = people.crowd.shape
    factor = rng.uniform(*options.scale)
    if options.long_edge is not None:
        factor *= (options.long_edge - 1) / max(height - 1, width - 1, 1)
    angle = math.radians(rng.uniform(-options.rotation, options.rotation))
    flipped = bool(rng.random() < options.flip)
    cosine, sine = factor * math.cos(angle), factor * math.sin(angle)
    linear = np.array([[cosine, -sine], [sine, cosine]])
    if flipped:
        linear[0] = -linear[0]
    size, half = np.array([width - 1, height - 1]), (np.array([crop[1], crop[0]]) - 1) / 2
    centre = _person_centre(rng, people) if options.centre == "person" else None
    if centre is None:
        centre = size / 2
    reach = half / factor
    centre = centre + rng.uniform(-2.0, 2.0, 2) * options.shift * reach
    centre = np.clip(centre, np.minimum(reach, size - reach), np.maximum(reach, size - reach))
    shift = half - linear @ centre
    if factor == 1 and angle == 0:
        shift = np.rint(shift)
    return View(linear, shift, flipped)


def _person_centre(rng: np.random.Generator, people: People) -> NDArray[np.float64] | None:
    """Return the mean (x, y) of the labelled keypoints of a random person; None without labelled keypoints."""
    labelled = people.keypoints[..., 2] > 0
    candidates = np.flatnonzero(labelled.any(axis=1))
    if len(candidates) == 0:
        return None
    person = rng.choice(candidates)
    return np.asarray(people.keypoints[person, labelled[person], :2].mean(axis=0, dtype=np.float64))


def take_view(example: Example, view: View, crop: tuple[int, int], skeleton: Skeleton) -> Example:
    """Apply a view to an image and its people.

    Keypoints keep their fractions of a pixel; those outside lose their label. A mask holds the pixels that it covers by
    half or more. People without labelled keypoints and mask in the view are left out.

    Args:
        example: an image and its people; not written to.
        view: as `draw_view` returns it.
        crop: (H', W') of the result, pixels.
        skeleton: its `flip` swaps left and right in mirrored views.
    """
    image, people = example
    matrix = np.concatenate([view.linear, view.shift[:, None]], axis=1)
    keypoints = people.keypoints.copy()
    points = keypoints[..., :2].astype(np.float64) @ view.linear.T + view.shift
    keypoints[..., :2] = points
    x, y = keypoints[..., 0], keypoints[..., 1]
    keypoints[(x < 0) | (x > crop[1] - 1) | (y < 0) | (y > crop[0] - 1) | (keypoints[..., 2] <= 0)] = 0
    if view.flipped:
        keypoints = keypoints[:, list(skeleton.flip)]
    masks = np.zeros((len(people.masks), *crop), bool)
    for mask, whole in zip(masks, people.masks, strict=True):
        _warp_mask(whole, matrix, mask)
    crowd = np.zeros(crop, bool)
    if people.crowd.all():  # nothing is known of the image, nor of what lies around it
        crowd[:] = True
    else:
        _warp_mask(people.crowd, matrix, crowd)
    unoutlined = None
    if people.unoutlined is not None:
        unoutlined = np.zeros(crop, bool)
        _warp_mask(people.unoutlined, matrix, unoutlined)
    visible = (keypoints[..., 2] > 0).any(axis=1) | masks.any(axis=(1, 2))
    return type(example)(_warp(image, matrix, crop), People(keypoints[visible], masks[visible], crowd, unoutlined))


def jitter_colour(rng: np.random.Generator, image: NDArray[np.uint8], amount: float) -> NDArray[np.uint8]:
    """Return an (H, W, 3) image with random brightness and contrast; `amount` is `Augmentation.colour`."""
    import cv2

    if amount == 0:
        return image
    gain = 1 + amount * (rng.uniform(-1, 1) + 0.25 * rng.uniform(-1, 1, 3))
    lift = 127 * amount * (rng.uniform(-1, 1) + 0.25 * rng.uniform(-1, 1, 3))
    levels = np.arange(256.0)[:, None]
    table = np.clip(np.rint((levels - 127) * gain + 127 + lift), 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(image, table[None]), np.uint8)


def _warp_mask(mask: NDArray[np.bool_], matrix: NDArray[np.float64], result: NDArray[np.bool_]) -> None:
    """Warp a mask into the empty mask `result`; reads the mask's box alone, and writes where that box lands."""
    import cv2

    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    origin = np.array([left, top])
    around = np.array([[-1, -1], [width, -1], [-1, height], [width, height]])  # with a border for interpolation
    reached = (origin + around) @ matrix[:, :2].T + matrix[:, 2]
    edge = result.shape[::-1]
    low = np.clip(np.floor(reached.min(axis=0)), 0, edge).astype(int)
    high = np.clip(np.ceil(reached.max(axis=0)) + 1, 0, edge).astype(int)
    if width == 0 or (low >= high).any():
        return
    own = matrix.copy()
    own[:, 2] += matrix[:, :2] @ origin - low
    cut = mask[top : top + height, left : left + width].view(np.uint8) * np.uint8(254)
    size = (int(high[1] - low[1]), int(high[0] - low[0]))
    result[low[1] : high[1], low[0] : high[0]] = _warp(cut, own, size) >= 127


def _warp(plane: NDArray[np.uint8], matrix: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Warp an image (H, W, 3), grey outside, or a mask (H, W), 0 outside, to (H', W') = `size` pixels."""
    import cv2

    source, own = _shrink(plane, matrix)
    warped = cv2.warpAffine(
        source, own, size[::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT,
        borderValue=(_BORDER,) * 3 if plane.ndim == 3 else 0,
    )  # fmt: skip
    return np.asarray(warped, np.uint8)


def _shrink(plane: NDArray[np.uint8], matrix: NDArray[np.float64]) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Return a plane averaged over blocks and the rest of the map, where the map shrinks to half or less.

    Bilinear interpolation reads two pixels along each axis, and would skip pixels of an image that shrinks further. One
    block is added on each side; in an image it repeats the border, which would otherwise fade.
    """
    import cv2

    factor = math.sqrt(abs(float(np.linalg.det(matrix[:, :2]))))
    height, width = plane.shape[:2]
    block = min(int(1 / factor), max(height, width))
    if block < 2:
        return plane, matrix
    border = cv2.BORDER_REPLICATE if plane.ndim == 3 else cv2.BORDER_CONSTANT
    padded = cv2.copyMakeBorder(plane, block, block + -height % block, block, block + -width % block, border, value=0)
    shape = padded.shape[1] // block, padded.shape[0] // block
    small = np.asarray(cv2.resize(padded, shape, interpolation=cv2.INTER_AREA), np.uint8)
    # Pixel (x, y) of the small plane is the mean around (block * (x - 1) + (block - 1) / 2, likewise y).
    shift = matrix[:, 2] + matrix[:, :2] @ np.full(2, (block - 1) / 2 - block)
    return small, np.concatenate([matrix[:, :2] * block, shift[:, None]], axis=1)
