"""Boxes of people, and the affine maps that lead from an image to a crop of each."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from personlab.arrays.host import as_numbers
from personlab.arrays.numbers import check_type
from personlab.arrays.shapes import check_shape
from personlab.methods.simple_baseline.options import CropOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_DEFAULTS = CropOptions()
_ROTATED = 0.6  # share of the views of training that are
_FARTHEST = 1e9  # pixels from the corner of an image


class CropView(NamedTuple):
    """How a crop differs from the plain one."""

    scale: float = 1.0  # factor on the box
    degree: float = 0.0  # of the rotation, counterclockwise as the crop is seen
    flip: bool = False  # of the mirrored image: left and right keypoints are exchanged


_PLAIN = CropView()


def random_view(
    rng: np.random.Generator,
    *,
    scale: tuple[float, float] = (0.7, 1.3),
    rotation: float = 80,
    flip: float = 0.5,
) -> CropView:
    """Draw a view for training by the distributions of the originals, and in their order.

    Args:
        rng: random numbers.
        scale: bounds of the factor on the box; it is normal, with its mean in their middle and half their distance as
            deviation.
        rotation: bound of the rotation, degrees; 60 % of the views are rotated, normally with half of it as deviation.
        flip: share of the views that show the mirrored image.
    """
    low, high = scale
    factor = min(max((low + high) / 2 + (high - low) / 2 * rng.standard_normal(), low), high)
    rotated = rng.random() <= _ROTATED
    degree = min(max(rotation / 2 * rng.standard_normal(), -rotation), rotation) if rotated else 0.0
    return CropView(float(factor), float(degree), bool(rng.random() <= flip))


def box_fault(box: Sequence[float] | NDArray[Any], image_size: tuple[int, int] | None = None) -> str | None:
    """Return why a person cannot be cut out by a box, in a few words; None where nothing speaks against it.

    Args:
        box: x, y, w, h in pixels.
        image_size: (H, W) of the image; None: any.
    """
    x, y, w, h = map(float, box)
    if not all(math.isfinite(v) and abs(v) < _FARTHEST for v in (x, y, w, h)):
        return "is not finite"
    if w < 0 or h < 0 or w + h <= 0:
        return "has no size"
    if image_size is not None and (x + w <= 0 or y + h <= 0 or x >= image_size[1] or y >= image_size[0]):
        return "lies outside of the image"
    return None


def grow_boxes(boxes: Any, *, options: CropOptions = _DEFAULTS) -> NDArray[np.float64]:
    """Return boxes (N, 4) = centre x, y, width, height, of the shape of a crop and with the padding.

    Args:
        boxes: (N, 4) x, y, w, h in pixels.
        options: size and padding of crops.

    Raises:
        TypeError: no numbers.
        ValueError: another shape, or a box that `box_fault` speaks against.
    """
    check_type(options, "options", CropOptions)
    values = as_numbers(boxes, "boxes")
    check_shape(values, "boxes", (None, 4), "(N, 4)")
    given = values.astype(np.float64)
    for n, box in enumerate(given):
        if (fault := box_fault(box)) is not None:
            raise ValueError(f"boxes[{n}]: expected x, y, w, h of a box with a size, got {box.tolist()}, which {fault}")
    x, y, w, h = given.astype(np.float32 if options.rules == "original" else np.float64).T
    aspect = options.size[1] / options.size[0]
    sides = np.stack([np.maximum(w, h * aspect), np.maximum(h, w / aspect)]).astype(np.float64) * options.padding
    return np.stack([x + w / 2, y + h / 2, *sides], axis=1).astype(np.float64)


def crop_affines(
    boxes: Any,
    views: Sequence[CropView] | None = None,
    *,
    image_width: int | None = None,
    options: CropOptions = _DEFAULTS,
) -> NDArray[np.float64]:
    """Return the maps (N, 2, 3) from pixels (x, y) of an image to those of the crop by each box.

    The centre of a box lands at (W / 2, H / 2) of the crop, and the grown box fills it: x' = s R (x - c) + (W, H) / 2.

    Args:
        boxes: (N, 4) x, y, w, h in pixels.
        views: how each crop differs from the plain one; None: not at all.
        image_width: of the image, pixels, where a view is mirrored: x becomes W - 1 - x first.
        options: size and padding of crops.

    Raises:
        TypeError, ValueError: as `grow_boxes`; another number of views, or a mirrored one of an unknown width.
    """
    grown = grow_boxes(boxes, options=options)
    chosen = [_PLAIN] * len(grown) if views is None else list(views)
    if len(chosen) != len(grown):
        raise ValueError(f"views: expected {len(grown)}, one for each box, got {len(chosen)}")
    height, width = options.size
    affines = np.empty((len(grown), 2, 3))
    for affine, (x, y, w, _), view in zip(affines, grown, chosen, strict=True):
        scale, angle = width / (w * view.scale), math.radians(view.degree)
        cosine, sine = scale * math.cos(angle), scale * math.sin(angle)
        linear = np.array([[cosine, sine], [-sine, cosine]])
        if view.flip:
            if image_width is None:
                raise ValueError("image_width: expected the width of the image for a mirrored view, got None")
            centre = np.array([image_width - 1 - x, y])
            offset = np.array([width / 2, height / 2]) - linear @ centre
            offset += linear[:, 0] * (image_width - 1)
            linear[:, 0] *= -1
        else:
            offset = np.array([width / 2, height / 2]) - linear @ np.array([x, y])
        affine[:, :2], affine[:, 2] = linear, offset
    return affines


def check_affines(affines: Any, count: int | None = None) -> NDArray[np.float64]:
    """Return maps (N, 2, 3) as float64 in C order.

    Raises:
        TypeError: no numbers.
        ValueError: another shape, or a map that is not finite or has no inverse.
    """
    values = as_numbers(affines, "affines")
    check_shape(values, "affines", (count, 2, 3), "(N, 2, 3)")
    maps = np.ascontiguousarray(values, np.float64)
    with np.errstate(all="ignore"):
        scale = 1 / (maps[:, 0, 0] * maps[:, 1, 1] - maps[:, 0, 1] * maps[:, 1, 0])
        back = maps * scale[:, None, None]
    for n in np.flatnonzero(~(np.isfinite(maps) & np.isfinite(back)).all(axis=(1, 2))):
        raise ValueError(f"affines[{n}]: expected a finite map with an inverse, got {maps[n].tolist()}")
    return maps


def map_points(points: NDArray[Any], affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return points (..., 2) = (x, y) where an affine map (2, 3) takes them."""
    mapped: NDArray[np.float64] = np.asarray(points, np.float64) @ affine[:, :2].T + affine[:, 2]
    return mapped
