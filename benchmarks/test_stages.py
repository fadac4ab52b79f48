"""Each stage alone, core and reference in one group, on every file of fields."""

from __future__ import annotations

import numpy as np
import pytest

from personlab import COCO_PERSON, DecodeOptions, stages

BACKENDS = ["cpu", "reference"]
OPTIONS = DecodeOptions(hough_stride=2, min_score=0.15)


@pytest.fixture
def hough(fields):
    return stages.hough_vote(fields.heatmaps, fields.short_offsets, stride=fields.stride, options=OPTIONS)


@pytest.mark.parametrize("backend", BACKENDS)
def test_hough_vote(timed, name, fields, hough, backend):
    scores = timed(
        f"hough_vote g=2, {name}",
        lambda: stages.hough_vote(
            fields.heatmaps, fields.short_offsets, stride=fields.stride, options=OPTIONS, backend=backend
        ),
        backend,
    )
    np.testing.assert_allclose(scores, hough, atol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_find_peaks(timed, name, hough, backend):
    peaks = timed(
        f"find_peaks g=2, {name}", lambda: stages.find_peaks(hough, options=OPTIONS, backend=backend), backend
    )
    expected = stages.find_peaks(hough, options=OPTIONS)
    assert len(peaks.scores) > 0
    np.testing.assert_array_equal(peaks.positions, expected.positions)


@pytest.mark.parametrize("backend", BACKENDS)
def test_group_poses(timed, name, fields, hough, backend):
    peaks = stages.find_peaks(hough, options=OPTIONS)
    arrays = (fields.heatmaps, fields.short_offsets, fields.mid_offsets)

    def group(backend):
        return stages.group_poses(peaks, *arrays, stride=fields.stride, options=OPTIONS, backend=backend)

    groups = timed(f"group_poses, {name}", lambda: group(backend), backend)
    np.testing.assert_allclose(groups.keypoints, group("cpu").keypoints, atol=2e-4)


@pytest.mark.parametrize("backend", BACKENDS)
def test_score_poses(timed, name, fields, hough, backend):
    peaks = stages.find_peaks(hough, options=OPTIONS)
    arrays = (fields.heatmaps, fields.short_offsets, fields.mid_offsets)
    groups = stages.group_poses(peaks, *arrays, stride=fields.stride, options=OPTIONS)

    def score(backend):
        return stages.score_poses(groups, hough, options=OPTIONS, backend=backend)

    ranked = timed(f"score_poses g=2, {name}", lambda: score(backend), backend)
    np.testing.assert_allclose(ranked.scores, score("cpu").scores, atol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_refine_offsets(timed, name, fields, backend):
    targets = [target for _, target in COCO_PERSON.directed_edges]

    def refine(backend):
        return stages.refine_offsets(
            fields.mid_offsets, fields.short_offsets, targets, stride=fields.stride, steps=2, backend=backend
        )

    refined = timed(f"refine_offsets, {name}", lambda: refine(backend), backend)
    np.testing.assert_allclose(refined, refine("cpu"), atol=1e-4)


@pytest.mark.parametrize("backend", BACKENDS)
def test_encode_targets(timed, backend):
    """A 401x401 crop with ten people, all keypoints labelled."""
    rng = np.random.default_rng(0)
    centres = rng.uniform(60, 340, (10, 1, 2))
    keypoints = np.concatenate([centres + rng.uniform(-50, 50, (10, 17, 2)), np.full((10, 17, 1), 2.0)], axis=2)
    y, x = np.mgrid[:401, :401]
    masks = np.hypot(x - centres[..., :1], y - centres[..., 1:]) < 40

    def encode(backend):
        return stages.encode_targets(keypoints, masks, size=(401, 401), stride=8, backend=backend)

    targets = timed("encode_targets 401x401, 10 people", lambda: encode(backend), backend)
    np.testing.assert_array_equal(targets.heatmaps, encode("cpu").heatmaps)
    np.testing.assert_allclose(targets.long_offsets, encode("cpu").long_offsets, atol=1e-4)
