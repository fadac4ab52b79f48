"""Refinement inside the network: equal to the reference, and differentiable in both inputs."""

import numpy as np
import pytest
import torch
from agreement import PIXELS

from personlab import COCO_PERSON, stages
from personlab.methods.personlab.refine_grid_sample import refine_offsets_grid_sample
from personlab.nn import ModelConfig, PersonLab, refine_offsets

RNG = np.random.default_rng


def fields(seed, *shape, scale=60.0):
    return (RNG(seed).standard_normal(shape) * scale).astype(np.float32)


@pytest.mark.parametrize("steps", [0, 1, 3])
@pytest.mark.parametrize(("stride", "h", "w"), [(16, 7, 11), (8, 9, 4), (1, 1, 6), (16, 3, 1), (8, 1, 1)])
def test_equals_the_reference(stride, h, w, steps):
    mid, short = fields(1, 2, 5, 2, h, w), fields(2, 2, 3, 2, h, w, scale=9)  # far outside the grid among them
    channels = [2, 0, 0, 1, 2]
    ours = refine_offsets(*map(torch.tensor, (mid, short, channels)), stride=stride, steps=steps)
    for n in range(2):
        expected = stages.refine_offsets(mid[n], short[n], channels, stride=stride, steps=steps, backend="reference")
        np.testing.assert_allclose(ours[n], expected, rtol=0, atol=PIXELS)


def test_a_network_refines_as_the_stages_do():
    torch.manual_seed(0)
    plain = PersonLab(ModelConfig(width=0.5, norm="none")).eval()
    for head in (plain.heads.short_offsets, plain.heads.mid_offsets, plain.heads.long_offsets):
        torch.nn.init.normal_(head.weight, std=4.0)
    refining = PersonLab(ModelConfig(width=0.5, norm="none", refine_steps=2)).eval()
    refining.load_state_dict(plain.state_dict())
    images = torch.rand(1, 3, 81, 113) * 255
    with torch.no_grad():
        raw, refined = plain(images), refining(images)
    short, mid, long = (getattr(raw, f"{name}_offsets")[0].numpy() for name in ("short", "mid", "long"))
    assert np.abs(mid).max() > 16  # past a cell
    targets = [target for _, target in COCO_PERSON.directed_edges]
    expected = stages.refine_offsets(mid, short, targets, stride=16, steps=2, backend="reference")
    np.testing.assert_allclose(refined.mid_offsets[0], expected, atol=1e-3)
    expected = stages.refine_offsets(long, long, range(17), stride=16, steps=2, backend="reference")
    expected = stages.refine_offsets(
        expected.astype(np.float32), short, range(17), stride=16, steps=2, backend="reference"
    )
    np.testing.assert_allclose(refined.long_offsets[0], expected, atol=1e-3)
    assert torch.equal(refined.short_offsets, raw.short_offsets)
    assert torch.equal(refined.heatmaps, raw.heatmaps)


def inputs(kind=torch.float32, *, n=2, h=5, w=7, scale=30.0, by_scale=9.0, grad=True):
    """Offsets of four channels, two of which share a field, and the three fields that refine them; one refines none."""
    offsets = torch.tensor(fields(3, n, 4, 2, h, w, scale=scale), dtype=kind, requires_grad=grad)
    by = torch.tensor(fields(4, n, 3, 2, h, w, scale=by_scale), dtype=kind, requires_grad=grad)
    return offsets, by, torch.tensor([2, 0, 2, 0])


@pytest.mark.parametrize("scale", [6.0, 60.0])  # hardly a point, and most points outside the grid
@pytest.mark.parametrize(("h", "w"), [(3, 4), (1, 5), (4, 1), (1, 1)])
def test_gradients_of_both_inputs(h, w, scale):
    offsets, by, channels = inputs(torch.float64, n=2 if h * w < 6 else 1, h=h, w=w, scale=scale)
    assert torch.autograd.gradcheck(lambda a, b: refine_offsets(a, b, channels, stride=8, steps=3), (offsets, by))


def test_gradients_reach_the_fields_that_refine():
    offsets, by, channels = inputs()
    refine_offsets(offsets, by, channels, stride=8, steps=1).sum().backward()
    assert (by.grad[:, 1] == 0).all()  # no channel is refined by it
    assert by.grad[:, 2].sum() == pytest.approx(2 * 2 * 2 * 5 * 7)  # images, channels, dx and dy, points


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize(("stride", "h", "w"), [(16, 7, 11), (8, 23, 9), (5, 1, 70), (8, 66, 1), (8, 1, 1)])
@pytest.mark.parametrize("sparse", [False, True])
def test_equals_grid_sample(stride, h, w, steps, sparse):
    offsets, by, channels = inputs(h=h, w=w)
    grad = torch.tensor(fields(5, *offsets.shape))
    if sparse:  # as from a loss that counts few of the points
        grad *= torch.rand(grad.shape[-2:], generator=torch.Generator().manual_seed(0)) < 0.2
    ours = refine_offsets(offsets, by, channels, stride=stride, steps=steps)
    gradients = torch.autograd.grad(ours, (offsets, by), grad)
    # In float64: in float32 a point next to an edge between cells may read another slope.
    wide = [tensor.detach().double().requires_grad_() for tensor in (offsets, by)]
    theirs = refine_offsets_grid_sample(*wide, channels, stride=stride, steps=steps)
    expected = torch.autograd.grad(theirs, wide, grad.double())
    torch.testing.assert_close(ours.double(), theirs, atol=1e-4, rtol=0)
    for one, other in zip(gradients, expected, strict=True):
        torch.testing.assert_close(one.double(), other, atol=1e-3, rtol=1e-5)
    theirs = refine_offsets_grid_sample(offsets, by, channels, stride=stride, steps=steps)
    torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-5)


@pytest.mark.parametrize("wanted", [0, 1])
def test_gradient_of_one_input_alone(wanted):
    *both, channels = inputs()
    refined = refine_offsets(*both, channels, stride=8, steps=2)
    expected = torch.autograd.grad(refined, both, torch.ones_like(refined))[wanted]
    both[1 - wanted] = both[1 - wanted].detach()
    refined = refine_offsets(*both, channels, stride=8, steps=2)
    assert torch.equal(torch.autograd.grad(refined, both[wanted], torch.ones_like(refined))[0], expected)


def test_a_field_that_refines_itself():
    _, by, _ = inputs(torch.float64)
    channels = torch.arange(3)
    assert torch.autograd.gradcheck(lambda a: refine_offsets(a, a, channels, stride=8, steps=2), by)


def test_strided_inputs():
    offsets, by, channels = inputs()
    expected = refine_offsets(offsets, by, channels, stride=8, steps=2)
    turned = [tensor.detach().permute(4, 3, 2, 1, 0).contiguous().permute(4, 3, 2, 1, 0) for tensor in (offsets, by)]
    assert not turned[0].is_contiguous()
    assert torch.equal(refine_offsets(*turned, channels, stride=8, steps=2), expected)


def test_same_bytes_on_any_number_of_threads():
    offsets, by, channels = inputs(n=3, h=17, w=33)
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            refined = refine_offsets(offsets, by, channels, stride=8, steps=2)
            results.append([refined, *torch.autograd.grad(refined, (offsets, by), torch.ones_like(refined))])
    finally:
        torch.set_num_threads(before)
    for others in results[1:]:
        assert all(map(torch.equal, results[0], others))


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_computes_in_32_bits_and_keeps_the_type(kind):
    mid, short = torch.tensor(fields(1, 1, 2, 2, 5, 9)).to(kind), torch.tensor(fields(2, 1, 2, 2, 5, 9)).to(kind)
    channels = torch.arange(2)
    ours = refine_offsets(mid, short, channels, stride=8, steps=2)
    wide = refine_offsets(mid.float(), short.float(), channels, stride=8, steps=2)
    assert ours.dtype == kind
    torch.testing.assert_close(ours.float(), wide.to(kind).float(), atol=1e-3, rtol=1e-6)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_under_autocast(kind):
    offsets, by, channels = inputs()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        refined = refine_offsets(offsets.to(kind), by.to(kind), channels, stride=8, steps=2)
    assert refined.dtype == kind
    expected = refine_offsets(offsets.to(kind).float(), by.to(kind).float(), channels, stride=8, steps=2)
    assert torch.equal(refined, expected.to(kind))
    refined.float().sum().backward()
    assert offsets.grad.isfinite().all()
    assert (by.grad != 0).any()


@pytest.mark.parametrize("steps", [1, 2])
def test_compiled_equals_eager(steps):
    torch._dynamo.reset()
    offsets, by, channels = inputs()

    def loss(offsets, by):
        refined = refine_offsets(offsets * 2, by, channels, stride=8, steps=steps)
        return refined.square().mean()

    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(offsets, by), loss(offsets, by))
    gradients = [torch.autograd.grad(each(offsets, by), (offsets, by)) for each in (compiled, loss)]
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("strict", [False, True])
def test_exported_graphs_hold_torch_operations_alone(strict):
    class Refine(torch.nn.Module):
        def forward(self, offsets, by, channels):
            return refine_offsets(offsets, by, channels, stride=8, steps=1)

    arguments = inputs(grad=False)
    program = torch.export.export(Refine(), arguments, strict=strict)
    assert "personlab" not in str(program.graph)
    torch.testing.assert_close(program.module()(*arguments), Refine()(*arguments), atol=1e-3, rtol=1e-5)


def test_operators_keep_torchs_rules():
    offsets, by, channels = inputs(torch.float64, h=2, w=3)
    torch.library.opcheck(torch.ops.personlab.refine_offsets.default, (offsets, by, channels, 8, 2))
    detached = offsets.detach(), offsets.detach(), by.detach(), channels
    for wanted in ((True, True), (True, False), (False, True)):
        torch.library.opcheck(torch.ops.personlab.refine_offsets_backward.default, (*detached, 8, 2, *wanted))


def test_no_edges_and_no_images():
    by, none = torch.zeros(2, 3, 2, 4, 5), torch.zeros(0, dtype=torch.int64)
    assert refine_offsets(torch.zeros(2, 0, 2, 4, 5), by, none, stride=8, steps=2).shape == (2, 0, 2, 4, 5)
    offsets, by, channels = inputs(n=0)
    refined = refine_offsets(offsets, by, channels, stride=8, steps=2)
    assert refined.shape == (0, 4, 2, 5, 7)
    refined.sum().backward()
    assert by.grad.shape == (0, 3, 2, 5, 7)
    offsets, by, channels = inputs(h=0)
    assert refine_offsets(offsets, by, channels, stride=8, steps=2).shape == (2, 4, 2, 0, 7)


def test_what_does_not_belong_together_is_refused():
    offsets, by, channels = inputs()
    for wrong, message in [
        ((offsets[0], by, channels), r"offsets: expected shape \(N, C, 2, h, w\), got \(4, 2, 5, 7\)"),
        ((offsets, by[:1], channels), r"by: expected shape .* got \(1, 3, 2, 5, 7\)"),
        ((offsets, by[..., :-1], channels), r"by: expected shape .* got \(2, 3, 2, 5, 6\)"),
        ((offsets, by, channels[:-1]), r"channels: expected shape \(C,\) = \(4,\), got \(3,\)"),
        ((offsets, by, channels + 1), r"channels: expected 0..2, got \[3, 1, 3, 1\]"),
        ((offsets, by, channels - 1), r"channels: expected 0..2, got \[1, -1, 1, -1\]"),
    ]:
        with pytest.raises(ValueError, match=message):
            refine_offsets(*wrong, stride=8, steps=2)
    with pytest.raises(ValueError, match=r"grad: expected the shape of offsets, \(2, 4, 2, 5, 7\)"):
        torch.ops.personlab.refine_offsets_backward(by, offsets, by, channels, 8, 2, True, True)
    for stride, steps in ((0, 2), (8, -1)):
        with pytest.raises(ValueError, match="stride, steps: expected at least 1 and 0"):
            refine_offsets(offsets, by, channels, stride=stride, steps=steps)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf, 3e38, -3e38])
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_a_diverged_network_stays_visible(value, kind):
    offsets, by, channels = inputs(kind, by_scale=1.0)
    broken = offsets.detach().clone()
    broken[0, 0, 0, 1, 1] = value  # seen by the same point of the result, and by no other
    refined = refine_offsets(broken.requires_grad_(), by, channels, stride=8, steps=2)
    gradients = torch.autograd.grad(refined, (broken, by), torch.ones_like(refined))
    assert refined[0, 0, 0, 1, 1].isfinite() == (abs(value) < torch.inf)
    assert refined.isfinite().sum() >= refined.numel() - 2
    assert all(gradient.shape == tensor.shape for gradient, tensor in zip(gradients, (broken, by), strict=True))

    broken = by.detach().clone()
    broken[1, 2] = value  # wherever in it one reads
    refined = refine_offsets(offsets, broken.requires_grad_(), channels, stride=8, steps=2)
    torch.autograd.grad(refined, (offsets, broken), torch.ones_like(refined))
    assert refined[1, [0, 2]].isfinite().logical_not().all() or abs(value) < torch.inf
    assert refined[0].isfinite().all()
    assert refined[1, [1, 3]].isfinite().all()
    # and where what comes back diverged
    refined = refine_offsets(offsets, by, channels, stride=8, steps=2)
    gradients = torch.autograd.grad(refined, (offsets, by), torch.full_like(refined, value))
    assert all(gradient.isfinite().logical_not().any() for gradient in gradients) or abs(value) < torch.inf


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_the_networks_own_refinement_shows_what_overflows_and_does_not_crash(kind):
    most = torch.finfo(kind).max
    rng = RNG(3)
    for steps in (1, 2, 4):
        m, s = (torch.tensor(rng.choice([1.0, -3.0, most, -most], (1, 2, 2, 4, 6)), dtype=kind, requires_grad=True)
                for _ in range(2))  # fmt: skip
        found = refine_offsets(m, s, torch.tensor([0, 1]), stride=8, steps=steps)
        found.sum().backward()
        assert not torch.isfinite(found).all()
        assert m.grad.shape == m.shape
        assert s.grad.shape == s.shape
        tame = [field.detach().clamp(-1e3, 1e3) for field in (m, s)]
        assert torch.isfinite(refine_offsets(*tame, torch.tensor([0, 1]), stride=8, steps=steps)).all()
