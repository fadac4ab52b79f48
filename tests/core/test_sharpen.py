"""Sharpening: one mean shift over the Hough scores, by hand, then the core against the reference."""

import numpy as np
import pytest
from agreement import core_poses, reference_poses
from backends import Backend
from scenes import BY_SEED, HOUGH_STRIDES, SKELETONS, array, decode_options, paper_options

from personlab import stages

REFERENCE = Backend("reference")


def sharpen(keypoints, hough, backend, **options):
    how = decode_options(**{"sharpen": 4.0, **options})
    return backend.run("sharpen_keypoints", array(keypoints), array(hough), options=how)


def row(*values):
    """Scores (1, 1, n) of one keypoint type along a line."""
    return [[list(values)]]


def test_a_keypoint_moves_to_the_weighted_mean(backend):
    # At x = 1, sigma 1: weights e^-1/2, 1, e^-1/2 of scores 1, 1, 3. (0 + 1 + 3 * 2w) ... around 1: 2w / (1 + 4w).
    w = np.exp(-0.5)
    moved = sharpen([[[1, 0]]], row(1, 1, 3), backend, sharpen=1.0)
    np.testing.assert_allclose(moved, [[[1 + 2 * w / (1 + 4 * w), 0]]], atol=1e-6)


def test_both_axes_and_the_stride_of_the_lattice(backend):
    # Lattice of g = 2, keypoint at (1, 1) amid four points at distance sqrt(2), of scores 1, 2, 3, 4: equal weights.
    moved = sharpen([[[1, 1]]], [[[1, 2], [3, 4]]], backend, hough_stride=2)
    np.testing.assert_allclose(moved, [[[2 * (2 + 4) / 10, 2 * (3 + 4) / 10]]], atol=1e-6)


def test_the_disc_ends_at_three_sigma(backend):
    scores = np.zeros((1, 1, 30), np.float32)
    scores[0, 0, [3, 2]] = 1, 100  # 12 and 13 pixels from 15
    assert sharpen([[[15, 0]]], scores, backend)[0, 0].tolist() == [3, 0]
    scores[0, 0, 3] = 0
    assert sharpen([[[15, 0]]], scores, backend)[0, 0].tolist() == [15, 0]


@pytest.mark.parametrize(("mass", "x"), [(1e-6, 5), (0, 5), (1.1e-6, 4)])
def test_a_keypoint_without_votes_stays(backend, mass, x):
    # One score beside the keypoint, weighed e^(-1/32): the sum is `mass`.
    scores = np.zeros((1, 1, 9), np.float32)
    scores[0, 0, 4] = mass * np.exp(1 / 32) * (1 - 1e-5)
    np.testing.assert_allclose(sharpen([[[5, 0]]], scores, backend), [[[x, 0]]], atol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3.4e38, -3.4e38, -1.0])
def test_what_is_no_score_counts_as_0(backend, value):
    expected = sharpen([[[2, 0]]], row(1, 0, 2, 3, 0), backend)
    np.testing.assert_array_equal(sharpen([[[2, 0]]], row(1, value, 2, 3, value), backend), expected)


def test_keypoint_types_have_their_own_scores(backend):
    hough = np.zeros((2, 1, 9), np.float32)
    hough[0, 0, 1] = hough[1, 0, 7] = 1
    moved = sharpen([[[4, 0], [4, 0]], [[2, 0], [2, 0]]], hough, backend)
    np.testing.assert_allclose(moved, [[[1, 0], [7, 0]], [[1, 0], [7, 0]]], atol=1e-6)


def test_off_means_off(backend):
    keypoints = array([[[1.25, 0.5]]])
    np.testing.assert_array_equal(sharpen(keypoints, row(1, 1, 3), backend, sharpen=0.0), keypoints)


@pytest.mark.parametrize("lattice", [(0, 0), (0, 5), (4, 0), (4, 5)], ids=str)
@pytest.mark.parametrize("count", [0, 4])
def test_nobody_and_no_lattice(backend, count, lattice):
    keypoints = np.full((count, 3, 2), 2.5, np.float32)
    np.testing.assert_array_equal(sharpen(keypoints, np.zeros((3, *lattice)), backend), keypoints)


def test_keypoints_anywhere_are_safe(backend):
    keypoints = [[[-3e38, 2]], [[3e38, 3e38]], [[-50, 1]], [[2, 1e6]]]
    np.testing.assert_array_equal(sharpen(keypoints, np.ones((1, 4, 5)), backend), array(keypoints))


def test_the_result_stays_among_the_lattice_points(backend):
    scores = np.zeros((1, 8, 9), np.float32)
    scores[0, 0, 0] = scores[0, 7, 8] = 1
    moved = sharpen([[[0.3, 0.7]], [[7.7, 6.1]]], scores, backend, sharpen=1.0)
    assert (moved >= 0).all()
    assert (moved[:, 0] <= (8, 7)).all()


@pytest.mark.parametrize("lattice", [(40, 61), (23, 12), (1, 37), (33, 1), (1, 1)], ids=str)
@pytest.mark.parametrize("sigma", [0.3, 4.0, 40.0])
def test_equals_reference_on_noise(compiled, sigma, lattice):
    rng, (rows, columns) = np.random.default_rng(21), lattice
    hough = rng.random((3, rows, columns)) ** 8
    hough[rng.random(hough.shape) < 0.3] = 0
    for g in HOUGH_STRIDES:
        keypoints = rng.uniform(-0.1, 1.1, (40, 3, 2)) * [(columns - 1) * g, (rows - 1) * g]
        moved, expected = (
            sharpen(keypoints, hough, backend, hough_stride=g, sharpen=sigma) for backend in (compiled, REFERENCE)
        )
        np.testing.assert_allclose(moved, expected, atol=1e-4, rtol=2e-7)


def test_ties_on_the_edge_fall_alike(compiled):
    # Sigmas whose disc ends at some lattice point, to a few units of float32.
    rng, hough = np.random.default_rng(22), np.random.default_rng(23).random((1, 30, 41))
    for _ in range(300):
        x, y = rng.uniform(0, 38, 2).astype(np.float32)
        sigma = np.float32(np.hypot(float(x) - rng.integers(41), float(y) - rng.integers(30)) / 3)
        sigma = max(float((sigma.view(np.int32) + np.int32(rng.integers(-2, 3))).view(np.float32)), 0.01)
        moved, expected = (sharpen([[[x, y]]], hough, backend, sharpen=sigma) for backend in (compiled, REFERENCE))
        np.testing.assert_allclose(moved, expected, atol=1e-4)


def test_the_scores_of_poses_are_those_before(fields):
    plain, sharp = (
        core_poses(fields, paper_options(hough_stride=2, min_score=0.1, **{**BY_SEED, "sharpen": sigma}))
        for sigma in (0.0, 4.0)
    )
    assert len(plain) == len(sharp) > 1
    for name in ("keypoint_scores", "keypoint_probabilities", "scores"):
        np.testing.assert_array_equal(getattr(plain, name), getattr(sharp, name))
    apart = np.hypot(*np.moveaxis(plain.keypoints - sharp.keypoints, -1, 0))
    assert 0.1 < np.median(apart) < 4
    assert apart.max() <= 12


def test_the_decoder_sharpens_the_poses_that_it_keeps(fields):
    options = paper_options(hough_stride=2, min_score=0.1, **BY_SEED)
    plain = core_poses(fields, paper_options(hough_stride=2, min_score=0.1, **{**BY_SEED, "sharpen": 0.0}))
    hough = stages.hough_vote(fields.heatmaps, fields.short_offsets, stride=fields.stride, options=options)
    expected = stages.sharpen_keypoints(plain.keypoints, hough, options=options)
    for poses in (core_poses(fields, options), reference_poses(fields, options)):
        np.testing.assert_allclose(poses.keypoints, expected, atol=1e-3)


WRONG = [
    (np.zeros((2, 3, 3)), np.zeros((3, 4, 5)), "keypoints: expected shape (P, K, 2)"),
    (np.zeros((2, 4, 2)), np.zeros((3, 4, 5)), "keypoints: expected shape (P, K, 2)"),
    (np.zeros((2, 3, 2)), np.zeros((4, 5)), "hough: expected shape (K, H', W')"),
    (np.full((2, 3, 2), np.nan), np.zeros((3, 4, 5)), "keypoints: expected finite numbers"),
]
TOO_LARGE = np.full((2, 3, 2), 1e300), np.zeros((3, 4, 5)), "keypoints: expected finite numbers"  # for float32


@pytest.mark.parametrize(("keypoints", "hough", "message"), WRONG)
def test_wrong_arguments_are_named(backend, keypoints, hough, message):
    with pytest.raises(ValueError) as error:
        sharpen(keypoints, hough, backend)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(("keypoints", "hough", "message"), [*WRONG, TOO_LARGE])
def test_wrong_arguments_in_float64_are_named(host_backend, keypoints, hough, message):
    with pytest.raises(ValueError) as error:
        stages.sharpen_keypoints(keypoints, hough, options=decode_options(), backend=host_backend)
    assert str(error.value).startswith(message)


def test_tree_keypoints_that_no_edge_reaches_move_with_their_own_votes(backend):
    people = SKELETONS["loose"]
    hough = np.zeros((people.n_keypoints, 20, 30), np.float32)
    hough[3, 10, 12] = 1  # keypoint 3 lies on the seed at (10, 10) and has a vote of its own beside it
    moved = sharpen(np.full((1, 4, 2), 10.0), hough, backend)
    np.testing.assert_allclose(moved[0], [[10, 10]] * 3 + [[12, 10]], atol=1e-6)
