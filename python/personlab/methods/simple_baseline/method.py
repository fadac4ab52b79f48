"""Simple Baselines as a record of the table of methods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from personlab.data.augment import Show
from personlab.methods.base import Ceiling, Method
from personlab.methods.simple_baseline import views
from personlab.methods.simple_baseline.ceiling import decode_ceiling
from personlab.methods.simple_baseline.config import STRIDE, SimpleBaselineConfig
from personlab.methods.simple_baseline.decode import decode_simple_baseline
from personlab.methods.simple_baseline.fields import SimpleBaselineFields
from personlab.methods.simple_baseline.loss_options import SimpleBaselineLossOptions
from personlab.methods.simple_baseline.options import SimpleBaselineOptions, TargetOptions
from personlab.methods.simple_baseline.published import PUBLISHED
from personlab.methods.simple_baseline.targets import CropTargets, encode_targets

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from personlab.data.coco import People
    from personlab.data.grid import Grid
    from personlab.data.loader import Batch
    from personlab.methods.base import Setup, Weights
    from personlab.methods.simple_baseline.network import SimpleBaseline
    from personlab.poses import Poses
    from personlab.settings import Settings

EVERY_POSE = SimpleBaselineOptions()  # keeps weak people, which average precision counts
_ORIGINALS = {
    f"{part}_{data_set}": SimpleBaselineOptions.original(part, data_set=data_set)
    for part in ("tensorflow", "pytorch")
    for data_set in ("coco", "mpii", "posetrack")
}


def _tune(options: SimpleBaselineOptions, settings: Settings, disk_radius: float | None) -> SimpleBaselineOptions:
    del settings
    if disk_radius is not None:
        raise ValueError(f"disk_radius: expected None, for simple_baseline has no discs, got {disk_radius}")
    return options


def _decode(fields: SimpleBaselineFields, setup: Setup) -> Poses:
    return decode_simple_baseline(
        fields.heatmaps, fields.affines, mirrored=fields.mirrored, box_scores=fields.scores,
        skeleton=setup.config.skeleton, options=setup.options,
    )  # fmt: skip


def _network(config: SimpleBaselineConfig) -> SimpleBaseline:
    from personlab.methods.simple_baseline.network import SimpleBaseline

    return SimpleBaseline(config)


def encode(people: People, grid: Grid, options: SimpleBaselineLossOptions) -> CropTargets:
    """Encode the one person of a crop as training targets."""
    (keypoints,) = people.keypoints
    targets = TargetOptions(sigma=options.sigma / grid.stride)
    return encode_targets(keypoints, size=grid.size, stride=grid.stride, options=targets)


def _losses(model: SimpleBaseline, options: SimpleBaselineLossOptions) -> Callable[[Any, Any], dict[str, Any]]:
    del model
    from personlab.methods.simple_baseline.losses import make_losses

    return make_losses(options)


def _read_pickle(path: Path) -> Weights | None:
    from personlab.methods.simple_baseline.convert import read_published

    return read_published(path)


def _describe(config: SimpleBaselineConfig) -> dict[str, str]:
    backbone = f"{config.backbone}, width {config.width:g}"
    if config.backbone.startswith("resnet"):
        backbone = f"{config.backbone}, style {config.style}"
    height, width = config.input_size
    return {
        "backbone": f"{backbone}, deconvolutions of {config.channels} channels",
        "crops": f"{height} x {width} (H x W)",
        "normalisation": f"{config.normalization} of pixels 0..255, {config.order}",
    }


def _load(path: Path, masks: bool) -> SimpleBaselineFields:
    del masks
    return SimpleBaselineFields.load(path)


def _draw(*arguments: Any, **options: Any) -> dict[str, NDArray[np.uint8]]:
    from personlab.methods.simple_baseline.draw.gallery import fields_gallery

    return fields_gallery(*arguments, **options)


def _canvas(fields: SimpleBaselineFields) -> NDArray[np.uint8]:
    from personlab.methods.simple_baseline.draw.gallery import canvas

    return canvas(fields)


def _draw_batch(model: SimpleBaseline, batch: Batch, options: SimpleBaselineLossOptions) -> NDArray[np.uint8]:
    del options
    from personlab.methods.simple_baseline.draw.batch import draw_batch

    return draw_batch(model, batch)


METHOD = Method(
    name="simple_baseline",
    config=SimpleBaselineConfig,
    fields=SimpleBaselineFields,
    targets=CropTargets,
    options=SimpleBaselineOptions,
    loss_options=SimpleBaselineLossOptions,
    every_pose=EVERY_POSE,
    presets={name: (options, options) for name, options in _ORIGINALS.items()},
    calls=("decode_simple_baseline", "masks"),
    outputs=lambda masks: ("heatmaps",),  # noqa: ARG005
    tune=_tune,
    takes_boxes=True,
    prepare=views.prepare,
    merge=views.merge,
    can_decode_on=lambda device, config: False,  # noqa: ARG005
    decode=_decode,
    show=Show(views.draw_crop, views.take_crop),
    network=_network,
    encode=encode,
    losses=_losses,
    published=PUBLISHED,
    read_pickle=_read_pickle,
    describe=_describe,
    load=_load,
    draw=_draw,
    canvas=_canvas,
    draw_batch=_draw_batch,
    ceiling=Ceiling(strides=(STRIDE,), options=EVERY_POSE, decode=decode_ceiling),
)
