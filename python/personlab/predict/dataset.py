"""A network over annotated pictures, and its average precision: what `personlab evaluate` and training score by."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from personlab.evaluate import average_precision, has_outlines

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pycocotools.coco import COCO

    from personlab.evaluate import Precision
    from personlab.predict.predictor import Predictor


@dataclass
class Results:
    """COCO results of a whole set of pictures."""

    keypoints: list[dict[str, Any]] = field(default_factory=list)
    masks: list[dict[str, Any]] = field(default_factory=list)
    times: dict[str, float] = field(default_factory=dict)
    """milliseconds of each stage, all pictures together"""

    problems: dict[str, Exception] = field(default_factory=dict)
    """by file name, what went wrong with pictures that are left out"""


def predict_dataset(
    predictor: Predictor,
    annotations: COCO,
    images: str | os.PathLike[str] | Mapping[int, Any],
    *,
    progress: Callable[[], object] = lambda: None,
) -> Results:
    """Find the people in every picture of an annotation file.

    Args:
        predictor: with masks, where they are to be scored; `DecodeOptions.min_score` best 0, for average precision
            counts low scores, too.
        annotations: what `personlab.evaluate.load_annotations` gave.
        images: the folder that the file names in the annotations are in, or pictures by image id.
        progress: called after each picture.
    """
    numbers = sorted(annotations.imgs)
    if isinstance(images, (str, os.PathLike)):
        names = [str(annotations.imgs[number]["file_name"]) for number in numbers]
        pictures: list[Any] = [Path(images) / name for name in names]
    else:
        names, pictures = [f"image {number}" for number in numbers], [images[number] for number in numbers]
    results = Results()
    with predictor.stream(pictures) as stream:
        for number, name in zip(numbers, names, strict=True):
            try:
                prediction = next(stream)
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
    annotations: COCO, results: Results, predictor: Predictor, *, category: str = "person"
) -> dict[str, Precision]:
    """COCO's average precision of what `predict_dataset` gave: of "keypoint" and "mask", where there is any to compare.

    Args:
        annotations: as above.
        results: of all their pictures.
        predictor: whose results they are.
        category: name of the category, as `personlab.evaluate.person_category` takes it.
    """
    more: dict[str, Any] = {"sigmas": predictor.skeleton.sigmas, "category": category}
    scores: dict[str, Precision] = {}
    if any("num_keypoints" in annotation for annotation in annotations.anns.values()):
        scores["keypoint"] = average_precision(annotations, results.keypoints, "keypoints", **more)
    if predictor.masks and has_outlines(annotations):
        scores["mask"] = average_precision(annotations, results.masks, "segm", **more)
    return scores
