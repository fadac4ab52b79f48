"""Training: what a run is (`TrainConfig`) and the loop (`train`); needs torch, OpenCV, pycocotools and safetensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from personlab._lazy import lazy_names
from personlab.train.config import (
    DataOptions,
    EvaluationOptions,
    NetworkOptions,
    OptimizerOptions,
    TeacherOptions,
    TrainConfig,
)

if TYPE_CHECKING:
    from personlab.methods.personlab.loss_options import LossOptions, TeachingOptions
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
    "TeacherOptions",
    "TeachingOptions",
    "TrainConfig",
    "compute_losses",
    "train",
]

__getattr__, __dir__ = lazy_names(  # the command line reads the options without torch
    __name__,
    {
        "LossOptions": "personlab.methods.personlab.loss_options",
        "Losses": "personlab.methods.personlab.losses",
        "Summary": "personlab.train.loop",
        "TeachingOptions": "personlab.methods.personlab.loss_options",
        "compute_losses": "personlab.methods.personlab.losses",
        "train": "personlab.train.loop",
    },
)
