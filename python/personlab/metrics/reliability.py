"""What poses of a score are worth: their Object Keypoint Similarity with the person they stand for, bin by bin."""

from __future__ import annotations

import contextlib
import io
import itertools
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from personlab.metrics.coco import coco_evaluation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from pycocotools.coco import COCO

_FITS = 0.5  # OKS from which a pose may stand for somebody
_MOST = 1000  # poses of an image that are looked at


class ScoredPoses(NamedTuple):
    """Poses of a set of images that an annotation can judge."""

    scores: NDArray[np.float64]  # (N,) instance scores
    oks: NDArray[np.float64]  # (N,) with the free person that fits best; 0 where there is none
    nearest: NDArray[np.float64]  # (N,) with whoever fits best, free or not


class Bin(NamedTuple):
    """Poses whose scores lie in [low, high)."""

    low: float
    high: float
    poses: int
    score: float  # mean; NaN without poses, as the next
    oks: float  # mean


def judge_poses(
    annotations: COCO,
    results: Sequence[dict[str, Any]],
    *,
    sigmas: Sequence[float] | None = None,
    category: str = "person",
) -> ScoredPoses:
    """Every pose with the OKS that it reaches; arguments as `evaluate.average_precision` takes them.

    A person is free until a pose of a higher score fits them to 0.5 or more: the second pose of a person is worth
    little, as in average precision, whose matches at an OKS of 0.5 these are.

    A pose is left out that fits a crowd or an unlabelled person to 0.5 or more, and better than any labelled one: by
    COCO's rule, such a person is fitted by whatever lies in the box around them, made three times as wide and as high.
    """
    evaluation = coco_evaluation(annotations, results, "keypoints", sigmas=sigmas, category=category)
    parameters = evaluation.params
    parameters.maxDets, parameters.iouThrs = [_MOST], np.array([0.5])
    parameters.areaRng, parameters.areaRngLbl = [[0, 1e10]], ["all"]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
    (number,) = parameters.catIds
    parts = [np.zeros((3, 0))]
    for image, found in zip(parameters.imgIds, evaluation.evalImgs, strict=True):
        if found is None or not len(found["dtScores"]):
            continue
        score = np.asarray(found["dtScores"], float)
        people = annotations.loadAnns(annotations.getAnnIds(imgIds=[image], catIds=[number]))
        counts = np.array([bool(p.get("num_keypoints")) and not p["iscrowd"] for p in people], bool)
        oks = np.asarray(evaluation.ious[image, number], float).reshape(len(score), len(people))
        nearest, other = oks[:, counts].max(axis=1, initial=0), oks[:, ~counts].max(axis=1, initial=0)
        kept = (nearest >= other) | (other < _FITS)
        parts.append(np.stack([score, _of_free_people(oks[:, counts]), nearest])[:, kept])
    return ScoredPoses(*np.concatenate(parts, axis=1))


def _of_free_people(oks: NDArray[np.float64]) -> NDArray[np.float64]:
    """(D,) from (D, G): poses in order choose among the people that those before have left."""
    free = np.ones(oks.shape[1], bool)
    reached = np.zeros(len(oks))
    for n, row in enumerate(oks):
        if free.any():
            best = int(np.argmax(np.where(free, row, -1)))
            reached[n] = row[best]
            free[best] = row[best] < _FITS
    return reached


def bin_poses(poses: ScoredPoses, edges: Sequence[float] | None = None) -> list[Bin]:
    """Counts and means of bins of the score, those without poses among them.

    Args:
        poses: what `judge_poses` gave, with scores from 0 to 1.
        edges: of the bins; 0, 0.1 .. 1 where left out. The last bin holds its upper edge, too.
    """
    limits = np.linspace(0, 1, 11) if edges is None else np.asarray(edges, float)
    place = np.clip(np.searchsorted(limits, poses.scores, side="right") - 1, 0, len(limits) - 2)
    bins = []
    for n, (low, high) in enumerate(itertools.pairwise(limits)):
        inside = place == n
        count = int(inside.sum())
        means = [float(values[inside].mean()) if count else float("nan") for values in (poses.scores, poses.oks)]
        bins.append(Bin(float(low), float(high), count, *means))
    return bins
