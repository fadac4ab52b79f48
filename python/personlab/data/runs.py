"""COCO's compressed run lengths: outlines of any form become them, and they become masks, faster than by its tools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_POINTS = 3  # fewest of a polygon


def encode_outline(outline: Any, size: tuple[int, int], label: str) -> bytes:
    """The compressed run lengths of what an annotation's `segmentation` holds; nothing where that is empty.

    Args:
        outline: polygons [x, y, x, y ...], or run lengths, compressed or not.
        size: (H, W) of the picture, pixels.
        label: of the annotation, for errors.

    Raises:
        ValueError: nothing of that, or run lengths of another size.
    """
    from pycocotools import mask as coco_mask

    if isinstance(outline, list):  # two points make no polygon, and pycocotools would take them for a box
        outline = [polygon for polygon in outline if len(polygon) >= 2 * _POINTS]
    if not outline:
        return b""
    if isinstance(outline, dict):
        counts, own = outline["counts"], tuple(outline["size"])
        if own != size or (isinstance(counts, list) and sum(counts) != size[0] * size[1]):
            raise ValueError(f"{label}: expected run lengths of {size[0]} x {size[1]} pixels, got others")
        if not isinstance(counts, list):
            return counts.encode() if isinstance(counts, str) else bytes(counts)
    try:
        drawn = coco_mask.frPyObjects(outline, *size)
        return bytes((coco_mask.merge(drawn) if isinstance(drawn, list) else drawn)["counts"])
    except Exception as error:  # noqa: BLE001 - pycocotools raises nothing narrower
        raise ValueError(f"{label}: expected an outline in COCO's format: {error}") from None


def decode_runs(runs: bytes, size: tuple[int, int], label: str) -> NDArray[np.bool_]:
    """The mask (H, W) = `size` of compressed run lengths; `label` is the picture, for errors.

    Raises:
        ValueError: these are none, or of another size.
    """
    import cv2

    lengths, pixels = _lengths(runs), size[0] * size[1]
    if ((lengths < 0) | (lengths > pixels)).any() or lengths.sum() != pixels:
        raise ValueError(f"{label}: expected the masks to be run lengths of {size[0]} x {size[1]} pixels, got others")
    values = np.zeros(len(lengths), np.uint8)
    values[1::2] = 1
    columns = np.repeat(values, lengths).reshape(size[::-1])  # COCO runs down the columns
    return np.asarray(cv2.transpose(columns)).view(bool)


def _lengths(runs: bytes) -> NDArray[np.int64]:
    """Numbers in digits of 5 bits, the lowest first, 32 more where another follows, two's complement in the last.

    From the fourth on, each is what the length is more than the one before last.
    """
    digits = np.frombuffer(runs, np.uint8).astype(np.int64) - 48
    last = np.flatnonzero(digits < 32)
    if len(last) == 0 or last[-1] != len(digits) - 1:
        return np.array([-1])
    first = np.concatenate([[0], last[:-1] + 1])
    bits = 5 * (np.arange(len(digits)) - np.repeat(first, last - first + 1))
    lengths = np.add.reduceat((digits & 31) << bits, first)
    lengths -= ((digits[last] & 16) << 1) << bits[last]
    lengths[1::2] = np.cumsum(lengths[1::2])
    lengths[2::2] = np.cumsum(lengths[2::2])
    return lengths
