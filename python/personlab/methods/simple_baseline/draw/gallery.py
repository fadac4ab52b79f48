"""Draws the people of an image, and the crop of each with its heatmaps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.arrays.numbers import as_integer
from personlab.io.image_header import check_pixels
from personlab.io.images import as_image
from personlab.io.imaging import fit
from personlab.methods.simple_baseline.backends import reference
from personlab.methods.simple_baseline.config import STRIDE
from personlab.methods.simple_baseline.crops import crop_people
from personlab.methods.simple_baseline.decode import decode_simple_baseline
from personlab.methods.simple_baseline.draw.maps import enlarged, tinted
from personlab.methods.simple_baseline.options import SimpleBaselineOptions
from personlab.methods.simple_baseline.views import crop_options
from personlab.skeleton import COCO_PERSON, Skeleton
from personlab.visualize.people import overlay
from personlab.visualize.sheet import contact_sheet

if TYPE_CHECKING:
    from personlab.methods.simple_baseline.fields import SimpleBaselineFields
    from personlab.poses import Poses
    from personlab.visualize.canvas import Image

_DEFAULTS = SimpleBaselineOptions()
_GREY = 96  # of the stand-in for an image


def canvas(fields: SimpleBaselineFields) -> Image:
    """Return a grey stand-in for the image of heatmaps, (H, W, 3) uint8."""
    check_pixels(fields.image_size, "size")
    return np.full((*fields.size, 3), _GREY, np.uint8)


def fields_gallery(
    fields: SimpleBaselineFields,
    image: Image | None = None,
    poses: Poses | None = None,
    masks: Any = None,
    *,
    options: SimpleBaselineOptions = _DEFAULTS,
    skeleton: Skeleton = COCO_PERSON,
    crops: int = 3,
    longest_side: int = 1600,
) -> dict[str, Image]:
    """Draw the people, the crops with all heatmaps in one, and those of the first crops one by one.

    The names are "people", "crops", and "crop_1" and so on.

    Args:
        fields: heatmaps of the people.
        image: (H, W, 3) uint8 RGB; a grey stand-in where left out.
        poses: the people, in pixels of the image; decoded where left out.
        masks: none.
        options: of prediction.
        skeleton: of the people.
        crops: max number of people whose heatmaps are drawn one by one, in the order of the boxes.
        longest_side: max side of the drawing of the people, pixels; a larger image is shrunk.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: an argument of the wrong shape.
    """
    del masks
    background = canvas(fields) if image is None else as_image(image)
    small = _shrunk(background, as_integer(longest_side, "longest_side", 1))
    if poses is None:
        poses = decode_simple_baseline(
            fields.heatmaps, fields.affines, mirrored=fields.mirrored, box_scores=fields.scores, skeleton=skeleton,
            options=options,
        )  # fmt: skip
    factors = [new / max(old, 1) for new, old in zip(small.shape[1::-1], background.shape[1::-1], strict=True)]
    drawn = {"people": overlay(small, poses.scaled(*factors), None, skeleton=skeleton)}
    height, width = (cells * STRIDE for cells in fields.heatmaps.shape[2:])
    shown = crop_people(background, fields.affines, options=crop_options(options, (height, width)))
    maps = fields.heatmaps
    if fields.mirrored is not None:
        maps = reference.merge(maps, fields.mirrored, flip=skeleton.flip, shift=options.flip_shift)
    maps = maps / np.float32(options.full_value)
    tops = maps.max(axis=1, initial=0)
    tiles = {
        f"{n + 1}: {fields.scores[n]:.2f}": tinted(crop, enlarged(top, (height, width)))
        for n, (crop, top) in enumerate(zip(shown, tops, strict=True))
    }
    if tiles:
        drawn["crops"] = contact_sheet(tiles, columns=min(len(tiles), 6))
    for n in range(min(len(tiles), as_integer(crops, "crops", 0))):
        each = {
            name: tinted(shown[n], enlarged(values, (height, width)))
            for name, values in zip(skeleton.names, maps[n], strict=True)
        }
        drawn[f"crop_{n + 1}"] = contact_sheet(each, columns=6)
    return drawn


def _shrunk(image: Image, longest_side: int) -> Image:
    height, width = image.shape[:2]
    factor = longest_side / max(height, width, 1)
    return image if factor >= 1 else fit(image, (max(1, round(width * factor)), max(1, round(height * factor))))
