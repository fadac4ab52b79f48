"""Runs of training that take seconds, and what they leave."""

from __future__ import annotations

import torch
from safetensors.torch import load_file

from personlab.data.augment import Augmentation
from personlab.train import (
    DataOptions,
    EvaluationOptions,
    NetworkOptions,
    OptimizerOptions,
    TrainConfig,
)

STEPS = 6


def tiny(folder, **more):
    """A run of seconds."""
    settings = {
        "output": str(folder),
        "steps": STEPS,
        "batch_size": 2,
        "threads": 1,
        "log_every": 2,
        "checkpoint_every": 2,
        "network": NetworkOptions(width=0.5),
        "data": DataOptions(scene_size=(97, 129), scene_people=(1, 2), crop=(65, 81), workers=0),
        "augmentation": Augmentation(scale=(0.7, 1.1), rotation=10, flip=0.5, centre="person", shift=0.2, colour=0.1),
        "optimizer": OptimizerOptions(rate=1e-3, head_rate=5, warmup=2),
        "evaluation": EvaluationOptions(scenes=2, long_edge=129),
    }
    return TrainConfig(**{**settings, **more})


def tensors(folder, name="weights"):
    return load_file(folder / f"{name}.safetensors")


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
