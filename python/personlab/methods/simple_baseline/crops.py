"""Crops of people out of an image, as networks take them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from personlab import _core
from personlab.arrays.array import elements
from personlab.arrays.host import take_on_host
from personlab.arrays.numbers import check_type
from personlab.arrays.shapes import MAX_CELLS, check_shape
from personlab.methods.simple_baseline.boxes import check_affines
from personlab.methods.simple_baseline.options import CropOptions

if TYPE_CHECKING:
    from numpy.typing import NDArray

Backend = Literal["cpu", "reference"]
Layout = Literal["bytes", "planes"]
_DEFAULTS = CropOptions()
_BYTES = elements("uint8", "uint8")


def crop_people(
    image: Any,
    affines: Any,
    *,
    layout: Layout = "bytes",
    options: CropOptions = _DEFAULTS,
    backend: Backend = "cpu",
    out: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Return crops of an image, read bilinearly; black outside of it. The image is read where it lies, as bytes.

    Args:
        image: (H, W, 3) uint8; rows may lie apart, as in a part of an image.
        affines: (N, 2, 3) from pixels (x, y) of the image to those of each crop, as `crop_affines` makes them.
        layout: "bytes": uint8 (N, h, w, 3), rounded, what engines take; "planes": float32 (N, 3, h, w) 0..255, what
            networks take.
        options: size of the crops, threads and rules.
        backend: the compiled core, or the float64 reference in NumPy.
        out: where to write the crops: an array of their shape and type, C-contiguous; a new one if None.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: an argument of the wrong shape or range.
    """
    check_type(options, "options", CropOptions)
    for name, value, choices in (("layout", layout, get_args(Layout)), ("backend", backend, get_args(Backend))):
        if value not in choices:
            raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {value!r}")
    pixels = take_on_host(image, "image", _BYTES).values
    check_shape(pixels, "image", (None, None, 3), "(H, W, 3)")
    if pixels.shape[0] * pixels.shape[1] >= MAX_CELLS:
        raise ValueError(f"image: expected fewer than {MAX_CELLS} pixels, got shape {pixels.shape}")
    maps, original, (h, w) = check_affines(affines), options.rules == "original", options.size
    planes = layout == "planes"
    crops = _writable(out, (len(maps), 3, h, w) if planes else (len(maps), h, w, 3), planes)
    if backend == "reference":
        from personlab.methods.simple_baseline.backends import reference

        values = reference.crop_image(pixels, maps, size=options.size, original=original)
        crops[:] = values.transpose(0, 3, 1, 2) if planes else np.floor(values + 0.5)
        return crops
    if pixels.strides[1:] != (3, 1) or pixels.strides[0] < 0:
        pixels = np.ascontiguousarray(pixels)
    _core.crop_image(image=pixels, affines=maps, original=original, threads=options.threads, crops=crops)
    return crops


def _writable(out: Any, shape: tuple[int, ...], planes: bool) -> NDArray[Any]:
    """Returns the array that crops go to."""
    dtype = np.dtype(np.float32 if planes else np.uint8)
    if out is None:
        return np.empty(shape, dtype)
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out: expected an array, got {type(out).__name__}")
    if out.shape != shape or out.dtype != dtype or not (out.flags.c_contiguous and out.flags.writeable):
        raise ValueError(f"out: expected {dtype} {shape}, writable and C-contiguous, got {out.dtype} {out.shape}")
    return out
