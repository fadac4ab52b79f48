"""Optimiser, learning rate by step, and the Polyak average of the weights, which is evaluated and saved."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch.optim.swa_utils import AveragedModel

from personlab.train.network import parameter_groups

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn

    from personlab.train.config import OptimizerOptions

_WARMUP_SHARE = 10  # one in so many steps


def make_optimizer(model: nn.Module, options: OptimizerOptions) -> torch.optim.Optimizer:
    """Return SGD with Nesterov momentum, or AdamW."""
    groups = parameter_groups(model, rate=options.rate, head_rate=options.head_rate, weight_decay=options.weight_decay)
    if options.name == "sgd":
        return torch.optim.SGD(groups, momentum=options.momentum, nesterov=options.momentum > 0)
    return torch.optim.AdamW(groups, betas=(options.momentum, 0.999))


def with_warmup_within(options: OptimizerOptions, steps: int) -> OptimizerOptions:
    """Return the options; a warm-up longer than the run becomes a tenth of the steps, rounded down."""
    return options if options.warmup <= steps else replace(options, warmup=steps // _WARMUP_SHARE)


def rate_factor(step: int, steps: int, options: OptimizerOptions) -> float:
    """Return the factor on the learning rate at step 0 .. steps - 1."""
    if step < options.warmup:
        return (step + 1) / options.warmup
    if options.schedule == "constant":
        return 1.0
    share = min((step + 1 - options.warmup) / max(steps - options.warmup, 1), 1.0)
    fall = 1 - share if options.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * share))
    return options.final_rate + (1 - options.final_rate) * fall


def make_average(model: nn.Module, decay: float) -> AveragedModel:
    """Return the moving average of weights and running statistics.

    The decay after n updates is min(decay, (1 + n) / (10 + n)): a short run, too, forgets where it began.
    """

    def blend(averages: Sequence[Tensor], values: Sequence[Tensor], _: Tensor | int) -> None:
        updates = int(averaged.n_averaged)  # in host memory, unlike what torch hands over: nothing waits for a GPU
        share = 1 - min(decay, (1 + updates) / (10 + updates))
        for average, value in zip(averages, values, strict=True):
            if average.is_floating_point():
                average.lerp_(value.to(average), share)
            else:
                average.copy_(value)

    averaged = AveragedModel(model, multi_avg_fn=torch.no_grad()(blend), use_buffers=True)
    return averaged
