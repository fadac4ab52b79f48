"""Dense refinement of offset fields inside the network, differentiable in both of its inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor


def refine_offsets(offsets: Tensor, by: Tensor, channels: Tensor, *, stride: int, steps: int) -> Tensor:
    """`steps` times M_c(x) <- M_c(x) + S_l(x + M_c(x)), l = channels[c] (PersonLab, section 3.1.2).

    What `personlab.stages.refine_offsets` computes, but that a number that is not finite stays visible: a diverged
    network should not train on. Points outside the grid read its border.

    Args:
        offsets: (N, C, 2, h, w) M, (dx, dy) input pixels.
        by: (N, L, 2, h, w) S, likewise; float32 or float64 inside whatever the type.
        channels: (C,) int64, which of the L fields refines each of the C.
        stride: input pixels from cell to cell.
        steps: refinements.

    Returns:
        (N, C, 2, h, w), of the type of `offsets`.
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
