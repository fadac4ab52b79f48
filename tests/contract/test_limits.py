"""Corners that argument checks let through: the core has to get them right, as the reference does."""

from __future__ import annotations

import numpy as np
import pytest

from personlab import DecodeOptions, MaskOptions, Poses, Skeleton, decode_poses, stages
from personlab.methods.personlab.backends import reference

TRIANGLE = Skeleton(names=("a", "b", "c"), edges=((0, 1), (0, 2), (1, 2)), sigmas=(0.05,) * 3, flip=(0, 1, 2))


def saturated_triangle():
    """Logits of 20, 25 and 30, all of probability 1 in float32; c lies elsewhere when reached from a than from b."""
    heatmaps = np.full((3, 7, 9), -10, np.float32)
    heatmaps[0, 1, 1], heatmaps[1, 1, 5], heatmaps[2, 5, 5], heatmaps[2, 5, 1] = 30, 20, 25, 15
    mid = np.zeros((6, 2, 7, 9), np.float32)
    mid[0, 0] = 4 * 8  # a -> b, right
    mid[1, 1] = 4 * 8  # a -> c, down: logit 15
    mid[2, 1] = 4 * 8  # b -> c, down: logit 25
    return heatmaps, np.zeros((3, 2, 7, 9), np.float32), mid


def test_posenet_goes_by_the_logit_where_probabilities_are_all_one():
    options = DecodeOptions.posenet(0.5)
    poses = decode_poses(*saturated_triangle(), stride=8, skeleton=TRIANGLE, options=options)
    # From a: b waits with 20, c with 15; b is taken first and brings c with 25.
    np.testing.assert_array_equal(poses.keypoints[0], [[8, 8], [40, 8], [40, 40]])
    keypoints, *_ = reference.decode_poses(*saturated_triangle(), stride=8, skeleton=TRIANGLE, options=options)
    np.testing.assert_array_equal(keypoints[0], poses.keypoints[0])


@pytest.mark.parametrize("weights", [[[-0.5, 1]], [[np.nan, 1]], [[np.inf, 1]]])
def test_a_pose_with_a_weight_that_makes_no_sense_owns_nothing(backend, weights):
    p = np.array(weights, np.float32)
    poses = Poses(np.array([[[2, 0], [2, 3]]], np.float32), p, np.array([0.5], np.float32), p)
    masks = backend.run(
        "associate_pixels", poses, np.full((1, 4, 5), 9, np.float32), np.zeros((2, 2, 4, 5), np.float32),
        stride=1, size=(4, 5), options=MaskOptions(distance_threshold=100.0),
    )  # fmt: skip
    assert not masks.any()


def test_keypoints_far_outside_the_lattice_score_nothing(backend):
    keypoints = np.array([[[1e30, -1e30], [3, 3]]])
    hough = np.ones((2, 4, 5), np.float32 if backend == "cuda" else np.float64)  # a GPU reads no float64 scores
    ranked = backend.run(
        "score_poses", (keypoints, np.ones((1, 2))), hough,
        skeleton=Skeleton(names=("a", "b"), edges=((0, 1),), sigmas=(0.1, 0.1), flip=(0, 1)),
        options=DecodeOptions(hough_stride=1, min_score=0.0),
    )  # fmt: skip
    assert ranked.keypoint_scores[0, 0] == 0
    assert ranked.keypoint_scores[0, 1] > 0


@pytest.mark.parametrize("value", [1e-46, 1e-30, 0.0])
def test_thresholds_that_float32_takes_for_zero_are_refused(value):
    with pytest.raises(ValueError, match="peak_threshold"):
        DecodeOptions(peak_threshold=value)
    with pytest.raises(ValueError, match="disk_radius"):
        DecodeOptions(disk_radius=value)


def test_too_many_cells_are_refused():
    heatmaps = np.broadcast_to(np.float32(0), (1, 2**15, 2**15))
    with pytest.raises(ValueError, match=r"short_offsets|heatmaps"):
        stages.hough_vote(heatmaps[:, :, :0], np.zeros((1, 2, 1, 1), np.float32), stride=1)
    with pytest.raises(ValueError, match="hough"):
        stages.find_peaks(np.zeros((1, 0, 2**21), np.float32))
