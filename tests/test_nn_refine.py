"""Refinement inside the network: equal to the reference, and differentiable in both inputs."""

import numpy as np
import pytest
import torch

from personlab import COCO_PERSON, stages
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
        np.testing.assert_allclose(ours[n], expected, atol=1e-3)


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


def test_gradients_reach_both_inputs():
    offsets = torch.tensor(fields(3, 1, 2, 2, 3, 4, scale=9), dtype=torch.float64, requires_grad=True)
    by = torch.tensor(fields(4, 1, 3, 2, 3, 4, scale=9), dtype=torch.float64, requires_grad=True)
    channels = torch.tensor([2, 0])
    assert torch.autograd.gradcheck(lambda a, b: refine_offsets(a, b, channels, stride=8, steps=2), (offsets, by))
    refine_offsets(offsets, by, channels, stride=8, steps=1).sum().backward()
    assert (by.grad[:, 1] == 0).all()  # no channel is refined by it
    assert (by.grad[:, 2] != 0).any()


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_computes_in_32_bits_and_keeps_the_type(kind):
    mid, short = torch.tensor(fields(1, 1, 2, 2, 5, 9)).to(kind), torch.tensor(fields(2, 1, 2, 2, 5, 9)).to(kind)
    channels = torch.arange(2)
    ours = refine_offsets(mid, short, channels, stride=8, steps=2)
    wide = refine_offsets(mid.float(), short.float(), channels, stride=8, steps=2)
    assert ours.dtype == kind
    torch.testing.assert_close(ours.float(), wide.to(kind).float(), atol=1e-3, rtol=1e-6)


def test_no_edges_and_no_pictures():
    by, none = torch.zeros(2, 3, 2, 4, 5), torch.zeros(0, dtype=torch.int64)
    assert refine_offsets(torch.zeros(2, 0, 2, 4, 5), by, none, stride=8, steps=2).shape == (2, 0, 2, 4, 5)


def test_a_diverged_network_stays_visible():
    broken = torch.zeros(1, 1, 2, 3, 4)
    broken[0, 0, 0, 1, 1] = torch.nan
    refined = refine_offsets(broken, torch.zeros_like(broken), torch.tensor([0]), stride=8, steps=1)
    assert refined.isnan().any()
