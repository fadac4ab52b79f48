"""Reads COCO keypoint results, and checks each field: what `personlab predict --json` and other programs write."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from personlab.data.coco_file import MAX_BYTES, MAX_COORDINATE, are_within, read_integer, read_numbers, shown
from personlab.io.files import read_up_to

if TYPE_CHECKING:
    from collections.abc import Collection

    from personlab.data.coco_file import PathLike


def read_list(path: PathLike) -> list[dict[str, Any]]:
    """Read a JSON list of objects.

    Raises:
        OSError: the file cannot be read.
        ValueError: it holds something else.
    """
    try:
        content = json.loads(read_up_to(path, MAX_BYTES))
    except (RecursionError, ValueError) as error:
        got = "JSON nested too deep" if isinstance(error, RecursionError) else f"no JSON: {error}".partition(";")[0]
        raise ValueError(f"{path}: expected a list of COCO results, got {got}") from None
    if not isinstance(content, list):
        raise ValueError(f"{path}: expected a list of COCO results, got {shown(content)}")  # noqa: TRY004  # of the file
    for place, entry in enumerate(content):
        if not isinstance(entry, dict):
            raise ValueError(f"{path}: results[{place}]: expected an object, got {shown(entry)}")  # noqa: TRY004
    return content


def read_results(path: PathLike, images: Collection[int], n_keypoints: int) -> list[dict[str, Any]]:
    """Read COCO keypoint results.

    Args:
        path: the file.
        images: ids of the images that results may have.
        n_keypoints: K.

    Raises:
        OSError: the file cannot be read.
        ValueError: a field is not in the format; the message names file, result and field.
    """
    results = read_list(path)
    for place, entry in enumerate(results):
        label = f"{path}: results[{place}]"
        image = read_integer(entry, "image_id", label)
        if "category_id" in entry:
            read_integer(entry, "category_id", label)
        if image not in images:
            raise ValueError(f"{label}: image_id: expected an image of the annotations, got {image}")
        numbers = read_numbers(entry.get("keypoints"), f"{label}: keypoints", f"{3 * n_keypoints} numbers")
        if len(numbers) != 3 * n_keypoints:
            raise ValueError(f"{label}: keypoints: expected {3 * n_keypoints} numbers, got {len(numbers)}")
        if not are_within(numbers, -MAX_COORDINATE, MAX_COORDINATE):
            raise ValueError(f"{label}: keypoints: expected at most {MAX_COORDINATE} pixels, got NaN or more")
        score = entry.get("score")
        if type(score) not in (int, float) or not abs(score) <= MAX_COORDINATE:  # type: ignore[arg-type]
            raise ValueError(f"{label}: score: expected a number, got {shown(score)}")
    return results
