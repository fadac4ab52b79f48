"""Matches poses with annotated people by object keypoint similarity, without COCO's tools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.skeleton import COCO_PERSON

if TYPE_CHECKING:
    from personlab.poses import Poses

MIN_SIMILARITY = 0.5  # at which a pose belongs to a person


def similarity(pose: Any, person: Any) -> float:
    """Return COCO's object keypoint similarity of a pose to a person, with the box of the person's keypoints as area.

    Args:
        pose: (K, 2) x, y.
        person: (K, 3) x, y, v; v > 0 where a keypoint is labelled.
    """
    labelled = person[:, 2] > 0
    points = person[labelled, :2].astype(np.float64)
    area = max(float(np.prod(np.ptp(points, axis=0))), 1.0)
    kappa = 2 * np.array(COCO_PERSON.sigmas)[labelled]
    squared = ((pose[labelled] - points) ** 2).sum(axis=1)
    return float(np.exp(-squared / (2 * area * kappa**2)).mean())


def match_people(poses: Poses, people: Any) -> tuple[int, float]:
    """Count the people who have a pose of their own, and measure the mean distance between their keypoints.

    Each pose, best first, is matched with the most similar person who is still free.

    Args:
        poses: in the order of their scores.
        people: (N, K, 3) x, y, v.

    Returns:
        The number of people matched, and the mean distance over their labelled keypoints, pixels; NaN without any.
    """
    free = [j for j, person in enumerate(people) if (person[:, 2] > 0).any()]
    distances: list[Any] = []
    matched = 0
    for pose in poses.keypoints:
        best, j = max(((similarity(pose, people[j]), j) for j in free), default=(0.0, -1))
        if best < MIN_SIMILARITY:
            continue
        free.remove(j)
        matched += 1
        person = people[j]
        distances.extend(np.hypot(*(pose - person[:, :2])[person[:, 2] > 0].T))
    return matched, float(np.mean(distances)) if distances else float("nan")
