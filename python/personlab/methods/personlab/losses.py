"""Losses of training: one for each field, and their weighted sum (PersonLab, section 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, distributed
from torch.nn import functional

from personlab.methods.personlab.refine_op import refine_offsets

if TYPE_CHECKING:
    from collections.abc import Callable

    from personlab.data.loader import Batch
    from personlab.methods.personlab.config import ModelConfig
    from personlab.methods.personlab.loss_options import LossOptions
    from personlab.methods.personlab.network import Outputs, PersonLab


class Losses(NamedTuple):
    """Scalars: the weighted sum, and its parts, each averaged over valid cells and not yet weighted."""

    total: Tensor
    heatmap: Tensor
    short: Tensor
    mid: Tensor
    segmentation: Tensor
    long: Tensor
    intermediate: Tensor  # the weighted sum on the intermediate heads; 0 without


def losses_of(config: ModelConfig) -> tuple[str, ...]:
    """Return the names of the losses that a network has heads for."""
    absent = () if config.masks else ("segmentation", "long")
    absent = (*absent, *(() if config.intermediate else ("intermediate",)))
    return tuple(name for name in Losses._fields if name not in absent)


def make_losses(model: PersonLab, options: LossOptions) -> Callable[[Outputs, Batch], dict[str, Tensor]]:
    """Return a function from (outputs, batch) to the losses that the network has heads for, by name.

    Raises:
        ValueError: the network refines offsets itself, but another number of times than `options.refine_steps`.
    """
    _steps_left(model, options)  # raises before the first step
    names = losses_of(model.config)

    def losses(outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        computed = compute_losses(outputs, batch, model, options)
        return {name: getattr(computed, name) for name in names}

    return losses


def count_valid(batch: Batch) -> Tensor:
    """Return (5,) how many cells each loss is averaged over, in the order of `Losses`; at least 1 each.

    With several processes, the mean over all: gradients averaged over processes are then those of one process that
    sees every image.
    """
    counts = torch.stack(
        [
            batch.heatmap_valid.sum() * batch.heatmaps.shape[1],
            batch.short_valid.sum(),
            batch.mid_valid.sum(),
            batch.segmentation_valid.sum(),
            batch.long_valid.sum(),
        ]
    ).to(torch.float32)
    return share_counts(counts)


def share_counts(counts: Tensor) -> Tensor:
    """Return the mean of counts over all processes, of at least 1 together."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.all_reduce(counts)
        return counts.clamp(min=1) / distributed.get_world_size()
    return counts.clamp(min=1)


def compute_losses(outputs: Outputs, batch: Batch, model: PersonLab, options: LossOptions) -> Losses:
    """Compute the losses of one batch: differentiable, finite for any finite output, 0 without valid cells.

    Args:
        outputs: of the network for `batch.images`.
        batch: images and targets.
        model: the network, for its skeleton, stride and own refinement.
        options: weights.

    Raises:
        ValueError: the network refines offsets itself, but another number of times than `options.refine_steps`.
    """
    steps = _steps_left(model, options)
    counts = count_valid(batch)
    parts = _parts(outputs, batch, model, steps, options.disk_radius, counts)
    total = _weighted(parts, options)
    beside = total.new_zeros(())
    if outputs.intermediate is not None:
        beside = _weighted(_parts(outputs.intermediate, batch, model, steps, options.disk_radius, counts), options)
        total = total + options.intermediate * beside
    heatmap, short, mid, segmentation, long = parts
    return Losses(total, heatmap, short, mid, segmentation, long, beside)


def _steps_left(model: PersonLab, options: LossOptions) -> int:
    """Return the refinements that the network leaves to the losses."""
    own = model.config.refine_steps
    if own not in (0, options.refine_steps):
        raise ValueError(f"loss.refine_steps: expected {own} as in the network, got {options.refine_steps}")
    return options.refine_steps - own


def _weighted(parts: list[Tensor], options: LossOptions) -> Tensor:
    weights = (options.heatmap, options.short, options.mid, options.segmentation, options.long)
    return torch.stack([weight * part for weight, part in zip(weights, parts, strict=True)]).sum()


def _parts(
    outputs: Outputs, batch: Batch, model: PersonLab, steps: int, disk_radius: float, counts: Tensor
) -> list[Tensor]:
    """Return each loss on its own: heatmap, short, mid, segmentation, long."""
    stride, short = model.config.stride, outputs.short_offsets
    mid = refine_offsets(outputs.mid_offsets, short, model.edge_targets, stride=stride, steps=steps)
    parts = [
        _logistic(outputs.heatmaps, batch.heatmaps, batch.heatmap_valid, counts[0]),
        _distance(short, batch.short_offsets, batch.short_valid, disk_radius, counts[1]),
        _distance(mid, batch.mid_offsets, batch.mid_valid, disk_radius, counts[2]),
    ]
    if outputs.segmentation is None or outputs.long_offsets is None:
        return [*parts, short.new_zeros(()), short.new_zeros(())]
    long = outputs.long_offsets
    long = refine_offsets(long, long, model.keypoint_numbers, stride=stride, steps=steps)
    long = refine_offsets(long, short, model.keypoint_numbers, stride=stride, steps=steps)
    return [
        *parts,
        _logistic(outputs.segmentation, batch.segmentation, batch.segmentation_valid, counts[3]),
        _distance(long, batch.long_offsets, batch.long_valid, disk_radius, counts[4]),
    ]


def _logistic(logits: Tensor, targets: Tensor, valid: Tensor, count: Tensor) -> Tensor:
    """Return the mean logistic loss of logits (N, C, h, w) where `valid`, (N, C or 1, h, w)."""
    loss = functional.binary_cross_entropy_with_logits(logits.float(), targets, reduction="none")
    return torch.where(valid, loss, 0.0).sum() / count


def _distance(offsets: Tensor, targets: Tensor, valid: Tensor, unit: float, count: Tensor) -> Tensor:
    """Return the mean |dx| + |dy| of (N, C, 2, h, w) where `valid`, (N, C, h, w), in units of `unit` input pixels."""
    # Differences are masked before the sum: what is undefined gets no gradient, however wild it is.
    away = torch.where(valid.unsqueeze(2), (offsets.float() - targets).abs(), 0.0)
    return away.sum() / (unit * count)
