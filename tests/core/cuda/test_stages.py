"""Peaks, grouping and scoring on a GPU, each by itself: the core's; lists that were too short; arguments."""

import numpy as np
import pytest
from cuda_device import make_gpu
from scenes import GRIDS, PAIR, SKELETONS, decode_options, paper_options, pose_fields, random_fields, sprinkled

from personlab import COCO_PERSON, stages
from personlab.methods.personlab.backends.cuda import views

OPTIONS = decode_options(hough_stride=2)


def scene(people=SKELETONS["tree"], h=7, w=5, stride=5, seed=11):
    """Random fields, and what the core makes of them."""
    fields = random_fields(seed, people, h, w, stride)
    hough = stages.hough_vote(fields.heatmaps, fields.short_offsets, stride=stride, options=OPTIONS)
    peaks = stages.find_peaks(hough, options=OPTIONS)
    groups = stages.group_poses(peaks, *pose_fields(fields), stride=stride, skeleton=people, options=OPTIONS)
    return fields, hough, peaks, groups


def assert_same_peaks(gpu, found, expected):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(gpu.get(one), other)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("people", [PAIR, SKELETONS["cycle"]], ids=["pair", "cycle"])
def test_peaks_are_the_cores(gpu, people, grid):
    _, hough, peaks, _ = scene(people, *grid)
    assert_same_peaks(gpu, stages.find_peaks(gpu.put(hough), options=OPTIONS), peaks)


def test_scores_that_are_not_finite_are_no_peaks(gpu):
    _, hough, _, _ = scene()
    hough = sprinkled(hough, np.random.default_rng(1), values=(np.nan, np.inf, -np.inf))
    assert_same_peaks(
        gpu, stages.find_peaks(gpu.put(hough), options=OPTIONS), stages.find_peaks(hough, options=OPTIONS)
    )


def test_more_peaks_than_there_was_room_for(gpu, monkeypatch):
    monkeypatch.setattr(views, "CAPACITY", 3)
    _, hough, peaks, _ = scene()
    assert len(peaks.scores) > 3
    assert_same_peaks(gpu, stages.find_peaks(gpu.put(hough), options=OPTIONS), peaks)


def group(gpu, fields, peaks, **how):
    return stages.group_poses(
        tuple(map(gpu.put, peaks)), *map(gpu.put, pose_fields(fields)), **{"options": OPTIONS, **how}
    )


@pytest.mark.parametrize(
    "grid", [pytest.param(grid, marks=pytest.mark.slow_sanitized if grid == (9, 4, 16) else []) for grid in GRIDS]
)
@pytest.mark.parametrize("people", SKELETONS.values(), ids=SKELETONS)
def test_groups_are_the_cores(gpu, people, grid):
    fields, _, peaks, groups = scene(people, *grid)
    found = group(gpu, fields, peaks, stride=grid[2], skeleton=people)
    for one, other in zip(found, groups, strict=True):
        np.testing.assert_array_equal(gpu.get(one), other)


def test_wrong_peaks_are_named(gpu):
    fields, _, peaks, _ = scene()
    people = {"stride": 5, "skeleton": SKELETONS["tree"]}
    wrong = peaks.keypoints + 4, peaks.positions, peaks.scores
    with pytest.raises(ValueError, match=r"peaks.keypoints: expected 0\.\.3"):
        group(gpu, fields, wrong, **people)
    with pytest.raises(ValueError, match="peaks: expected finite"):
        group(gpu, fields, (peaks.keypoints, peaks.positions, peaks.scores * np.float32(np.nan)), **people)
    with pytest.raises(TypeError, match=r"peaks.keypoints: expected device memory, as heatmaps is, got host memory"):
        stages.group_poses(peaks, *map(gpu.put, pose_fields(fields)), **people)


def score(gpu, groups, hough, **how):
    return stages.score_poses(tuple(map(gpu.put, groups)), gpu.put(hough), **how)


def assert_same_ranking(gpu, found, expected):
    np.testing.assert_array_equal(gpu.get(found.kept), expected.kept)
    np.testing.assert_allclose(gpu.get(found.keypoint_scores), expected.keypoint_scores, rtol=0, atol=1e-6)
    np.testing.assert_allclose(gpu.get(found.scores), expected.scores, rtol=0, atol=1e-6)


@pytest.mark.parametrize("scoring", ["expected_oks", "heatmap"])
@pytest.mark.parametrize("people", SKELETONS.values(), ids=SKELETONS)
def test_scores_are_the_cores(gpu, people, scoring):
    _, hough, _, groups = scene(people)
    options = decode_options(hough_stride=2, scoring=scoring, min_score=0.01)
    expected = stages.score_poses(groups, hough, skeleton=people, options=options)
    assert len(expected.kept)
    assert_same_ranking(gpu, score(gpu, groups, hough, skeleton=people, options=options), expected)


def test_stages_in_a_row_on_real_fields(gpu, load_fields):
    fields, options = load_fields("couple_641_s8"), paper_options(hough_stride=2)
    how = {"stride": fields.stride, "options": options}

    def chain(arrays):
        hough = stages.hough_vote(*arrays[:2], **how)
        peaks = stages.find_peaks(hough, options=options)
        groups = stages.group_poses(peaks, *arrays, **how)
        return peaks, groups, stages.score_poses(groups, hough, options=options)

    found = chain(list(map(gpu.put, pose_fields(fields))))
    expected = chain(pose_fields(fields))
    assert_same_peaks(gpu, found[0], expected[0])
    np.testing.assert_array_equal(gpu.get(found[1].keypoints), expected[1].keypoints)
    assert_same_ranking(gpu, found[2], expected[2])


@pytest.mark.slow_sanitized
@pytest.mark.cuda_host
def test_the_order_of_blocks_and_threads_changes_nothing(monkeypatch):
    gpu = make_gpu("host", monkeypatch)
    fields, hough, peaks, groups = scene()

    def results():
        people = {"skeleton": SKELETONS["tree"], "options": OPTIONS}
        found = [
            *stages.find_peaks(gpu.put(hough), options=OPTIONS),
            *group(gpu, fields, peaks, stride=5, skeleton=SKELETONS["tree"]),
            *score(gpu, groups, hough, **people),
        ]
        return [gpu.get(array).tobytes() for array in found]

    expected = results()
    for order in ("3", "4"):
        monkeypatch.setenv("PERSONLAB_CUDA_HOST_ORDER", order)
        assert results() == expected


def test_the_skeleton_of_coco_has_one_way_to_each_keypoint(gpu):
    fields = random_fields(1, COCO_PERSON, 4, 6, 8)
    hough = stages.hough_vote(fields.heatmaps, fields.short_offsets, stride=8, options=OPTIONS)
    peaks = stages.find_peaks(hough, options=OPTIONS)
    expected = stages.group_poses(peaks, *pose_fields(fields), stride=8, options=OPTIONS)
    found = group(gpu, fields, peaks, stride=8)
    np.testing.assert_array_equal(gpu.get(found.keypoints), expected.keypoints)
    np.testing.assert_array_equal(gpu.get(found.probabilities), expected.probabilities)
