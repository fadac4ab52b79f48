"""Training: what a run is (`TrainConfig`) and the loop (`train`); needs torch, OpenCV, pycocotools and safetensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from personlab.train.config import (
    DataOptions,
    EvaluationOptions,
    LossOptions,
    NetworkOptions,
    OptimizerOptions,
    TrainConfig,
)

if TYPE_CHECKING:
    from personlab.methods.personlab.losses import Losses, compute_losses
    from personlab.train.loop import Summary, train

__all__ = [
    "DataOptions",
    "EvaluationOptions",
    "LossOptions",
    "Losses",
    "NetworkOptions",
    "OptimizerOptions",
    "Summary",
    "TrainConfig",
    "compute_losses",
    "train",
]

_LAZY = {  # names whose modules import torch: the command line reads the options without it
    "Losses": "personlab.methods.personlab.losses",
    "Summary": "personlab.train.loop",
    "compute_losses": "personlab.methods.personlab.losses",
    "train": "personlab.train.loop",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)
