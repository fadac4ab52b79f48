"""Reliability of instance scores: the Object Keypoint Similarity (OKS) of poses by their score."""

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

_MIN_OKS = 0.5  # of a pose that matches a person
_MAX_POSES = 1000  # of one image


class ScoredPoses(NamedTuple):
    """N poses of a set of images, and their OKS with annotated people."""

    scores: NDArray[np.float64]  # (N,) instance scores
    oks: NDArray[np.float64]  # (N,) with the most similar person who is free; 0 without one
    nearest: NDArray[np.float64]  # (N,) with the most similar person, free or not


class Bin(NamedTuple):
    """Poses whose scores lie in [low, high)."""

    low: float
    high: float
    poses: int
    score: float  # mean; NaN without poses
    oks: float  # mean; NaN without poses


def judge_poses(
    annotations: COCO,
    results: Sequence[dict[str, Any]],
    *,
    sigmas: Sequence[float] | None = None,
    category: str = "person",
) -> ScoredPoses:
    """Return the OKS of each pose; arguments as for `personlab.metrics.coco.average_precision`.

    A person is free until a pose of a higher score reaches an OKS of 0.5 with them, as in COCO's matching at that
    threshold: a second pose of the same person gets the OKS with another, free person.

    A pose is left out if its OKS with a crowd or an unlabelled person is at least 0.5 and higher than with every
    labelled person. COCO's rule gives high OKS to all poses inside the box of such an annotation, enlarged three times.
    """
    evaluation = coco_evaluation(annotations, results, "keypoints", sigmas=sigmas, category=category)
    parameters = evaluation.params
    parameters.maxDets, parameters.iouThrs = [_MAX_POSES], np.array([0.5])
    parameters.areaRng, parameters.areaRngLbl = [[0, 1e10]], ["all"]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
    (number,) = parameters.catIds
    parts = [np.zeros((3, 0))]
    for image, matched in zip(parameters.imgIds, evaluation.evalImgs, strict=True):
        if matched is None or not len(matched["dtScores"]):
            continue
        score = np.asarray(matched["dtScores"], float)
        people = annotations.loadAnns(annotations.getAnnIds(imgIds=[image], catIds=[number]))
        counts = np.array([bool(p.get("num_keypoints")) and not p["iscrowd"] for p in people], bool)
        oks = np.asarray(evaluation.ious[image, number], float).reshape(len(score), len(people))
        nearest, ignored = oks[:, counts].max(axis=1, initial=0), oks[:, ~counts].max(axis=1, initial=0)
        kept = (nearest >= ignored) | (ignored < _MIN_OKS)
        parts.append(np.stack([score, _oks_of_free_people(oks[:, counts]), nearest])[:, kept])
    return ScoredPoses(*np.concatenate(parts, axis=1))


def _oks_of_free_people(oks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the OKS (D,) of D poses, best first, each with its most similar free person, from `oks` (D, G)."""
    free = np.ones(oks.shape[1], bool)
    reached = np.zeros(len(oks))
    for n, row in enumerate(oks):
        if free.any():
            best = int(np.argmax(np.where(free, row, -1)))
            reached[n] = row[best]
            free[best] = row[best] < _MIN_OKS
    return reached


def bin_poses(poses: ScoredPoses, edges: Sequence[float] | None = None) -> list[Bin]:
    """Count poses by their score, and average score and OKS; empty bins are included.

    Args:
        poses: as `judge_poses` returns them, with scores from 0 to 1.
        edges: of the bins; 0, 0.1 .. 1 where left out. The last bin includes its upper edge.
    """
    limits = np.linspace(0, 1, 11) if edges is None else np.asarray(edges, float)
    bin_of = np.clip(np.searchsorted(limits, poses.scores, side="right") - 1, 0, len(limits) - 2)
    bins = []
    for n, (low, high) in enumerate(itertools.pairwise(limits)):
        inside = bin_of == n
        count = int(inside.sum())
        means = [float(values[inside].mean()) if count else float("nan") for values in (poses.scores, poses.oks)]
        bins.append(Bin(float(low), float(high), count, *means))
    return bins
