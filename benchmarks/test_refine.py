"""Refinement inside a network, forward and backward: the core's operators and grid_sample in one group."""

from __future__ import annotations

import pytest
import torch

from personlab import COCO_PERSON
from personlab.methods.personlab.refine_grid_sample import refine_offsets_grid_sample
from personlab.methods.personlab.refine_op import refine_offsets

IMPLEMENTATIONS = {"core": refine_offsets, "grid_sample": refine_offsets_grid_sample}


@pytest.fixture(params=[1, 2], ids=lambda threads: f"{threads}t")
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("counted", ["all", "discs"])
@pytest.mark.parametrize("cells", [51, 101])
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_refine_forward_and_backward(timed, threads, cells, counted, implementation):
    """Mid-range offsets of 8 images by short-range ones, two steps at stride 8: 401 and 801 pixels square."""
    generator = torch.Generator().manual_seed(0)

    def noise(*shape, scale):
        return torch.randn(*shape, 2, cells, cells, generator=generator) * scale

    channels = torch.tensor([target for _, target in COCO_PERSON.directed_edges])
    inputs = noise(8, len(channels), scale=40.0).requires_grad_(), noise(8, 17, scale=9.0).requires_grad_()
    grad = noise(8, len(channels), scale=1.0)
    if counted == "discs":  # losses count points near keypoints: here 3 discs of a radius of 4 cells in each channel
        y, x = torch.meshgrid(torch.arange(cells), torch.arange(cells), indexing="ij")
        centres = torch.rand(8, len(channels), 2, 3, 1, 1, generator=generator) * cells
        grad *= (torch.hypot(x - centres[:, :, :1], y - centres[:, :, 1:]) <= 4).any(3)

    def forward_and_backward(implementation):
        refined = IMPLEMENTATIONS[implementation](*inputs, channels, stride=8, steps=2)
        return [refined.detach(), *torch.autograd.grad(refined, inputs, grad)]

    group = f"refine forward and backward {cells}x{cells}, gradient of {counted}, threads={threads}"
    for ours, theirs in zip(
        timed(group, lambda: forward_and_backward(implementation)), forward_and_backward("core"), strict=True
    ):
        # All but points so near a border of cells that float32 rounds them across it.
        close = torch.isclose(ours, theirs, atol=1e-2, rtol=1e-3)
        assert close.float().mean() > 0.9999
