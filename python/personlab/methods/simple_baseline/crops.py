"""Crops of people out of an image, as networks take them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from personlab.arrays.array import elements
from personlab.arrays.host import take_on_host
from personlab.arrays.numbers import check_type
from personlab.arrays.shapes import MAX_CELLS, check_shape
from personlab.methods.simple_baseline.boxes import check_affines
from personlab.methods.simple_baseline.options import CropOptions

if TYPE_CHECKING:
    from numpy.typing import NDArray

Layout = Literal["bytes", "planes"]
_DEFAULTS = CropOptions()
_BYTES = elements("uint8", "uint8")


def crop_people(
    image: Any,
    affines: Any,
    *,
    layout: Layout = "bytes",
    options: CropOptions = _DEFAULTS,
) -> NDArray[Any]:
    """Return crops of an image, read bilinearly; black outside of it. The image is read where it lies, as bytes.

    Args:
        image: (H, W, 3) uint8; rows may lie apart, as in a part of an image.
        affines: (N, 2, 3) from pixels (x, y) of the image to those of each crop, as `crop_affines` makes them.
        layout: "bytes": uint8 (N, h, w, 3), rounded, what engines take; "planes": float32 (N, 3, h, w) 0..255, what
            networks take.
        options: size of the crops, threads and rules.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: an argument of the wrong shape or range.
    """
    check_type(options, "options", CropOptions)
    if layout not in get_args(Layout):
        raise ValueError(f"layout: expected one of {', '.join(get_args(Layout))}, got {layout!r}")
    pixels = take_on_host(image, "image", _BYTES).values
    check_shape(pixels, "image", (None, None, 3), "(H, W, 3)")
    if pixels.shape[0] * pixels.shape[1] >= MAX_CELLS:
        raise ValueError(f"image: expected fewer than {MAX_CELLS} pixels, got shape {pixels.shape}")
    maps, original = check_affines(affines), options.rules == "original"
    from personlab.methods.simple_baseline.backends import reference

    crops = reference.crop_image(pixels, maps, size=options.size, original=original)
    if layout == "planes":
        return np.ascontiguousarray(crops.transpose(0, 3, 1, 2), np.float32)
    made: NDArray[Any] = (crops + 0.5).astype(np.uint8)
    return made
