"""Backgrounds of drawings: images from files, a grey stand-in, and fields resized to an image."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.arrays.numbers import as_size
from personlab.io.image_header import check_pixels
from personlab.io.images import read_image_file
from personlab.io.imaging import imaging_library
from personlab.io.reduced import Along

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

    from personlab.arrays.array import FloatArray
    from personlab.methods.personlab.fields import Fields

    Image = NDArray[np.uint8]  # (H, W, 3) RGB

_MAX_LOGIT = 50.0  # larger ones have probability 1 in float32


def read_image(path: str | os.PathLike[str]) -> Image:
    """Read an image file as (H, W, 3) uint8 RGB, rotated by its EXIF orientation.

    A damaged file gives the part that could be decoded, with a RuntimeWarning.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file is not a readable image, or has too many pixels (`personlab.io.image_header.MAX_PIXELS`).
    """
    image, damage = read_image_file(path)
    if damage:
        warnings.warn(damage, RuntimeWarning, stacklevel=2)
    return image


def canvas(fields: Fields) -> Image:
    """Return a grey stand-in for the image of fields, (H, W, 3) uint8, brighter where a person is likely."""
    width, height = as_size(fields.image_size or fields.input_size, "image_size")
    check_pixels((width, height), "image_size")
    grey = np.full((height, width, 3), 96, np.uint8)
    if fields.segmentation is None or fields.segmentation.size == 0 or grey.size == 0:
        return grey
    spread = stretch(sigmoid(finite_logits(fields.segmentation[0])), (height, width))
    grey += (spread[..., None] * 96).astype(np.uint8)
    return grey


def finite_logits(logits: Any) -> FloatArray:
    """Return finite logits, which can be interpolated: NaN becomes the lowest, infinity the highest."""
    clipped: FloatArray = np.clip(
        np.nan_to_num(np.asarray(logits, np.float32), nan=-_MAX_LOGIT), -_MAX_LOGIT, _MAX_LOGIT
    )
    return clipped


def sigmoid(logits: FloatArray) -> FloatArray:
    """Return the probabilities of finite logits."""
    probability: FloatArray = (0.5 + 0.5 * np.tanh(0.5 * logits)).astype(np.float32)
    return probability


def log_odds(probability: float) -> float:
    """Return the finite logit of a probability, on the scale of `finite_logits`."""
    with np.errstate(divide="ignore"):
        return float(finite_logits(np.log(probability) - np.log1p(-probability)))


def stretch(field: Any, size: tuple[int, int], cell: tuple[float, float] | None = None) -> FloatArray:
    """Sample a field (h, w) bilinearly at every pixel of an image of `size` (H, W); returns float32 (H, W).

    Args:
        field: (h, w) finite numbers.
        size: (H, W), pixels.
        cell: (x, y) pixels of the image from cell to cell; where left out, corner cells lie on corner pixels.
    """
    height, width = size
    h, w = np.shape(field)
    if 0 in (h, w, height, width):
        return np.zeros(size, np.float32)
    across = 1 / cell[0] if cell else (w - 1) / max(width - 1, 1)
    down = 1 / cell[1] if cell else (h - 1) / max(height - 1, 1)
    field = np.ascontiguousarray(field, np.float32)
    return imaging_library().sample_field(field, (width, height), Along(across, 0.0), Along(down, 0.0))
