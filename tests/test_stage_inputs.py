"""What the single stages say of arguments that do not fit."""

import numpy as np
import pytest
from scenes import PAIR, decode_options, random_fields

from personlab import stages

FIELDS = random_fields(41, PAIR, 4, 6, 8)


def group(peaks, **changes):
    return stages.group_poses(
        peaks, FIELDS.heatmaps, FIELDS.short_offsets, FIELDS.mid_offsets, **{"stride": 8, "skeleton": PAIR, **changes}
    )


def peaks(keypoints=(0,), positions=((1, 2),), scores=(1,)):
    return np.array(keypoints, np.int32), np.array(positions, np.float32), np.array(scores, np.float32)


@pytest.mark.parametrize("name", ["cuda", "gpu", "", None, 3])
def test_an_unknown_backend_is_named(name):
    with pytest.raises(ValueError, match=r"backend: expected one of cpu, reference"):
        stages.find_peaks(np.zeros((1, 2, 3), np.float32), backend=name)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (peaks(keypoints=(2,)), ValueError, "peaks.keypoints: expected 0..1, got 2"),
        (peaks(keypoints=(-1,)), ValueError, "peaks.keypoints: expected 0..1, got -1"),
        (peaks(positions=((np.nan, 0),)), ValueError, "peaks: expected finite"),
        (peaks(scores=(np.inf,)), ValueError, "peaks: expected finite"),
        (peaks(scores=(1, 2)), ValueError, r"scores: expected .*\(1\), got \(2,\)"),
        (peaks(positions=(1, 2)), ValueError, r"positions: expected .*\(1, 2\), got \(2,\)"),
        ((np.zeros(1), *peaks()[1:]), TypeError, "keypoints: expected integers, got float64"),
        (([0], [[1, 2]], [1]), TypeError, "keypoints: expected an array or tensor, got list"),
    ],
)
def test_wrong_peaks_are_named(backend, wrong, error, message):
    with pytest.raises(error, match=message):
        group(wrong, backend=backend)


@pytest.mark.parametrize(
    ("keypoints", "probabilities", "hough", "message"),
    [
        ((1, 3, 2), (1, 3), (2, 4, 5), r"groups.keypoints: expected .*, got \(1, 3, 2\)"),
        ((1, 2, 2), (2, 2), (2, 4, 5), r"groups.probabilities: expected .*\(1, 2\), got \(2, 2\)"),
        ((1, 2, 2), (1, 2), (3, 4, 5), r"hough: expected .*, got \(3, 4, 5\)"),
        ((1, 2, 2), (1, 2), (4, 5), r"hough: expected .*, got \(4, 5\)"),
    ],
)
def test_wrong_groups_are_named(backend, keypoints, probabilities, hough, message):
    groups = np.zeros(keypoints, np.float32), np.zeros(probabilities, np.float32)
    with pytest.raises(ValueError, match=message):
        stages.score_poses(groups, np.zeros(hough, np.float32), skeleton=PAIR, backend=backend)


def test_groups_that_are_not_finite_are_refused(backend):
    groups = np.full((1, 2, 2), np.nan, np.float32), np.zeros((1, 2), np.float32)
    with pytest.raises(ValueError, match="groups: expected finite"):
        stages.score_poses(groups, np.zeros((2, 4, 5), np.float32), skeleton=PAIR, backend=backend)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"channels": [0]}, ValueError, "channels: expected 2 entries, .* got 1"),
        ({"channels": [0, 2]}, ValueError, "channels: expected an integer from 0 to 1, got 2"),
        ({"channels": [0, 0.5]}, TypeError, "channels: expected an integer, got 0.5"),
        ({"by": np.zeros((2, 2, 6, 4), np.float32)}, ValueError, r"by: expected .*, got \(2, 2, 6, 4\)"),
        ({"steps": -1}, ValueError, "steps: expected .*, got -1"),
        ({"steps": 1.5}, TypeError, "steps: expected an integer, got 1.5"),
        ({"threads": 0}, ValueError, "threads: expected .*, got 0"),
        ({"stride": 0}, ValueError, "stride: expected .*, got 0"),
    ],
)
def test_wrong_arguments_of_refinement_are_named(backend, changes, error, message):
    arguments = {"by": FIELDS.short_offsets, "channels": [1, 0], "stride": 8, "backend": backend, **changes}
    with pytest.raises(error, match=message):
        stages.refine_offsets(FIELDS.mid_offsets, arguments.pop("by"), arguments.pop("channels"), **arguments)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_wrong_options_are_named(backend):
    hough = np.zeros((2, 4, 5), np.float32)
    groups = np.zeros((1, 2, 2), np.float32), np.zeros((1, 2), np.float32)
    for call in (
        lambda options: stages.hough_vote(
            FIELDS.heatmaps, FIELDS.short_offsets, stride=8, options=options, backend=backend
        ),
        lambda options: stages.find_peaks(hough, options=options, backend=backend),
        lambda options: group(peaks(), options=options, backend=backend),
        lambda options: stages.score_poses(groups, hough, skeleton=PAIR, options=options, backend=backend),
    ):
        call(decode_options())
        with pytest.raises(TypeError, match="options: expected DecodeOptions, got dict"):
            call({"hough_stride": 2})
