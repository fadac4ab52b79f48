"""Simple Pose as a record of the table of methods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from personlab.methods.base import Bench, Ceiling, Demo, Method
from personlab.methods.simple_pose import views
from personlab.methods.simple_pose.config import SimplePoseConfig
from personlab.methods.simple_pose.decode import decode_simple_pose
from personlab.methods.simple_pose.fields import SimplePoseFields
from personlab.methods.simple_pose.loss_options import SimplePoseLossOptions
from personlab.methods.simple_pose.options import SimplePoseOptions
from personlab.methods.simple_pose.people import parts_of
from personlab.methods.simple_pose.published import PUBLISHED
from personlab.methods.simple_pose.targets import MapTargets, encode_targets

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from personlab.data.coco import People
    from personlab.data.grid import Grid
    from personlab.data.loader import Batch
    from personlab.methods.base import Setup, Weights
    from personlab.methods.simple_pose.network import SimplePose
    from personlab.poses import Poses
    from personlab.settings import Settings

EVERY_POSE = SimplePoseOptions(min_score=0.0, max_poses=100)  # keeps weak people, which average precision counts

_ORIGINALS = {
    "original": SimplePoseOptions.original(),
    "original_demo": SimplePoseOptions.original(demo=True),
    "original_a": SimplePoseOptions.original("A"),
}


def _tune(options: SimplePoseOptions, settings: Settings, disk_radius: float | None) -> SimplePoseOptions:
    del settings
    if disk_radius is not None:
        raise ValueError(f"disk_radius: expected None, for simple_pose has no discs, got {disk_radius}")
    return options


def _decode(fields: SimplePoseFields, setup: Setup) -> Poses:
    maps, where = fields.arguments
    decoded: Any = decode_simple_pose(*maps, **where, parts=parts_of(setup.config.skeleton), options=setup.options)
    poses: Poses = decoded
    return poses


def _network(config: SimplePoseConfig) -> SimplePose:
    from personlab.methods.simple_pose.network import SimplePose

    return SimplePose(config)


def encode(people: People, grid: Grid, options: SimplePoseLossOptions) -> MapTargets:
    """Encode the people of one view as training targets.

    Nothing counts in crowds and on people without labelled keypoints; persons do not count where some have no outline.
    """
    labelled = (people.keypoints[..., 2] > 0).any(axis=1)
    counted = ~people.crowd
    if not labelled.all():
        counted &= ~people.masks[~labelled].any(axis=0)
    shown = people.masks.any(axis=0) | people.crowd if grid.has_masks else None
    targets = encode_targets(
        people.keypoints, shown, counted, size=grid.size, stride=grid.stride, parts=parts_of(grid.skeleton),
        options=options.encoding(),
    )  # fmt: skip
    return targets if people.unoutlined is None else targets.without_masks(people.unoutlined)


def _losses(model: SimplePose, options: SimplePoseLossOptions) -> Callable[[Any, Any], dict[str, Any]]:
    from personlab.methods.simple_pose.losses import make_losses

    return make_losses(model, options)


def _read_pickle(path: Path) -> Weights | None:
    from personlab.methods.simple_pose.convert import read_published

    return read_published(path)


def _describe(config: SimplePoseConfig) -> dict[str, str]:
    skeleton = parts_of(config.skeleton).skeleton
    backbone = f"{config.backbone}, width {config.width:g}, norm {config.norm}"
    if config.backbone == "hourglass":
        backbone = f"hourglass, {config.stacks} stacks, {config.channels} + {config.increase} channels"
    return {
        "backbone": backbone,
        "maps": f"{skeleton.n_keypoints} keypoints, {skeleton.n_edges} limbs, person mask, max of keypoints",
        "normalisation": "x / 255" if config.normalization is None else f"{config.normalization} of pixels 0..255",
    }


def _load(path: Path, masks: bool) -> SimplePoseFields:
    del masks
    return SimplePoseFields.load(path)


def _draw(*arguments: Any, **options: Any) -> dict[str, NDArray[np.uint8]]:
    from personlab.methods.simple_pose.draw.gallery import fields_gallery

    return fields_gallery(*arguments, **options)


def _canvas(fields: SimplePoseFields) -> NDArray[np.uint8]:
    from personlab.methods.simple_pose.draw.maps import canvas

    return canvas(fields)


def _draw_batch(model: SimplePose, batch: Batch, options: SimplePoseLossOptions) -> NDArray[np.uint8]:
    del options
    from personlab.methods.simple_pose.draw.batch import draw_batch

    return draw_batch(model, batch)


def _crowd(people: int, **options: Any) -> SimplePoseFields:
    from personlab.methods.simple_pose.bench import crowd

    return crowd(people, **options)


def _bench_row(fields: SimplePoseFields, **options: Any) -> dict[str, Any]:
    from personlab.methods.simple_pose.bench import bench_row

    return bench_row(fields, **options)


def _decode_ceiling(people: People, **options: Any) -> tuple[Poses, None, None]:
    from personlab.methods.simple_pose.ceiling import decode_ceiling

    return decode_ceiling(people, **options)


METHOD = Method(
    name="simple_pose",
    config=SimplePoseConfig,
    fields=SimplePoseFields,
    targets=MapTargets,
    options=SimplePoseOptions,
    loss_options=SimplePoseLossOptions,
    every_pose=EVERY_POSE,
    presets={name: (options, options) for name, options in _ORIGINALS.items()},
    calls=("decode_simple_pose", "masks"),
    outputs=lambda masks: ("limbs", "keypoints"),  # noqa: ARG005  # of people alone
    tune=_tune,
    prepare=views.prepare,
    merge=views.merge,
    can_decode_on=lambda device, config: False,  # noqa: ARG005
    decode=_decode,
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
    demo=Demo(weights="drawn-simple-pose-050", size=(480, 640)),
    bench=Bench(size=(480, 640), stride=4, crowd=_crowd, time=_bench_row, shown=("rules", "max_samples", "threads")),
    ceiling=Ceiling(strides=(4, 8), options=EVERY_POSE, decode=_decode_ceiling),
)
