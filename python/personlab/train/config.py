"""What a training run is, as data: read from a file, overridden by flags, saved beside the run."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from personlab.arrays.numbers import as_integer, as_number, as_size
from personlab.data.augment import Augmentation
from personlab.train.read_config import read_options

_HIGHEST_RATE = 1e6  # steps of any optimiser at such rates stay within float32


@dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    """What is trained. A value left out is that of `weights`, else the default of `personlab.nn.ModelConfig`."""

    weights: str | None = None  # start from this network: whatever `load_model` takes; heads of another skeleton anew
    imagenet: str | None = None  # start a ResNet's backbone from torchvision's weights in this safetensors file
    backbone: Literal["mobilenet_v1", "resnet50", "resnet101", "resnet152"] | None = None  # [mobilenet_v1]
    width: float | None = None  # factor on channels, of mobilenet_v1: 0.5, 0.75 or 1 [1]
    stride: int | None = None  # of the output, input pixels: 16 or 8 [16]; the weights do not depend on it
    masks: bool | None = None  # heads for segmentation and long-range offsets [whether the data has masks]
    refine_steps: int | None = None  # refinements inside the network [0: the decoder does it, the loss for itself]
    intermediate: bool | None = None  # second set of heads, for training alone [no]
    freeze_norm: bool = False  # batch norm keeps its statistics, as for a few images in each process


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """What it is trained on: COCO's annotations, or one alike, or drawn scenes where there are none."""

    annotations: str | None = None  # COCO's person_keypoints JSON, or one alike; None: drawn scenes
    images: str | None = None  # the folder with the images it names
    instances: str | None = None  # COCO's instances JSON, where `annotations` has no masks
    category: str = "person"  # name of the category; its keypoints become the skeleton
    labelled_only: bool = False  # leave out images in which nobody has keypoints
    scene_size: tuple[int, int] = (481, 641)  # (H, W) of drawn scenes, pixels
    scene_people: tuple[int, int] = (1, 5)  # fewest and most people in one
    crop: tuple[int, int] = (401, 401)  # (H, W) the network sees, each a multiple of its stride plus 1
    workers: int = 1  # processes that make batches; 0: the training process itself


@dataclass(frozen=True, kw_only=True)
class LossOptions:
    """Weights of the losses (PersonLab, section 4), and where they are taken.

    Raises:
        TypeError: a value of the wrong type.
        ValueError: a value out of range.
    """

    heatmap: float = 4.0  # weight of the logistic loss on heatmaps
    short: float = 1.0  # weight of short-range offsets
    mid: float = 0.25  # weight of mid-range offsets
    segmentation: float = 2.0  # weight of the logistic loss on the person mask
    long: float = 0.125  # weight of long-range offsets
    intermediate: float = 1.0  # weight of all these on the intermediate heads, where the network has any
    disk_radius: float = 32.0  # R, input pixels: radius of the discs, and unit of the losses on offsets
    refine_steps: int = 2  # refinements before mid- and long-range losses; by the network itself where it refines

    def __post_init__(self) -> None:
        for name in (entry.name for entry in fields(self)):
            if name not in ("disk_radius", "refine_steps"):
                as_number(getattr(self, name), f"loss.{name}", 0)
        as_number(self.disk_radius, "loss.disk_radius", 1e-3, 4096)
        as_integer(self.refine_steps, "loss.refine_steps", 0, 100)


@dataclass(frozen=True, kw_only=True)
class OptimizerOptions:
    """How the weights move."""

    name: Literal["sgd", "adamw"] = "adamw"  # sgd has Nesterov momentum
    rate: float = 1e-3  # learning rate at its highest
    head_rate: float = 1.0  # factor on it for the heads, whose offsets start far from what they become
    momentum: float = 0.9  # of sgd, and the first beta of adamw
    weight_decay: float = 1e-4  # on convolutions; not on biases and norms
    warmup: int = 500  # steps over which the rate rises from 0; a tenth of a run that is shorter
    schedule: Literal["constant", "cosine", "linear"] = "cosine"  # after that, down to `final_rate` at the last step
    final_rate: float = 0.01  # factor on `rate` at the last step
    clip_norm: float = 10.0  # gradients longer than this are scaled down to it
    average: float = 0.999  # decay of the Polyak average of the weights, reached gradually from 0


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions:
    """On what, and how often, the averaged network is scored during the run."""

    every: int = 0  # steps; 0: only at the end
    annotations: str | None = None  # COCO's person_keypoints JSON or one alike; None: drawn scenes
    images: str | None = None  # the folder with the images it names
    labelled_only: bool = False  # leave out images in which nobody has keypoints
    scenes: int = 50  # drawn scenes
    scene_seed: int = 1_000_001  # their seed, which no training should have
    stride: int | None = None  # of the network's output [as in training]
    long_edge: int = 641  # longest side of the network input, pixels


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A training run.

    Raises:
        TypeError: a value of the wrong type.
        ValueError: a value out of range.
    """

    output: str = "run"  # folder for checkpoints, weights and logs
    steps: int = 10_000  # optimiser steps in all
    batch_size: int = 8  # images a step, over all processes together
    seed: int = 0  # of first weights, order of images, augmentation and drawn scenes
    precision: Literal["float32", "bfloat16", "float16"] = "float32"  # of convolutions; heads and losses have float32
    device: str | None = None  # [cuda where there is any, else cpu]
    threads: int | None = None  # of PyTorch on the CPU [its own choice]
    compile: bool = False  # torch.compile the network
    log_every: int = 50  # steps
    checkpoint_every: int = 500  # steps: most that a killed run loses
    network: NetworkOptions = field(default_factory=NetworkOptions)
    data: DataOptions = field(default_factory=DataOptions)
    augmentation: Augmentation = field(default_factory=Augmentation)
    loss: LossOptions = field(default_factory=LossOptions)
    optimizer: OptimizerOptions = field(default_factory=OptimizerOptions)
    evaluation: EvaluationOptions = field(default_factory=EvaluationOptions)

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "log_every", "checkpoint_every"):
            as_integer(getattr(self, name), name, 1)
        as_integer(self.seed, "seed", 0)
        if self.threads is not None:
            as_integer(self.threads, "threads", 1, 1024)
        data, optimizer, evaluation = self.data, self.optimizer, self.evaluation
        as_size(data.crop, "data.crop", "(H, W)", 2)
        as_size(data.scene_size, "data.scene_size", "(H, W)", 1)
        low, high = as_size(data.scene_people, "data.scene_people", "(fewest, most)")
        as_integer(high, "data.scene_people", low, 1000)
        as_integer(data.workers, "data.workers", 0, 256)
        as_number(optimizer.rate, "optimizer.rate", 0, _HIGHEST_RATE, above=True)
        as_number(optimizer.head_rate, "optimizer.head_rate", 0, _HIGHEST_RATE)
        as_number(optimizer.momentum, "optimizer.momentum", 0, 0.9999)
        as_number(optimizer.weight_decay, "optimizer.weight_decay", 0)
        as_integer(optimizer.warmup, "optimizer.warmup", 0)
        as_number(optimizer.final_rate, "optimizer.final_rate", 0, 1)
        as_number(optimizer.clip_norm, "optimizer.clip_norm", 0, above=True)
        as_number(optimizer.average, "optimizer.average", 0, 1)
        as_integer(evaluation.every, "evaluation.every", 0)
        as_integer(evaluation.scenes, "evaluation.scenes", 1)
        as_integer(evaluation.scene_seed, "evaluation.scene_seed", 0)
        as_integer(evaluation.long_edge, "evaluation.long_edge", 2)
        for part, prefix in ((self, ""), (self.network, "network."), (optimizer, "optimizer.")):
            _check_choices(part, prefix)
        if data.annotations is None and (data.instances is not None or data.labelled_only):
            raise ValueError("data: expected annotations beside instances and labelled_only, got none")
        if evaluation.annotations is None and evaluation.labelled_only:
            raise ValueError("evaluation: expected annotations beside labelled_only, got none")
        if (data.annotations is None) != (data.images is None):
            raise ValueError("data: expected annotations and images together, got only one of them")
        if (evaluation.annotations is None) != (evaluation.images is None):
            raise ValueError("evaluation: expected annotations and images together, got only one of them")
        if data.annotations is None and evaluation.annotations is None and evaluation.scene_seed == self.seed:
            raise ValueError(f"evaluation.scene_seed: expected another than seed, got {self.seed} for both")

    def to_json(self) -> str:
        """The configuration as `--config` reads it."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> TrainConfig:
        """The configuration that `to_json` wrote; what is not named has its default.

        Raises:
            RecursionError, TypeError, ValueError: not such a text.
        """
        return read_options(cls, json.loads(text))


def _check_choices(options: Any, prefix: str) -> None:
    """Refuse a value that is none of those which a field's type names."""
    for name, hint in get_type_hints(type(options)).items():
        choices = [kind for kind in (hint, *get_args(hint)) if get_origin(kind) is Literal]
        value = getattr(options, name)
        if choices and value is not None and value not in get_args(choices[0]):
            raise ValueError(f"{prefix}{name}: expected one of {', '.join(get_args(choices[0]))}, got {value!r}")
