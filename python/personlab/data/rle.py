"""COCO's compressed run lengths: encodes outlines of any form, and decodes masks faster than pycocotools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.data.coco_file import are_within, as_integer_or_none, read_numbers, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Size = tuple[int, int]

_MIN_POINTS = 3  # of a polygon
_MAX_EXTRA_LENGTH = 2**16  # pixels of an outline beyond the number of the image's pixels
_MAX_DIGITS = 8  # of one run length: 5 bits each
_DAMAGED = np.array([-1])  # in place of run lengths that cannot be decoded


def encode_outline(outline: Any, size: tuple[int, int], label: str) -> bytes:
    """Return the compressed run lengths of an annotation's `segmentation`; empty where it covers no pixel.

    Polygons may reach beyond the image by its longer side: this bounds time and memory by the size of the image.

    Args:
        outline: polygons [x, y, x, y ...], one polygon, or run lengths, compressed or not.
        size: (H, W) of the image, pixels.
        label: of the annotation, for errors.

    Raises:
        ValueError: another value, run lengths of another size, or coordinates that are not finite or too far outside.
    """
    if outline is None or outline in ([], {}):
        return b""
    if isinstance(outline, dict):
        runs = _from_lengths(outline, size, label)
    elif isinstance(outline, list):
        runs = _from_polygons(outline, size, label)
    else:
        raise ValueError(f"{label}: expected an outline in segmentation, polygons or run lengths, got {shown(outline)}")  # noqa: TRY004
    return runs if len(runs) > _MAX_DIGITS or (runs and count_pixels(runs, size)) else b""


def count_pixels(runs: bytes, size: tuple[int, int]) -> int:
    """Return the number of pixels that compressed run lengths cover in an image of `size` (H, W)."""
    from pycocotools import mask as coco_mask

    return int(coco_mask.area({"size": size, "counts": runs}))


def decode_runs(runs: bytes, size: tuple[int, int], label: str) -> NDArray[np.bool_]:
    """Decode compressed run lengths to a mask of `size` (H, W); `label` names their owner in errors.

    Raises:
        ValueError: the run lengths are damaged, or of another size.
    """
    import cv2

    lengths = _check_lengths(_decode_lengths(runs), size, label)
    values = np.zeros(len(lengths), np.uint8)
    values[1::2] = 1
    columns = np.repeat(values, lengths).reshape(size[::-1])  # COCO's runs go down the columns
    return np.asarray(cv2.transpose(columns)).view(bool)


def _from_polygons(outline: list[Any], size: Size, label: str) -> bytes:
    from pycocotools import mask as coco_mask

    side = max(size)
    polygons = []
    for polygon in outline if isinstance(outline[0], list) else [outline]:
        values = read_numbers(polygon, label, "an outline of numbers in segmentation")
        if not are_within(values, -side, 2 * side):
            expected = f"{label}: expected an outline of finite numbers in segmentation"
            if not np.isfinite(values).all():
                raise ValueError(f"{expected}, got NaN or infinity")
            far = values[np.abs(values).argmax()]
            raise ValueError(f"{expected}, at most {side} pixels outside the image of (H, W) = {size}, got {far:g}")
        if len(values) % 2:
            raise ValueError(f"{label}: expected an outline of pairs x, y in segmentation, got {len(values)} numbers")
        if len(values) >= 2 * _MIN_POINTS:  # pycocotools takes two points for a box
            polygons.append(values)
    _check_length(polygons, size, label)
    return bytes(coco_mask.merge(coco_mask.frPyObjects(polygons, *size))["counts"]) if polygons else b""


def _check_length(polygons: list[NDArray[np.float64]], size: Size, label: str) -> None:
    """Refuse polygons longer than the image has pixels: each pixel along them takes time and memory.

    Raises:
        ValueError: the polygons are longer.
    """
    limit = size[0] * size[1] + _MAX_EXTRA_LENGTH
    if sum(map(len, polygons)) * 3 * max(size) <= 2 * limit:  # an upper bound of the length, without measuring
        return
    sides = [np.diff(values.reshape(-1, 2), axis=0, append=values[None, :2]) for values in polygons]
    length = sum(float(np.abs(side).max(axis=1).sum()) for side in sides)
    if length > limit:
        raise ValueError(
            f"{label}: expected an outline of at most {limit} pixels in segmentation, got one {length:.0f} long"
        )


def _from_lengths(outline: Mapping[str, Any], size: Size, label: str) -> bytes:
    counts, own = outline.get("counts"), outline.get("size")
    if not isinstance(own, list) or [as_integer_or_none(side) for side in own] != list(size):
        got = " x ".join(map(shown, own)) if isinstance(own, list) else shown(own)
        raise ValueError(f"{label}: expected run lengths of {size[0]} x {size[1]} pixels in segmentation, got {got}")
    if isinstance(counts, str):
        runs = counts.encode("utf-8", "replace")
        if not runs:
            return b""
        lengths = _check_lengths(_decode_lengths(runs), size, label)
        if lengths[1:].all():
            return runs
    else:
        numbers = read_numbers(counts, label, "run lengths as counts in segmentation")
        is_whole = are_within(numbers, 0, size[0] * size[1]) and bool((numbers == np.rint(numbers)).all())
        lengths = _check_lengths(numbers.astype(np.int64) if is_whole else _DAMAGED, size, label)
    return _compress(_drop_gaps(lengths), size)


def _compress(lengths: NDArray[np.int64], size: Size) -> bytes:
    from pycocotools import mask as coco_mask

    return bytes(coco_mask.frPyObjects({"size": list(size), "counts": lengths.tolist()}, *size)["counts"])


def _check_lengths(lengths: NDArray[np.int64], size: Size, label: str) -> NDArray[np.int64]:
    pixels = size[0] * size[1]
    if not are_within(lengths, 0, pixels) or lengths.sum() != pixels:
        raise ValueError(f"{label}: expected run lengths of {size[0]} x {size[1]} pixels in segmentation, got others")
    return lengths


def _drop_gaps(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the run lengths of the same mask without runs of length 0 after the first: pycocotools may stop there."""
    positive = lengths > 0
    ends, inside = np.cumsum(lengths)[positive], (np.arange(len(lengths)) % 2 == 1)[positive]
    kept = np.diff(ends[np.append(inside[1:] != inside[:-1], True)], prepend=0)
    return np.append(0, kept) if inside[0] else kept


def _decode_lengths(runs: bytes) -> NDArray[np.int64]:
    """Decode run lengths: digits of 5 bits, lowest first, plus 32 where another follows; two's complement in the last.

    From the fourth number on, each is the difference to the length two before.
    """
    digits = np.frombuffer(runs, np.uint8).astype(np.int64) - 48
    last = np.flatnonzero(digits < 32)
    if len(last) == 0 or last[-1] != len(digits) - 1 or not are_within(digits, 0, 63):
        return _DAMAGED
    first = np.concatenate([[0], last[:-1] + 1])
    if (last - first).max() >= _MAX_DIGITS:
        return _DAMAGED
    bits = 5 * (np.arange(len(digits)) - np.repeat(first, last - first + 1))
    lengths = np.add.reduceat((digits & 31) << bits, first)
    lengths -= ((digits[last] & 16) << 1) << bits[last]
    lengths[1::2] = np.cumsum(lengths[1::2])
    lengths[2::2] = np.cumsum(lengths[2::2])
    return lengths
