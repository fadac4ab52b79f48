"""Draws maps over the image: all of a kind in one, or a single one with the peaks or connections that it gave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.io.image_header import check_pixels
from personlab.io.imaging import imaging_library
from personlab.io.reduced import Along
from personlab.visualize import marks

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from personlab.methods.simple_pose.fields import SimplePoseFields

    Image = NDArray[np.uint8]  # (H, W, 3) RGB
    Map = NDArray[np.float32]  # (h, w)

KEYPOINT, LIMB = np.array([255, 96, 32.0]), np.array([32, 160, 255.0])  # RGB at a map's max
DIM = 0.45  # factor on the image under the maps


def canvas(fields: SimplePoseFields) -> Image:
    """Return a grey stand-in for the image of maps, (H, W, 3) uint8, brighter where a limb is likely."""
    check_pixels(fields.image_size, "size")
    grey = np.full((*fields.grid.size, 3), 96, np.uint8)
    spread = on_image(fields, fields.limbs.max(axis=0, initial=0), fields.grid.size)
    grey += (np.clip(spread, 0, 1)[..., None] * 96).astype(np.uint8)
    return grey


def draw_map(image: Image, fields: SimplePoseFields, values: Map, colour: Any) -> Image:
    """Tint an image by a map (h, w) of its fields."""
    return tinted(image, on_image(fields, values, image.shape[:2]), colour)


def draw_keypoint(image: Image, fields: SimplePoseFields, k: int, *, title: str, peaks: Any) -> Image:
    """Draw the map of keypoint type `k` with its peaks (n, 2), in pixels of `image`, and a title."""
    drawn = draw_map(image, fields, fields.keypoints[k], KEYPOINT)
    unit = marks.unit_of(image)
    for peak in peaks:
        marks.circle(drawn, peak, 5 * unit, marks.WHITE, max(1, round(0.8 * unit)))
    return _titled(drawn, title)


def draw_limb(
    image: Image, fields: SimplePoseFields, limb: int, *, title: str, connections: Iterable[tuple[Any, Any]]
) -> Image:
    """Draw the map of a limb with its connections, pairs of points in pixels of `image`, and a title."""
    drawn = draw_map(image, fields, fields.limbs[limb], LIMB)
    unit = marks.unit_of(image)
    for a, b in connections:
        marks.line(drawn, a, b, marks.WHITE, max(1, round(0.8 * unit)))
        for end in (a, b):
            marks.disc(drawn, end, 2 * unit, marks.WHITE, ring=marks.BLACK)
    return _titled(drawn, title)


def _titled(image: Image, title: str) -> Image:
    if image.size:
        marks.place_legend(image, marks.note(title, marks.legend_unit(image)), np.zeros(image.shape[:2], np.float32))
    return image


def on_image(fields: SimplePoseFields, values: Map, size: tuple[int, ...]) -> Map:
    """Return a map (h, w) at the pixels (H, W) of its image, or of that made smaller, bilinearly; NaN becomes 0."""
    grid, values = fields.grid, np.nan_to_num(np.asarray(values, np.float32), posinf=1, neginf=0)
    if 0 in (*values.shape, *grid.input_size, *size):
        return np.zeros(size, np.float32)
    whole = enlarged(values, (values.shape[0] * grid.stride, values.shape[1] * grid.stride))
    return enlarged(whole[: grid.input_size[0], : grid.input_size[1]], size)


def enlarged(values: Map, size: tuple[int, ...]) -> Map:
    """Return a map at the pixels of another size (H, W), border on border, bilinearly."""
    along = [Along(old / new, 0.5 * old / new - 0.5) for old, new in zip(values.shape, size, strict=True)]
    return imaging_library().sample_field(np.ascontiguousarray(values), (size[1], size[0]), along[1], along[0])


def tinted(image: Image, values: Map, colour: NDArray[np.float64], dim: float = DIM) -> Image:
    """Blend a colour over an image, by values 0..1."""
    share = np.clip(values, 0, 1)[..., None]
    return np.asarray(np.rint(image * dim * (1 - share) + colour * share).clip(0, 255), np.uint8)
