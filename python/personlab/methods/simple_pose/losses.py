"""Losses of training: focal L2 between the maps of each stack and scale and their targets (section 3.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from personlab.data.loader import Batch
    from personlab.methods.simple_pose.loss_options import SimplePoseLossOptions
    from personlab.methods.simple_pose.network import Outputs, SimplePose

SCALE_WEIGHTS = (0.1, 0.2, 0.4, 1.6, 6.4)  # finest first; each coarser grid has a quarter of the cells
_FOREGROUND = 0.01  # targets from here on are foreground
_COUNTED = 0.5  # cells of a coarser grid that count less do not count


class Kind(NamedTuple):
    """How a difference becomes a loss."""

    focal: bool = True
    gamma: float = 1.0
    alpha: float = 0.0
    beta: float = 0.0


def map_loss(maps: Tensor, target: Tensor, counted: Tensor, kind: Kind) -> Tensor:
    """Return the loss of each cell, not yet weighted by channel (Simple Pose, equations 2 and 3).

    With p the map and t the target: (p - t)^2 f^gamma m, f = |1 - (p - alpha)| where t is foreground, else
    |1 - (1 - p - beta)|. The gradient flows through f, too.

    Args:
        maps: (N, C, h, w), float32.
        target: (N, C, h, w) 0..1.
        counted: (N, 1, h, w) m, how much a cell counts.
        kind: focal or not.
    """
    loss = (maps - target) ** 2
    if kind.focal:
        sure = torch.where(target >= _FOREGROUND, maps - kind.alpha, 1 - maps - kind.beta)
        factor = (1 - sure).abs()
        loss = loss * (factor if kind.gamma == 1 else factor**kind.gamma)
    return loss * counted


def at_scale(target: Tensor, counted: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return targets (N, C, h, w) and what counts (N, 1, h, w) on a coarser grid of (h', w') = `size` cells.

    Targets are averaged; what counts is read bilinearly at the new cells' centres, and is 0 where that is under half.
    """
    if target.shape[-2:] != size:
        target = functional.adaptive_avg_pool2d(target, size)
        counted = functional.interpolate(counted, size=size, mode="bilinear", align_corners=False)
    return target, torch.where(counted < _COUNTED, 0.0, counted)


def scale_losses(
    stacks: Sequence[Sequence[Tensor]], target: Tensor, counted: Tensor, weights: Tensor, kind: Kind
) -> list[Tensor]:
    """Return the loss of each scale and channel, (C,): summed over images and cells, the mean over stacks.

    Args:
        stacks: maps (N, C, h / 2**j, w / 2**j) of each stack and scale j.
        target: (N, C, h, w).
        counted: (N, C or 1, h, w).
        weights: (C,) of the channels.
        kind: of the loss.
    """
    losses = []
    for maps in zip(*stacks, strict=True):
        own, valid = at_scale(target, counted, tuple(maps[0].shape[-2:]))
        each = [map_loss(one.float(), own, valid, kind).sum(dim=(0, 2, 3)) for one in maps]
        losses.append(torch.stack(each).mean(dim=0) * weights)
    return losses


def multi_scale_loss(losses: Sequence[Tensor], images: int) -> Tensor:
    """Return the loss to minimise, of each channel: the weighted mean over scales, for each image.

    Args:
        losses: of each scale, finest first.
        images: N.
    """
    weights = SCALE_WEIGHTS[: len(losses)]
    return torch.stack([w * loss for w, loss in zip(weights, losses, strict=True)]).sum(dim=0) / sum(weights) / images


def make_losses(model: SimplePose, options: SimplePoseLossOptions) -> Callable[[Outputs, Batch], dict[str, Tensor]]:
    """Return a function from (outputs, batch) to the losses by name; `total` is their sum."""
    limbs, keypoints = model.n_limbs, model.n_keypoints
    parts = {"limb": limbs, "keypoint": keypoints, "person": 1, "brightest": 1}
    weights = torch.cat([torch.full((count,), getattr(options, name)) for name, count in parts.items()])
    kind = Kind(options.kind == "focal_l2", options.gamma, options.alpha, options.beta)

    def losses(outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        target = torch.cat([batch.limbs, batch.keypoints, batch.person, batch.brightest], dim=1)
        counted = batch.weights.expand(-1, target.shape[1], -1, -1).clone()
        counted[:, limbs + keypoints] = batch.person_weights[:, 0]
        assert outputs.stacks is not None
        each = scale_losses(outputs.stacks, target, counted, weights.to(target.device), kind)
        channels = multi_scale_loss(each, len(target))
        named = {
            name: part.sum() for name, part in zip(parts, torch.split(channels, list(parts.values())), strict=True)
        }
        return {"total": channels.sum(), **named}

    return losses
