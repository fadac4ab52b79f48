"""Configuration of a training run: read from a file, overridden by flags, saved beside the run."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args, get_origin, get_type_hints

from personlab.arrays.numbers import as_integer, as_number, as_size, check_type
from personlab.data.augment import Augmentation
from personlab.methods import DEFAULT_METHOD, get_method
from personlab.train.read_config import read_options

_MAX_RATE = 1e6  # steps of every optimizer at this rate stay within float32


@dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    """The network to train. A value of None is that of `weights`, else the default of `personlab.nn.ModelConfig`.

    Attributes:
        weights: network to start from, a file or a name as `load_model` takes it; heads of another skeleton start anew
        imagenet: start a ResNet's backbone from torchvision's ImageNet weights in this safetensors file
        backbone: network below the heads [mobilenet_v1]; hourglass is the published network of simple_pose
        width: factor on the channels of mobilenet_v1: 0.5, 0.75 or 1 [1]
        stride: output stride, input pixels: 16 or 8, of simple_pose also 4 [16, of simple_pose 8]
        masks: heads for segmentation and long-range offsets [true if the data has masks]
        refine_steps: refinements inside the network; 0 leaves them to the decoder and the losses [0]
        intermediate: second set of heads, for training only [false]
        stacks: number of hourglasses, one behind the other [4]
        channels: channels of the finest features of an hourglass [256]
        increase: more channels at each coarser scale of an hourglass [128]
        features: stride of the features of a small backbone of simple_pose, 8 or 16 [8]
        freeze_norm: batch norm keeps its statistics; for few images per process
    """

    weights: str | None = None
    imagenet: str | None = None
    backbone: Literal["mobilenet_v1", "resnet50", "resnet101", "resnet152", "hourglass"] | None = None
    width: float | None = None
    stride: int | None = None
    masks: bool | None = None
    refine_steps: int | None = None
    intermediate: bool | None = None
    stacks: int | None = None
    channels: int | None = None
    increase: int | None = None
    features: int | None = None
    freeze_norm: bool = False


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """The data to train on: COCO's annotations, or others of that format, or drawn scenes without any.

    Attributes:
        annotations: COCO's person_keypoints JSON, or a file of that format [drawn scenes]
        images: folder with the images that the annotations name
        instances: COCO's instances JSON, if `annotations` has no masks
        category: name of the category; its keypoints become the skeleton
        labelled_only: leave out images without labelled keypoints
        scene_size: (H, W) of drawn scenes, pixels
        scene_people: min and max number of people in a drawn scene
        crop: (H, W) of the network input, pixels; each a multiple of the stride plus 1, of simple_pose a
            multiple of 16, or of 64 for the hourglass
        workers: processes that make batches; 0: the training process itself
    """

    annotations: str | None = None
    images: str | None = None
    instances: str | None = None
    category: str = "person"
    labelled_only: bool = False
    scene_size: tuple[int, int] = (481, 641)
    scene_people: tuple[int, int] = (1, 5)
    crop: tuple[int, int] = (401, 401)
    workers: int = 1


@dataclass(frozen=True, kw_only=True)
class OptimizerOptions:
    """How the weights are updated.

    Attributes:
        name: algorithm; sgd has Nesterov momentum
        rate: max learning rate
        head_rate: factor on `rate` for the heads, whose offsets start far from their targets
        momentum: momentum of sgd, first beta of adamw
        weight_decay: weight decay of convolutions; biases and norms have none
        warmup: steps over which the learning rate rises from 0; a tenth of a shorter run
        schedule: course of the learning rate after warmup, down to `final_rate` at the last step
        final_rate: factor on `rate` at the last step
        clip_norm: max norm of the gradients; longer ones are scaled down to it
        average: decay of the Polyak average of the weights, reached gradually from 0
    """

    name: Literal["sgd", "adamw"] = "adamw"
    rate: float = 1e-3
    head_rate: float = 1.0
    momentum: float = 0.9
    weight_decay: float = 1e-4
    warmup: int = 500
    schedule: Literal["constant", "cosine", "linear"] = "cosine"
    final_rate: float = 0.01
    clip_norm: float = 10.0
    average: float = 0.999


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions:
    """How often, and on what, the averaged network is scored during the run.

    Attributes:
        every: steps between evaluations; 0: only at the end
        annotations: COCO's person_keypoints JSON, or a file of that format [drawn scenes]
        images: folder with the images that the annotations name
        labelled_only: leave out images without labelled keypoints
        scenes: number of drawn scenes
        scene_seed: seed of the drawn scenes; not that of training
        stride: output stride of the network, input pixels [as in training]
        long_edge: longest side of the network input, pixels
    """

    every: int = 0
    annotations: str | None = None
    images: str | None = None
    labelled_only: bool = False
    scenes: int = 50
    scene_seed: int = 1_000_001
    stride: int | None = None
    long_edge: int = 641


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A training run.

    Attributes:
        output: folder for checkpoints, weights and logs
        steps: optimizer steps of the whole run
        batch_size: images per step, over all processes together
        seed: seed of the first weights, the order of images, augmentation and drawn scenes
        precision: number format of convolutions; heads and losses compute in float32
        device: device to train on [cuda if available, else cpu]
        threads: threads of PyTorch on the CPU [PyTorch's own choice]
        compile: compile the network with torch.compile
        log_every: steps between log lines
        checkpoint_every: steps between checkpoints: a killed run loses at most so many
        network: the network
        data: the data
        augmentation: how views differ from their images
        loss: the losses: the method's `loss_options`, its defaults where left out
        optimizer: how the weights are updated
        evaluation: how the network is scored
        method: whose network

    Raises:
        TypeError: a value of the wrong type.
        ValueError: a value out of range.
    """

    output: str = "run"
    steps: int = 10_000
    batch_size: int = 8
    seed: int = 0
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    device: str | None = None
    threads: int | None = None
    compile: bool = False
    log_every: int = 50
    checkpoint_every: int = 500
    network: NetworkOptions = field(default_factory=NetworkOptions)
    data: DataOptions = field(default_factory=DataOptions)
    augmentation: Augmentation = field(default_factory=Augmentation)
    loss: Any = None
    optimizer: OptimizerOptions = field(default_factory=OptimizerOptions)
    evaluation: EvaluationOptions = field(default_factory=EvaluationOptions)
    method: str = DEFAULT_METHOD

    def __post_init__(self) -> None:
        kind = get_method(self.method).loss_options
        if self.loss is None:
            object.__setattr__(self, "loss", kind())
        check_type(self.loss, "loss", kind)
        for name in ("steps", "batch_size", "log_every", "checkpoint_every"):
            as_integer(getattr(self, name), name, 1)
        as_integer(self.seed, "seed", 0)
        if self.threads is not None:
            as_integer(self.threads, "threads", 1, 1024)
        data, optimizer, evaluation = self.data, self.optimizer, self.evaluation
        as_size(data.crop, "data.crop", "(H, W)", 2)
        as_size(data.scene_size, "data.scene_size", "(H, W)", 1)
        low, high = as_size(data.scene_people, "data.scene_people", "(min, max)")
        as_integer(high, "data.scene_people", low, 1000)
        as_integer(data.workers, "data.workers", 0, 256)
        as_number(optimizer.rate, "optimizer.rate", 0, _MAX_RATE, above=True)
        as_number(optimizer.head_rate, "optimizer.head_rate", 0, _MAX_RATE)
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
        """Return the configuration as text that `--config` reads."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> TrainConfig:
        """Read a configuration that `to_json` wrote; missing fields have their defaults.

        Raises:
            RecursionError, TypeError, ValueError: another text.
        """
        values = json.loads(text)
        name = values.get("method", DEFAULT_METHOD) if isinstance(values, dict) else DEFAULT_METHOD
        return read_options(cls, values, kinds={"loss": get_method(name).loss_options})


def _check_choices(options: Any, prefix: str) -> None:
    """Check that fields of a Literal type have one of its values."""
    for name, hint in get_type_hints(type(options)).items():
        choices = [kind for kind in (hint, *get_args(hint)) if get_origin(kind) is Literal]
        value = getattr(options, name)
        if choices and value is not None and value not in get_args(choices[0]):
            raise ValueError(f"{prefix}{name}: expected one of {', '.join(get_args(choices[0]))}, got {value!r}")
