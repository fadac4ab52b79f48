"""Peaks of the Hough scores: by hand, ties above all, then the core against the reference."""

import numpy as np
import pytest
from scenes import array, decode_options, paper_options

from personlab import stages


def peaks_of(hough, backend, **options):
    options = {"hough_stride": 1, "peak_threshold": 0.25, **options}
    keypoints, positions, scores = backend.run("find_peaks", array(hough), options=decode_options(**options))
    return keypoints.tolist(), positions.tolist(), scores.tolist()


def test_local_maxima_best_first_in_input_pixels(backend):
    # 0.5 at row 1, column 1 and 0.75 at row 2, column 3; g = 2.
    hough = [[[0, 0.25, 0, 0], [0.375, 0.5, 0.25, 0], [0, 0.375, 0, 0.75]]]
    assert peaks_of(hough, backend, hough_stride=2) == ([0, 0], [[6, 4], [2, 2]], [0.75, 0.5])


def test_the_threshold_itself_is_enough(backend):
    assert peaks_of([[[0.25, 0, 0.2499]]], backend) == ([0], [[0, 0]], [0.25])


@pytest.mark.parametrize(
    ("hough", "positions"),
    [
        ([[0.5, 0.5, 0], [0, 0, 0]], [[0, 0]]),  # along a row: the left one
        ([[0, 0.5, 0], [0, 0.5, 0]], [[1, 0]]),  # along a column: the upper one
        ([[0, 0.5, 0], [0.5, 0, 0]], [[1, 0]]),  # along a diagonal: the upper one
        ([[0.5, 0, 0], [0, 0.5, 0]], [[0, 0]]),
        ([[0.5, 0.5, 0.5], [0.5, 0.5, 0.5]], [[0, 0]]),  # a plateau: its first point
        ([[0.5, 0.5, 0], [0, 0, 0.75]], [[2, 1], [0, 0]]),  # its first point is a peak even where the next is not
        ([[0, 0, 0.75], [0.5, 0.5, 0]], [[2, 0], [0, 1]]),
        ([[0.5, 0, 0.5], [0, 0, 0]], [[0, 0], [2, 0]]),  # two of equal score: x ascending
    ],
)
def test_ties_go_to_the_first_in_raster_order(backend, hough, positions):
    assert peaks_of([hough], backend)[1] == positions


def test_equal_scores_are_ordered_by_keypoint_then_y_then_x(backend):
    hough = np.zeros((2, 3, 5))
    hough[1, 0, 0] = hough[0, 2, 0] = hough[0, 0, 4] = hough[0, 0, 2] = 0.5
    keypoints, positions, _ = peaks_of(hough, backend)
    assert keypoints == [0, 0, 0, 1]
    assert positions == [[2, 0], [4, 0], [0, 2], [0, 0]]


def test_corners_and_single_points_can_be_peaks(backend):
    assert peaks_of([[[0.5]]], backend) == ([0], [[0, 0]], [0.5])
    assert peaks_of([[[0.5, 0, 0, 0.5], [0, 0, 0, 0], [0.5, 0, 0, 0.5]]], backend)[1] == [
        [0, 0],
        [3, 0],
        [0, 2],
        [3, 2],
    ]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_no_peak(backend, value):
    assert peaks_of([[[0.5, 0, value]]], backend) == ([0], [[0, 0]], [0.5])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_hides_no_peak_beside_it(backend, value):
    assert peaks_of([[[value, 0.5, value], [value, value, value]]], backend) == ([0], [[1, 0]], [0.5])


@pytest.mark.parametrize("shape", [(2, 0, 0), (2, 0, 5), (2, 4, 0), (1, 3, 0)])
def test_no_lattice_has_no_peaks(backend, shape):
    keypoints, positions, scores = backend.run("find_peaks", np.zeros(shape, np.float32))
    assert keypoints.shape == scores.shape == (0,)
    assert positions.shape == (0, 2)


def assert_equals_reference(backend, hough, options):
    peaks = backend.run("find_peaks", hough, options=options)
    for one, other in zip(peaks, stages.find_peaks(hough, options=options, backend="reference"), strict=True):
        np.testing.assert_array_equal(one, other)
    return peaks


@pytest.mark.parametrize("shape", [(3, 40, 61), (2, 1, 37), (2, 33, 1), (1, 1, 1), (3, 16, 15), (1, 17, 32)], ids=str)
@pytest.mark.parametrize("levels", [4, 1000000])
def test_equals_reference_on_noise(compiled, shape, levels):
    # Few levels: most neighbours tie.
    hough = np.random.default_rng(5).integers(0, levels, shape).astype(np.float32) / levels
    assert_equals_reference(compiled, hough, decode_options(hough_stride=3, peak_threshold=0.2))


def test_plateaus_at_borders_and_corners(compiled):
    hough = np.random.default_rng(0).integers(0, 4, (3, 9, 14)).astype(np.float32)
    assert len(assert_equals_reference(compiled, hough, decode_options(peak_threshold=0.5)).scores)


@pytest.mark.parametrize("values", [(np.nan,), (-np.inf,), (np.inf,)], ids=str)
def test_equals_reference_where_scores_are_not_finite(compiled, values):
    rng = np.random.default_rng(6)
    hough = rng.integers(0, 8, (2, 20, 31)).astype(np.float32) / 8
    hough[rng.random(hough.shape) < 0.1] = values[0]
    peaks = assert_equals_reference(compiled, hough, decode_options(hough_stride=1, peak_threshold=0.2))
    assert np.isfinite(peaks.scores).all()


def test_equals_reference_on_real_fields(compiled, fields):
    options = paper_options(hough_stride=2)
    hough = stages.hough_vote(fields.heatmaps, fields.short_offsets, stride=fields.stride, options=options)
    assert len(assert_equals_reference(compiled, hough, options).scores) > 20


def test_a_peak_stands_where_the_votes_meet(backend):
    # Two voters at x = 0 and 4 point at x = 3: one peak there and none beside.
    options = decode_options(hough_stride=1, disk_radius=1.0, peak_threshold=0.1)
    logits, dx = array([[[0, -50, -50, -50, 0, -50]]]), array([[[[3, 0, 0, 0, -1, 0]], [[0] * 6]]])
    hough = backend.run("hough_vote", logits, dx, stride=1, options=options)
    keypoints, positions, scores = backend.run("find_peaks", hough, options=options)
    assert keypoints.tolist() == [0]
    assert positions.tolist() == [[3, 0]]
    np.testing.assert_allclose(scores, [0.31830989], atol=1e-6)
