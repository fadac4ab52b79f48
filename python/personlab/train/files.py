"""The files of weights that a run writes, with all that made them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch

from personlab.info import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from personlab.train.config import TrainConfig

WEIGHTS, RAW_WEIGHTS, START_WEIGHTS, BEST_WEIGHTS = (
    f"weights{ending}.safetensors" for ending in ("", "-raw", "-start", "-best")
)


def write_model(model: Any, path: Path, config: TrainConfig, *, step: int, more: Mapping[str, Any]) -> None:
    """Write the weights of a run after so many steps, with all of its settings."""
    from personlab.weights import save_model

    versions = {"personlab": __version__, "torch": torch.__version__}
    facts = {"steps": step, "train": json.loads(config.to_json()), "versions": versions}
    save_model(model, path, {**facts, **more})
