"""Dense refinement in torch's own operations: for exported graphs, and for devices that the core cannot use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor


def refine_offsets_grid_sample(offsets: Tensor, by: Tensor, channels: Tensor, *, stride: int, steps: int) -> Tensor:
    """Computes what `personlab.nn.refine_offsets` does, on any device and in any graph, by `grid_sample`.

    Takes and returns the same, and is differentiable in both inputs.
    """
    if steps == 0 or offsets.shape[1] == 0:
        return offsets
    kind = torch.promote_types(offsets.dtype, torch.float32)  # half a pixel of a coordinate is lost in 16 bits
    n, count, _, h, w = offsets.shape
    refined = offsets.to(kind).reshape(n * count, 2, h, w)
    source = by.to(kind).index_select(1, channels).reshape(n * count, 2, h, w)
    # grid_sample without align_corners: cell j of w lies at (2 j + 1) / w - 1, which is defined for a single cell too.
    x = (2 * torch.arange(w, dtype=kind, device=offsets.device) + 1) / w - 1  # (w,)
    y = (2 * torch.arange(h, dtype=kind, device=offsets.device)[:, None] + 1) / h - 1  # (h, 1)
    unit_x, unit_y = 2 / (stride * w), 2 / (stride * h)  # of grid_sample's per input pixel
    for _ in range(steps):
        points = torch.stack([x + refined[:, 0] * unit_x, y + refined[:, 1] * unit_y], dim=-1)  # (N * C, h, w, 2)
        refined = refined + functional.grid_sample(source, points, padding_mode="border", align_corners=False)
    return refined.reshape(n, count, 2, h, w).to(offsets.dtype)
