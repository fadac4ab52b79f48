"""Dense refinement of offset fields: by hand, then the core against the reference."""

import numpy as np
import pytest
from agreement import PIXELS
from scenes import GRIDS, SKELETONS, array, offsets, random_fields, sprinkled

from personlab import COCO_PERSON, stages


def refine(of, by, channels, backend, *, stride=1, steps=2, **more):
    return stages.refine_offsets(array(of), array(by), channels, stride=stride, steps=steps, backend=backend, **more)


@pytest.mark.parametrize(
    ("steps", "dx"),
    [
        (0, [3, 1, 0, 0, 0]),
        (1, [2.5, 0, -1, -0.5, 2]),  # S at 3, 2, 2, 3, 4: -0.5, -1, -1, -0.5, 2
        (2, [1.75, 9, 8, -1.25, 4]),  # S at 2.5, 1, 1, 2.5 and 6, clamped to 4: -0.75, 9, 9, -0.75, 2
    ],
)
def test_offsets_gain_what_the_other_field_says_where_they_point(backend, steps, dx):
    of = [[[[3, 1, 0, 0, 0]], [[0] * 5]]]
    by = [[[[9, 9, -1, -0.5, 2]], [[0] * 5]]]
    np.testing.assert_allclose(refine(of, by, [0], backend, steps=steps), [[[dx], [[0] * 5]]], atol=1e-6)


def test_both_components_in_input_pixels(backend):
    # Stride 4, two rows: from (0, 0) by (4, 4) to cell (1, 1), which says (-1, 2).
    of = np.zeros((1, 2, 2, 3))
    of[0, :, 0, 0] = 4
    by = np.zeros((1, 2, 2, 3))
    by[0, :, 1, 1] = -1, 2
    refined = refine(of, by, [0], backend, stride=4, steps=1)
    np.testing.assert_allclose(refined[0, :, 0, 0], [3, 6], atol=1e-6)
    np.testing.assert_allclose(refined[0, :, 1, 1], [-1, 2], atol=1e-6)
    assert np.count_nonzero(refined) == 4


def test_channels_say_which_offsets_refine_which(backend):
    by = offsets(1, 3, (1, 10), (2, 20))
    refined = refine(offsets(1, 3, (0, 0), (0, 0), (0, 0)), by, [1, 0, 1], backend, steps=1)
    np.testing.assert_allclose(refined, offsets(1, 3, (2, 20), (1, 10), (2, 20)), atol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_offset_that_is_not_finite_counts_as_none(backend, value):
    refined = refine(offsets(1, 3, (value, 5)), offsets(1, 3, (1, 0)), [0], backend, steps=1)
    np.testing.assert_array_equal(refined, offsets(1, 3, (1, 0)))
    refined = refine(offsets(1, 3, (1, 5)), offsets(1, 3, (1, value)), [0], backend, steps=2)
    np.testing.assert_array_equal(refined, offsets(1, 3, (1, 5)))


def test_no_channels_and_no_cells(backend):
    assert refine(np.zeros((0, 2, 3, 4)), np.zeros((1, 2, 3, 4)), [], backend).shape == (0, 2, 3, 4)
    assert refine(np.zeros((1, 2, 0, 4)), np.zeros((1, 2, 0, 4)), [0], backend).shape == (1, 2, 0, 4)


def test_inputs_are_left_alone(backend):
    of, by = offsets(2, 3, (1, 1)), offsets(2, 3, (2, 2))
    refined = stages.refine_offsets(of, by, [0], stride=1, backend=backend)
    assert not np.shares_memory(refined, of)
    np.testing.assert_array_equal(of, offsets(2, 3, (1, 1)))
    np.testing.assert_array_equal(by, offsets(2, 3, (2, 2)))


def assert_core_equals_reference(of, by, channels, stride, steps):
    core, reference = (
        stages.refine_offsets(of, by, channels, stride=stride, steps=steps, backend=backend)
        for backend in ("cpu", "reference")
    )
    assert np.isfinite(core).all()
    np.testing.assert_allclose(core, reference, rtol=0, atol=PIXELS)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("name", ["pair", "tree", "cycle"])
def test_core_equals_reference_on_noise(name, grid):
    people, (h, w, stride) = SKELETONS[name], grid
    fields = random_fields(19, people, h, w, stride)
    targets = [target for _, target in people.directed_edges]
    assert_core_equals_reference(fields.mid_offsets, fields.short_offsets, targets, stride, steps=2)


@pytest.mark.parametrize("values", [(np.nan,), (np.inf,), (np.nan, np.inf, -np.inf)], ids=str)
@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_core_equals_reference_where_fields_are_not_finite(grid, values):
    people, (h, w, stride) = SKELETONS["tree"], grid
    rng = np.random.default_rng(20)
    fields = random_fields(21, people, h, w, stride)
    of = sprinkled(fields.mid_offsets, rng, values=values)
    by = sprinkled(fields.short_offsets, rng, values=values)
    assert_core_equals_reference(of, by, [target for _, target in people.directed_edges], stride, steps=2)


def test_huge_offsets_stay_finite(backend):
    # 1e38 + 2 * 1e38, read at the border of the grid.
    refined = refine(offsets(1, 3, (1e38, -1e38)), offsets(1, 3, (1e38, -1e38)), [0], backend, steps=2)
    np.testing.assert_allclose(refined, offsets(1, 3, (3e38, -3e38)), rtol=1e-6)


def test_core_equals_reference_on_real_fields(fields):
    targets = [target for _, target in COCO_PERSON.directed_edges]
    assert_core_equals_reference(fields.mid_offsets, fields.short_offsets, targets, fields.stride, steps=2)
    everyone = list(range(17))
    assert_core_equals_reference(fields.long_offsets, fields.long_offsets, everyone, fields.stride, steps=2)
    assert_core_equals_reference(fields.long_offsets, fields.short_offsets, everyone, fields.stride, steps=2)


def test_fields_do_not_depend_on_threads(load_fields):
    fields = load_fields("couple_641_s16")
    one, *others = (
        refine(fields.long_offsets, fields.short_offsets, range(17), "cpu", stride=16, threads=threads).tobytes()
        for threads in (1, 2, 5)
    )
    assert others == [one, one]
