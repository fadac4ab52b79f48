"""`personlab demo`: the network of the package on a drawn image, and how many of its people it detects."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from personlab.data.synthetic.scenes import Scene, make_scene
from personlab.io.console import log, write_table
from personlab.methods.personlab.decode import decode_masks, decode_poses
from personlab.metrics.oks import match_people
from personlab.options import DecodeOptions, MaskOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jsonargparse import ArgumentParser
    from numpy.typing import NDArray

    from personlab.methods.personlab.fields import Fields
    from personlab.poses import Poses

Result = TypeVar("Result")

SUMMARY = "find the people in a drawn image with the network of the package; needs no files"
USAGE = "[options]"
DESCRIPTION = (
    "Draw an image of several people, run the network of the package on it, decode its output, and write the image "
    "beside a drawing of the poses and masks. That network knows drawn people only."
)

WEIGHTS = "drawn-mobilenet-050-stride8"
STRIDE = 8  # input pixels from cell to cell
SIZE = (60 * STRIDE + 1, 80 * STRIDE + 1)  # (H, W) of the image and of the network input, pixels
RUNS = 9  # runs whose median is a stage's time
_PHOTOGRAPHS = (
    "The network of the package was trained on drawn people and knows nothing else. For photographs,\n"
    "`personlab predict IMAGE --weights bodypix-mobilenet-075 --masks --output DIR` fetches one of Google's, and\n"
    "`personlab train` makes your own from COCO's or other annotations.\n"
)


@dataclass(frozen=True, eq=False)
class Demo:
    """A scene, what the network and the decoder make of it, and the times."""

    scene: Scene
    fields: Fields
    poses: Poses  # pixels of the image
    masks: NDArray[np.bool_]  # (P, H, W)
    matched: int  # people of the scene with a pose
    keypoint_error: float  # mean distance from their keypoints, pixels; NaN where `matched` is 0
    milliseconds: Mapping[str, float]  # median time of each call


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    from jsonargparse.typing import NonNegativeInt, PositiveInt

    parser.add_argument("--output", type=str, default="personlab-demo.png", metavar="PNG", help="image to write")
    parser.add_argument(
        "--fields", type=str, metavar="DIR", help="write an image of each field and of each decoding step into DIR"
    )
    parser.add_argument("--people", type=NonNegativeInt, default=5, metavar="N", help="number of people in the scene")
    parser.add_argument("--seed", type=NonNegativeInt, default=5, metavar="N", help="seed of the scene")
    parser.add_argument(
        "--threads", type=PositiveInt, default=1, metavar="N", help="threads that share the decoding of the image"
    )


def run(config: Any) -> None:
    """Make the demonstration, print its numbers, and write the scene and the drawing side by side."""
    from personlab import visualize

    demo = make_demo(people=config.people, seed=config.seed, threads=config.threads)
    image = visualize.overlay(demo.scene.image, demo.poses, demo.masks)
    visualize.write_image(config.output, np.concatenate([demo.scene.image, image], axis=1))
    error = f", mean keypoint error {demo.keypoint_error:.2f} px" if demo.matched else ""
    sys.stdout.write(f"{demo.matched} of {config.people} people found by {len(demo.poses)} poses{error}\n\n")
    rows = [[name, f"{value:.2f}"] for name, value in demo.milliseconds.items()]
    write_table(["call", f"ms, median of {RUNS} runs"], rows)
    sys.stdout.write("\n`personlab bench` times the stages inside.\n\n")
    sys.stdout.write(_PHOTOGRAPHS)
    log(f"wrote {config.output}")
    if config.fields:
        gallery = visualize.fields_gallery(demo.fields, demo.scene.image, demo.poses, demo.masks)
        log(f"wrote {len(visualize.write_gallery(config.fields, gallery))} images into {config.fields}")


def make_demo(*, people: int = 5, seed: int = 5, threads: int = 1) -> Demo:
    """Draw a scene, run the network of the package on it, decode its output, and compare.

    Args:
        people: people in the scene.
        seed: the scene's.
        threads: threads that share the decoding of one image.

    Raises:
        ImportError: an engine or safetensors is missing.
        TypeError: an argument of the wrong type.
        ValueError: an argument out of range.
    """
    from personlab.methods.personlab.fields import FIELD_NAMES, Fields
    from personlab.predict.load import load_network

    options, mask_options = DecodeOptions(threads=threads), MaskOptions(threads=threads)
    scene = make_scene(seed, size=SIZE, people=people)
    network = load_network(WEIGHTS, precision="float32")
    seconds, outputs = _timed(lambda: network.engine.run(scene.image[None], FIELD_NAMES))
    arrays: Any = {
        name: np.asarray(array if network.engine.device is None else array.cpu())[0] for name, array in outputs.items()
    }
    fields = Fields(**arrays, stride=STRIDE)
    milliseconds, poses, masks = _decode(fields, options, mask_options)
    matched, error = match_people(poses, scene.keypoints)
    return Demo(scene, fields, poses, masks, matched, error, {"network": 1e3 * seconds, **milliseconds})


def _timed(call: Callable[[], Result]) -> tuple[float, Result]:
    """Return the median time of a call, seconds, and its result."""
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        result = call()
        times.append(time.perf_counter() - start)
    return float(np.median(times)), result


def _decode(
    fields: Fields, options: DecodeOptions, mask_options: MaskOptions
) -> tuple[dict[str, float], Poses, NDArray[np.bool_]]:
    """Return the median times of the calls, ms, and their results."""
    heat, short, mid, stride = fields.heatmaps, fields.short_offsets, fields.mid_offsets, fields.stride
    segmentation, long = fields.segmentation, fields.long_offsets
    poses: Any
    masks: Any
    pose_seconds, poses = _timed(lambda: decode_poses(heat, short, mid, stride=stride, options=options))
    mask_seconds, masks = _timed(
        lambda: decode_masks(
            poses, segmentation, long, short_offsets=short, stride=stride, size=SIZE, options=mask_options
        )
    )
    return {"decode_poses": 1e3 * pose_seconds, "decode_masks": 1e3 * mask_seconds}, poses, masks
