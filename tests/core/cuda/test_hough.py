"""Hough votes on a GPU: the core's to the last bit, whatever the element type."""

import numpy as np
import pytest
from cuda_device import rounded
from scenes import GRIDS, HOUGH_STRIDES, PAIR, SKELETONS, decode_options, paper_options, random_fields, sprinkled

from personlab import stages

FIELDS = random_fields(3, PAIR, 5, 8, 8)


def votes(gpu, heatmaps, short_offsets, **changes):
    return stages.hough_vote(heatmaps, short_offsets, **{"stride": 8, "options": decode_options(), **changes})


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("g", HOUGH_STRIDES)
@pytest.mark.parametrize("people", SKELETONS.values(), ids=SKELETONS)
def test_votes_are_the_cores(gpu, people, g, grid):
    h, w, stride = grid
    fields, options = random_fields(5, people, h, w, stride), decode_options(hough_stride=g)
    scores = votes(gpu, gpu.put(fields.heatmaps), gpu.put(fields.short_offsets), stride=stride, options=options)
    expected = stages.hough_vote(fields.heatmaps, fields.short_offsets, stride=stride, options=options)
    np.testing.assert_array_equal(gpu.get(scores), expected)


def test_votes_on_real_fields_are_the_cores(gpu, fields):
    options = paper_options(hough_stride=2)
    scores = votes(gpu, gpu.put(fields.heatmaps), gpu.put(fields.short_offsets), stride=fields.stride, options=options)
    expected = stages.hough_vote(fields.heatmaps, fields.short_offsets, stride=fields.stride, options=options)
    np.testing.assert_array_equal(gpu.get(scores), expected)


def test_votes_that_are_not_finite_are_dropped(gpu):
    rng = np.random.default_rng(0)
    arrays = [sprinkled(array, rng) for array in (FIELDS.heatmaps, FIELDS.short_offsets)]
    scores = gpu.get(votes(gpu, *map(gpu.put, arrays)))
    assert np.isfinite(scores).all()
    np.testing.assert_array_equal(scores, stages.hough_vote(*arrays, stride=8, options=decode_options()))


@pytest.mark.torch
@pytest.mark.parametrize("element", ["float16", "bfloat16"])
def test_halves_are_read_as_float32(gpu, element):
    wide = [rounded(array, element) for array in (FIELDS.heatmaps, FIELDS.short_offsets)]
    scores = votes(gpu, gpu.put(FIELDS.heatmaps, element), gpu.put(FIELDS.short_offsets, element))
    np.testing.assert_array_equal(gpu.get(scores), stages.hough_vote(*wide, stride=8, options=decode_options()))
