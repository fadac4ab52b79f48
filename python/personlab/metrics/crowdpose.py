"""CrowdPose's average precision: COCO's, over all images and over those of each degree of crowding.

Source: Li et al., "CrowdPose: Efficient Crowded Scenes Pose Estimation and A New Benchmark" (CVPR 2019).
"""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.data.coco_file import read_entries, read_integer, read_json, shown
from personlab.data.sides import words_of
from personlab.skeleton import CROWDPOSE_PERSON

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from pycocotools.coco import COCO

    from personlab.data.coco_file import PathLike
    from personlab.skeleton import Skeleton

SIGMAS = CROWDPOSE_PERSON.sigmas
_SIGMA_OF = dict(zip(("shoulder", "elbow", "wrist", "hip", "knee", "ankle"), SIGMAS[::2], strict=False))
_SIGMA_OF |= {"head": SIGMAS[12], "top": SIGMAS[12], "neck": SIGMAS[13]}
LEVELS = ("easy", "medium", "hard")
BOUNDS = (0.1, 0.8)  # crowd indices between the levels, in the paper
ORIGINAL_BOUNDS = (0.2, 0.8)  # in the authors' evaluation, and so in published figures
_BOX_SHARE = 0.53  # of a box: the area of a person, as the annotations have no outlines


def read_crowd_indices(path: PathLike) -> dict[int, float]:
    """Read the crowd index, 0 to 1, of each image of an annotation file.

    Raises:
        OSError: the file cannot be read.
        ValueError: an image has none.
    """
    indices = {}
    for place, image in enumerate(read_entries(read_json(path), "images", path)):
        label = f"{path}: images[{place}]"
        value: Any = image.get("crowdIndex")
        if type(value) not in (int, float) or not 0 <= value <= 1:
            raise ValueError(f"{label}: crowdIndex: expected a number from 0 to 1, got {shown(value)}")
        indices[read_integer(image, "id", label)] = float(value)
    return indices


def sigmas_of(skeleton: Skeleton) -> tuple[float, ...]:
    """Return the OKS sigmas of a skeleton's keypoints: CrowdPose's, by the last word of a name, else the skeleton's."""
    own = zip(skeleton.names, skeleton.sigmas, strict=True)
    return tuple(_SIGMA_OF.get((words_of(name) or ("",))[-1], sigma) for name, sigma in own)


def crowd_figures(
    annotations: COCO,
    results: Sequence[dict[str, Any]],
    indices: Mapping[int, float],
    *,
    sigmas: Sequence[float] | None = None,
    category: str = "person",
    original: bool = False,
) -> dict[str, float]:
    """Return AP, AP50, AP75, AR, AR50, AR75 and the AP of easy, medium and hard images; -1 without annotated people.

    Args:
        annotations: as `personlab.metrics.coco.load_annotations` returns them.
        results: COCO keypoint results.
        indices: crowd index of each image.
        sigmas: OKS sigmas; CrowdPose's where left out.
        category: name or number of the category, as `personlab.metrics.coco.person_category` takes it.
        original: as the authors' evaluation: levels end at 0.2 and 0.8; the area of a person is 0.53 of the box, also
            where the file has one; the figure of a level is rounded to four places.

    Raises:
        ValueError: an image has no crowd index.
    """
    from personlab.data.coco import index_dataset
    from personlab.metrics.coco import coco_evaluation

    missing = next((number for number in annotations.imgs if number not in indices), None)
    if missing is not None:
        raise ValueError(f"image {missing}: expected a crowdIndex, got none")
    if original:
        entries = [
            {**entry, "area": _BOX_SHARE * entry["bbox"][2] * entry["bbox"][3]}
            for entry in annotations.dataset["annotations"]
        ]
        annotations = index_dataset({**annotations.dataset, "annotations": entries})
    evaluation = coco_evaluation(annotations, results, "keypoints", sigmas=sigmas or SIGMAS, category=category)

    def accumulate(images: list[int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return precision (thresholds, recalls) and recall (thresholds,) on some of the images."""
        evaluation.params.imgIds = images
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation.evaluate()
            evaluation.accumulate()
        return evaluation.eval["precision"][:, :, 0, 0, -1], evaluation.eval["recall"][:, 0, 0, -1]

    numbers = sorted(annotations.imgs)
    precision, recall = accumulate(numbers)
    figures = {
        f"{name}{suffix}": _mean(values[rows])
        for name, values in (("AP", precision), ("AR", recall))
        for suffix, rows in (("", slice(None)), ("50", slice(0, 1)), ("75", slice(5, 6)))
    }
    ends = ORIGINAL_BOUNDS if original else BOUNDS
    levels = np.searchsorted(ends, [indices[number] for number in numbers], side="right")
    for level, name in enumerate(LEVELS):
        chosen = [number for number, own in zip(numbers, levels, strict=True) if own == level]
        precision = accumulate(chosen)[0] if chosen else np.full((1, 1), -1.0)
        figures[f"AP {name}"] = round(float(precision.mean()), 4) if original else _mean(precision)
    return figures


def _mean(values: NDArray[np.float64]) -> float:
    """Return the mean of what COCO's evaluation has a value for; -1 without any."""
    known = values[values > -1]
    return float(known.mean()) if known.size else -1.0
