"""Draws offsets over the image, as arrows or in the colours of a wheel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from personlab.arrays.numbers import as_integer, as_number, check_type
from personlab.arrays.shapes import check_shape
from personlab.io.images import as_image
from personlab.methods.personlab.image_fields import check_image_fields
from personlab.skeleton import COCO_PERSON, Skeleton
from personlab.visualize import marks
from personlab.visualize.canvas import finite_logits, log_odds, stretch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from personlab.arrays.array import FloatArray
    from personlab.methods.personlab.fields import Fields
    from personlab.visualize.canvas import Image

    Channel = tuple[int, FloatArray, FloatArray]  # number, logits (h, w) of showing it, offsets (2, h, w)

Style = Literal["arrows", "wheel"]
_NEAR_SPACING, _FAR_SPACING = 9.0, 22.0  # between arrows, in widths of a line: offsets within a disc and longer ones


def draw_short_offsets(
    image: Image, fields: Fields, keypoint: int | None = None, *, style: Style = "arrows", threshold: float = 0.5
) -> Image:
    """Draw short-range offsets, from the disc around a keypoint to the keypoint.

    Args:
        image: (H, W, 3) uint8 RGB, not written to; the fields are stretched over it.
        fields: of one image.
        keypoint: the type to show; where left out, each cell shows the most probable type.
        style: "arrows", one colour for each type, or "wheel": hue by direction, value by length.
        threshold: min probability of the keypoint where offsets are drawn.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: an argument out of range, or fields of a batch.
    """
    count = check_image_fields(fields)
    shown = range(count) if keypoint is None else [as_integer(keypoint, "keypoint", 0, count - 1)]
    channels = [(k, fields.heatmaps[k], fields.short_offsets[k]) for k in shown]
    return _draw_offsets(
        image, fields, channels, style, threshold=threshold, spacing=_NEAR_SPACING, title="to the keypoint"
    )


def draw_mid_offsets(
    image: Image,
    fields: Fields,
    edge: int | None = None,
    *,
    style: Style = "arrows",
    threshold: float = 0.5,
    skeleton: Skeleton = COCO_PERSON,
) -> Image:
    """Draw mid-range offsets, from the disc around a keypoint to the next keypoint along an edge.

    Args:
        image: (H, W, 3) uint8 RGB, not written to; the fields are stretched over it.
        fields: of one image.
        edge: the directed edge to show, e parent -> child or E + e child -> parent; where left out, all edges parent ->
            child; the wheel shows at each pixel the edge with the most probable source.
        style: "arrows", one colour for each edge, or "wheel": hue by direction, value by length.
        threshold: min probability of the source keypoint where offsets are drawn.
        skeleton: of the fields.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: an argument out of range, fields of a batch, or fields of another skeleton.
    """
    check_type(skeleton, "skeleton", Skeleton)
    check_image_fields(fields)
    check_shape(fields.heatmaps, "fields.heatmaps", (skeleton.n_keypoints, None, None), "(K, h, w)")
    check_shape(fields.mid_offsets, "fields.mid_offsets", (2 * skeleton.n_edges, 2, None, None), "(2E, 2, h, w)")
    shown = range(skeleton.n_edges) if edge is None else [as_integer(edge, "edge", 0, 2 * skeleton.n_edges - 1)]
    sources = [skeleton.directed_edges[e][0] for e in shown]
    channels = [(e, fields.heatmaps[k], fields.mid_offsets[e]) for e, k in zip(shown, sources, strict=True)]
    title = "parent to child"
    if edge is not None:
        title = " to ".join(skeleton.names[k] for k in skeleton.directed_edges[shown[0]])
    return _draw_offsets(image, fields, channels, style, threshold=threshold, spacing=_FAR_SPACING, title=title)


def draw_long_offsets(
    image: Image,
    fields: Fields,
    keypoint: int = 0,
    *,
    style: Style = "wheel",
    threshold: float = 0.5,
    skeleton: Skeleton = COCO_PERSON,
) -> Image:
    """Draw long-range offsets, from each pixel of a person to one of that person's keypoints.

    Args:
        image: (H, W, 3) uint8 RGB, not written to; the fields are stretched over it.
        fields: of one image, with long_offsets; without segmentation, all pixels count as a person's.
        keypoint: type of the target.
        style: "wheel": hue by direction, value by length; or "arrows".
        threshold: min probability of a person where offsets are drawn.
        skeleton: of the fields; its names are used in the legend.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: an argument out of range, fields of a batch, or fields without long_offsets.
    """
    check_type(skeleton, "skeleton", Skeleton)
    count = check_image_fields(fields)
    keypoint = as_integer(keypoint, "keypoint", 0, min(count, skeleton.n_keypoints) - 1)
    if fields.long_offsets is None:
        raise ValueError("fields.long_offsets: expected an array, got None")
    certain = np.full(fields.heatmaps.shape[-2:], np.inf, np.float32)
    person = certain if fields.segmentation is None else fields.segmentation[0]
    channels = [(keypoint, person, fields.long_offsets[keypoint])]
    title = f"to {skeleton.names[keypoint]}"
    return _draw_offsets(image, fields, channels, style, threshold=threshold, spacing=_FAR_SPACING, title=title)


def _draw_offsets(
    image: Image,
    fields: Fields,
    channels: Sequence[Channel],
    style: str,
    *,
    threshold: float,
    spacing: float,
    title: str,
) -> Image:
    image = as_image(image)
    threshold = as_number(threshold, "threshold", 0, 1)
    if style not in get_args(Style):
        raise ValueError(f"style: expected one of {', '.join(get_args(Style))}, got {style!r}")
    if image.size == 0 or fields.heatmaps.size == 0 or not channels:
        return image.copy()
    (height, width), (input_width, input_height) = image.shape[:2], fields.input_size
    scale = np.array([(width - 1) / max(input_width - 1, 1), (height - 1) / max(input_height - 1, 1)], np.float32)
    lowest = log_odds(threshold)
    shown = [(number, finite_logits(logits), offsets * scale[:, None, None]) for number, logits, offsets in channels]
    if style == "wheel":
        return _draw_wheel(image, shown, lowest, title)
    return _draw_arrows(image, shown, lowest, scale * fields.stride, spacing, title)


def _draw_arrows(
    image: Image, channels: Sequence[Channel], lowest: float, cell: Any, spacing: float, title: str
) -> Image:
    """Draw arrows from cells `cell` (x, y) pixels apart, one in about `spacing` line widths."""
    drawn, unit = marks.dim(image), marks.unit_of(image)
    best = np.max([logits for _, logits, _ in channels], axis=0)
    step = max(1, min(round(spacing * unit / max(float(cell.mean()), 1e-6)), *best.shape))
    for number, logits, offsets in channels:
        eligible = (logits >= lowest) & (logits >= best) & np.isfinite(offsets).all(axis=0)
        for i, j in _choose_cells(eligible, logits, step, number):
            start = cell * (j, i)
            marks.arrow(drawn, start, start + offsets[:, i, j], marks.PALETTE[number % len(marks.PALETTE)], unit)
    marks.place_legend(drawn, marks.note(title, marks.legend_unit(image)), stretch(best >= lowest, image.shape[:2]))
    return drawn


def _choose_cells(eligible: Any, logits: Any, step: int, shift: int) -> Iterator[tuple[int, int]]:
    """Yield one eligible cell (i, j) of each block of step x step cells: the middle one, else that of the max logit."""
    middle = step // 2
    top, left = shift // step % step, shift % step  # shifted blocks separate the arrows of channels that share cells
    chosen = np.where(eligible, logits, -np.inf)
    regular = chosen[(middle - top) % step :: step, (middle - left) % step :: step]
    regular[np.isfinite(regular)] = np.inf
    h, w = chosen.shape
    blocks = np.pad(chosen, ((top, -(h + top) % step), (left, -(w + left) % step)), constant_values=-np.inf)
    down, across = blocks.shape[0] // step, blocks.shape[1] // step
    flat = blocks.reshape(down, step, across, step).swapaxes(1, 2).reshape(down, across, step * step)
    best = flat.argmax(axis=2)
    for a, b in np.argwhere(flat.max(axis=2) > -np.inf):
        yield int(a * step + best[a, b] // step - top), int(b * step + best[a, b] % step - left)


def _draw_wheel(image: Image, channels: Sequence[Channel], lowest: float, title: str) -> Image:
    """Draw each pixel in the colour of the offset of the most probable channel."""
    size = image.shape[:2]
    best = np.full(size, -np.inf, np.float32)
    offset = np.zeros((2, *size), np.float32)
    for _, logits, offsets in channels:
        spread = stretch(logits, size)
        better = spread > best
        best[better] = spread[better]
        finite = np.where(np.isfinite(offsets).all(axis=0), offsets, 0.0)
        for axis in range(2):
            offset[axis][better] = stretch(finite[axis], size)[better]
    shown = best >= lowest
    lengths = np.hypot(*offset[:, shown])
    longest = max(float(np.percentile(lengths, 98)) if lengths.size else 0.0, 1.0)  # outliers do not darken the others
    colours = marks.direction_colours(offset[0], offset[1], longest)
    drawn = marks.blend(marks.dim(image), colours, np.where(shown, 0.85, 0.0))
    marks.place_legend(drawn, marks.wheel(title, longest, marks.legend_unit(image)), shown.astype(np.float32))
    return drawn
