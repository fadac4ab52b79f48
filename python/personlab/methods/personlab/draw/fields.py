"""Draws scalar fields over the image: heatmaps, Hough scores and segmentation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.arrays.host import as_field, as_numbers
from personlab.arrays.numbers import as_integer, as_number, as_size
from personlab.arrays.shapes import check_shape
from personlab.io.images import as_image
from personlab.visualize import marks
from personlab.visualize.canvas import finite_logits, sigmoid, stretch

if TYPE_CHECKING:
    from personlab.arrays.array import FloatArray
    from personlab.methods.personlab.stages import Peaks
    from personlab.visualize.canvas import Image


def draw_heatmap(image: Image, heatmap: Any, *, title: str = "probability") -> Image:
    """Draw the probability of a keypoint over the image.

    Args:
        image: (H, W, 3) uint8 RGB, not written to.
        heatmap: logits (h, w) of one keypoint type, or (K, h, w), of which each pixel shows the max; the grid is
            stretched over the image, corner cell on corner pixel.
        title: of the legend.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: an argument of the wrong shape.
    """
    image, heatmap = as_image(image), as_field(heatmap, "heatmap")
    if heatmap.ndim == 2:
        heatmap = heatmap[None]
    check_shape(heatmap, "heatmap", (None, None, None), "(h, w) or (K, h, w)")
    if image.size == 0 or heatmap.size == 0:
        return image.copy()
    max_logits = np.full(image.shape[:2], -np.inf, np.float32)
    for logits in heatmap:
        np.maximum(max_logits, stretch(finite_logits(logits), image.shape[:2]), out=max_logits)
    probability = sigmoid(max_logits)
    drawn = _scalars(image, probability, 1.0)
    marks.place_legend(drawn, marks.bar(title, 0, 1, marks.legend_unit(image)), probability)
    return drawn


def draw_hough(
    image: Image,
    hough: Any,
    hough_stride: int,
    *,
    peaks: Peaks | None = None,
    input_size: tuple[int, int] | None = None,
) -> Image:
    """Draw Hough scores over the image, and a ring around each peak.

    Votes concentrate within a few pixels: each score is dilated to a visible spot.

    Args:
        image: (H, W, 3) uint8 RGB, not written to.
        hough: scores (H', W') of one keypoint type, or (K, H', W'), of which each pixel shows the max.
        hough_stride: input pixels from one lattice point to the next.
        peaks: as `stages.find_peaks` returns them; rings have the colour of the score.
        input_size: (W, H) of the network input, pixels, where the image has another size.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: an argument of the wrong shape.
    """
    image, hough = as_image(image), as_numbers(hough, "hough")
    if hough.ndim == 2:
        hough = hough[None]
    check_shape(hough, "hough", (None, None, None), "(H', W') or (K, H', W')")
    hough_stride = as_integer(hough_stride, "hough_stride", 1)
    height, width = image.shape[:2]
    input_width, input_height = as_size(input_size or (width, height), "input_size", "(W, H)")
    if image.size == 0 or hough.size == 0:
        return image.copy()
    scale = np.array([(width - 1) / max(input_width - 1, 1), (height - 1) / max(input_height - 1, 1)])
    cell = tuple(np.maximum(scale * hough_stride, 1e-6))
    scores = np.where(np.isfinite(hough), hough, 0.0).max(axis=0)
    unit, highest = marks.unit_of(image), max(float(scores.max()), 1e-3)
    spread = _dilate(stretch(scores, (height, width), cell), round(1.5 * unit))
    drawn = _scalars(image, spread, highest)
    if peaks is not None:
        at = np.asarray(peaks.positions) * scale
        for point, score in reversed(list(zip(at, np.asarray(peaks.scores), strict=True))):
            marks.circle(drawn, point, 4 * unit, marks.scalar_colours(score / highest), max(2, round(unit)))
    marks.place_legend(drawn, marks.bar("Hough score", 0, highest, marks.legend_unit(image)), spread / highest)
    return drawn


def draw_segmentation(image: Image, segmentation: Any, *, threshold: float = 0.5) -> Image:
    """Draw the probability of a person over the image, and an outline around the binary mask.

    Args:
        image: (H, W, 3) uint8 RGB, not written to.
        segmentation: (1, h, w) or (h, w) logits, stretched over the image.
        threshold: min probability of the pixels of the mask.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: an argument of the wrong shape or out of range.
    """
    image, segmentation = as_image(image), as_field(segmentation, "segmentation")
    if segmentation.ndim == 2:
        segmentation = segmentation[None]
    check_shape(segmentation, "segmentation", (1, None, None), "(1, h, w) or (h, w)")
    threshold = as_number(threshold, "threshold", 0, 1)
    if image.size == 0 or segmentation.size == 0:
        return image.copy()
    probability = sigmoid(stretch(finite_logits(segmentation[0]), image.shape[:2]))
    drawn = _scalars(image, probability, 1.0)
    width = max(1, round(marks.unit_of(image)))
    marks.outline(drawn, probability >= threshold, marks.WHITE, width)
    marks.outline(drawn, probability < threshold, marks.BLACK, width)
    marks.place_legend(drawn, marks.bar("person", 0, 1, marks.legend_unit(image)), probability)
    return drawn


def _scalars(image: Image, values: FloatArray, highest: float) -> Image:
    """Draw values (H, W) from 0 to `highest` over the dimmed image; higher ones are more opaque."""
    share = np.clip(values / highest, 0, 1)
    return marks.blend(marks.dim(image), marks.scalar_colours(share), 0.85 * np.sqrt(share))


def _dilate(values: FloatArray, radius: int) -> FloatArray:
    """Return the max of values (H, W) within a disc around each pixel."""
    height, width = values.shape
    padded, spread = np.pad(values, radius), values.copy()
    for y in range(-radius, radius + 1):
        reach = round((radius**2 - y**2) ** 0.5)
        rows = padded[radius + y : radius + y + height]
        for x in range(radius - reach, radius + reach + 1):
            np.maximum(spread, rows[:, x : x + width], out=spread)
    return spread
