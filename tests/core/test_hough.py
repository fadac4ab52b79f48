"""Hough voting: by hand on tiny grids, then the core against the reference on noise and on real fields."""

import numpy as np
import pytest
from scenes import (
    GRIDS,
    HOUGH_STRIDES,
    OFF,
    SKELETONS,
    array,
    decode_options,
    offsets,
    paper_options,
    random_fields,
    sprinkled,
)

from personlab import stages
from personlab.methods.personlab.backends import reference

# With R = 1 and g = 1, or R = 2 and g = 2, the factor g^2 / (pi R^2) is 1 / pi = 0.31830989.


def vote(heatmaps, short_offsets, backend, *, stride=1, **options):
    options = decode_options(disk_radius=1.0, vote_threshold=0.5, **options)
    return backend.run("hough_vote", array(heatmaps), array(short_offsets), stride=stride, options=options)


def voted(backend, heatmaps, short_offsets, **how):
    """Scores of a backend and of the reference."""
    expected = stages.hough_vote(heatmaps, short_offsets, backend="reference", **how)
    return backend.run("hough_vote", heatmaps, short_offsets, **how), expected


def test_votes_land_where_the_offsets_point(backend):
    # p = 0.5 from x = 0 lands on 1; p = 0.5 from x = 1 lands on 1.25: 0.375 on 1 and 0.125 on 2.
    hough = vote([[[0, 0, OFF]]], [[[[1, 0.25, 0]], [[0, 0, 0]]]], backend)
    np.testing.assert_allclose(hough, [[[0, 0.27852115, 0.03978874]]], atol=1e-7)


def test_a_vote_is_shared_by_four_corners(backend):
    # p = 0.5 lands on (1.25, 0.5): 0.5 * 0.75 * 0.5 = 0.1875 on column 1, 0.5 * 0.25 * 0.5 = 0.0625 on column 2.
    hough = vote([[[0, OFF, OFF], [OFF, OFF, OFF]]], offsets(2, 3, (1.25, 0.5)), backend)
    row = [0, 0.05968310, 0.01989437]
    np.testing.assert_allclose(hough, [[row, row]], atol=1e-7)


def test_fields_are_read_bilinearly_between_cells(backend):
    # Logits 0 and ln 9 two pixels apart: p = 0.5, 0.75, 0.9 at x = 0, 1, 2; dx = 0, -1, -2: all 2.15 land on 0.
    hough = vote([[[0, 2.1972246]]], [[[[0, -2]], [[0, 0]]]], backend, stride=2)
    np.testing.assert_allclose(hough, [[[0.68436626, 0, 0]]], atol=1e-6)


def test_hough_stride_keeps_the_scale_of_scores(backend):
    # Lattice x = 0, 2, 4. p = 0.5 from x = 2 lands on 1.5, u = 0.75: 0.125 on 0, 0.375 on 2. g^2 / (pi R^2) = 1 / pi.
    options = decode_options(hough_stride=2, disk_radius=2.0, vote_threshold=0.5)
    hough = backend.run("hough_vote", array([[[OFF, 0, OFF]]]), offsets(1, 3, (-0.5, 0)), stride=2, options=options)
    np.testing.assert_allclose(hough, [[[0.03978874, 0.11936621, 0]]], atol=1e-7)


def test_hough_stride_that_does_not_divide_the_stride(backend):
    # Cells at x = 0, 3, 6 with dx = 0, 3, 0; lattice x = 0, 2, 4, 6 reads dx = 0, 2, 2, 0 and so votes for 0, 4, 6, 6.
    options = decode_options(hough_stride=2, disk_radius=2.0, vote_threshold=0.5)
    hough = backend.run(
        "hough_vote", array([[[0, 0, 0]]]), array([[[[0, 3, 0]], [[0, 0, 0]]]]), stride=3, options=options
    )
    np.testing.assert_allclose(hough, [[[0.15915494, 0, 0.15915494, 0.31830989]]], atol=1e-6)


def test_hough_stride_beyond_the_input_leaves_one_point(backend):
    # Only (0, 0) votes, for itself: 0.5 * 100 / pi * 100.
    options = decode_options(hough_stride=100, disk_radius=10.0, vote_threshold=0.5)
    hough = backend.run("hough_vote", array([[[0, 0, 0]]]), offsets(1, 3, (0, 0)), stride=3, options=options)
    np.testing.assert_allclose(hough, [[[15.915494]]], atol=1e-5)


def test_a_voter_at_the_threshold_votes_and_one_below_does_not(backend):
    hough = vote([[[0, -1e-3, 0]]], offsets(1, 3, (0, 0)), backend)
    np.testing.assert_allclose(hough, [[[0.15915494, 0, 0.15915494]]], atol=1e-7)


@pytest.mark.parametrize("g", [1, 2, 3, 5])
@pytest.mark.parametrize("stride", [3, 7, 8, 16])
def test_logits_exactly_on_the_threshold_fall_alike_on_all_backends(compiled, stride, g):
    # A plane of one logit, read between cells: rounding decides, and has to decide alike.
    rng = np.random.default_rng(stride * 10 + g)
    for threshold in rng.uniform(0.001, 0.999, 40):
        logit = np.float32(reference.log_odds(threshold))
        heatmaps = np.full((1, 4, 6), logit)
        heatmaps[0, 2:] = logit + np.float32(rng.choice([0, 1e-7, 1])) * np.array([1, -1] * 3, np.float32)
        options = decode_options(hough_stride=g, vote_threshold=threshold)
        voters = [
            scores > 0 for scores in voted(compiled, heatmaps, offsets(4, 6, (0, 0)), stride=stride, options=options)
        ]
        assert voters[0].any()
        np.testing.assert_array_equal(*voters)


def test_what_falls_outside_the_lattice_is_lost(backend):
    # -0.25 keeps 0.75 of its vote; -1.5 keeps nothing, nor does one row up.
    np.testing.assert_allclose(vote([[[0, OFF]]], offsets(1, 2, (-0.25, 0)), backend), [[[0.11936621, 0]]], atol=1e-7)
    np.testing.assert_array_equal(vote([[[0, OFF]]], offsets(1, 2, (-1.5, 0)), backend), [[[0, 0]]])
    np.testing.assert_array_equal(vote([[[0, OFF]]], offsets(1, 2, (0, -1)), backend), [[[0, 0]]])
    np.testing.assert_array_equal(vote([[[0, OFF]]], offsets(1, 2, (2, 0)), backend), [[[0, 0]]])


def test_votes_that_are_not_finite_are_dropped(backend):
    heatmaps = [[[0, 0, np.nan, 0, 0, -np.inf]]]
    dx, dy = [np.nan, np.inf, 0, 0, 0, 0], [0, 0, 0, 0, -np.inf, 0]
    hough = vote(heatmaps, [[[dx], [dy]]], backend)
    np.testing.assert_allclose(hough, [[[0, 0, 0, 0.15915494, 0, 0]]], atol=1e-7)


def test_an_infinite_logit_is_certainty(backend):
    hough = vote([[[np.inf, OFF]]], offsets(1, 2, (0, 0)), backend)
    np.testing.assert_allclose(hough, [[[0.31830989, 0]]], atol=1e-7)


def test_keypoint_types_vote_apart(backend):
    heatmaps = [[[0, OFF, OFF]], [[OFF, OFF, 0]]]
    hough = vote(heatmaps, offsets(1, 3, (1, 0), (-2, 0)), backend)
    np.testing.assert_allclose(hough, [[[0, 0.15915494, 0]], [[0.15915494, 0, 0]]], atol=1e-7)


@pytest.mark.parametrize("shape", [(2, 0, 5), (2, 5, 0), (2, 0, 0)])
def test_no_cells_give_no_lattice(backend, shape):
    k, h, w = shape
    assert vote(np.zeros(shape), np.zeros((k, 2, h, w)), backend).shape == (2, 0, 0)


@pytest.mark.parametrize("g", HOUGH_STRIDES)
@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_equals_reference_on_noise(compiled, grid, g):
    h, w, stride = grid
    fields = random_fields(1, SKELETONS["unjoined"], h, w, stride)
    options = decode_options(hough_stride=g, vote_threshold=0.3)
    scores, expected = voted(compiled, fields.heatmaps, fields.short_offsets, stride=stride, options=options)
    assert scores.shape == expected.shape == (3, (h - 1) * stride // g + 1, (w - 1) * stride // g + 1)
    assert expected.max() > 0 or grid == (1, 1, 8)  # where a vote has only one point to hit
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "values", [(np.nan,), (np.inf, -np.inf), (np.nan, np.inf, -np.inf), (1e38,), (-1e38,)], ids=str
)
@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_equals_reference_where_fields_are_not_finite(compiled, grid, values):
    h, w, stride = grid
    rng = np.random.default_rng(2)
    fields = random_fields(3, SKELETONS["unjoined"], h, w, stride)
    heatmaps = sprinkled(fields.heatmaps, rng, values=values)
    short_offsets = sprinkled(fields.short_offsets, rng, values=values)
    options = decode_options(hough_stride=2, vote_threshold=0.3)
    scores, expected = voted(compiled, heatmaps, short_offsets, stride=stride, options=options)
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("g", [1, 2, 3])
def test_equals_reference_on_real_fields(compiled, fields, g):
    options = paper_options(hough_stride=g)
    scores, expected = voted(compiled, fields.heatmaps, fields.short_offsets, stride=fields.stride, options=options)
    assert expected.max() > 0.05
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-5)


def test_scores_do_not_depend_on_threads():
    fields = random_fields(4, SKELETONS["tree"], 30, 41, 8)
    one, *others = (
        stages.hough_vote(
            fields.heatmaps, fields.short_offsets, stride=8, options=decode_options(hough_stride=2, threads=threads)
        ).tobytes()
        for threads in (1, 2, 5)
    )
    assert others == [one, one]
