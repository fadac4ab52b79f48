"""What a run begins with: its images, its network on its device, and remarks on both."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from personlab.data.coco_file import one_line
from personlab.data.grid import check_sides, input_step
from personlab.data.images import AnnotatedImages, CocoImages, DrawnImages
from personlab.data.shards.images import ShardImages
from personlab.data.sides import unpaired_sides
from personlab.data.unlabelled import WithUnlabelled
from personlab.methods import get_method
from personlab.train.evaluation import is_scored, scored_with
from personlab.train.network import make_network
from personlab.train.optimize import with_warmup_within

if TYPE_CHECKING:
    from collections.abc import Sequence

    from personlab.data.images import Images
    from personlab.methods import Method
    from personlab.train.config import TrainConfig
    from personlab.train.evaluation import Evaluation
    from personlab.train.parts import DataOptions
    from personlab.train.processes import Place

_MIN_STEPS, _MAX_STEPS = 200, 50_000  # of a number of passes
_EVALUATIONS = 10
_MAX_RATIO = 1.5  # of the sizes of a person to a teacher and in a view, beyond which a line warns


def set_seed(seed: int) -> None:
    """Seed every generator of random numbers."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002  # other packages' global state
    torch.manual_seed(seed)


def open_images(config: TrainConfig) -> Images:
    """Return the images to train on.

    Raises:
        ImportError, OSError, ValueError: as `CocoImages` and `ShardImages` raise them.
    """
    data = config.data
    if data.is_drawn:
        return DrawnImages(config.seed, size=data.scene_size, people=data.scene_people)
    images = _annotated(data, joined=not get_method(config.method).takes_boxes)
    return images if data.unlabelled is None else WithUnlabelled(images, data.unlabelled)


def _annotated(data: DataOptions, *, joined: bool) -> AnnotatedImages:
    unknown = data.empty == "unknown"
    if data.shards is not None:
        return ShardImages(
            data.shards, category=data.category, joined=joined, labelled_only=data.labelled_only,
            held_out=data.held_out, empty_is_unknown=unknown,
        )  # fmt: skip
    assert data.annotations is not None
    assert data.images is not None
    return CocoImages(
        data.annotations, data.images, instances=data.instances, category=data.category, joined=joined,
        labelled_only=data.labelled_only, held_out=data.held_out, empty_is_unknown=unknown,
    )  # fmt: skip


def digest_of(images: Images) -> str:
    """Return a digest of what is trained on: ids, sizes and annotations; the settings of drawn scenes are their own."""
    if isinstance(images, WithUnlabelled):
        return f"{digest_of(images.labelled)} {len(images.names)}"
    return images.digest() if isinstance(images, AnnotatedImages) else type(images).__name__


def with_steps(config: TrainConfig, count: int) -> TrainConfig:
    """Return the configuration with as many steps as its passes over `count` images take, where `steps` is 0."""
    if config.steps or config.passes is None:
        return config
    steps = min(max(math.ceil(config.passes * count / config.batch_size), _MIN_STEPS), _MAX_STEPS)
    every = config.evaluation.every or math.ceil(steps / _EVALUATIONS)
    return replace(config, steps=steps, evaluation=replace(config.evaluation, every=every))


def start_network(
    config: TrainConfig, method: Method, images: Images, place: Place, *, taught: Sequence[str] = ()
) -> Any:
    """Return the network to train, on its device and with the settings that it will be scored with.

    Args:
        config: of the run.
        method: of the network.
        images: to train on.
        place: where this process computes.
        taught: names of the fields that teachers teach; a segmentation among them stands for masks.

    Raises:
        ImportError, OSError: weights cannot be loaded.
        ValueError: settings at odds with the network or the images.
    """
    has_masks = images.has_masks or "segmentation" in taught
    known = {} if not method.takes_boxes else {"input_size": config.data.crop}
    model = make_network(method, config.network, images.skeleton, has_masks=has_masks, known=known)
    check_sides(config.data.crop, "data.crop", stride=model.config.stride, step=input_step(model.config))
    model.settings = scored_with(config, model.config, domain=images.domain)
    if config.augmentation.flip and not method.takes_boxes:  # one person at a time needs no edges
        _ = images.skeleton.directed_flip  # refuses a skeleton that has no mirror image
    if not config.network.freeze_norm and place.count > 1 and place.device.type == "cuda":
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
    return model.to(place.device, memory_format=torch.channels_last)  # faster on CPUs and GPUs


def remarks(config: TrainConfig, images: Images, evaluation: Evaluation | None) -> list[str]:
    """Return what to know before training: what was left out, what each loss sees, and what is not as asked for."""
    lines = [] if evaluation is None else [f"warning: {note}" for note in evaluation.notes]
    if isinstance(images, WithUnlabelled):
        lines.append(f"{len(images.names):,} images without annotations, in which teachers alone teach")
        images = images.labelled
    if isinstance(images, AnnotatedImages):
        lines = [*(f"warning: {note}" for note in images.notes), *lines, *images.coverage.lines()]
    skeleton = images.skeleton
    alone = unpaired_sides(skeleton.names, skeleton.flip) if config.augmentation.flip > 0 else []
    if alone:
        names = ", ".join(map(one_line, alone))
        lines.append(
            f"warning: {names}: named left or right, but no keypoint is the other side: mirror images "
            "(augmentation.flip) are taught with that name; the category's flip_pairs can state the pairs"
        )
    lines += _other_discs(config)
    if not is_scored(config):
        lines.append("weights are not scored: neither evaluation.annotations nor data.held_out names images")
    warmup = with_warmup_within(config.optimizer, config.steps).warmup
    if warmup < config.optimizer.warmup:
        lines.append(
            f"optimizer.warmup: {warmup} instead of {config.optimizer.warmup} in a run of {config.steps} steps"
        )
    return lines


def _other_discs(config: TrainConfig) -> list[str]:
    """Return a line for each teacher whose discs are much larger or smaller than those of the views' labels."""
    edge, scales = config.augmentation.long_edge, config.augmentation.scale
    if edge is None:
        return []
    return [
        f"warning: teachers[{n}]: views have long edges from {edge * scales[0]:.0f} to {edge * scales[1]:.0f} pixels; "
        f"the discs of this teacher have the radius R at {teacher.long_edge}"
        for n, teacher in enumerate(config.teachers)
        if edge * scales[1] > _MAX_RATIO * teacher.long_edge or edge * scales[0] * _MAX_RATIO < teacher.long_edge
    ]
