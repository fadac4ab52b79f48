"""Scoring and soft non-maximum suppression: by hand, then the core against the reference."""

import numpy as np
import pytest
from agreement import assert_same_poses
from scenes import (
    BY_SEED,
    HOUGH_STRIDES,
    PAIR,
    SKELETONS,
    array,
    decode_options,
    paper_options,
    pose_fields,
    random_fields,
    skeleton,
)

from personlab import COCO_PERSON, DecodeOptions, Poses, stages

SCHEMES = [{"ranking": "mean", "instance_score": "mean"}, {"ranking": "seed", "instance_score": "rms"}]

NO_HOUGH = np.zeros((2, 1, 3), np.float32)


def score(keypoints, probabilities, hough, backend, *, people=PAIR, **options):
    return backend.run(
        "score_poses", (array(keypoints), array(probabilities)), array(hough),
        skeleton=people, options=decode_options(**options),
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


def test_poses_ahead_by_seed_are_those_given_before(backend):
    # The reverse of THREE: the pose of means 0.6875 comes first and takes keypoint a from that of 0.75.
    order = [2, 1, 0]
    ranked = score(
        [THREE[j] for j in order], [THREE_P[j] for j in order], NO_HOUGH, backend,
        scoring="heatmap", nms_radius=5.0, ranking="seed",
    )  # fmt: skip
    assert ranked.kept.tolist() == [1, 0, 2]
    assert ranked.scores.tolist() == [0.6875, 0.5, 0.3125]
    assert ranked.keypoint_scores.tolist() == [THREE_P[j] for j in (1, 2, 0)]


def test_a_root_mean_square_over_all_keypoints(backend):
    # sqrt((0.6^2 + 0.8^2) / 2) = sqrt(0.5); the second pose keeps b alone: sqrt(0.5^2 / 2).
    ranked = score(
        [[[0, 0], [10, 0]], [[3, 4], [30, 0]]], [[0.6, 0.8], [0.9, 0.5]], NO_HOUGH, backend,
        scoring="heatmap", nms_radius=5.0, ranking="seed", instance_score="rms",
    )  # fmt: skip
    assert ranked.kept.tolist() == [0, 1]
    np.testing.assert_allclose(ranked.scores, [0.5**0.5, (0.25 / 2) ** 0.5], atol=1e-7)


def test_a_dropped_pose_is_ahead_all_the_same(backend):
    # The first pose falls under min_score, and still takes a of the second, which keeps b: sqrt(0.8^2 / 2) = 0.57.
    ranked = score(
        [[[0, 0], [10, 0]], [[3, 4], [30, 0]]], [[0.1, 0.2], [0.9, 0.8]], NO_HOUGH, backend,
        scoring="heatmap", nms_radius=5.0, min_score=0.5, **{k: BY_SEED[k] for k in ("ranking", "instance_score")},
    )  # fmt: skip
    assert ranked.kept.tolist() == [1]
    np.testing.assert_allclose(ranked.scores, [(0.64 / 2) ** 0.5], atol=1e-7)


@pytest.mark.parametrize("scheme", SCHEMES, ids=["mean", "seed"])
def test_poses_of_equal_scores_stay_in_the_order_of_soft_nms(backend, scheme):
    keypoints = [[[30 * j, 0], [30 * j, 50]] for j in range(5)]
    ranked = score(keypoints, [[0.5, 0.5]] * 5, NO_HOUGH, backend, scoring="heatmap", max_poses=3, **scheme)
    assert ranked.kept.tolist() == [0, 1, 2]


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


def ranked_twice(run, groups, hough, people, options):
    """Ranked by `run` or `compute` of a backend, and by the reference."""
    how = {"skeleton": people, "options": options}
    expected = stages.score_poses(groups, hough, **how, backend="reference")
    return run("score_poses", groups, hough, **how), expected


def assert_equals_reference(run, groups, hough, people, options):
    ranked, expected = ranked_twice(run, groups, hough, people, options)
    keypoints, probabilities = groups
    assert_same_poses(
        *(
            Poses(keypoints[r.kept], array(r.keypoint_scores), array(r.scores), probabilities[r.kept])
            for r in (ranked, expected)
        )
    )
    assert (np.diff(ranked.scores) <= 0).all()
    return ranked


@pytest.mark.parametrize("scheme", SCHEMES, ids=["mean", "seed"])
@pytest.mark.parametrize("scoring", ["expected_oks", "heatmap"])
@pytest.mark.parametrize("lattice", [(40, 61), (23, 12), (1, 37), (33, 1), (1, 1)], ids=str)
@pytest.mark.parametrize("name", SKELETONS)
def test_equals_reference_on_noise(compiled, name, lattice, scoring, scheme):
    people, rng = SKELETONS[name], np.random.default_rng(11)
    rows, columns = lattice
    # On a line, scores of different poses can be equal to the last bit on one backend, not on two.
    run = compiled.compute if 1 in lattice else compiled.run
    for g in HOUGH_STRIDES:
        keypoints = rng.uniform(0, 1, (12, people.n_keypoints, 2)) * [(columns - 1) * g, (rows - 1) * g]
        groups = array(keypoints), rng.random((12, people.n_keypoints)).astype(np.float32)
        hough = array(rng.random((people.n_keypoints, rows, columns)) ** 8)
        options = decode_options(hough_stride=g, disk_radius=6.5, nms_radius=2.5, scoring=scoring, **scheme)
        assert len(assert_equals_reference(run, groups, hough, people, options).scores) == 12


@pytest.mark.parametrize("values", [(np.nan,), (np.inf,), (np.nan, np.inf, -np.inf)], ids=str)
def test_equals_reference_where_scores_are_not_finite(compiled, values):
    people, rng = SKELETONS["tree"], np.random.default_rng(12)
    groups = array(rng.uniform(0, 30, (9, 4, 2))), rng.random((9, 4)).astype(np.float32)
    hough = array(rng.random((4, 31, 45)))
    hough[rng.random(hough.shape) < 0.1] = rng.choice(values)
    ranked = assert_equals_reference(compiled.run, groups, hough, people, decode_options(disk_radius=6.5))
    assert np.isfinite(ranked.keypoint_scores).all()


@pytest.mark.parametrize("scheme", SCHEMES, ids=["mean", "seed"])
@pytest.mark.parametrize("scoring", ["expected_oks", "heatmap"])
def test_equals_reference_on_real_fields(compiled, fields, scoring, scheme):
    options = paper_options(hough_stride=2, scoring=scoring, min_score=0.02, **scheme)
    hough = stages.hough_vote(fields.heatmaps, fields.short_offsets, stride=fields.stride, options=options)
    peaks = stages.find_peaks(hough, options=options)
    groups = stages.group_poses(
        peaks, fields.heatmaps, fields.short_offsets, fields.mid_offsets, stride=fields.stride, options=options
    )
    assert len(assert_equals_reference(compiled.run, groups, hough, COCO_PERSON, options).scores) > 1


@pytest.mark.parametrize("radius", [0.5, 8.0, 300.0])
@pytest.mark.parametrize("g", [1, 3, 64])
def test_discs_of_any_size_are_cut_at_the_lattice(compiled, g, radius):
    options = decode_options(hough_stride=g, disk_radius=radius)
    fields = random_fields(2, PAIR, 7, 5, 16)
    hough = stages.hough_vote(fields.heatmaps, fields.short_offsets, stride=16, options=options)
    rng = np.random.default_rng(4)
    groups = rng.uniform(-40, 130, (9, 2, 2)).astype(np.float32), rng.uniform(0, 1, (9, 2)).astype(np.float32)
    groups[0][0] = g  # on a lattice point: others lie at exactly the radius
    groups[1][1] = 0.0
    assert_equals_reference(compiled.run, groups, hough, PAIR, options)


@pytest.mark.parametrize("max_poses", [0, 1, 4, 1000])
def test_grown_poses_are_cut_at_the_best(compiled, max_poses):
    fields, options = random_fields(11, PAIR, 7, 5, 5), decode_options(hough_stride=2, max_poses=max_poses)
    hough = stages.hough_vote(fields.heatmaps, fields.short_offsets, stride=5, options=options)
    peaks = stages.find_peaks(hough, options=options)
    groups = stages.group_poses(peaks, *pose_fields(fields), stride=5, skeleton=PAIR, options=options)
    ranked = assert_equals_reference(compiled.run, groups, hough, PAIR, options)
    assert len(ranked.kept) == min(max_poses, len(groups.keypoints))
    assert 4 < len(groups.keypoints) < 1000


@pytest.mark.parametrize("max_poses", [0, 1, 4, 1000])
def test_poses_are_cut_at_the_best(compiled, max_poses):
    rng = np.random.default_rng(13)
    groups = array(rng.uniform(0, 80, (30, 2, 2))), array(rng.random((30, 2)))
    hough, options = array(rng.random((2, 41, 41))), decode_options(hough_stride=2, max_poses=max_poses)
    ranked = assert_equals_reference(compiled.run, groups, hough, PAIR, options)
    assert len(ranked.kept) == min(max_poses, 30)


def test_many_poses_that_tie_keep_their_order(compiled):
    rng = np.random.default_rng(5)
    keypoints = rng.integers(0, 30, (600, 2, 2)).astype(np.float32)
    probabilities = rng.integers(0, 3, (600, 2)).astype(np.float32) / 2
    options = decode_options(scoring="heatmap", nms_radius=1.0, min_score=0.1)
    ranked, expected = ranked_twice(
        compiled.run, (keypoints, probabilities), np.zeros((2, 3, 4), np.float32), PAIR, options
    )
    np.testing.assert_array_equal(ranked.kept, expected.kept)
    np.testing.assert_array_equal(ranked.scores, array(expected.scores))


# Two poses that have their first keypoint in one place.
SHARED = array([[[0, 0], [10, 0]], [[0, 3], [30, 0]]]), array([[0.3, 0.4], [0.8, 0.9]])
RANKINGS = {
    "paper": {"ranking": "mean", "instance_score": "mean"},
    "default": {"ranking": "seed", "instance_score": "rms"},
    "mean-rms": {"ranking": "mean", "instance_score": "rms"},
    "seed-mean": {"ranking": "seed", "instance_score": "mean"},
}


@pytest.mark.parametrize(
    ("scheme", "first", "second"),
    [
        ("paper", 0.85, 0.2),
        ("default", np.sqrt(0.81 / 2), np.sqrt((0.09 + 0.16) / 2)),
        ("mean-rms", np.sqrt((0.64 + 0.81) / 2), np.sqrt(0.16 / 2)),
        ("seed-mean", 0.45, 0.35),
    ],
)
def test_who_stands_ahead_takes_the_shared_keypoint(backend, scheme, first, second):
    ranked = score(*SHARED, NO_HOUGH, backend, scoring="heatmap", **RANKINGS[scheme])
    assert ranked.kept.tolist() == [1, 0]
    np.testing.assert_allclose(ranked.scores, [first, second], rtol=1e-6)
    np.testing.assert_array_equal(ranked.keypoint_scores, SHARED[1][::-1])


def test_a_pose_that_is_dropped_has_taken_its_keypoints_all_the_same(backend):
    ranked = score(*SHARED, NO_HOUGH, backend, scoring="heatmap", min_score=0.5, **RANKINGS["default"])
    assert ranked.kept.tolist() == [1]
    np.testing.assert_allclose(ranked.scores, [np.sqrt(0.81 / 2)], rtol=1e-6)


@pytest.mark.parametrize("distance", [4.0, np.nextafter(np.float32(4), np.float32(5))])
@pytest.mark.parametrize("scheme", RANKINGS)
def test_a_keypoint_at_the_radius_is_taken(backend, scheme, distance):
    keypoints = array([[[5, 1], [50, 1]], [[5 + distance, 1], [90, 1]]])
    ranked = score(
        keypoints, [[1, 1], [1, 1]], NO_HOUGH, backend, scoring="heatmap", nms_radius=4.0, **RANKINGS[scheme]
    )
    assert (ranked.scores[1] < 1) == (keypoints[1, 0, 0] - keypoints[0, 0, 0] <= 4)


@pytest.mark.parametrize("scheme", RANKINGS)
def test_scores_below_0_leave_no_bound(backend, scheme):
    # Hough scores 1 at the keypoint and -0.9 beside it: their mean OKS is far above 1, and s above p.
    hough = np.zeros((1, 1, 9), np.float32)
    hough[0, 0, [4, 8]] = 1, -0.9
    ranked = score([[[4, 0]]], [[0.1]], hough, backend, people=SKELETONS["single"], min_score=0.5, **RANKINGS[scheme])
    assert ranked.kept.tolist() == [0]
    assert ranked.keypoint_scores[0, 0] > 0.5


# --- Ties and huge numbers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("far", [0.1, 1.1, 2.3, 7.7, 31.9, 33.3])
def test_a_lattice_point_exactly_on_the_edge_of_the_disc_is_in_it(backend, far):
    # Point 0 lies at distance R, as float32 has both; it has all votes. A hair farther, and it is out.
    far = np.float32(far)
    hough = np.zeros((1, 1, 40), np.float32)
    hough[0, 0, 0] = 1
    for radius, inside in ((far, True), (np.nextafter(far, np.float32(99)), True), (np.nextafter(far, 0), False)):
        for axis in (0, 1):
            votes = hough if axis == 0 else hough.transpose(0, 2, 1)
            at = [[[far, 0]]] if axis == 0 else [[[0, far]]]
            ranked = score(at, [[1]], votes, backend, people=skeleton(1, sigma=9.0), disk_radius=float(radius))
            assert (ranked.keypoint_scores[0, 0] > 0) == inside


def test_ties_on_the_edge_fall_alike_on_all_backends(compiled):
    # Radii that are distances of some lattice point from the keypoint, rounded to float32, up to a few units apart.
    rng, people = np.random.default_rng(5), skeleton(1, sigma=0.5)
    hough = array(rng.random((1, 30, 41)))
    for _ in range(300):
        x, y = rng.uniform(0, 38, 2).astype(np.float32)
        away = np.float32(np.hypot(float(x) - rng.integers(41), float(y) - rng.integers(30)))
        radius = max(float((away.view(np.int32) + np.int32(rng.integers(-2, 3))).view(np.float32)), 1e-3)
        assert_equals_reference(
            compiled.run, (array([[[x, y]]]), array([[1]])), hough, people, decode_options(disk_radius=radius)
        )


HUGE = np.float32(3.4e38)


@pytest.mark.parametrize("scheme", SCHEMES, ids=["mean", "seed"])
@pytest.mark.parametrize("spoil", ["hough", "some", "keypoints", "one", "probabilities", "negative", "all"])
def test_huge_numbers_give_finite_scores_and_the_same_on_all_backends(compiled, spoil, scheme):
    people, rng = SKELETONS["tree"], np.random.default_rng(12)
    keypoints, probabilities = array(rng.uniform(0, 30, (9, 4, 2))), array(rng.random((9, 4)))
    hough = array(rng.random((4, 31, 45)))
    if spoil in ("hough", "all"):
        hough[:] = HUGE
    if spoil in ("some", "all"):
        hough[rng.random(hough.shape) < 0.1] = HUGE
    if spoil == "negative":
        hough[rng.random(hough.shape) < 0.5] *= -1e28
    if spoil in ("keypoints", "all"):
        keypoints[::2] = HUGE
    if spoil in ("one", "all"):
        keypoints[1, 2] = -HUGE
    if spoil in ("probabilities", "all"):
        probabilities[:] = HUGE
    options = decode_options(disk_radius=6.5, **scheme)
    run = compiled.compute if spoil == "probabilities" else compiled.run  # scores of 1e38 may differ in their last bit
    ranked, expected = ranked_twice(run, (keypoints, probabilities), hough, people, options)
    assert sorted(ranked.kept) == sorted(expected.kept) == list(range(9))
    for name in ("keypoint_scores", "scores"):
        ours, theirs = (getattr(r, name)[np.argsort(r.kept)] for r in (ranked, expected))
        assert np.isfinite(ours).all()
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_paper_is_the_scheme_of_the_paper():
    paper = DecodeOptions.paper()
    assert (paper.ranking, paper.instance_score, paper.sharpen) == ("mean", "mean", 0)
    assert {name: getattr(DecodeOptions(), name) for name in BY_SEED} == BY_SEED
