"""What heads should say of a batch by its teachers, as linear equations in the features below them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from personlab.methods.base import Equation
from personlab.methods.personlab.fields import FIELD_NAMES
from personlab.methods.personlab.teaching.layout import PROBABILITIES
from personlab.methods.personlab.teaching.losses import sure

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from personlab.data.loader import Batch
    from personlab.methods.personlab.loss_options import TeachingOptions
    from personlab.methods.personlab.network import PersonLab

_MIN_PROBABILITY = 1e-4  # logits are those of probabilities from this to 1 minus this


def equations(model: PersonLab, batch: Batch, options: TeachingOptions, heads: Sequence[str]) -> Iterator[Equation]:
    """Yield the equations of each head: all outputs at once where cells have one weight, else for each channel.

    Raises:
        ValueError: a head that the network does not have, or whose field is not taught.
    """
    taught = [name for name in FIELD_NAMES if f"taught_{name}" in batch.targets and _has(model, name)]
    if wrong := [name for name in heads if name not in taught]:
        raise ValueError(f"network.fit_heads: expected heads that teachers teach, {', '.join(taught)}, got {wrong[0]}")
    with torch.no_grad():
        features = _rows(model.features(batch.images)[0].float())
    for name in heads:
        target = batch.targets[f"taught_{name}"]
        if name in PROBABILITIES:
            weights = batch.taught_inside
            target = torch.logit(target, _MIN_PROBABILITY)
        else:
            weights = sure(batch.targets[f"taught_{name}_weights"], options)
        if weights.shape[1] == 1:  # one system
            yield _equation(name, slice(0, target[0, ..., 0, 0].numel()), features, _rows(target), _rows(weights))
            continue
        for channel in range(weights.shape[1]):
            own = target[:, channel]
            outputs = slice(channel * own.shape[1], (channel + 1) * own.shape[1])
            yield _equation(name, outputs, features, _rows(own), _rows(weights[:, channel : channel + 1]))


def _equation(name: str, outputs: slice, features: Tensor, targets: Tensor, weights: Tensor) -> Equation:
    rows = weights[:, 0] > 0
    return Equation(f"heads.{name}", outputs, features[rows], targets[rows], weights[rows, 0].float())


def _has(model: Any, name: str) -> bool:
    return getattr(model.heads, name, None) is not None


def _rows(planes: Tensor) -> Tensor:
    """(N, ..., h, w) -> (N * h * w, channels)."""
    return planes.flatten(1, -3).permute(0, 2, 3, 1).flatten(0, 2)
