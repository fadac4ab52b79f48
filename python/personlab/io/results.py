"""COCO results: masks as run lengths, and lists of results as JSON files or on standard output."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.arrays.numbers import as_integer
from personlab.io.console import log
from personlab.io.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from personlab.poses import Poses

STDOUT = "-"  # in place of a file's name


def mask_results(
    poses: Poses, masks: NDArray[np.bool_], image_id: int, *, scores: NDArray[np.float32] | None = None
) -> list[dict[str, Any]]:
    """Make one COCO segmentation result, run-length encoded, of each pose and its mask.

    Args:
        poses: P poses.
        masks: (P, H, W).
        image_id: of the image.
        scores: (P,) mask scores, as `decode_masks` returns them; those of the poses where left out.
    """
    from pycocotools import mask as coco_mask

    image_id = as_integer(image_id, "image_id")
    results = []
    for score, mask in zip(poses.scores if scores is None else scores, masks, strict=True):
        encoded = coco_mask.encode(np.asfortranarray(mask, np.uint8))
        results.append(
            {
                "image_id": image_id,
                "category_id": 1,
                "segmentation": {"size": list(encoded["size"]), "counts": encoded["counts"].decode("ascii")},
                "score": float(score),
            }
        )
    return results


def mask_file(path: str) -> Path:
    """Return the file that mask results go to, beside the keypoint results in `path`."""
    return Path(path).with_suffix(".masks.json")


def write_results(path: str, keypoints: Iterable[Any], masks: Iterable[Any] | None, *, is_part: bool = False) -> None:
    """Write results, those of masks where there are any; of an iterator, one at a time.

    Args:
        path: the file of the keypoint results, or `STDOUT`, which gets both lists in one JSON value.
        keypoints: COCO keypoint results.
        masks: COCO segmentation results.
        is_part: the run was interrupted: the file is called NAME.part.json and replaces no complete one; nothing goes
            to standard output, a pipe or a device.

    Raises:
        OSError: a file cannot be written.
    """
    if path == STDOUT:
        if not is_part:
            _write_to_stdout(keypoints, masks)
        return
    if is_part:
        if Path(path).exists() and not Path(path).is_file():  # a pipe or a device
            return
        path = str(Path(path).with_suffix(f".part{Path(path).suffix or '.json'}"))
    lists = {Path(path): keypoints, **({} if masks is None else {mask_file(path): masks})}
    for file, results in lists.items():
        write_whole(file, _lines(results))
        log(f"wrote {file}{': a part, as the run was interrupted' if is_part else ''}")


def _write_to_stdout(keypoints: Iterable[Any], masks: Iterable[Any] | None) -> None:
    if masks is not None:
        sys.stdout.write('{"keypoints": ')
    sys.stdout.writelines(_pieces(keypoints))
    if masks is not None:
        sys.stdout.write(', "masks": ')
        sys.stdout.writelines(_pieces(masks))
        sys.stdout.write("}")
    sys.stdout.write("\n")


def _lines(results: Iterable[Any]) -> Iterator[bytes]:
    yield from (piece.encode() for piece in _pieces(results))
    yield b"\n"


def _pieces(results: Iterable[Any]) -> Iterator[str]:
    """Yield the JSON text of a list, an element at a time, as `json.dumps` writes it."""
    between = "["
    for result in results:
        yield between + json.dumps(result)
        between = ", "
    yield "[]" if between == "[" else "]"
