"""Greedy grouping: poses grown by hand on tiny fields, then the core against the reference."""

import numpy as np
import pytest
from agreement import PIXELS, SCORE
from scenes import (
    GRIDS,
    PAIR,
    SKELETONS,
    array,
    decode_options,
    offsets,
    paper_options,
    random_fields,
    skeleton,
    sprinkled,
)

from personlab import COCO_PERSON, stages

LN3, LN9 = 1.0986123, 2.1972246  # logits of p = 0.75 and 0.9


def group(peaks, heatmaps, short_offsets, mid_offsets, backend, *, people=PAIR, stride=4, **options):
    """Peaks as (keypoint, x, y, score)."""
    peaks = array(peaks).reshape(-1, 4)
    groups = backend.run(
        "group_poses",
        (peaks[:, 0].astype(np.int32), peaks[:, 1:3], peaks[:, 3]),
        array(heatmaps), array(short_offsets), array(mid_offsets),
        stride=stride, skeleton=people, options=decode_options(**options),
    )  # fmt: skip
    return groups.keypoints, groups.probabilities


# Keypoint a has p = 0.5 everywhere and b p = 0.75, on a row of five cells, W = 17; a -> b is (6, 0) everywhere.
HEATMAPS = array([[[0] * 5], [[LN3] * 5]])
STILL = offsets(1, 5, (0, 0), (0, 0))
MID = offsets(1, 5, (6, 0), (-6, 0))


def test_a_pose_grows_along_the_edges_both_ways(backend):
    keypoints, probabilities = group([(0, 4, 0, 1)], HEATMAPS, STILL, MID, backend)
    np.testing.assert_allclose(keypoints, [[[4, 0], [10, 0]]], atol=1e-6)
    np.testing.assert_allclose(probabilities, [[0.5, 0.75]], atol=1e-6)
    keypoints, probabilities = group([(1, 9, 0, 1)], HEATMAPS, STILL, MID, backend)
    np.testing.assert_allclose(keypoints, [[[3, 0], [9, 0]]], atol=1e-6)
    np.testing.assert_allclose(probabilities, [[0.5, 0.75]], atol=1e-6)


@pytest.mark.parametrize(("steps", "x"), [(0, 10), (1, 9), (2, 8), (5, 5)])
def test_a_target_is_refined_by_its_own_short_offsets(backend, steps, x):
    short_offsets = offsets(1, 5, (100, 100), (-1, 0))  # the source's must not count, nor move the seed
    keypoints, _ = group([(0, 4, 0, 1)], HEATMAPS, short_offsets, MID, backend, refine_steps=steps)
    np.testing.assert_allclose(keypoints, [[[4, 0], [x, 0]]], atol=1e-6)


def test_offsets_are_read_bilinearly_at_the_source(backend):
    # dx = 0, 8, 0 at x = 0, 4, 8; at x = 3: 6. Probabilities likewise: logits 0 and ln 9 at 8 and 12; at 10: ln 3.
    mid = array([[[[0, 8, 0, 0, 0]], [[0] * 5]], [[[0] * 5], [[0] * 5]]])
    heatmaps = array([[[0] * 5], [[0, 0, 0, LN9, 0]]])
    keypoints, probabilities = group([(0, 3, 0, 1)], heatmaps, STILL, mid, backend)
    np.testing.assert_allclose(keypoints, [[[3, 0], [9, 0]]], atol=1e-6)
    np.testing.assert_allclose(
        probabilities, [[0.5, 0.6339746]], atol=1e-6
    )  # x = 9: sigmoid(ln 9 / 4) = 1 / (1 + 3^-0.5)


def test_positions_are_clamped_to_the_input_after_each_step(backend):
    # a at 4 + 20 = 24 -> 16 on a row 16 pixels long, then -3 from there: 13. y never leaves 0.
    short_offsets = offsets(1, 5, (0, 0), (-3, 7))
    mid = offsets(1, 5, (20, -9), (0, 0))
    keypoints, _ = group([(0, 4, 0, 1)], HEATMAPS, short_offsets, mid, backend, refine_steps=1)
    np.testing.assert_allclose(keypoints, [[[4, 0], [13, 0]]], atol=1e-6)


@pytest.mark.parametrize(("radius", "count"), [(5.0, 1), (4.99, 2)])
def test_a_peak_within_the_radius_of_that_keypoint_of_a_pose_is_dropped(backend, radius, count):
    # The first pose has b at (10, 4); the second peak lies 3 right and 4 up of it: 5 away.
    heatmaps = np.zeros((2, 3, 5))
    mid = offsets(3, 5, (6, 0), (-6, 0))
    peaks = [(0, 4, 4, 1.0), (1, 13, 0, 0.5)]
    keypoints, _ = group(peaks, heatmaps, offsets(3, 5, (0, 0), (0, 0)), mid, backend, nms_radius=radius)
    np.testing.assert_allclose(keypoints, [[[4, 4], [10, 4]], [[7, 0], [13, 0]]][:count], atol=1e-6)


def test_keypoints_of_another_type_do_not_suppress(backend):
    keypoints, _ = group([(0, 4, 0, 1.0), (1, 4, 0, 0.5)], HEATMAPS, STILL, MID, backend)
    np.testing.assert_allclose(keypoints, [[[4, 0], [10, 0]], [[0, 0], [4, 0]]], atol=1e-6)


def test_peaks_are_taken_best_first_ties_by_keypoint_y_x(backend):
    heatmaps, still, mid = np.zeros((2, 3, 5)), offsets(3, 5, (0, 0), (0, 0)), offsets(3, 5, (0, 0), (0, 0))
    peaks = [(1, 0, 0, 0.5), (0, 16, 8, 0.5), (0, 0, 8, 0.5), (0, 8, 0, 0.5), (1, 16, 0, 0.75)]
    keypoints, _ = group(peaks, heatmaps, still, mid, backend)
    np.testing.assert_array_equal(keypoints[:, 0], [[16, 0], [8, 0], [0, 8], [16, 8], [0, 0]])


# A triangle on a row of nine cells, stride 1. From a at 0: b at 2, c at 4; from b: c at 8.
TRIANGLE = skeleton(3, [(0, 1), (0, 2), (1, 2)])
TRIANGLE_MID = offsets(1, 9, (2, 0), (4, 0), (6, 0), (0, 0), (0, 0), (0, 0))


@pytest.mark.parametrize(("c_at_8", "x", "p"), [(LN9, 8, 0.9), (-LN3, 4, 0.5)])
def test_the_likelier_way_to_a_keypoint_of_a_cycle_wins(backend, c_at_8, x, p):
    # b (0.75) is taken before c at 4 (0.5); c at 8 waits with 0.9 or 0.25 beside c at 4.
    heatmaps = array([[[0] * 9], [[LN3] * 9], [[0] * 8 + [c_at_8]]])
    still = offsets(1, 9, (0, 0), (0, 0), (0, 0))
    keypoints, probabilities = group([(0, 0, 0, 1)], heatmaps, still, TRIANGLE_MID, backend, people=TRIANGLE, stride=1)
    np.testing.assert_allclose(keypoints, [[[0, 0], [2, 0], [x, 0]]], atol=1e-6)
    np.testing.assert_allclose(probabilities, [[0.5, 0.75, p]], atol=1e-6)


def test_a_keypoint_taken_is_not_taken_again(backend):
    # c at 4 (0.9) is taken before b (0.75), which then offers c at 8: too late.
    heatmaps = array([[[0] * 9], [[LN3] * 9], [[LN9] * 9]])
    still = offsets(1, 9, (0, 0), (0, 0), (0, 0))
    mid = offsets(1, 9, (2, 0), (4, 0), (6, 0), (0, 0), (0, 0), (-3, 0))
    keypoints, _ = group([(0, 0, 0, 1)], heatmaps, still, mid, backend, people=TRIANGLE, stride=1)
    # b: from a at 2 and from c at 4 - 3 = 1, both 0.75: y, then x ascending.
    np.testing.assert_allclose(keypoints, [[[0, 0], [1, 0], [4, 0]]], atol=1e-6)


def test_a_keypoint_that_no_edge_reaches_stays_at_the_seed_without_probability(backend):
    people = skeleton(3, [(0, 2)])
    heatmaps = np.zeros((3, 1, 5))
    keypoints, probabilities = group(
        [(0, 4, 0, 1)], heatmaps, offsets(1, 5, (0, 0), (1, 0), (0, 0)), MID, backend, people=people
    )
    np.testing.assert_allclose(keypoints, [[[4, 0], [4, 0], [10, 0]]], atol=1e-6)
    np.testing.assert_allclose(probabilities, [[0.5, 0, 0.5]], atol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_offset_that_is_not_finite_counts_as_none(backend, value):
    mid = offsets(1, 5, (value, 2), (0, 0))
    short_offsets = offsets(1, 5, (0, 0), (3, value))
    keypoints, _ = group([(0, 4, 0, 1)], HEATMAPS, short_offsets, mid, backend)
    np.testing.assert_array_equal(keypoints, [[[4, 0], [4, 0]]])


def test_a_logit_that_is_nan_has_no_probability(backend):
    _, probabilities = group([(0, 4, 0, 1)], array([[[0] * 5], [[np.nan] * 5]]), STILL, MID, backend)
    np.testing.assert_allclose(probabilities, [[0.5, 0]], atol=1e-6)


def test_no_peaks_give_no_poses(backend):
    keypoints, probabilities = group([], HEATMAPS, STILL, MID, backend)
    assert keypoints.shape == (0, 2, 2)
    assert probabilities.shape == (0, 2)


@pytest.mark.parametrize("shape", [(0, 5), (3, 0), (0, 0)])
def test_no_cells_give_no_poses(backend, shape):
    keypoints, probabilities = group(
        [], np.zeros((2, *shape)), np.zeros((2, 2, *shape)), np.zeros((2, 2, *shape)), backend
    )
    assert keypoints.shape == (0, 2, 2)
    assert probabilities.shape == (0, 2)


def assert_equals_reference(backend, peaks, fields, people, options):
    arrays = peaks, fields.heatmaps, fields.short_offsets, fields.mid_offsets
    how = {"stride": fields.stride, "skeleton": people, "options": options}
    groups = backend.run("group_poses", *arrays, **how)
    expected = stages.group_poses(*arrays, **how, backend="reference")
    assert groups.keypoints.shape == expected.keypoints.shape
    assert np.isfinite(groups.keypoints).all()
    np.testing.assert_allclose(groups.keypoints, expected.keypoints, rtol=0, atol=PIXELS)
    np.testing.assert_allclose(groups.probabilities, expected.probabilities, rtol=0, atol=SCORE)
    return groups


def random_peaks(rng, people, h, w, stride, count=40):
    positions = rng.uniform(0, 1, (count, 2)) * [(w - 1) * stride, (h - 1) * stride]
    scores = rng.random(count).astype(np.float32)
    return rng.integers(0, people.n_keypoints, count), positions.astype(np.float32), scores


@pytest.mark.parametrize("steps", [0, 3])
@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("name", SKELETONS)
def test_equals_reference_on_noise(compiled, name, grid, steps):
    people, (h, w, stride) = SKELETONS[name], grid
    peaks = random_peaks(np.random.default_rng(7), people, h, w, stride)
    groups = assert_equals_reference(
        compiled,
        peaks,
        random_fields(8, people, h, w, stride),
        people,
        decode_options(nms_radius=1.5, refine_steps=steps),
    )
    assert len(groups.keypoints) > 0


@pytest.mark.parametrize("values", [(np.nan,), (np.inf,), (np.nan, np.inf, -np.inf), (1e38,), (-1e38,)], ids=str)
@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_equals_reference_where_fields_are_not_finite(compiled, grid, values):
    people, (h, w, stride) = SKELETONS["tree"], grid
    rng = np.random.default_rng(9)
    clean = random_fields(10, people, h, w, stride)
    fields = type(clean)(
        heatmaps=sprinkled(clean.heatmaps, rng, values=values),
        short_offsets=sprinkled(clean.short_offsets, rng, values=values),
        mid_offsets=sprinkled(clean.mid_offsets, rng, values=values),
        stride=stride,
    )
    assert_equals_reference(
        compiled, random_peaks(rng, people, h, w, stride), fields, people, decode_options(nms_radius=1.5)
    )


def test_equals_reference_on_real_fields(compiled, fields):
    options = paper_options(hough_stride=2)
    hough = stages.hough_vote(fields.heatmaps, fields.short_offsets, stride=fields.stride, options=options)
    peaks = stages.find_peaks(hough, options=options)
    assert len(assert_equals_reference(compiled, peaks, fields, COCO_PERSON, options).keypoints) > 1


def found_peaks(people=SKELETONS["tree"], h=7, w=5, stride=5):
    """Random fields and the peaks of their Hough scores."""
    fields, options = random_fields(11, people, h, w, stride), decode_options(hough_stride=2)
    hough = stages.hough_vote(fields.heatmaps, fields.short_offsets, stride=stride, options=options)
    return fields, tuple(stages.find_peaks(hough, options=options))


@pytest.mark.parametrize("width", [np.float64, np.float32])
def test_peaks_come_in_any_order_and_width(compiled, width):
    fields, peaks = found_peaks(h=14, w=9)
    order = np.random.default_rng(3).permutation(len(peaks[2]))
    assert len(order) > 64  # more than a GPU decides at once
    mixed = peaks[0][order].astype(np.int64), *(part[order].astype(width) for part in peaks[1:])
    how = {"stride": 5, "skeleton": SKELETONS["tree"], "options": decode_options(hough_stride=2)}
    expected = stages.group_poses(peaks, fields.heatmaps, fields.short_offsets, fields.mid_offsets, **how)
    groups = compiled.run("group_poses", mixed, fields.heatmaps, fields.short_offsets, fields.mid_offsets, **how)
    for one, other in zip(groups, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_peaks_may_come_twice(compiled):
    fields, peaks = found_peaks()
    twice = tuple(np.concatenate([part, part[::2]]) for part in peaks)
    assert_equals_reference(compiled, twice, fields, SKELETONS["tree"], decode_options(nms_radius=0.0))


@pytest.mark.parametrize("radius", [0.0, 2.0, 1000.0])
def test_any_radius_takes_whom_it_should(compiled, radius):
    fields, peaks = found_peaks()
    groups = assert_equals_reference(compiled, peaks, fields, SKELETONS["tree"], decode_options(nms_radius=radius))
    assert (len(groups.keypoints) == 1) == (radius == 1000.0)
