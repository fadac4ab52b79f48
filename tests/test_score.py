"""Scoring and soft non-maximum suppression: by hand, then the core against the reference."""

import numpy as np
import pytest
from agreement import assert_same_poses
from scenes import HOUGH_STRIDES, PAIR, SKELETONS, array, decode_options, paper_options, skeleton

from personlab import COCO_PERSON, Poses, stages

NO_HOUGH = np.zeros((2, 1, 3), np.float32)


def score(keypoints, probabilities, hough, backend, *, people=PAIR, **options):
    return stages.score_poses(
        (array(keypoints), array(probabilities)), array(hough),
        skeleton=people, options=decode_options(**options), backend=backend,
    )  # fmt: skip


# Means 0.75, 0.6875 and 0.5. Pose 1 has its keypoint a at 5 pixels from pose 0's; pose 2 stands alone.
THREE = [[[0, 0], [10, 0]], [[3, 4], [30, 0]], [[50, 0], [60, 0]]]
THREE_P = [[0.875, 0.625], [0.75, 0.625], [0.5, 0.5]]


def test_heatmap_scores_are_the_probabilities(backend):
    ranked = score(THREE, THREE_P, NO_HOUGH, backend, scoring="heatmap", nms_radius=0.0)
    assert ranked.kept.tolist() == [0, 1, 2]
    assert ranked.keypoint_scores.tolist() == THREE_P
    assert ranked.scores.tolist() == [0.75, 0.6875, 0.5]


@pytest.mark.parametrize(
    ("radius", "index", "scores"),
    [(4.99, [0, 1, 2], [0.75, 0.6875, 0.5]), (5.0, [0, 2, 1], [0.75, 0.5, 0.3125])],
)
def test_a_keypoint_within_the_radius_of_a_better_pose_does_not_count(backend, radius, index, scores):
    # Within 5 pixels, pose 1 keeps its b alone: 0.625 / 2.
    ranked = score(THREE, THREE_P, NO_HOUGH, backend, scoring="heatmap", nms_radius=radius)
    assert ranked.kept.tolist() == index
    assert ranked.scores.tolist() == scores
    assert ranked.keypoint_scores.tolist() == [THREE_P[j] for j in index]


def test_poses_ahead_are_those_of_greater_mean_in_any_order_given(backend):
    ranked = score(THREE[::-1], THREE_P[::-1], NO_HOUGH, backend, scoring="heatmap", nms_radius=5.0)
    assert ranked.kept.tolist() == [2, 0, 1]
    assert ranked.scores.tolist() == [0.75, 0.5, 0.3125]


def test_a_suppressed_pose_still_suppresses(backend):
    # In a row 4 pixels apart, both keypoints of each: the second is suppressed by the first and suppresses the third.
    keypoints = [[[0, 0], [0, 9]], [[4, 0], [4, 9]], [[8, 0], [8, 9]]]
    ranked = score(keypoints, [[0.75] * 2, [0.5] * 2, [0.25] * 2], NO_HOUGH, backend, scoring="heatmap", nms_radius=4.0)
    assert ranked.kept.tolist() == [0, 1, 2]
    assert ranked.scores.tolist() == [0.75, 0, 0]


@pytest.mark.parametrize(
    ("options", "index"),
    [
        ({"min_score": 0.5}, [0, 2]),
        ({"min_score": 0.50001}, [0]),
        ({"min_score": 0.3125}, [0, 2, 1]),
        ({"min_score": 1.0}, []),
        ({"max_poses": 2}, [0, 2]),
        ({"max_poses": 0}, []),
    ],
)
def test_poses_are_cut_at_the_least_score_and_the_greatest_number(backend, options, index):
    ranked = score(THREE, THREE_P, NO_HOUGH, backend, scoring="heatmap", nms_radius=5.0, **options)
    assert ranked.kept.tolist() == index
    assert ranked.keypoint_scores.shape == (len(index), 2)
    assert ranked.scores.shape == (len(index),)


def test_expected_oks_weighs_the_oks_by_the_hough_scores_in_the_disc(backend):
    # One keypoint: lambda = 1; sigma 0.5: kappa = 1. Within R = 1 of x = 2: h = 1, 2, 1, OKS = e^-1/2, 1, e^-1/2.
    # s = 0.5 * (2 + 2 * 0.60653066) / 4 = 0.40163266; the 7s two pixels away do not count.
    ranked = score([[[2, 0]]], [[0.5]], [[[7, 1, 2, 1, 7]]], backend, people=skeleton(1, sigma=0.5), disk_radius=1.0)
    np.testing.assert_allclose(ranked.keypoint_scores, [[0.40163266]], atol=1e-6)
    np.testing.assert_allclose(ranked.scores, [0.40163266], atol=1e-6)


def test_expected_oks_scales_with_the_size_of_the_pose(backend):
    # Box 4 x 9: lambda = 6; sigma 0.25: 2 lambda^2 kappa^2 = 18. Lattice of g = 3; within R = 3 of (0, 0):
    # h = 1 at 0, 1 at (3, 0), 2 at (0, 3), these two with OKS e^-1/2: 0.8 * (1 + 3 * 0.60653066) / 4 = 0.56391840.
    hough = np.zeros((2, 4, 2))
    hough[0, 0, 0], hough[0, 0, 1], hough[0, 1, 0], hough[0, 1, 1] = 1, 1, 2, 9  # (3, 3) is 4.2 away
    ranked = score(
        [[[0, 0], [4, 9]]], [[0.8, 0.9]], hough, backend,
        people=skeleton(2, [(0, 1)], sigma=0.25), hough_stride=3, disk_radius=3.0,
    )  # fmt: skip
    np.testing.assert_allclose(ranked.keypoint_scores, [[0.56391840, 0]], atol=1e-6)
    np.testing.assert_allclose(ranked.scores, [0.28195920], atol=1e-6)


def test_expected_oks_leaves_out_scores_that_are_not_finite(backend):
    hough = [[[np.nan, 1, 2, 1, np.inf]]]
    ranked = score([[[2, 0]]], [[0.5]], hough, backend, people=skeleton(1, sigma=0.5), disk_radius=2.0)
    np.testing.assert_allclose(ranked.keypoint_scores, [[0.40163266]], atol=1e-6)


@pytest.mark.parametrize("scoring", ["expected_oks", "heatmap"])
def test_no_poses_give_no_scores(backend, scoring):
    ranked = score(np.zeros((0, 2, 2)), np.zeros((0, 2)), NO_HOUGH, backend, scoring=scoring)
    assert ranked.kept.shape == ranked.scores.shape == (0,)
    assert ranked.keypoint_scores.shape == (0, 2)


def assert_same_ranking(groups, hough, people, options):
    core, reference = (
        stages.score_poses(groups, hough, skeleton=people, options=options, backend=backend)
        for backend in ("cpu", "reference")
    )
    keypoints, probabilities = groups
    assert_same_poses(
        *(
            Poses(keypoints[r.kept], array(r.keypoint_scores), array(r.scores), probabilities[r.kept])
            for r in (core, reference)
        )
    )
    assert (np.diff(core.scores) <= 0).all()
    return core


@pytest.mark.parametrize("scoring", ["expected_oks", "heatmap"])
@pytest.mark.parametrize("lattice", [(40, 61), (23, 12), (1, 37), (33, 1), (1, 1)], ids=str)
@pytest.mark.parametrize("name", SKELETONS)
def test_core_equals_reference_on_noise(name, lattice, scoring):
    people, rng = SKELETONS[name], np.random.default_rng(11)
    rows, columns = lattice
    for g in HOUGH_STRIDES:
        keypoints = rng.uniform(0, 1, (12, people.n_keypoints, 2)) * [(columns - 1) * g, (rows - 1) * g]
        groups = array(keypoints), rng.random((12, people.n_keypoints)).astype(np.float32)
        hough = array(rng.random((people.n_keypoints, rows, columns)) ** 8)
        options = decode_options(hough_stride=g, disk_radius=6.5, nms_radius=2.5, scoring=scoring)
        assert len(assert_same_ranking(groups, hough, people, options).scores) == 12


@pytest.mark.parametrize("values", [(np.nan,), (np.inf,), (np.nan, np.inf, -np.inf)], ids=str)
def test_core_equals_reference_where_scores_are_not_finite(values):
    people, rng = SKELETONS["tree"], np.random.default_rng(12)
    groups = array(rng.uniform(0, 30, (9, 4, 2))), rng.random((9, 4)).astype(np.float32)
    hough = array(rng.random((4, 31, 45)))
    hough[rng.random(hough.shape) < 0.1] = rng.choice(values)
    ranked = assert_same_ranking(groups, hough, people, decode_options(disk_radius=6.5))
    assert np.isfinite(ranked.keypoint_scores).all()


@pytest.mark.parametrize("scoring", ["expected_oks", "heatmap"])
def test_core_equals_reference_on_real_fields(fields, scoring):
    options = paper_options(hough_stride=2, scoring=scoring, min_score=0.02)
    hough = stages.hough_vote(fields.heatmaps, fields.short_offsets, stride=fields.stride, options=options)
    peaks = stages.find_peaks(hough, options=options)
    groups = stages.group_poses(
        peaks, fields.heatmaps, fields.short_offsets, fields.mid_offsets, stride=fields.stride, options=options
    )
    assert len(assert_same_ranking(groups, hough, COCO_PERSON, options).scores) > 1
