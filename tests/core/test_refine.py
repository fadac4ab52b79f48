"""Dense refinement of offset fields: by hand, then the core against the reference."""

import numpy as np
import pytest
from agreement import PIXELS
from backends import Backend
from processes import run_with_isa, runnable_isas
from scenes import GRIDS, SKELETONS, array, offsets, random_fields, sprinkled

from personlab import COCO_PERSON, _core, stages

CPU = Backend("cpu")


def refine(of, by, channels, backend, *, stride=1, steps=2, **more):
    return backend.run("refine_offsets", array(of), array(by), channels, stride=stride, steps=steps, **more)


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
    refined = backend.run("refine_offsets", of, by, [0], stride=1)
    assert not np.shares_memory(refined, of)
    np.testing.assert_array_equal(of, offsets(2, 3, (1, 1)))
    np.testing.assert_array_equal(by, offsets(2, 3, (2, 2)))


def assert_equals_reference(backend, of, by, channels, stride, steps):
    refined = backend.run("refine_offsets", of, by, channels, stride=stride, steps=steps)
    expected = stages.refine_offsets(of, by, channels, stride=stride, steps=steps, backend="reference")
    assert np.isfinite(refined).all()
    np.testing.assert_allclose(refined, expected, rtol=0, atol=PIXELS)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("name", ["pair", "tree", "cycle"])
def test_equals_reference_on_noise(compiled, name, grid):
    people, (h, w, stride) = SKELETONS[name], grid
    fields = random_fields(19, people, h, w, stride)
    targets = [target for _, target in people.directed_edges]
    assert_equals_reference(compiled, fields.mid_offsets, fields.short_offsets, targets, stride, steps=2)


@pytest.mark.parametrize("values", [(np.nan,), (np.inf,), (np.nan, np.inf, -np.inf)], ids=str)
@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_equals_reference_where_fields_are_not_finite(compiled, grid, values):
    people, (h, w, stride) = SKELETONS["tree"], grid
    rng = np.random.default_rng(20)
    fields = random_fields(21, people, h, w, stride)
    of = sprinkled(fields.mid_offsets, rng, values=values)
    by = sprinkled(fields.short_offsets, rng, values=values)
    assert_equals_reference(compiled, of, by, [target for _, target in people.directed_edges], stride, steps=2)


def test_huge_offsets_stay_finite(backend):
    # 1e38 + 2 * 1e38, read at the border of the grid.
    refined = refine(offsets(1, 3, (1e38, -1e38)), offsets(1, 3, (1e38, -1e38)), [0], backend, steps=2)
    np.testing.assert_allclose(refined, offsets(1, 3, (3e38, -3e38)), rtol=1e-6)


@pytest.mark.parametrize("far", [(3e38, 1.0), (1.0, -3e38), (3.4e38, -3.4e38)], ids=str)
def test_offsets_that_get_too_large_are_none(backend, far):
    # Where both are the same the sum does not fit float32; one that fits stays what it is.
    of, by = offsets(2, 3, far, (1e37, 2)), offsets(2, 3, far, (1e37, 1))
    refined = refine(of, by, [0, 1], backend, steps=1)
    np.testing.assert_array_equal(refined[0], 0)
    np.testing.assert_allclose(refined[1], offsets(2, 3, (2e37, 3))[0], rtol=1e-6)


def test_equals_reference_on_real_fields(compiled, fields):
    targets = [target for _, target in COCO_PERSON.directed_edges]
    assert_equals_reference(compiled, fields.mid_offsets, fields.short_offsets, targets, fields.stride, steps=2)
    everyone = list(range(17))
    assert_equals_reference(compiled, fields.long_offsets, fields.long_offsets, everyone, fields.stride, steps=2)
    assert_equals_reference(compiled, fields.long_offsets, fields.short_offsets, everyone, fields.stride, steps=2)


def test_fields_do_not_depend_on_threads(load_fields):
    fields = load_fields("couple_641_s16")
    one, *others = (
        refine(fields.long_offsets, fields.short_offsets, range(17), CPU, stride=16, threads=threads).tobytes()
        for threads in (1, 2, 5)
    )
    assert others == [one, one]


def test_large_offsets_at_the_far_corner_of_a_large_image(compiled):
    """Where float32 would tell points 1/16 pixel apart."""
    rng = np.random.default_rng(22)
    of = (rng.standard_normal((1, 2, 3, 5000)) * 900).astype(np.float32)
    by = (rng.standard_normal((1, 2, 3, 5000)) * 100).astype(np.float32)
    refined = compiled.run("refine_offsets", of, by, [0], stride=200, steps=2)
    expected = stages.refine_offsets(of, by, [0], stride=200, steps=2, backend="reference")
    np.testing.assert_allclose(
        refined, expected, rtol=0, atol=2.5e-4
    )  # half of float32's last place from 4096 pixels on


# --- batches and their gradients, as networks use them ----------------------------------------------------------------


def batch(of, by, channels, *, stride=8, steps=2, threads=1, grad=None):
    """Refined offsets of images, and the gradients of sum(grad * refined), 1 by default, by offsets and fields."""
    refined, grad_of, grad_by = np.empty_like(of), np.empty_like(of), np.empty_like(by)
    more = {"offsets": of, "by": by, "channels": channels, "stride": stride, "steps": steps, "threads": threads}
    _core.refine_offset_batch(**more, refined=refined)
    grad = np.ones_like(of) if grad is None else grad
    _core.refine_offset_batch_backward(**more, grad_refined=grad, grad_offsets=grad_of, grad_by=grad_by)
    return refined, grad_of, grad_by


def random_batch(kind, h=6, w=9, seed=23):
    rng = np.random.default_rng(seed)
    of = (rng.standard_normal((2, 3, 2, h, w)) * 30).astype(kind)
    return of, (rng.standard_normal((2, 2, 2, h, w)) * 9).astype(kind), [1, 0, 1]


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_a_batch_is_its_images(steps):
    of, by, channels = random_batch(np.float32)
    refined, _, _ = batch(of, by, channels, steps=steps)
    each = [stages.refine_offsets(*image, channels, stride=8, steps=steps) for image in zip(of, by, strict=True)]
    np.testing.assert_array_equal(refined, each)


def test_gradient_by_hand():
    # Stride 4, cells at 0, 4, 8: from x = 4 by 1 to 5, a quarter of the way from -2 to 6, where dx grows 2 a pixel.
    of, by = np.zeros((1, 1, 2, 1, 3), np.float32), np.zeros((1, 1, 2, 1, 3), np.float32)
    of[0, 0, 0, 0, 1] = 1
    by[0, 0, 0, 0] = 4, -2, 6
    grad = np.zeros_like(of)
    grad[0, 0, :, 0, 1] = 1, 10
    refined, grad_of, grad_by = batch(of, by, [0], stride=4, steps=1, grad=grad)
    assert refined[0, 0, 0, 0, 1] == 1  # 1 + 3/4 * -2 + 1/4 * 6
    np.testing.assert_array_equal(grad_of[0, 0, :, 0], [[0, 3, 0], [0, 10, 0]])
    np.testing.assert_array_equal(grad_by[0, 0, :, 0], [[0, 0.75, 0.25], [0, 7.5, 2.5]])


@pytest.mark.parametrize("x", [-9, 0, 8, 30])
def test_at_the_border_a_point_cannot_pull(x):
    of, by = np.zeros((1, 1, 2, 2, 3)), np.zeros((1, 1, 2, 2, 3))
    of[0, 0, 0] = x - 4 * np.arange(3)  # all points read at x, on the border of the grid 0..8 or past it
    by[0, 0, 0] = 4, -2, 6
    _, grad_of, grad_by = batch(of, by, [0], stride=4, steps=1)
    np.testing.assert_array_equal(grad_of, np.ones_like(of))
    np.testing.assert_array_equal(grad_by[0, 0, 0].sum(0), [6, 0, 0] if x <= 0 else [0, 0, 6])


def test_gradients_equal_differences():
    of, by, channels = random_batch(np.float64)
    rng = np.random.default_rng(24)
    grad = rng.standard_normal(of.shape)
    _, *gradients = batch(of, by, channels, grad=grad)
    for which, gradient in enumerate(gradients):
        way = [np.zeros_like(of), np.zeros_like(by)]
        way[which] = rng.standard_normal(way[which].shape) * 1e-7
        ahead, behind = (
            (batch(of + sign * way[0], by + sign * way[1], channels)[0] * grad).sum() for sign in (1.0, -1.0)
        )
        assert (gradient * way[which]).sum() == pytest.approx((ahead - behind) / 2, rel=1e-4)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_numbers_that_are_not_finite_stay_so_in_batches(kind, value):
    rng = np.random.default_rng(25)
    of, by, channels = random_batch(kind)
    refined, _, _ = batch(sprinkled(of, rng, values=(value,)).astype(kind), by, channels)
    grad = sprinkled(np.ones_like(of), rng, values=(value,)).astype(kind)
    broken = sprinkled(by, rng, values=(value,)).astype(kind)
    from_field, _, _ = batch(of, broken, channels)
    _, grad_of, grad_by = batch(of, broken, channels, grad=grad)
    if not np.isfinite(value):
        for result in (refined, from_field, grad_of, grad_by):
            assert not np.isfinite(result).all()


@pytest.mark.parametrize("grid", [(1, 1), (1, 130), (130, 1), (13, 10), (8, 8)], ids=str)
def test_points_without_a_gradient_are_left_out(grid):
    of, by, channels = random_batch(np.float64, *grid)
    grad = np.random.default_rng(26).standard_normal(of.shape)
    counts = np.random.default_rng(27).random(of.shape) < 0.2
    parts = [batch(of, by, channels, grad=grad * part) for part in (counts, ~counts)]
    _, *whole = batch(of, by, channels, grad=grad)
    for which, gradient in enumerate(whole, 1):
        np.testing.assert_allclose(parts[0][which] + parts[1][which], gradient, atol=1e-9)


BATCH_DIGEST = """
import hashlib
import numpy as np
from personlab import _core

rng, digest = np.random.default_rng(28), hashlib.sha256()
for kind in (np.float32, np.float64):
    for h, w in ((17, 23), (1, 70), (70, 1)):
        of, by = (rng.standard_normal(shape + (h, w)).astype(kind) * 30 for shape in ((2, 4, 2), (2, 3, 2)))
        refined, grad_of, grad_by, channels = np.empty_like(of), np.empty_like(of), np.empty_like(by), [2, 0, 2, 1]
        more = {"offsets": of, "by": by, "channels": channels, "stride": 8, "steps": 2, "threads": 1}
        _core.refine_offset_batch(**more, refined=refined)
        _core.refine_offset_batch_backward(**more, grad_refined=refined, grad_offsets=grad_of, grad_by=grad_by)
        for array in (refined, grad_of, grad_by):
            digest.update(array.tobytes())
print(digest.hexdigest())
"""


def test_batches_do_not_depend_on_the_instruction_set():
    results = [run_with_isa(BATCH_DIGEST, name) for name in runnable_isas()]
    assert all(result.returncode == 0 for result in results), results
    assert len({result.stdout for result in results}) == 1


def test_batches_do_not_depend_on_threads():
    one, *others = (
        [result.tobytes() for result in batch(*random_batch(np.float32), threads=threads)] for threads in (1, 2, 5)
    )
    assert others == [one, one]
