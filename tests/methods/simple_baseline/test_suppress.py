"""Suppression of poses and boxes: by hand, the core against the reference, and both against the originals' own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import skeleton

from personlab import COCO_PERSON
from personlab.methods.simple_baseline.stages import pose_similarities, suppress_boxes, suppress_poses

BACKENDS = ("cpu", "reference")
ONE = skeleton(1, [])  # sigma 0.1
TWO = skeleton(2, [(0, 1)])


def at(*xs, visible=1.0):
    """Poses of one keypoint at (x, 0)."""
    return np.array([[[x, 0, visible]] for x in xs], float)


def distance(similarity, area, sigma):
    """How far apart two keypoints of this similarity are."""
    return 2 * sigma * np.sqrt(-2 * area * np.log(similarity))


@pytest.mark.parametrize("backend", BACKENDS)
def test_similarity_falls_with_the_distance_by_sigma_and_the_mean_area(backend):
    (sigma,) = ONE.sigmas
    expected = np.exp(-(3**2) / (2 * sigma) ** 2 / 75 / 2)
    made = pose_similarities(at(0, 3), np.array([50, 100]), skeleton=ONE, backend=backend)
    np.testing.assert_allclose(made, [[1, expected], [expected, 1]], rtol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_better_pose_drops_those_like_it_and_no_others(backend):
    (sigma,) = ONE.sigmas
    step, areas = distance(0.9, 100, sigma), np.full(4, 100.0)
    poses = at(0, 0.99 * step, 1.98 * step, 2.99 * step)
    scores = np.array([0.5, 0.9, 0.7, 0.6])
    kept = suppress_poses(poses, scores, areas, skeleton=ONE, backend=backend)
    assert kept.tolist() == [1, 3]  # 0 and 2 are like 1; 3 is like 2, which is dropped
    assert suppress_poses(poses, scores, areas, skeleton=ONE, threshold=1, backend=backend).tolist() == [1, 2, 3, 0]
    assert suppress_poses(poses, scores, areas, skeleton=ONE, threshold=0.0, backend=backend).tolist() == [1]


@pytest.mark.parametrize("backend", BACKENDS)
def test_ties_go_to_the_first_and_by_the_originals_to_the_last(backend):
    poses, areas, scores = at(0, 0, 500, 0), np.full(4, 100.0), np.full(4, 0.5)
    assert suppress_poses(poses, scores, areas, skeleton=ONE, backend=backend).tolist() == [0, 2]
    assert suppress_poses(poses, scores, areas, skeleton=ONE, original=True, backend=backend).tolist() == [3, 2]


@pytest.mark.parametrize("backend", BACKENDS)
def test_visibility_counts_on_both_sides_and_by_the_originals_on_the_second(backend):
    poses = np.array([[[0, 0, 0.1], [0, 0, 0.9]], [[0, 0, 0.9], [900, 0, 0.9]]])
    areas = np.array([100.0, 100])
    made = pose_similarities(poses, areas, skeleton=TWO, visible=0.2, backend=backend)
    np.testing.assert_allclose(made, [[1, 0], [0, 1]], atol=1e-9)
    made = pose_similarities(poses, areas, skeleton=TWO, visible=0.2, original=True, backend=backend)
    np.testing.assert_allclose(made, [[1, 0.5], [0, 1]], atol=1e-9)
    np.testing.assert_array_equal(
        pose_similarities(poses, areas, skeleton=TWO, visible=0.95, backend=backend), np.zeros((2, 2))
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_not_finite_is_like_nothing_and_has_no_score(backend):
    poses, areas = at(0, np.nan, np.inf, 0, 0), np.array([100.0, 100, 100, 100, np.nan])
    scores = np.array([0.5, 0.6, 0.7, np.nan, 0.4])
    assert suppress_poses(poses, scores, areas, skeleton=ONE, backend=backend).tolist() == [2, 1, 0, 4]
    assert suppress_boxes(np.zeros((3, 4)), np.array([np.inf, np.nan, 1]), backend=backend).tolist() == [2]
    nothing = np.zeros((0, 1, 3)), np.zeros(0), np.zeros(0)
    assert suppress_poses(*nothing, skeleton=ONE, backend=backend).tolist() == []
    assert pose_similarities(nothing[0], nothing[2], skeleton=ONE, backend=backend).shape == (0, 0)
    assert suppress_boxes(np.zeros((0, 4)), np.zeros(0), backend=backend).tolist() == []


@pytest.mark.parametrize("backend", BACKENDS)
def test_boxes_that_overlap_by_half(backend):
    boxes, scores = np.array([[0, 0, 2, 4], [0, 0, 2, 2], [5, 5, 6, 6], [5, 5, 6, 6]]), np.array([0.9, 0.8, 0.5, 0.5])
    assert suppress_boxes(boxes, scores, backend=backend).tolist() == [0, 1, 2]
    pixels = boxes - np.array([0, 0, 1, 1])
    assert suppress_boxes(pixels, scores, rules="python", backend=backend).tolist() == [0, 1, 3]
    assert suppress_boxes(pixels, scores, rules="cython", backend=backend).tolist() == [0, 3]


def random_poses(rng, count):
    people = rng.uniform(0, 300, (max(count // 4, 1), 17, 2))
    poses = people[rng.integers(0, len(people), count)] + rng.normal(0, 1, (count, 17, 2)) * rng.uniform(0, 8)
    visible = rng.random((count, 17, 1))
    return np.concatenate([poses, visible], axis=2), rng.integers(0, 9, count) / 8, rng.uniform(0, 9e4, count)


@given(seed=st.integers(0, 2**32 - 1), threshold=st.sampled_from([0, 0.05, 0.3, 0.5, 0.9, 0.99, 1]))
@settings(max_examples=12, deadline=None)
def test_the_core_equals_the_reference(seed, threshold):
    rng = np.random.default_rng(seed)
    poses, scores, areas = random_poses(rng, int(rng.integers(0, 30)))
    poses[rng.random(poses.shape) < 0.01] = np.nan
    for visible in (None, 0.5):
        for original in (False, True):
            how = {"visible": visible, "original": original}
            made, expected = (pose_similarities(poses, areas, **how, backend=backend) for backend in BACKENDS)
            np.testing.assert_allclose(made, expected, rtol=0, atol=1e-12)
            made, expected = (
                suppress_poses(poses, scores, areas, threshold=threshold, **how, backend=backend)
                for backend in BACKENDS
            )
            np.testing.assert_array_equal(made, expected)
    boxes = rng.integers(0, 8, (25, 4)).astype(float)
    for rules in ("default", "python", "cython"):
        made, expected = (
            suppress_boxes(boxes, np.arange(25) % 5, threshold=threshold, rules=rules, backend=backend)
            for backend in BACKENDS
        )
        np.testing.assert_array_equal(made, expected)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"keypoints": np.zeros((2, 17, 2))}, ValueError, r"keypoints: expected shape \(P, K, 3\)"),
        ({"scores": np.zeros(3)}, ValueError, r"scores: expected shape \(P,\) = \(2\), got \(3,\)"),
        ({"areas": np.zeros(3)}, ValueError, r"areas: expected shape \(P,\) = \(2\), got \(3,\)"),
        ({"scores": [1, 2]}, TypeError, "scores: expected an array or tensor, got list"),
        ({"threshold": 2}, ValueError, "threshold: expected a finite number >= 0 and <= 1, got 2"),
        ({"visible": "all"}, TypeError, "visible: expected a number, got 'all'"),
        ({"skeleton": 17}, TypeError, "skeleton: expected Skeleton, got int"),
    ],
)
def test_wrong_arguments_are_named(arguments, error, message):
    right = {"keypoints": np.zeros((2, 17, 3)), "scores": np.zeros(2), "areas": np.ones(2)}
    with pytest.raises(error, match=message):
        suppress_poses(**{**right, **arguments})
    with pytest.raises(ValueError, match="rules: expected one of default, python, cython, got 'soft'"):
        suppress_boxes(np.zeros((2, 4)), np.zeros(2), rules="soft")


# --- golden -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("case", ["c0", "c1", "c2", "c3", "c4", "c5"])
def test_golden_poses(data, backend, case):
    file = np.load(data / "top_down" / "nms.npz")
    poses, scores, areas = file[f"{case}_kpts"].reshape(-1, 17, 3), file[f"{case}_scores"], file[f"{case}_areas"]
    similar = pose_similarities(poses, areas, backend=backend)
    np.testing.assert_allclose(similar, file[f"{case}_oks"], rtol=0, atol=1e-12)
    for percent in (90, 50):
        kept = suppress_poses(poses, scores, areas, threshold=percent / 100, original=True, backend=backend)
        np.testing.assert_array_equal(kept, file[f"{case}_keep_{percent}"])
    if f"{case}_keep_90_vis02" in file.files:
        how = {"visible": 0.2, "original": True, "backend": backend}
        np.testing.assert_array_equal(suppress_poses(poses, scores, areas, **how), file[f"{case}_keep_90_vis02"])
        seen = pose_similarities(poses, areas, **how)
        np.testing.assert_allclose(seen, file[f"{case}_oks_vis02"], rtol=0, atol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("case", ["b0", "b1", "b2"])
def test_golden_boxes(data, backend, case):
    file = np.load(data / "top_down" / "nms.npz")
    boxes, scores = file[f"{case}_dets"][:, :4], file[f"{case}_dets"][:, 4]
    for rules, name in (("python", "py"), ("cython", "cython")):
        for percent in (50, 70):
            kept = suppress_boxes(boxes, scores, threshold=percent / 100, rules=rules, backend=backend)
            np.testing.assert_array_equal(kept, file[f"{case}_keep_{name}_{percent}"])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["coco", "posetrack"])
def test_golden_poses_of_the_decoder(data, backend, name):
    file = np.load(data / "top_down" / f"decode_{name}.npz")
    for n in range(3):
        poses, scores, areas = (file[f"nms_{n}_{one}"] for one in ("kpts", "scores", "areas"))
        kept = suppress_poses(
            poses.reshape(-1, 17, 3), scores, areas, skeleton=COCO_PERSON, original=True, backend=backend
        )
        np.testing.assert_array_equal(kept, file[f"nms_{n}_keep"])
