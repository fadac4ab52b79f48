"""Boxes of people for methods that look at one person at a time: from a file, from annotations, or from poses."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.data.coco_file import MAX_BYTES, MAX_COORDINATE, are_within, read_integer, read_numbers, shown
from personlab.io.files import read_up_to
from personlab.methods.base import Boxes

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from pycocotools.coco import COCO

    from personlab.predict.prediction import Prediction

NO_BOXES = Boxes(np.zeros((0, 4)), np.zeros(0))
_PERSON = 1  # COCO's number of the category
_MIN_PROBABILITY = 0.1  # of keypoints that a box is drawn around
_MARGIN = 0.1  # of a box's side, added on each side: people reach beyond their keypoints


@dataclass(frozen=True, eq=False)
class Boxed:
    """An image and the boxes of its people, as `Predictor` takes it for methods that look at one person at a time.

    Raises:
        TypeError: boxes or scores that are no numbers.
        ValueError: arrays of another shape.
    """

    image: Any
    """what `Predictor` takes: a path, a PIL image or a uint8 array"""

    boxes: Any
    """(P, 4) x, y, w, h pixels of the image"""

    scores: Any = None
    """(P,) of the detector; 1 where left out"""

    @property
    def people(self) -> Boxes:
        """The boxes and scores as arrays."""
        return self._people  # type: ignore[no-any-return,attr-defined]

    def __post_init__(self) -> None:
        boxes = _as_numbers(self.boxes, "boxes", "(P, 4) numbers x, y, w, h")
        if boxes.size == 0:
            boxes = boxes.reshape(0, 4)
        if boxes.ndim != 2 or boxes.shape[1] != 4:
            raise ValueError(f"boxes: expected shape (P, 4), got {boxes.shape}")
        scores = np.ones(len(boxes)) if self.scores is None else _as_numbers(self.scores, "scores", "(P,) numbers")
        if scores.shape != (len(boxes),):
            raise ValueError(f"scores: expected shape ({len(boxes)},), one for each box, got {scores.shape}")
        object.__setattr__(self, "_people", Boxes(boxes, scores))


def _as_numbers(values: Any, name: str, expected: str) -> NDArray[np.float64]:
    array = np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
    if array.size and not (np.issubdtype(array.dtype, np.floating) or np.issubdtype(array.dtype, np.integer)):
        raise TypeError(f"{name}: expected {expected}, got {array.dtype}")
    return array.astype(np.float64)


def read_boxes(path: str | os.PathLike[str], *, category_id: int = _PERSON) -> dict[int, Boxes]:
    """Read the boxes of people from a file of detections in COCO's results format, by image id.

    Each entry of its list has `image_id`, `bbox` (x, y, w, h pixels) and, where the detector gives them, `category_id`
    and `score`; entries of other categories are left out, and a score that is missing is 1.

    Raises:
        OSError: the file cannot be read.
        ValueError: not such a file; the entry is named.
    """
    try:
        content = json.loads(read_up_to(path, MAX_BYTES))
    except RecursionError:
        raise ValueError(f"{path}: expected detections in COCO's format, got deeply nested JSON") from None
    except ValueError as error:
        raise _not_detections(path, f"no JSON: {str(error).partition(';')[0]}") from None
    if not isinstance(content, list):
        raise _not_detections(path, shown(content))
    listed: dict[int, list[tuple[list[float], float]]] = {}
    for place, entry in enumerate(content):
        label = f"{path}: entry {place}"
        if not isinstance(entry, dict):
            raise ValueError(f"{label}: expected an object with image_id and bbox, got {shown(entry)}")  # noqa: TRY004  # of the text
        number = read_integer(entry, "image_id", label)
        if "category_id" in entry and read_integer(entry, "category_id", label) != category_id:
            continue
        if "bbox" not in entry:
            raise ValueError(f"{label}: bbox: expected 4 numbers x, y, w, h, got none")
        box = read_numbers(entry["bbox"], f"{label}: bbox", "4 numbers x, y, w, h")
        if len(box) != 4 or not are_within(box, -MAX_COORDINATE, MAX_COORDINATE):
            got = f"{len(box)}" if len(box) != 4 else str(entry["bbox"])
            raise ValueError(f"{label}: bbox: expected 4 numbers of at most {MAX_COORDINATE} pixels, got {got}")
        (score,) = read_numbers([entry.get("score", 1.0)], f"{label}: score", "a number").tolist()
        if not np.isfinite(score):
            raise ValueError(f"{label}: score: expected a finite number, got {score}")
        listed.setdefault(number, []).append((box.tolist(), score))
    return {number: _boxes(rows) for number, rows in listed.items()}


def _boxes(rows: Sequence[tuple[Any, float]]) -> Boxes:
    boxes, scores = zip(*rows, strict=True) if rows else ((), ())
    return Boxes(np.array(boxes, np.float64).reshape(-1, 4), np.array(scores, np.float64))


def _not_detections(path: Any, got: str) -> ValueError:
    return ValueError(f"{path}: expected a list of detections in COCO's format, got {got}")


def true_boxes(annotations: COCO, category: str = "person") -> dict[int, Boxes]:
    """Return the annotated boxes of single people with labelled keypoints, by image id, with score 1.

    Args:
        annotations: from `personlab.metrics.coco.load_annotations`; boxes that the file lacks were derived there.
        category: name or number, as text, of the people's category.
    """
    from personlab.metrics.coco import person_category

    own = person_category(annotations, category)["id"]
    listed: dict[int, list[tuple[Any, float]]] = {number: [] for number in annotations.imgs}
    for entry in annotations.anns.values():
        if entry["category_id"] == own and not entry["iscrowd"] and entry.get("num_keypoints"):
            listed[entry["image_id"]].append((entry["bbox"], 1.0))
    return {number: _boxes(rows) for number, rows in listed.items()}


def boxes_of(prediction: Prediction) -> Boxes:
    """Return boxes around the people that another network found, with their scores.

    A box holds the mask where there is one, and the keypoints of some probability with a margin, all where at most one
    has it; it is at least a pixel large.
    """
    poses, boxes = prediction.poses, []
    factors = _mask_factors(prediction)
    for n in range(len(poses)):
        points = poses.keypoints[n][poses.keypoint_probabilities[n] >= _MIN_PROBABILITY].astype(np.float64)
        if len(points) < 2:
            points = poses.keypoints[n].astype(np.float64)
        low, high = points.min(axis=0), points.max(axis=0)
        low, high = low - _MARGIN * (high - low), high + _MARGIN * (high - low)
        high = np.maximum(high, low + 1)
        if prediction.masks is not None and prediction.masks[n].any():
            rows, columns = (np.flatnonzero(prediction.masks[n].any(axis=axis)) for axis in (1, 0))
            low = np.array([columns[0], rows[0]]) * factors
            high = np.array([columns[-1] + 1, rows[-1] + 1]) * factors
            low, high = np.minimum(low, points.min(axis=0)), np.maximum(high, points.max(axis=0))
        boxes.append((np.concatenate([low, high - low]), float(poses.scores[n])))
    return _boxes(boxes)


def _mask_factors(prediction: Prediction) -> Any:
    """Return how many pixels of the image a pixel of its masks covers, along x and y."""
    if prediction.masks is None or prediction.masks.size == 0:
        return np.ones(2)
    return np.array(prediction.image_size) / prediction.masks.shape[:0:-1]


def with_boxes(sources: Sequence[Any], numbers: Sequence[int], boxes: Mapping[int, Boxes] | None) -> list[Any]:
    """Return images with their boxes, by image id; those without any have none. Without `boxes`, the images alone."""
    if boxes is None:
        return list(sources)
    own = [boxes.get(number, NO_BOXES) for number in numbers]
    return [Boxed(source, *people) for source, people in zip(sources, own, strict=True)]
