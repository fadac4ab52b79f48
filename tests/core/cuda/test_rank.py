"""Ranking and sharpening on a GPU: the core's, in either scheme; lists too long to compare every pair."""

import time

import numpy as np
import pytest
from agreement import assert_same_bytes, assert_same_poses, core_poses
from cuda_device import make_gpu
from scenes import BY_SEED, HOUGH_STRIDES, PAIR, SKELETONS, array, decode_options, pose_fields, random_fields

from personlab import DecodeOptions, cuda, decode_poses, stages
from personlab.methods.personlab.backends.cuda.views import CAPACITY

SCHEMES = {
    "paper": {"ranking": "mean", "instance_score": "mean"},
    "default": {"ranking": "seed", "instance_score": "rms"},
    "mean-rms": {"ranking": "mean", "instance_score": "rms"},
    "seed-mean": {"ranking": "seed", "instance_score": "mean"},
}
NO_LATTICE = np.zeros((2, 3, 4), np.float32)
MANY = 4096  # up to so many poses or seeds are asked one by one, and sorted in one go


def rank(gpu, groups, hough, people=PAIR, **options):
    """Ranked on the GPU, as arrays of the host; checked against the core."""
    options = decode_options(**options)
    found = stages.score_poses(tuple(map(gpu.put, groups)), gpu.put(hough), skeleton=people, options=options)
    kept, keypoint_scores, scores = (gpu.get(part) for part in found)
    expected = stages.score_poses(groups, hough, skeleton=people, options=options)
    np.testing.assert_array_equal(kept, expected.kept)
    np.testing.assert_allclose(keypoint_scores, expected.keypoint_scores, rtol=0, atol=1e-6)
    np.testing.assert_allclose(scores, expected.scores, rtol=0, atol=1e-6)
    return kept, keypoint_scores, scores


def noise(seed, count, people=SKELETONS["tree"], lattice=(30, 41), step=0):
    """Poses over a lattice of g = 2 and its scores; where there is a step, of few different numbers."""
    rng, k = np.random.default_rng(seed), people.n_keypoints
    keypoints = rng.uniform(-3, [2 * lattice[1] + 3, 2 * lattice[0] + 3], (count, k, 2))
    probabilities, hough = rng.random((count, k)), rng.random((k, *lattice)) ** 4
    if step:
        keypoints, probabilities = np.round(keypoints / 4) * 4, np.round(probabilities / step) * step
    return (array(keypoints), array(probabilities)), array(hough)


@pytest.mark.parametrize("step", [0, 0.25])
@pytest.mark.parametrize("scoring", ["expected_oks", "heatmap"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_ranks_of_noise_are_the_cores(gpu, scheme, scoring, step):
    people = SKELETONS["tree"]
    # Expected OKS of equal poses are equal to the last bit on one backend, not on two.
    groups, hough = noise(1, 60 if scoring == "heatmap" or not step else 12, people, step=step)
    for changes in ({}, {"min_score": 0.05}, {"max_poses": 5}, {"nms_radius": 0.0}, {"nms_radius": 1e30}):
        rank(gpu, groups, hough, people, hough_stride=2, scoring=scoring, **SCHEMES[scheme], **changes)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_is_not_scored_would_not_have_been_kept(gpu, scheme):
    people, options = SKELETONS["tree"], {"hough_stride": 2, **SCHEMES[scheme]}
    fields = random_fields(2, people, 7, 5, 5)
    everybody = decode(gpu, fields, people, **options)
    assert len(everybody) > 20
    for count in range(1, len(everybody), 3):
        above, below = everybody.scores[count - 1 : count + 1].astype(float)
        if above - below > 1e-5:
            assert_same_bytes(decode(gpu, fields, people, min_score=(above + below) / 2, **options), everybody[:count])


@pytest.mark.parametrize("value", [3.4e38, -3.4e38, np.inf, np.nan])
def test_huge_scores_and_places_come_out_finite(gpu, value):
    people = SKELETONS["tree"]
    groups, hough = noise(3, 9, people)
    hough[:, ::3, ::2] = value
    groups[0][::2, 1] = 3e38
    groups[0][::3, 2] = -3e38
    for scheme in SCHEMES.values():
        _, keypoint_scores, scores = rank(gpu, groups, hough, people, hough_stride=2, **scheme)
        assert np.isfinite(keypoint_scores).all()
        assert np.isfinite(scores).all()


# --- lists that are too long to ask everybody -------------------------------------------------------------------------


def decode(gpu, fields, people, *, capacity=CAPACITY, **options):
    options = options.pop("options", None) or decode_options(**options)
    arrays = map(gpu.put, pose_fields(fields))
    found = cuda.decode_poses(*arrays, stride=fields.stride, skeleton=people, options=options, capacity=capacity)
    return found.read()[0]


@pytest.mark.parametrize("people", SKELETONS.values(), ids=SKELETONS)
@pytest.mark.parametrize(
    "options",
    [
        decode_options(hough_stride=2),
        decode_options(hough_stride=2, **BY_SEED),
        pytest.param(decode_options(nms_radius=0.0, **BY_SEED), marks=pytest.mark.slow_sanitized),
        pytest.param(decode_options(hough_stride=2, nms_radius=0.3), marks=pytest.mark.slow_sanitized),
        decode_options(hough_stride=2, nms_radius=1e30),
        DecodeOptions.posenet(0.3, nms_radius=8.0, refine_steps=2, max_poses=50),
    ],
    ids=["paper", "default", "nowhere", "near", "everywhere", "posenet"],
)
def test_poses_found_by_cells_of_a_grid_are_the_cores(gpu, people, options):
    fields = random_fields(4, people, 7, 9, 8)
    found = decode(gpu, fields, people, options=options, capacity=MANY + 1)
    assert len(found)
    assert_same_bytes(found, decode(gpu, fields, people, options=options))
    assert_same_poses(found, core_poses(fields, options, people), pixels=1e-3, score=1e-4)


@pytest.mark.slow_sanitized
@pytest.mark.parametrize("scheme", ["paper", "default"])
@pytest.mark.parametrize("radius", [0.0, 4.0, 30.0])
def test_thousands_of_poses(gpu, radius, scheme):
    groups, hough = noise(5, MANY + 900, PAIR, (80, 120), step=0.25)
    kept, *_ = rank(gpu, groups, hough, scoring="heatmap", nms_radius=radius, min_score=0.1, **SCHEMES[scheme])
    assert len(kept) >= (20 if radius == 30.0 else 700)


@pytest.mark.slow_sanitized
def test_thousands_of_poses_in_two_places(gpu):
    keypoints = np.zeros((MANY + 50, 2, 2), np.float32)
    keypoints[::2] = 7.0
    groups = keypoints, np.full((MANY + 50, 2), 0.5, np.float32)
    *_, scores = rank(gpu, groups, NO_LATTICE, scoring="heatmap", min_score=0.1, **SCHEMES["default"])
    np.testing.assert_array_equal(scores, array([0.5, 0.5]))


@pytest.mark.slow_sanitized
@pytest.mark.parametrize("count", [MANY, MANY + 1, 2 * MANY, 2 * MANY + 1, 4 * MANY + 77])
def test_thousands_of_peaks_are_sorted(gpu, count):
    # Scores of few values, so that ties are ordered by keypoint, y and x; a peak on every second point each way.
    rng, columns = np.random.default_rng(count), 83
    hough = np.zeros((2, 2 * (count // columns + 1), 2 * columns), np.float32)
    values = rng.integers(1, 9, (2, hough.shape[1] // 2, columns)).astype(np.float32)
    values.reshape(-1)[count:] = 0
    hough[:, ::2, ::2] = values
    options = decode_options(peak_threshold=0.5)
    found, expected = (stages.find_peaks(h, options=options) for h in (gpu.put(hough), hough))
    assert len(expected.scores) == count
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(gpu.get(one), other)


@pytest.mark.slow_sanitized
@pytest.mark.parametrize("radius", [0.0, 5.0])
def test_thousands_of_peaks_are_grouped(gpu, radius):
    # Anywhere, far outside the input too, some of them more than once.
    fields, rng, n = random_fields(6, PAIR, 12, 17, 8), np.random.default_rng(7), MANY + 500
    positions = array(rng.uniform(-20, 160, (n, 2)))
    positions[:300] = positions[300:600]
    positions[600:610] = array([3e38, -3e38])
    peaks = rng.integers(0, 2, n).astype(np.int32), positions, array(rng.integers(0, 50, n))
    how = {"stride": 8, "skeleton": PAIR, "options": decode_options(nms_radius=radius)}
    expected = stages.group_poses(peaks, *pose_fields(fields), **how)
    found = stages.group_poses(tuple(map(gpu.put, peaks)), *map(gpu.put, pose_fields(fields)), **how)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(gpu.get(one), other)


@pytest.mark.slow_sanitized
def test_more_candidates_than_a_run_are_decoded(gpu):
    fields = random_fields(8, PAIR, 15, 26, 8)
    options = decode_options(peak_threshold=1e-9, vote_threshold=0.0, disk_radius=4.0, max_poses=300, **BY_SEED)
    arrays = pose_fields(fields)
    found = cuda.decode_poses(*map(gpu.put, arrays), stride=8, skeleton=PAIR, options=options, capacity=5000)
    assert MANY < gpu.get(found.candidates)[0] <= 5000
    how = {"stride": 8, "skeleton": PAIR, "options": options}
    expected = decode_poses(*map(gpu.put, arrays), **how)
    assert len(expected) == 300
    assert_same_bytes(found.read()[0], expected)


@pytest.mark.cuda_host
@pytest.mark.slow_sanitized
def test_the_order_of_blocks_and_threads_changes_nothing(monkeypatch):
    gpu = make_gpu("host", monkeypatch)
    fields, people = random_fields(9, SKELETONS["tree"], 7, 9, 8), SKELETONS["tree"]
    how = {"hough_stride": 2, "capacity": MANY + 1, **BY_SEED}
    expected = decode(gpu, fields, people, **how)
    for order in ("3", "4"):
        monkeypatch.setenv("PERSONLAB_CUDA_HOST_ORDER", order)
        assert_same_bytes(decode(gpu, fields, people, **how), expected)


@pytest.mark.cuda
@pytest.mark.parametrize("saturated", [False, True])
@pytest.mark.parametrize("threshold", [0.01, 1e-4])  # a few thousand seeds, and 700,000
def test_no_image_takes_long(saturated, threshold):
    gpu, rng, (h, w) = make_gpu("cuda", None), np.random.default_rng(14), (88, 89)  # 1393 x 1409 pixels
    heatmaps = np.full((17, h, w), 50.0) if saturated else rng.normal(0, 3, (17, h, w))
    arrays = [array(heatmaps), array(rng.normal(0, 16, (17, 2, h, w))), array(rng.normal(0, 60, (32, 2, h, w)))]
    there, options = [gpu.put(each) for each in arrays], DecodeOptions(hough_stride=2, peak_threshold=threshold)
    decode_poses(*there, stride=16, options=options)
    start = time.perf_counter()
    found = decode_poses(*there, stride=16, options=options)
    assert time.perf_counter() - start < 5
    if threshold == 0.01:
        assert_same_poses(found, decode_poses(*arrays, stride=16, options=options), pixels=1e-3, score=1e-4)


# --- sharpening -------------------------------------------------------------------------------------------------------


def sharpen(gpu, keypoints, hough, **options):
    """Sharpened on the GPU; checked against the core."""
    options = decode_options(**{"sharpen": 4.0, **options})
    found = gpu.get(stages.sharpen_keypoints(gpu.put(keypoints), gpu.put(hough), options=options))
    expected = stages.sharpen_keypoints(keypoints, hough, options=options)
    np.testing.assert_allclose(found, expected, rtol=2e-7, atol=1e-4)
    return found


@pytest.mark.parametrize("lattice", [(40, 61), (23, 12), (1, 37), (33, 1), (1, 1)], ids=str)
@pytest.mark.parametrize("sigma", [0.3, 4.0, 40.0])
def test_sharpened_keypoints_are_the_cores(gpu, sigma, lattice):
    rng, (rows, columns) = np.random.default_rng(10), lattice
    hough = array(rng.random((3, rows, columns)) ** 8)
    hough[rng.random(hough.shape) < 0.3] = 0
    hough[rng.random(hough.shape) < 0.02] = np.nan
    hough[rng.random(hough.shape) < 0.02] = -1
    hough[rng.random(hough.shape) < 0.02] = 3.4e38
    for g in HOUGH_STRIDES:
        keypoints = array(rng.uniform(-0.1, 1.1, (20, 3, 2)) * [(columns - 1) * g, (rows - 1) * g])
        keypoints[0, 0] = 2 * g  # on a lattice point
        keypoints[1] = 3e38
        keypoints[2] = -1e6
        sharpen(gpu, keypoints, hough, hough_stride=g, sharpen=sigma)


def test_wrong_keypoints_are_named(gpu):
    hough = gpu.put(np.zeros((3, 4, 5), np.float32))
    with pytest.raises(ValueError, match=r"keypoints: expected shape \(P, K, 2\)"):
        stages.sharpen_keypoints(gpu.put(np.zeros((2, 4, 2), np.float32)), hough)
    with pytest.raises(ValueError, match="keypoints: expected finite"):
        stages.sharpen_keypoints(gpu.put(np.full((2, 3, 2), np.nan, np.float32)), hough)
    with pytest.raises(TypeError, match="expected device memory"):
        stages.sharpen_keypoints(np.zeros((2, 3, 2), np.float32), hough)


def test_a_batch_is_sharpened_image_by_image(gpu):
    people, options = SKELETONS["tree"], decode_options(hough_stride=2, max_poses=7, **BY_SEED)
    images = [random_fields(seed, people, 7, 9, 8) for seed in (11, 12, 13)]
    arrays = (gpu.put(np.stack(field)) for field in zip(*map(pose_fields, images), strict=True))
    found = cuda.decode_poses(*arrays, stride=8, skeleton=people, options=options).read()
    for one, fields in zip(found, images, strict=True):
        assert len(one) == 7
        assert_same_bytes(one, decode(gpu, fields, people, options=options))
    plain = decode(gpu, images[0], people, hough_stride=2, max_poses=7, **{**BY_SEED, "sharpen": 0.0})
    assert np.abs(found[0].keypoints - plain.keypoints).max() > 0.1
    np.testing.assert_array_equal(found[0].keypoint_scores, plain.keypoint_scores)
