"""Refinement inside a network, forward and backward: the core's operators beside grid_sample, in one group."""

from __future__ import annotations

import pytest
import torch

from personlab import COCO_PERSON
from personlab.methods.personlab.refine_grid_sample import refine_offsets_grid_sample
from personlab.methods.personlab.refine_op import refine_offsets

WAYS = {"core": refine_offsets, "grid_sample": refine_offsets_grid_sample}


@pytest.fixture(params=[1, 2], ids=lambda threads: f"{threads}t")
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("counted", ["all", "discs"])
@pytest.mark.parametrize("cells", [51, 101])
@pytest.mark.parametrize("way", WAYS)
def test_refine_forward_and_backward(timed, threads, cells, counted, way):
    """Mid-range offsets of 8 images by short-range ones, two steps at stride 8: 401 and 801 pixels square."""
    generator = torch.Generator().manual_seed(0)

    def noise(*shape, scale):
        return torch.randn(*shape, 2, cells, cells, generator=generator) * scale

    channels = torch.tensor([target for _, target in COCO_PERSON.directed_edges])
    inputs = noise(8, len(channels), scale=40.0).requires_grad_(), noise(8, 17, scale=9.0).requires_grad_()
    grad = noise(8, len(channels), scale=1.0)
    if counted == "discs":  # losses count the points near keypoints: here 3 discs of 4 cells' radius in each channel
        y, x = torch.meshgrid(torch.arange(cells), torch.arange(cells), indexing="ij")
        centres = torch.rand(8, len(channels), 2, 3, 1, 1, generator=generator) * cells
        grad *= (torch.hypot(x - centres[:, :, :1], y - centres[:, :, 1:]) <= 4).any(3)

    def both_ways(way):
        refined = WAYS[way](*inputs, channels, stride=8, steps=2)
        return [refined.detach(), *torch.autograd.grad(refined, inputs, grad)]

    group = f"refine forward and backward {cells}x{cells}, gradient of {counted}, threads={threads}"
    for ours, theirs in zip(timed(group, lambda: both_ways(way)), both_ways("core"), strict=True):
        # All but the points so near an edge between cells that float32 puts them on its other side.
        close = torch.isclose(ours, theirs, atol=1e-2, rtol=1e-3)
        assert close.float().mean() > 0.9999
