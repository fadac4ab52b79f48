"""Dense refinement on a GPU: the core's to the last bit where all is finite, its gradients all but so."""

import numpy as np
import pytest
from cuda_device import make_gpu, rounded
from scenes import GRIDS, SKELETONS, offsets, random_fields, sprinkled

from personlab import COCO_PERSON, _core, stages
from personlab.arrays import cuda_module


def on_gpu(gpu, of, by, channels, *, element=None, **more):
    refined = stages.refine_offsets(gpu.put(of, element), gpu.put(by, element), channels, **more)
    assert tuple(refined.shape) == of.shape
    return gpu.get(refined)


@pytest.mark.parametrize("steps", [0, 1, 2, 5])
@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_refined_noise_is_the_cores(gpu, grid, steps):
    people, (h, w, stride) = SKELETONS["tree"], grid
    fields = random_fields(19, people, h, w, stride)
    targets = [target for _, target in people.directed_edges]
    arguments = fields.mid_offsets, fields.short_offsets, targets
    expected = stages.refine_offsets(*arguments, stride=stride, steps=steps)
    np.testing.assert_array_equal(on_gpu(gpu, *arguments, stride=stride, steps=steps), expected)


def test_refined_real_fields_are_the_cores(gpu, load_fields):
    fields = load_fields("couple_641_s16")
    targets = [target for _, target in COCO_PERSON.directed_edges]
    for of, by, channels in (
        (fields.mid_offsets, fields.short_offsets, targets),
        (fields.long_offsets, fields.long_offsets, range(17)),
        (fields.long_offsets, fields.short_offsets, range(17)),
    ):
        expected = stages.refine_offsets(of, by, channels, stride=16)
        np.testing.assert_array_equal(on_gpu(gpu, of, by, channels, stride=16), expected)


@pytest.mark.parametrize("values", [(np.nan,), (np.inf,), (np.nan, np.inf, -np.inf), (1e38, -1e38)], ids=str)
@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_offsets_that_are_not_finite_count_as_none(gpu, grid, values):
    people, (h, w, stride) = SKELETONS["tree"], grid
    rng = np.random.default_rng(20)
    fields = random_fields(21, people, h, w, stride)
    of = sprinkled(fields.mid_offsets, rng, values=values)
    by = sprinkled(fields.short_offsets, rng, values=values)
    channels = [target for _, target in people.directed_edges]
    refined = on_gpu(gpu, of, by, channels, stride=stride)
    assert np.isfinite(refined).all()
    for backend in ("cpu", "reference"):
        expected = stages.refine_offsets(of, by, channels, stride=stride, backend=backend)
        np.testing.assert_allclose(refined, expected, rtol=1e-6, atol=1e-3)


@pytest.mark.torch
@pytest.mark.parametrize("element", ["float16", "bfloat16"])
def test_halves_are_read_as_float32(gpu, element):
    fields = random_fields(22, SKELETONS["tree"], 5, 8, 8)
    of, by = fields.long_offsets, fields.short_offsets
    wide = [rounded(a, element) for a in (of, by)]
    expected = stages.refine_offsets(*wide, range(4), stride=8)
    np.testing.assert_array_equal(on_gpu(gpu, of, by, range(4), element=element, stride=8), expected)


def test_what_is_wrong_is_named(gpu):
    of, by = gpu.put(offsets(2, 3, (1, 1))), gpu.put(offsets(2, 3, (2, 2), (3, 3)))
    with pytest.raises(ValueError, match=r"channels: expected an integer from 0 to 1, got 2"):
        stages.refine_offsets(of, by, [2], stride=1)
    with pytest.raises(TypeError, match="by: expected device memory, as offsets is, got host memory"):
        stages.refine_offsets(of, offsets(2, 3, (2, 2)), [0], stride=1)
    with pytest.raises(TypeError, match="offsets: expected host memory for backend 'cpu'"):
        stages.refine_offsets(of, by, [0], stride=1, backend="cpu")
    with pytest.raises(TypeError, match="offsets: expected device memory for backend 'cuda'"):
        stages.refine_offsets(offsets(2, 3, (1, 1)), offsets(2, 3, (2, 2)), [0], stride=1, backend="cuda")


# --- batches and their gradients, as networks use them (by torch: tests/methods/personlab/test_refine_cuda.py) -------


def batch(module, of, by, channels, *, stride=8, steps=2, grad):
    """Refined offsets and the gradients of sum(grad * refined) by offsets and fields, from addresses of the host."""
    (n, count, _, h, w), fields = of.shape, by.shape[1]
    known = np.array(channels, np.int32)
    extents = {"images": n, "fields": fields, "height": h, "width": w}
    call = {
        "element": of.dtype.name, "offsets": of.ctypes.data, "by": by.ctypes.data, "channels": known.ctypes.data,
        **extents, "count": count, "stride": stride, "steps": steps, "device": 0, "stream": 0,
    }  # fmt: skip
    refined, grad_of, grad_by = (np.full_like(a, 7) for a in (of, of, by))
    scratch = np.full(module.refine_scratch_bytes(**extents), 0xA5, np.uint8)
    module.refine_offset_batch(**call, refined=refined.ctypes.data)
    module.refine_offset_batch_backward(
        **call, grad_refined=grad.ctypes.data, grad_offsets=grad_of.ctypes.data, grad_by=grad_by.ctypes.data,
        scratch=scratch.ctypes.data,
    )  # fmt: skip
    return refined, grad_of, grad_by


@pytest.mark.cuda_host
@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("steps", [1, 2, 9, 20])  # eight are remembered on the way back
@pytest.mark.parametrize("grid", [(1, 1), (1, 70), (66, 1), (17, 23)], ids=str)
def test_batches_are_the_cores(monkeypatch, grid, steps, kind):
    make_gpu("host", monkeypatch)
    rng, channels = np.random.default_rng(24), [1, 0, 1]
    of, by, grad = (
        (rng.standard_normal((2, count, 2, *grid)) * scale).astype(kind) for count, scale in ((3, 30), (2, 9), (3, 1))
    )
    expected = np.empty_like(of), np.empty_like(of), np.empty_like(by)
    more = {"offsets": of, "by": by, "channels": channels, "stride": 8, "steps": steps, "threads": 1}
    _core.refine_offset_batch(**more, refined=expected[0])
    _core.refine_offset_batch_backward(**more, grad_refined=grad, grad_offsets=expected[1], grad_by=expected[2])
    results = batch(cuda_module.native(), of, by, channels, steps=steps, grad=grad)
    for got, want in zip(results[:2], expected[:2], strict=True):
        np.testing.assert_array_equal(got, want)
    tight = 2e-7 if kind == np.float32 else 1e-11
    np.testing.assert_allclose(results[2], expected[2], rtol=tight, atol=1e-11 * np.abs(expected[2]).max())
    for order in ("1", "2", "77"):
        monkeypatch.setenv("PERSONLAB_CUDA_HOST_ORDER", order)
        shuffled = batch(cuda_module.native(), of, by, channels, steps=steps, grad=grad)
        assert [a.tobytes() for a in shuffled] == [a.tobytes() for a in results]


@pytest.mark.cuda_host
@pytest.mark.parametrize("x", [-9, 0, 8, 30])
def test_at_the_border_a_point_cannot_pull(monkeypatch, x):
    make_gpu("host", monkeypatch)
    of, by = np.zeros((1, 1, 2, 2, 3)), np.zeros((1, 1, 2, 2, 3))
    of[0, 0, 0] = x - 4 * np.arange(3)  # all points read at x, on the border of the grid 0..8 or past it
    by[0, 0, 0] = 4, -2, 6
    _, grad_of, grad_by = batch(cuda_module.native(), of, by, [0], stride=4, steps=1, grad=np.ones_like(of))
    np.testing.assert_array_equal(grad_of, np.ones_like(of))
    np.testing.assert_array_equal(grad_by[0, 0, 0].sum(0), [6, 0, 0] if x <= 0 else [0, 0, 6])
