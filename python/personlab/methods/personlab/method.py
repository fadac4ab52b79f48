"""PersonLab as a record of the table of methods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.methods.base import Bench, Ceiling, Demo, Method, Teaching
from personlab.methods.personlab import views
from personlab.methods.personlab.config import ModelConfig
from personlab.methods.personlab.decode import decode_masks, decode_poses
from personlab.methods.personlab.device_fields import can_decode_on
from personlab.methods.personlab.every_pose import EVERY_POSE, EVERY_POSENET, EXACT
from personlab.methods.personlab.fields import FIELD_NAMES, Fields
from personlab.methods.personlab.loss_options import LossOptions, TeachingOptions
from personlab.methods.personlab.published import PUBLISHED
from personlab.methods.personlab.targets import Targets, encode_targets
from personlab.methods.personlab.teaching.keep import pack, show
from personlab.methods.personlab.teaching.layout import check_teacher
from personlab.options import DecodeOptions, MaskOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from personlab.data.coco import People
    from personlab.data.grid import Grid
    from personlab.data.loader import Batch
    from personlab.methods.base import Equation, Setup, Weights
    from personlab.methods.personlab.device_fields import DeviceFields
    from personlab.methods.personlab.network import PersonLab
    from personlab.poses import Poses
    from personlab.settings import Settings

_FOR_MASKS = ("segmentation", "long_offsets")


def _outputs(masks: bool) -> tuple[str, ...]:
    return tuple(name for name in FIELD_NAMES if masks or name not in _FOR_MASKS)


def _tune(options: DecodeOptions, settings: Settings, disk_radius: float | None) -> DecodeOptions:
    return settings.decoding(options, disk_radius=disk_radius)


def _decode(fields: Fields | DeviceFields, setup: Setup) -> Poses:
    poses: Any = decode_poses(
        fields.heatmaps, fields.short_offsets, fields.mid_offsets,
        stride=fields.stride, skeleton=setup.config.skeleton, options=setup.options,
    )  # fmt: skip
    decoded: Poses = poses
    return decoded


def _decode_masks(
    poses: Poses, fields: Fields | DeviceFields, size: tuple[int, int], setup: Setup
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    made: Any = decode_masks(
        poses, fields.segmentation, fields.long_offsets,
        short_offsets=fields.short_offsets, stride=fields.stride, size=size, options=setup.mask_options,
        return_scores=True,
    )  # fmt: skip
    masks, scores = (array if isinstance(array, np.ndarray) else array.cpu().numpy() for array in made)
    return masks, scores


def _network(config: ModelConfig) -> PersonLab:
    from personlab.methods.personlab.network import PersonLab

    return PersonLab(config)


def encode(people: People, grid: Grid, options: LossOptions) -> Targets:
    """Encode the people of one view as training targets; where a person has no outline, masks do not count."""
    targets = encode_targets(
        people.keypoints,
        people.masks if grid.has_masks else None,
        size=grid.size,
        stride=grid.stride,
        skeleton=grid.skeleton,
        disk_radius=options.disk_radius,
        crowd=people.crowd if people.crowd.any() else None,
    )
    return targets if people.unoutlined is None else targets.without_masks(people.unoutlined)


def _losses(model: PersonLab, options: LossOptions) -> Callable[[Any, Any], dict[str, Any]]:
    from personlab.methods.personlab.losses import make_losses

    return make_losses(model, options)


def _taught_losses(*arguments: Any) -> Callable[[Any, Any], dict[str, Any]]:
    from personlab.methods.personlab.teaching.losses import make_losses

    return make_losses(*arguments)


def _equations(*arguments: Any) -> Iterable[Equation]:
    from personlab.methods.personlab.teaching.heads import equations

    return equations(*arguments)


def _read(path: Path) -> Weights | None:
    """Read a network that Google published: a tfjs graph model (its JSON or its folder), or BodyPix as ONNX."""
    if path.is_dir() or path.suffix.lower() == ".json":
        from personlab.methods.personlab.convert.tfjs import read_tfjs

        return read_tfjs(path)
    if path.suffix.lower() == ".onnx":
        from personlab.methods.personlab.convert.onnx import read_onnx

        return read_onnx(path)
    return None


def _describe(config: ModelConfig) -> dict[str, str]:
    masks, middle = ["segmentation", "long offsets"] * config.masks, ["intermediate ones"] * config.intermediate
    return {
        "backbone": f"{config.backbone}, width {config.width:g}, norm {config.norm}",
        "heads": ", ".join(["heatmaps", "short offsets", "mid offsets", *masks, *middle]),
        "refinement": f"{config.refine_steps} steps inside the network",
        "normalisation": f"{config.normalization} of pixels 0..255",
    }


def _graph(weights: Weights, entries: Mapping[str, str], **options: Any) -> bytes | None:
    from personlab.methods.personlab.graph import write_graph

    return write_graph(weights, entries, **options)


def _load(path: Path, masks: bool) -> Fields:
    fields = Fields.load(path)
    if fields.heatmaps.ndim == 4:
        if len(fields.heatmaps) != 1:
            raise ValueError(f"{path}: expected the fields of one image, got a batch of {len(fields.heatmaps)}")
        fields = fields[0]
    if masks and (fields.segmentation is None or fields.long_offsets is None):
        raise ValueError(f"{path}: expected segmentation and long_offsets, which --masks needs, got neither or one")
    return fields


def _draw(*arguments: Any, **options: Any) -> dict[str, NDArray[np.uint8]]:
    from personlab.methods.personlab.draw.gallery import fields_gallery

    return fields_gallery(*arguments, **options)


def _canvas(fields: Fields) -> NDArray[np.uint8]:
    from personlab.visualize.canvas import canvas

    return canvas(fields)


def _draw_batch(model: PersonLab, batch: Batch, options: LossOptions) -> NDArray[np.uint8]:
    from personlab.methods.personlab.draw.batch import draw_batch

    return draw_batch(model, batch, disk_radius=options.disk_radius)


def _crowd(people: int, **options: Any) -> Fields:
    from personlab.methods.personlab.bench import crowd

    return crowd(people, **options)


def _bench_row(fields: Fields, **options: Any) -> dict[str, Any]:
    from personlab.methods.personlab.bench import bench_row

    return bench_row(fields, **options)


def _decode_ceiling(people: People, **options: Any) -> tuple[Poses, NDArray[np.bool_], NDArray[np.float32]]:
    from personlab.methods.personlab.ceiling import decode_ceiling

    return decode_ceiling(people, **options)


METHOD = Method(
    name="personlab",
    config=ModelConfig,
    fields=Fields,
    targets=Targets,
    options=DecodeOptions,
    mask_options=MaskOptions,
    loss_options=LossOptions,
    every_pose=EVERY_POSE,
    presets={"posenet": (DecodeOptions.posenet(), EVERY_POSENET)},
    calls=("decode_poses", "decode_masks"),
    size_rest=1,
    outputs=_outputs,
    tune=_tune,
    prepare=views.prepare,
    reduction=views.reduction,
    merge=views.merge,
    can_decode_on=lambda device, config: can_decode_on(device, config.skeleton.n_keypoints),
    decode=_decode,
    decode_masks=_decode_masks,
    network=_network,
    encode=encode,
    losses=_losses,
    teaching=Teaching(
        options=TeachingOptions,
        check=check_teacher,
        pack=pack,
        show=show,
        losses=_taught_losses,
        equations=_equations,
    ),
    published=PUBLISHED,
    read=_read,
    describe=_describe,
    graph=_graph,
    load=_load,
    draw=_draw,
    canvas=_canvas,
    draw_batch=_draw_batch,
    demo=Demo(weights="drawn-mobilenet-050-stride8", size=(481, 641)),
    bench=Bench(size=(481, 641), stride=8, crowd=_crowd, time=_bench_row, shown=("hough_stride", "threads")),
    ceiling=Ceiling(strides=(8, 16), options=EXACT, decode=_decode_ceiling),
)
