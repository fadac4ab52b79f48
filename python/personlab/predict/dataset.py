"""Prediction of annotated images, and its average precision, for `personlab evaluate` and training."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from personlab.metrics.coco import average_precision, has_labels, has_outlines
from personlab.predict.boxes import with_boxes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pycocotools.coco import COCO

    from personlab.methods.base import Boxes
    from personlab.metrics.coco import Evaluator, Precision
    from personlab.predict.predictor import Predictor
    from personlab.skeleton import Skeleton


@dataclass
class Results:
    """COCO results of a whole set of images."""

    keypoints: list[dict[str, Any]] = field(default_factory=list)
    masks: list[dict[str, Any]] = field(default_factory=list)
    times: dict[str, float] = field(default_factory=dict)
    """milliseconds of each stage, all images together"""

    problems: dict[str, Exception] = field(default_factory=dict)
    """error by file name, of images that are left out"""


def predict_dataset(
    predictor: Predictor,
    annotations: COCO,
    images: str | os.PathLike[str] | Mapping[int, Any],
    *,
    boxes: Mapping[int, Boxes] | None = None,
    progress: Callable[[], object] = lambda: None,
) -> Results:
    """Find the people in every image of an annotation file.

    Args:
        predictor: with masks, where they are scored; its options keep weak poses (`Method.every_pose`), which count in
            average precision.
        annotations: from `personlab.metrics.coco.load_annotations`.
        images: the folder that the file names in the annotations are in, or images by their id.
        boxes: of people by image id, for methods that look at one person at a time; None: the predictor finds them.
        progress: called after each image.

    Raises:
        ValueError: an image without file name, or with one that leads out of the folder.
    """
    numbers = sorted(annotations.imgs)
    if isinstance(images, (str, os.PathLike)):
        names = [_name(annotations.imgs[number], number) for number in numbers]
        sources: list[Any] = [Path(images) / name for name in names]
    else:
        names, sources = [f"image {number}" for number in numbers], [images[number] for number in numbers]
    results = Results()
    with predictor.stream(with_boxes(sources, numbers, boxes)) as stream:
        for number, name in zip(numbers, names, strict=True):
            try:
                prediction = next(stream)
                _check_size(prediction.image_size, annotations.imgs[number])
            except (OSError, RuntimeError, TypeError, ValueError) as error:
                results.problems[name] = error
            else:
                results.keypoints += prediction.to_coco(number)
                if prediction.masks is not None:
                    results.masks += prediction.masks_to_coco(number)
                for stage, value in prediction.times.items():
                    results.times[stage] = results.times.get(stage, 0.0) + value
            progress()
    return results


def score_results(
    annotations: COCO,
    results: Results,
    skeleton: Skeleton,
    *,
    category: str = "person",
    masks: bool = True,
    evaluator: Evaluator = "pycocotools",
) -> dict[str, Precision]:
    """Return COCO's average precision of "keypoint" and "mask", each if the annotations have any.

    Args:
        annotations: as above.
        results: of all their images.
        skeleton: of their keypoints.
        category: name or number of the category, as `personlab.metrics.coco.person_category` takes it.
        masks: whether the results have masks.
        evaluator: the package that computes it, as `personlab.metrics.coco.average_precision` takes it.
    """
    more: dict[str, Any] = {"sigmas": skeleton.sigmas, "category": category, "evaluator": evaluator}
    scores: dict[str, Precision] = {}
    if has_labels(annotations):
        scores["keypoint"] = average_precision(annotations, results.keypoints, "keypoints", **more)
    if masks and has_outlines(annotations):
        scores["mask"] = average_precision(annotations, results.masks, "segm", **more)
    return scores


def _name(image: Mapping[str, Any], number: int) -> str:
    from personlab.data.entries import read_name

    name = read_name(image.get("file_name"), f"image {number}")
    if name is None:
        raise ValueError(f"image {number}: file_name: expected the name of a file, got none")
    return name


def _check_size(size: tuple[int, int], image: Mapping[str, Any]) -> None:
    """Check that an image (w, h) is as large as its annotations say."""
    annotated = image["height"], image["width"]
    if size[::-1] != annotated:
        raise ValueError(f"expected (H, W) = {annotated} as annotated, got {size[::-1]}")
