"""One optimizer step: rate, forward, losses, backward, clipping, update and average."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from personlab.train.optimize import make_average, make_optimizer, rate_factor, with_warmup_within
from personlab.train.state import State

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from personlab.data.loader import Batch
    from personlab.train.config import TrainConfig
    from personlab.train.processes import Place


def start_state(config: TrainConfig, model: Any, place: Place) -> State:
    """Return the state of a run before its first step."""
    return State(
        model,
        make_average(model, config.optimizer.average),
        make_optimizer(model, config.optimizer),
        torch.amp.GradScaler(place.device.type, enabled=config.precision == "float16"),
    )


class Steps:
    """Takes the steps of a run; in several processes gradients are averaged over them.

    Args:
        config: of the run.
        losses: (outputs, batch) -> losses by name, `total` among them.
        place: where this process computes.
        state: of the run, which each step moves on.
    """

    def __init__(
        self, config: TrainConfig, losses: Callable[[Any, Batch], Mapping[str, Tensor]], place: Place, state: State
    ) -> None:
        self.config, self.losses, self.place, self.state = config, losses, place, state
        self._schedule = with_warmup_within(config.optimizer, config.steps)
        network: Any = state.model
        if place.count > 1:
            network = DistributedDataParallel(network)
        self._network: Callable[[Tensor], Any] = torch.compile(network) if config.compile else network
        self._rates = [group["lr"] for group in make_optimizer(state.model, config.optimizer).param_groups]

    def take(self, batch: Batch) -> tuple[Mapping[str, Tensor], Tensor]:
        """Take one step on a batch on the device; returns the losses and the gradient norm before clipping."""
        config, state = self.config, self.state
        # learning rate of this step
        factor = rate_factor(state.step, config.steps, self._schedule)
        for group, rate in zip(state.optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * factor
        # forward, in 16 bits where asked for; losses in float32
        precision = getattr(torch, config.precision)
        with torch.autocast(self.place.device.type, dtype=precision, enabled=config.precision != "float32"):
            outputs = self._network(batch.images)
        losses = self.losses(outputs, batch)
        # backward
        state.scaler.scale(losses["total"]).backward()  # type: ignore[no-untyped-call]
        # clip, step, average
        state.scaler.unscale_(state.optimizer)
        parameters = [p for p in state.model.parameters() if p.requires_grad]
        gradient = nn.utils.clip_grad_norm_(parameters, config.optimizer.clip_norm)
        state.scaler.step(state.optimizer)
        state.scaler.update()
        state.optimizer.zero_grad(set_to_none=True)
        state.average.update_parameters(state.model)
        state.step += 1
        return losses, gradient
