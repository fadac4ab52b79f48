"""Refinement in networks on a GPU: the operators' results and gradients, there and on the host in place of one."""

import numpy as np
import pytest
import torch
from cuda_device import make_gpu

from personlab import _core
from personlab.arrays import cuda_module
from personlab.methods.personlab import refine_cuda
from personlab.methods.personlab import refine_op as operators
from personlab.methods.personlab.refine_grid_sample import refine_offsets_grid_sample
from personlab.nn import refine_offsets


class OnHost(torch.autograd.Function):
    """What torch does with tensors on a GPU, for tensors in the host's memory that stand in for them."""

    @staticmethod
    def forward(ctx, offsets, by, channels, stride, steps):
        ctx.save_for_backward(offsets, by, channels)
        ctx.numbers = stride, steps
        return operators._refine_on_cuda(offsets, by, channels, stride, steps)

    @staticmethod
    def backward(ctx, grad):
        return operators._backward(Context(ctx), grad)


class Context:
    """What `_backward` reads; it runs the operator that belongs to the tensors' device."""

    def __init__(self, ctx):
        self.needs_input_grad, self.saved_tensors, (self.stride, self.steps) = (
            ctx.needs_input_grad, ctx.saved_tensors, ctx.numbers,
        )  # fmt: skip


@pytest.fixture
def refine(gpu, monkeypatch):
    """The operators: tensors, channels, stride and steps -> refined offsets; and where its tensors are to lie."""
    if gpu.is_real:
        return lambda *arrays, stride, steps: refine_offsets(*arrays, stride=stride, steps=steps), "cuda"
    monkeypatch.setattr(refine_cuda, "_stream", lambda _: (cuda_module.native(), 0, 0))
    monkeypatch.setattr(operators, "_refine_backward", operators._refine_backward_on_cuda)
    return lambda *arrays, stride, steps: OnHost.apply(*arrays, stride, steps), "cpu"


def tensors(device, kind=torch.float32, *, n=2, h=5, w=7, scale=30.0, seed=3):
    """Offsets of four channels, two of which share a field, and the three fields that refine them; one refines none."""
    rng = np.random.default_rng(seed)
    shapes = ((n, 4, 2, h, w), scale), ((n, 3, 2, h, w), 9.0)
    of, by = (
        torch.tensor(rng.standard_normal(shape) * size, dtype=kind, device=device, requires_grad=True)
        for shape, size in shapes
    )
    return of, by, torch.tensor([2, 0, 2, 0], device=device)


def by_the_core(of, by, channels, grad, stride, steps):
    of, by, grad = (tensor.detach().cpu().numpy() for tensor in (of, by, grad))
    results = np.empty_like(of), np.empty_like(of), np.empty_like(by)
    more = {"offsets": of, "by": by, "channels": channels.tolist(), "stride": stride, "steps": steps, "threads": 1}
    _core.refine_offset_batch(**more, refined=results[0])
    _core.refine_offset_batch_backward(**more, grad_refined=grad, grad_offsets=results[1], grad_by=results[2])
    return results


def results_of(run, of, by, channels, grad, stride, steps):
    refined = run(of, by, channels, stride=stride, steps=steps)
    gradients = torch.autograd.grad(refined, (of, by), grad, materialize_grads=True)  # without steps none by S
    return [tensor.detach().cpu().numpy() for tensor in (refined, *gradients)]


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
@pytest.mark.parametrize("steps", [0, 1, 2, 8, 9, 20])  # eight are remembered on the way back
@pytest.mark.parametrize(("stride", "h", "w"), [(16, 7, 11), (8, 17, 23), (5, 1, 70), (8, 66, 1), (8, 1, 1)])
@pytest.mark.parametrize("sparse", [False, True])
def test_refinement_and_its_gradients_are_the_cores(refine, stride, h, w, steps, kind, sparse):
    run, device = refine
    of, by, channels = tensors(device, kind, h=h, w=w)
    grad = torch.tensor(np.random.default_rng(4).standard_normal(of.shape), dtype=kind, device=device)
    if sparse:  # as from a loss that counts few of the points
        grad *= torch.tensor(np.random.default_rng(5).random((h, w)) < 0.2, device=device)
    got = results_of(run, of, by, channels, grad, stride, steps)
    expected = by_the_core(of, by, channels, grad, stride, steps)
    np.testing.assert_array_equal(got[0], expected[0])
    np.testing.assert_array_equal(got[1], expected[1])
    largest = np.abs(expected[2]).max(initial=0.0)
    np.testing.assert_allclose(got[2], expected[2], rtol=2e-7 if kind == torch.float32 else 1e-11, atol=1e-11 * largest)


@pytest.mark.parametrize("scale", [6.0, 60.0])
@pytest.mark.parametrize(("h", "w"), [(3, 4), (1, 5), (4, 1), (1, 1)])
def test_gradients_equal_differences(refine, h, w, scale):
    run, device = refine
    of, by, channels = tensors(device, torch.float64, n=1, h=h, w=w, scale=scale)
    assert torch.autograd.gradcheck(lambda a, b: run(a, b, channels, stride=8, steps=3), (of, by))


@pytest.mark.parametrize("wanted", [0, 1])
def test_gradient_of_one_input_alone(refine, wanted):
    run, device = refine
    *both, channels = tensors(device)
    refined = run(*both, channels, stride=8, steps=2)
    expected = torch.autograd.grad(refined, both, torch.ones_like(refined))[wanted]
    both[1 - wanted] = both[1 - wanted].detach()
    refined = run(*both, channels, stride=8, steps=2)
    assert torch.equal(torch.autograd.grad(refined, both[wanted], torch.ones_like(refined))[0], expected)


@pytest.mark.parametrize("exponent", [-1070, -1000, -300, -30, 30, 300, 1000])
def test_gradients_of_any_size(refine, exponent):
    run, device = refine
    of, by, channels = tensors(device, torch.float64)
    grad = torch.ones_like(of) * 2.0**exponent
    _, _, grad_by = results_of(run, of, by, channels, grad, 8, 1)
    _, _, expected = by_the_core(of, by, channels, grad, 8, 1)
    np.testing.assert_allclose(grad_by, expected, rtol=1e-11, atol=max(1e-11 * 2.0**exponent, 2.0**-940))


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_a_gradient_that_is_not_finite_stays_visible(refine, value, kind):
    run, device = refine
    of, by, channels = tensors(device, kind)
    grad = torch.ones_like(of)
    grad[1, 0, 0, 2, 3] = value  # refined by field 2
    refined, grad_of, grad_by = results_of(run, of, by, channels, grad, 8, 2)
    assert np.isfinite(refined).all()
    finite = np.isfinite(grad_of)
    assert not finite[1, 0, 0, 2, 3]
    finite[1, 0, :, 2, 3] = True
    assert finite.all()
    assert np.isnan(grad_by[1, 2]).all()
    assert np.isfinite(grad_by[0]).all()
    assert np.isfinite(grad_by[1, :2]).all()


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf, 3e38])
def test_a_diverged_network_stays_visible(refine, value):
    run, device = refine
    of, by, channels = tensors(device)
    for broken in (of.detach().clone(), by.detach().clone()):
        broken[1, 2, 0, 1:3] = value
        arguments = [broken.requires_grad_() if broken.shape == each.shape else each for each in (of, by)]
        grad = torch.ones_like(of)
        got = results_of(run, *arguments, channels, grad, 8, 2)
        expected = by_the_core(*arguments, channels, grad, 8, 2)
        np.testing.assert_array_equal(got[0], expected[0])
        np.testing.assert_array_equal(got[1], expected[1])
        for image in range(2):
            for field in range(3):
                wrong, right = got[2][image, field], expected[2][image, field]
                if np.isfinite(right).all():
                    np.testing.assert_allclose(wrong, right, rtol=2e-7, atol=1e-9 * np.abs(right).max())
                else:
                    assert np.isnan(wrong).all()


def test_a_channel_that_names_no_field_is_nan(refine):
    run, device = refine
    of, by, channels = tensors(device)
    channels[1], channels[3] = 3, -1
    refined, grad_of, grad_by = results_of(run, of, by, channels, torch.ones_like(of), 8, 2)
    for result in (refined, grad_of):
        assert np.isnan(result[:, [1, 3]]).all()
        assert np.isfinite(result[:, [0, 2]]).all()
    assert (grad_by[:, 0] == 0).all()
    assert (grad_by[:, 2] != 0).any()


def test_strided_inputs(refine):
    run, device = refine
    of, by, channels = tensors(device)
    expected = run(of, by, channels, stride=8, steps=2)
    turned = [tensor.detach().permute(4, 3, 2, 1, 0).contiguous().permute(4, 3, 2, 1, 0) for tensor in (of, by)]
    assert not turned[0].is_contiguous()
    assert torch.equal(run(*turned, channels, stride=8, steps=2), expected)


def test_no_images_and_no_cells(refine):
    run, device = refine
    for more in ({"n": 0}, {"h": 0}, {"w": 0}):
        of, by, channels = tensors(device, **more)
        refined = run(of, by, channels, stride=8, steps=2)
        assert refined.shape == of.shape
        refined.sum().backward()
        assert by.grad.shape == by.shape


def test_what_does_not_belong_together_is_refused(refine):
    run, device = refine
    of, by, channels = tensors(device)
    for wrong, kind, message in [
        ((of[0], by, channels), ValueError, r"offsets: expected shape \(N, C, 2, h, w\), got \(4, 2, 5, 7\)"),
        ((of, by[:1], channels), ValueError, r"by: expected shape .* got \(1, 3, 2, 5, 7\)"),
        ((of, by, channels[:-1]), ValueError, r"channels: expected shape \(C,\) = \(4,\), got \(3,\)"),
    ]:
        with pytest.raises(kind, match=message):
            run(*wrong, stride=8, steps=2)
    meta = by.to("meta")
    with pytest.raises(ValueError, match=r"by: expected a tensor on .*, as offsets is, got meta"):
        operators._refine_on_cuda(of, meta, channels, 8, 2)
    with pytest.raises(TypeError, match=r"offsets, by: expected both float32 or both float64, got torch.float32 and"):
        operators._refine_on_cuda(of, by.double(), channels, 8, 2)
    with pytest.raises(ValueError, match=r"grad: expected the shape of offsets, \(2, 4, 2, 5, 7\)"):
        operators._refine_backward_on_cuda(by, of, by, channels, 8, 2, True, True)
    with pytest.raises(ValueError, match=r"grad: expected torch.float32 on .*, got torch.float64"):
        operators._refine_backward_on_cuda(of.double(), of, by, channels, 8, 2, True, True)
    with pytest.raises(ValueError, match="stride, steps: expected at least 1 and 0"):
        operators._refine_on_cuda(of, by, channels, 0, 2)


@pytest.mark.cuda_host
def test_the_order_of_blocks_and_threads_changes_nothing(monkeypatch):
    make_gpu("host", monkeypatch)
    monkeypatch.setattr(refine_cuda, "_stream", lambda _: (cuda_module.native(), 0, 0))
    monkeypatch.setattr(operators, "_refine_backward", operators._refine_backward_on_cuda)
    of, by, channels = tensors("cpu", h=17, w=33)

    def bytes_of():
        refined = OnHost.apply(of, by, channels, 8, 2)
        return [t.detach().numpy().tobytes() for t in (refined, *torch.autograd.grad(refined.square().sum(), (of, by)))]

    expected = bytes_of()
    for order in ("1", "2", "77"):
        monkeypatch.setenv("PERSONLAB_CUDA_HOST_ORDER", order)
        assert bytes_of() == expected


def test_the_operators_have_kernels_for_gpus():
    for name in ("refine_offsets", "refine_offsets_backward"):
        assert torch._C._dispatch_has_kernel_for_dispatch_key(f"personlab::{name}", "CUDA")


@pytest.mark.parametrize("there", [False, True])
def test_whether_there_is_a_module_is_a_constant_of_compiled_graphs(monkeypatch, there):
    def native():
        if not there:
            raise RuntimeError("CUDA: no")

    monkeypatch.setattr(cuda_module, "native", native)
    assert refine_cuda.is_available() == there
    torch._dynamo.reset()
    compiled = torch.compile(lambda x: x + 1 if refine_cuda.is_available() else x, backend="eager", fullgraph=True)
    assert compiled(torch.tensor(1.0)) == 1 + there


@pytest.mark.cuda
@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_halves_are_computed_in_32_bits_and_stay_halves(kind):
    of, by, channels = tensors("cuda")
    refined = refine_offsets(of.to(kind), by.to(kind), channels, stride=8, steps=2)
    assert refined.dtype == kind
    expected = refine_offsets(of.to(kind).float(), by.to(kind).float(), channels, stride=8, steps=2)
    assert torch.equal(refined, expected.to(kind))
    refined.float().sum().backward()
    assert (by.grad != 0).any()


@pytest.mark.cuda
def test_operators_keep_torchs_rules_on_a_gpu():
    of, by, channels = tensors("cuda", torch.float64, h=2, w=3)
    torch.library.opcheck(torch.ops.personlab.refine_offsets.default, (of, by, channels, 8, 2))
    detached = of.detach(), of.detach(), by.detach(), channels
    for wanted in ((True, True), (True, False), (False, True)):
        torch.library.opcheck(torch.ops.personlab.refine_offsets_backward.default, (*detached, 8, 2, *wanted))


@pytest.mark.cuda
def test_torchs_own_operations_agree_and_do_the_work_without_the_module(monkeypatch):
    of, by, channels = tensors("cuda", torch.float64)
    ours = refine_offsets(of, by, channels, stride=8, steps=2)
    theirs = refine_offsets_grid_sample(of, by, channels, stride=8, steps=2)
    torch.testing.assert_close(ours, theirs)
    monkeypatch.setattr(refine_cuda, "is_available", lambda: False)
    assert torch.equal(refine_offsets(of, by, channels, stride=8, steps=2), theirs)
