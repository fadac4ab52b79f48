"""Tints crops by heatmaps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from personlab.io.imaging import imaging_library
from personlab.io.reduced import Along

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Image = NDArray[np.uint8]  # (H, W, 3) RGB
    Map = NDArray[np.float32]  # (h, w)

COLOUR = np.array([255, 96, 32.0])  # RGB at a map's max
DIM = 0.45  # factor on the image under the map


def enlarged(values: Map, size: tuple[int, int]) -> Map:
    """Return a map at the pixels of a crop (H, W): cell (i, j) lies at pixel (i H / h, j W / w); NaN becomes 0."""
    values = np.nan_to_num(np.asarray(values, np.float32), posinf=1, neginf=0)
    along = [Along(old / new, 0.0) for old, new in zip(values.shape, size, strict=True)]
    return imaging_library().sample_field(np.ascontiguousarray(values), (size[1], size[0]), along[1], along[0])


def tinted(image: Image, values: Map) -> Image:
    """Dim an image, and blend the colour of maps over it, by values 0..1."""
    share = np.clip(values, 0, 1)[..., None]
    return np.asarray(np.rint(image * DIM * (1 - share) + COLOUR * share).clip(0, 255), np.uint8)
