"""Images from anywhere become RGB arrays, and these the input of a network: the one resize rule."""

from __future__ import annotations

import os
import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.arrays.host import check_copy, to_numpy
from personlab.io.image_files import read_image_file
from personlab.io.image_size import check_pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Image = NDArray[np.uint8]  # (H, W, 3) RGB

_PIL_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "La", "CMYK", "YCbCr", "LAB", "HSV")


def read_image(source: Any, *, bgr: bool = False, damage: list[str] | None = None) -> Image:
    """An image as (H, W, 3) uint8 RGB.

    Args:
        source: a file's path; a PIL image of 8 bits a channel; or a uint8 array or tensor in host memory of shape
            (H, W, 3), (H, W, 4), whose alpha is left out, (H, W) or (H, W, 1), which is grey. Files and PIL images are
            turned the way their EXIF orientation says.
        bgr: an array's channels are blue, green, red, as OpenCV reads them.
        damage: gets a line about a damaged file, of which whatever could be decoded is returned; a RuntimeWarning
            where left out.

    Raises:
        FileNotFoundError: no such file.
        TypeError: nothing of that, or an array of another element type.
        ValueError: a file that is no image, a shape that is none of those, or no pixel.
    """
    if isinstance(source, (str, os.PathLike)):
        image, line = read_image_file(source)
        if line and damage is None:
            warnings.warn(line, RuntimeWarning, stacklevel=2)
        elif line and damage is not None:
            damage.append(line)
        return image
    if hasattr(source, "getexif") and hasattr(source, "convert"):
        return _from_pil(source)
    if not isinstance(source, np.ndarray) and not hasattr(source, "__dlpack__"):
        raise TypeError(f"image: expected a path, a PIL image or a uint8 array, got {type(source).__name__}")
    return _from_array(to_numpy(source, "image"), bgr=bgr)


def _from_pil(source: Any) -> Image:
    if source.mode not in _PIL_MODES:
        raise TypeError(f"image: expected a PIL image of 8 bits a channel, got mode {source.mode!r}")
    check_pixels(source.size, "image")
    turned = import_module("PIL.ImageOps").exif_transpose(source)
    return _from_array(np.asarray(turned.convert("RGB")), bgr=False)


def _from_array(array: NDArray[Any], *, bgr: bool) -> Image:
    if array.dtype != np.uint8:
        raise TypeError(f"image: expected uint8 from 0 to 255, got {array.dtype}")
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4):
        raise ValueError(f"image: expected shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), got {array.shape}")
    if array.size == 0:
        raise ValueError(f"image: expected at least one pixel, got shape {array.shape}")
    check_copy(array, "image")
    array = np.repeat(array, 3, axis=2) if array.shape[2] == 1 else array[..., 2::-1] if bgr else array[..., :3]
    return np.ascontiguousarray(array)
