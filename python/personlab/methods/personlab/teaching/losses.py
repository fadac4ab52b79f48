"""Losses between what a network says of a view and what its teachers do, where these are sure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from personlab.methods.personlab.losses import share_counts
from personlab.methods.personlab.teaching.layout import PROBABILITIES

if TYPE_CHECKING:
    from collections.abc import Callable

    from personlab.data.loader import Batch
    from personlab.methods.personlab.loss_options import LossOptions, TeachingOptions
    from personlab.methods.personlab.network import Outputs, PersonLab

_LOSSES = {
    "heatmaps": "heatmap", "short_offsets": "short", "mid_offsets": "mid", "segmentation": "segmentation",
    "long_offsets": "long",
}  # fmt: skip


def make_losses(
    _: PersonLab, options: TeachingOptions, loss: LossOptions
) -> Callable[[Outputs, Batch], dict[str, Tensor]]:
    """Return a function from (outputs, batch) to a loss for each field that is taught, and their weighted sum `taught`.

    Those on probabilities are the mean divergence of the network's from the teachers' over cells on the image, 0 where
    they agree. Those on offsets are the mean |dx| + |dy| in units of R, weighed by the teachers' probability.
    """

    def losses(outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        parts = {}
        for name, short in _LOSSES.items():
            said = getattr(outputs, name)
            if said is None or (taught := batch.targets.get(f"taught_{name}")) is None:
                continue
            if name in PROBABILITIES:
                parts[short] = _divergence(said, taught, batch.taught_inside)
            else:
                weights = sure(batch.targets[f"taught_{name}_weights"], options)
                parts[short] = _distance(said, taught, weights, loss.disk_radius)
        total = torch.stack([getattr(options, name) * part for name, part in parts.items()]).sum()
        return {"taught": total, **{f"taught_{name}": part for name, part in parts.items()}}

    return losses


def sure(weights: Tensor, options: TeachingOptions) -> Tensor:
    """Return the weights of offsets: the teacher's probability where it is at least `min_probability`, else 0."""
    return torch.where(weights >= options.min_probability, weights, 0.0)


def _divergence(logits: Tensor, taught: Tensor, inside: Tensor) -> Tensor:
    """Return the mean Kullback-Leibler divergence of logits (N, C, h, w) from probabilities, where `inside`."""
    entropy = -(torch.xlogy(taught, taught) + torch.xlogy(1 - taught, 1 - taught))
    loss = functional.binary_cross_entropy_with_logits(logits.float(), taught, reduction="none") - entropy
    (count,) = share_counts(inside.sum()[None] * float(logits.shape[1]))
    mean: Tensor = torch.where(inside, loss, 0.0).sum() / count
    return mean


def _distance(offsets: Tensor, taught: Tensor, weights: Tensor, unit: float) -> Tensor:
    """Return the weighted mean |dx| + |dy| of (N, C, 2, h, w), weights (N, C or 1, h, w), in units of `unit` pixels."""
    weights = weights.expand(-1, offsets.shape[1], -1, -1)
    away = (offsets.float() - taught).abs().sum(dim=2)
    (count,) = share_counts(weights.sum()[None])
    mean: Tensor = torch.where(weights > 0, away * weights, 0.0).sum() / (unit * count)
    return mean
