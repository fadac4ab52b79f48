"""Reads the entries of an annotation file in COCO's format: images, categories and people, each field checked."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from personlab.data.coco_file import (
    MAX_COORDINATE,
    are_within,
    as_integer_or_none,
    read_integer,
    read_numbers,
    shown,
)
from personlab.data.rle import count_pixels, encode_outline
from personlab.io.image_header import check_pixels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from personlab.data.coco_file import PathLike

    Box = tuple[float, float, float, float]

_OUTLINE_SHARE = 0.53  # of a person's box, about COCO's mean
MAX_SIDE = 32_766  # pixels of an image: OpenCV warps no larger ones
_MAX_AREA = 1e10  # pixels: COCO's evaluation ignores larger people
_NO_BOX = (0.0, 0.0, 0.0, 0.0)
_MAX_PATH_BYTES, _MAX_PART_BYTES = 3072, 255  # of a file's path and of each of its parts, as file systems allow
_LEADS_OUTSIDE = re.compile(r"[/\\]|[A-Za-z]:|(.*[/\\])?\.\.([/\\]|$)", re.DOTALL)  # of a folder


class Image(NamedTuple):
    """One image of an annotation file."""

    name: str | None  # path of its file inside the folder of images
    size: tuple[int, int]  # (H, W) pixels


class Person(NamedTuple):
    """One checked annotation."""

    id: int | None  # as in the file; None unless it is an integer
    image_id: int
    crowd: bool  # a region of people annotated together, not a person
    keypoints: NDArray[np.float64] | None  # (K, 3) x, y, v; None without labelled keypoints
    runs: bytes  # compressed run lengths of the mask; empty without an outline that covers a pixel
    box: Box  # x, y, w, h pixels; zeros where it is unknown
    area: float  # pixels


def read_images(entries: Sequence[Mapping[str, Any]], path: PathLike) -> dict[int, Image]:
    """Read the images of a file, in the order of their ids.

    Raises:
        ValueError: an entry is not in COCO's format, or two images share an id.
    """
    images: dict[int, Image] = {}
    for place, entry in enumerate(entries):
        number = read_integer(entry, "id", f"{path}: images[{place}]")
        label = f"{path}: image {number}"
        height, width = (read_integer(entry, name, label, high=MAX_SIDE) for name in ("height", "width"))
        check_pixels((width, height), label)
        image = Image(read_name(entry.get("file_name"), label), (height, width))
        if images.setdefault(number, image) != image:
            raise ValueError(f"{label}: expected one image of this id, got two that differ")
    return dict(sorted(images.items()))


def read_name(name: Any, label: str) -> str | None:
    """Check the name of a file inside a folder; None stays None.

    Raises:
        ValueError: not a file name, or one that leads out of the folder.
    """
    if name is None:
        return None
    if not isinstance(name, str) or not name or "\0" in name or not _is_text(name):
        raise ValueError(f"{label}: file_name: expected the name of a file, got {shown(name)}")
    if _LEADS_OUTSIDE.match(name):
        raise ValueError(f"{label}: file_name: expected a name inside the folder of images, got {shown(name)}")
    lengths = [len(os.fsencode(part)) for part in name.split("/")]
    if max(lengths) > _MAX_PART_BYTES or sum(lengths) + len(lengths) > _MAX_PATH_BYTES:
        raise ValueError(f"{label}: file_name: expected a name that a file can have, got {shown(name)}")
    return name


def read_categories(entries: Sequence[Mapping[str, Any]], path: PathLike) -> list[Mapping[str, Any]]:
    """Read the categories of a file.

    Raises:
        ValueError: an entry is not in COCO's format, or two categories share an id.
    """
    categories: dict[int, Mapping[str, Any]] = {}
    for place, entry in enumerate(entries):
        label = f"{path}: categories[{place}]"
        number, name = read_integer(entry, "id", label), entry.get("name")
        if not isinstance(name, str) or not _is_text(name):
            raise ValueError(f"{label}: name: expected text, got {shown(name)}")
        category = {**entry, "id": number}
        if categories.setdefault(number, category) != category:
            raise ValueError(f"{label}: id: expected a number that comes once, got {number} again")
    return list(categories.values())


def _is_text(value: str) -> bool:
    """Whether a text is valid Unicode: JSON can hold single surrogates."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_person(entry: Mapping[str, Any], image_id: int, size: tuple[int, int], n_keypoints: int, label: str) -> Person:
    """Read one annotation of an image of `size` (H, W), and derive box and area where they are missing.

    Raises:
        ValueError: a field is not in COCO's format; the message begins with `label`.
    """
    crowd = entry.get("iscrowd") or 0
    if crowd not in (0, 1) or isinstance(crowd, (list, dict, str)):
        raise ValueError(f"{label}: iscrowd: expected 0 or 1, got {shown(crowd)}")
    keypoints = _read_keypoints(entry.get("keypoints"), n_keypoints, label) if n_keypoints else None
    runs = encode_outline(entry.get("segmentation"), size, label)
    box = _read_box(entry.get("bbox"), label)
    if box[2] * box[3] == 0:
        box = _derive_box(runs, size, keypoints)
    return Person(
        id=as_integer_or_none(entry.get("id")),
        image_id=image_id,
        crowd=bool(crowd),
        keypoints=keypoints,
        runs=runs,
        box=box,
        area=_read_area(entry.get("area"), label)
        or (count_pixels(runs, size) if runs else _OUTLINE_SHARE * box[2] * box[3]),
    )


def _read_keypoints(values: Any, n_keypoints: int, label: str) -> NDArray[np.float64] | None:
    if values is None or values == []:
        return None
    numbers = read_numbers(values, label, f"{3 * n_keypoints} numbers for the {n_keypoints} keypoints")
    if len(numbers) != 3 * n_keypoints:
        raise ValueError(
            f"{label}: expected {3 * n_keypoints} numbers for the {n_keypoints} keypoints, got {len(numbers)}"
        )
    keypoints = numbers.reshape(-1, 3)
    labelled = keypoints[:, 2] > 0
    if are_within(numbers, -MAX_COORDINATE, MAX_COORDINATE):
        return keypoints if labelled.any() else None
    if not np.isfinite(keypoints[:, 2]).all() or not np.isfinite(keypoints[labelled]).all():
        raise ValueError(f"{label}: expected finite keypoints, got NaN or infinity")
    if not are_within(keypoints[labelled], -MAX_COORDINATE, MAX_COORDINATE):
        raise ValueError(
            f"{label}: expected keypoints of at most {MAX_COORDINATE} pixels, got {np.abs(keypoints[labelled]).max():g}"
        )
    keypoints[~labelled] = 0  # coordinates of unlabelled keypoints have no meaning
    return keypoints if labelled.any() else None


def _read_box(values: Any, label: str) -> Box:
    if values is None or values == []:
        return _NO_BOX
    numbers = read_numbers(values, label, "4 numbers x, y, w, h as bbox").tolist()
    if len(numbers) != 4:
        raise ValueError(f"{label}: expected 4 numbers x, y, w, h as bbox, got {len(numbers)}")
    x, y, w, h = numbers
    low, high = -MAX_COORDINATE, MAX_COORDINATE
    if not (low <= x <= high and low <= y <= high and 0 <= w <= high and 0 <= h <= high):
        raise ValueError(f"{label}: expected a bbox of at most {high} pixels, w and h not negative, got {numbers}")
    return x, y, w, h


def _derive_box(runs: bytes, size: tuple[int, int], keypoints: NDArray[np.float64] | None) -> Box:
    """Return the box around an outline, else around labelled keypoints."""
    from pycocotools import mask as coco_mask

    if runs:
        x, y, w, h = coco_mask.toBbox({"size": size, "counts": runs}).tolist()
        return x, y, w, h
    if keypoints is None:
        return _NO_BOX
    points = keypoints[keypoints[:, 2] > 0, :2]
    (x, y), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return x, y, right - x + 1, bottom - y + 1  # from the left side of the first pixel to the right side of the last


def _read_area(value: Any, label: str) -> float:
    """Return an area in pixels; 0 where it is missing."""
    if value is None:
        return 0.0
    if type(value) not in (int, float) or not 0 <= value <= _MAX_AREA:
        raise ValueError(f"{label}: area: expected a number of pixels from 0 to {_MAX_AREA:g}, got {shown(value)}")
    return float(value)
