"""Poses as lines of results hold them, so that what is made of these is the same when they are read again."""

from __future__ import annotations

import numpy as np

from personlab.poses import Poses

_DIGITS = 4  # of coordinates and of scores of keypoints


def as_written(poses: Poses) -> Poses:
    """Return poses rounded as lines of results hold them."""
    keypoints, scores, chances = (
        np.array([round(value, _DIGITS) for value in array.ravel().tolist()], np.float32).reshape(array.shape)
        for array in (poses.keypoints, poses.keypoint_scores, poses.keypoint_probabilities)
    )
    return Poses(keypoints, scores, poses.scores, chances)
