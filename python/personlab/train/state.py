"""Training checkpoint: model, EMA, optimizer and scaler state, written atomically."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from personlab.arrays.numbers import as_integer
from personlab.io.files import write_whole

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn
    from torch.optim.swa_utils import AveragedModel

CHECKPOINT = "checkpoint.safetensors"


@dataclass
class State:
    """The state of a run between two steps.

    Data and random numbers need no state: views follow from the seed and the step, and nothing else is drawn.
    """

    model: nn.Module
    average: AveragedModel
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    step: int = 0  # steps done

    def save(self, path: Path) -> None:
        """Write the file; a process killed meanwhile leaves the previous one."""
        from safetensors.torch import save

        held, plain = _flattened(self.optimizer.state_dict())
        tensors: dict[str, Tensor] = {
            **{f"model.{name}": value for name, value in self.model.state_dict().items()},
            **{f"average.{name}": value for name, value in self.average.module.state_dict().items()},
            **{f"optimizer.{name}": value for name, value in held.items()},
        }
        facts = {
            "step": self.step,
            "averaged": int(self.average.n_averaged),
            "optimizer": plain,
            "scaler": self.scaler.state_dict(),
        }
        # Two names may share memory, which safetensors refuses; clones are contiguous, too.
        copies = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
        write_whole(path, save(copies, {"state": json.dumps(facts)}))

    def load(self, path: Path) -> None:
        """Read what `save` wrote for the same network and optimiser.

        Raises:
            OSError: the file cannot be read.
            ValueError: it is damaged, or of another network or optimiser.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="pt") as file:
                facts = json.loads((file.metadata() or {})["state"])
                step, averaged = as_integer(facts["step"], "step", 0), as_integer(facts["averaged"], "averaged", 0)
                plain, scaler = facts["optimizer"], facts["scaler"]
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no dict
        except (KeyError, RecursionError, SafetensorError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: expected a run's checkpoint, got another or a damaged file ({error})") from None

        def part(prefix: str) -> dict[str, Tensor]:
            return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}

        try:
            self.model.load_state_dict(part("model."))
            self.average.module.load_state_dict(part("average."))
            self.optimizer.load_state_dict(_unflattened(part("optimizer."), plain))
            _check_optimizer(self.optimizer)
            self.scaler.load_state_dict(scaler)
        except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise ValueError(f"{path}: the checkpoint of another network or optimiser ({reason})") from None
        self.average.n_averaged.fill_(averaged)
        self.step = step


def _flattened(state: dict[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return an optimiser's state dict as named tensors, and the rest as JSON can hold it."""
    tensors = {
        f"{number}.{name}": value
        for number, entries in state["state"].items()
        for name, value in entries.items()
        if isinstance(value, torch.Tensor)
    }
    return tensors, {"param_groups": state["param_groups"]}


def _check_optimizer(optimizer: torch.optim.Optimizer) -> None:
    """Check that the optimiser's state of each parameter has the shape of the parameter; torch does not.

    Raises:
        ValueError: another shape.
    """
    for parameter in (parameter for group in optimizer.param_groups for parameter in group["params"]):
        for name, value in optimizer.state[parameter].items():
            if isinstance(value, torch.Tensor) and value.ndim and value.shape != parameter.shape:
                raise ValueError(
                    f"{name}: expected shape {tuple(parameter.shape)} as its parameter, got {tuple(value.shape)}"
                )


def _unflattened(tensors: dict[str, Tensor], plain: dict[str, Any]) -> dict[str, Any]:
    entries: dict[int, dict[str, Any]] = {}
    for name, value in tensors.items():
        number, _, key = name.partition(".")
        entries.setdefault(int(number), {})[key] = value
    return {"state": entries, "param_groups": plain["param_groups"]}
