"""The parts of a run's configuration that serve all methods: network, data, optimizer and evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from personlab.arrays.numbers import as_integer, as_number, as_size

_MAX_RATE = 1e6  # steps of every optimizer at this rate stay within float32


@dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    """The network to train. A value of None is that of `weights`, else the default of `personlab.nn.ModelConfig`.

    Attributes:
        weights: network to start from, a file or a name as `load_model` takes it; heads of another skeleton start anew
        mean_with: more such weights, of runs from the same start: training starts from the mean of all, which is often
            better than each (model soups, Wortsman et al., ICML 2022)
        imagenet: start a ResNet's backbone from torchvision's ImageNet weights in this safetensors file
        backbone_weights: network of any method whose backbone, of the same kind and width, the backbone starts as
        backbone: network below the heads [mobilenet_v1, of simple_baseline resnet50]; hourglass is the published
            network of simple_pose; resnet18 and resnet34 are for simple_baseline
        width: factor on the channels of mobilenet_v1: 0.5, 0.75 or 1 [1]
        stride: output stride, input pixels: 16 or 8, of simple_pose also 4 [16, of simple_pose 8]
        masks: heads for segmentation and long-range offsets [true if the data has masks]
        refine_steps: refinements inside the network; 0 leaves them to the decoder and the losses [0]
        intermediate: second set of heads, for training only [false]
        stacks: number of hourglasses, one behind the other [4]
        channels: channels of the finest features of an hourglass, of simple_baseline those of a deconvolution [256]
        increase: more channels at each coarser scale of an hourglass [128]
        features: stride of the features of a small backbone of simple_pose, 8 or 16 [8]
        style: of the bottlenecks of a ResNet of simple_baseline: the stride at the 3x3 (pytorch) or at the first 1x1
            convolution (caffe) [pytorch]
        freeze_norm: batch norm keeps its statistics; for few images per process
        freeze: parts that are not trained: backbone, or heads by the names of their fields
        fit_heads: heads that start as the linear map of the backbone's features that is nearest to the teachers'
            fields; `weights-start.safetensors` holds the network before its first step
        fit_images: number of views that these heads are fitted to: those of the first steps
        ridge: penalty on their weights, relative to the mean square of a feature
    """

    weights: str | None = None
    mean_with: tuple[str, ...] = ()
    imagenet: str | None = None
    backbone_weights: str | None = None
    backbone: (
        Literal["mobilenet_v1", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "hourglass"] | None
    ) = None
    width: float | None = None
    stride: int | None = None
    masks: bool | None = None
    refine_steps: int | None = None
    intermediate: bool | None = None
    stacks: int | None = None
    channels: int | None = None
    increase: int | None = None
    features: int | None = None
    style: Literal["pytorch", "caffe"] | None = None
    freeze_norm: bool = False
    freeze: tuple[str, ...] = ()
    fit_heads: tuple[str, ...] = ()
    fit_images: int = 1000
    ridge: float = 1e-6

    def __post_init__(self) -> None:
        for name in ("mean_with", "freeze", "fit_heads"):  # flags give lists, configurations a word where it is one
            value: Any = getattr(self, name)
            object.__setattr__(self, name, (value,) if isinstance(value, str) else tuple(value))

    def check(self) -> None:
        """Check the values.

        Raises:
            TypeError, ValueError: one is of the wrong type or out of range.
        """
        as_integer(self.fit_images, "network.fit_images", 1)
        as_number(self.ridge, "network.ridge", 0)
        check_choices(self, "network.")


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """The data to train on: COCO's annotations, or others of that format, or drawn scenes without any.

    Attributes:
        annotations: COCO's person_keypoints JSON, or a file of that format [drawn scenes]
        images: folder with the images that the annotations name
        instances: COCO's instances JSON, if `annotations` has no masks
        shards: folder, file or pattern of shards that `personlab shard` wrote, in place of the three above
        category: name of the category; its keypoints become the skeleton
        labelled_only: leave out images without labelled keypoints
        held_out: images that are not trained on: a file of ids, one on each line, the name of a list of the package,
            or a share of the images, such as 0.1; they are scored where `evaluation` names no annotations
        empty: what an image without annotations shows: nobody, or unknown, in which no loss on labels counts
        unlabelled: folder with more images, without annotations, for teachers alone
        scene_size: (H, W) of drawn scenes, pixels
        scene_people: min and max number of people in a drawn scene
        crop: (H, W) of the network input, pixels; each a multiple of the stride plus 1, of simple_pose a
            multiple of 16, or of 64 for the hourglass; of simple_baseline the size of people's crops, of 32
        workers: processes that make batches; 0: the training process itself
    """

    annotations: str | None = None
    images: str | None = None
    instances: str | None = None
    shards: str | None = None
    category: str = "person"
    labelled_only: bool = False
    held_out: str | None = None
    empty: Literal["nobody", "unknown"] = "nobody"
    unlabelled: str | None = None
    scene_size: tuple[int, int] = (481, 641)
    scene_people: tuple[int, int] = (1, 5)
    crop: tuple[int, int] = (401, 401)
    workers: int = 1

    @property
    def is_drawn(self) -> bool:
        """Whether images are drawn: neither annotations nor shards are named."""
        return self.annotations is None and self.shards is None

    def check(self) -> None:
        """Check the values.

        Raises:
            TypeError, ValueError: one is of the wrong type or out of range.
        """
        as_size(self.crop, "data.crop", "(H, W)", 2)
        as_size(self.scene_size, "data.scene_size", "(H, W)", 1)
        low, high = as_size(self.scene_people, "data.scene_people", "(min, max)")
        as_integer(high, "data.scene_people", low, 1000)
        as_integer(self.workers, "data.workers", 0, 256)
        check_choices(self, "data.")


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

    def check(self) -> None:
        """Check the values.

        Raises:
            TypeError, ValueError: one is of the wrong type or out of range.
        """
        as_number(self.rate, "optimizer.rate", 0, _MAX_RATE, above=True)
        as_number(self.head_rate, "optimizer.head_rate", 0, _MAX_RATE)
        as_number(self.momentum, "optimizer.momentum", 0, 0.9999)
        as_number(self.weight_decay, "optimizer.weight_decay", 0)
        as_integer(self.warmup, "optimizer.warmup", 0)
        as_number(self.final_rate, "optimizer.final_rate", 0, 1)
        as_number(self.clip_norm, "optimizer.clip_norm", 0, above=True)
        as_number(self.average, "optimizer.average", 0, 1)
        check_choices(self, "optimizer.")


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions:
    """How often, and on what, the averaged network is scored during the run.

    Attributes:
        every: steps between evaluations; 0: only at the end
        annotations: COCO's person_keypoints JSON, or a file of that format [the images of `data.held_out`, or drawn
            scenes]
        images: folder with the images that the annotations name
        labelled_only: leave out images without labelled keypoints
        scenes: number of drawn scenes
        scene_seed: seed of the drawn scenes; not that of training
        stride: output stride of the network, input pixels [as in training]
        long_edge: longest side of the network input, pixels
        keep: which network a run is for: last, or best, the one of the highest mean of keypoint and mask AP in
            `weights-best.safetensors`, the network before the first step among them
        patience: stop after so many evaluations without a better one; 0: never
    """

    every: int = 0
    annotations: str | None = None
    images: str | None = None
    labelled_only: bool = False
    scenes: int = 50
    scene_seed: int = 1_000_001
    stride: int | None = None
    long_edge: int = 641
    keep: Literal["last", "best"] = "last"
    patience: int = 0

    def check(self) -> None:
        """Check the values.

        Raises:
            TypeError, ValueError: one is of the wrong type or out of range.
        """
        as_integer(self.every, "evaluation.every", 0)
        as_integer(self.patience, "evaluation.patience", 0)
        check_choices(self, "evaluation.")
        as_integer(self.scenes, "evaluation.scenes", 1)
        as_integer(self.scene_seed, "evaluation.scene_seed", 0)
        as_integer(self.long_edge, "evaluation.long_edge", 2)


def check_choices(options: Any, prefix: str) -> None:
    """Check that fields of a Literal type have one of its values."""
    for name, hint in get_type_hints(type(options)).items():
        choices = [kind for kind in (hint, *get_args(hint)) if get_origin(kind) is Literal]
        value = getattr(options, name)
        if choices and value is not None and value not in get_args(choices[0]):
            raise ValueError(f"{prefix}{name}: expected one of {', '.join(get_args(choices[0]))}, got {value!r}")
