"""`personlab demo`: the networks of the package on a drawn image, whose people it counts, or on a photograph."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from personlab.commands.flags import UsageError
from personlab.commands.network import add_method, required
from personlab.data.coco import People
from personlab.data.single import person_boxes
from personlab.data.synthetic.scenes import Scene, make_scene
from personlab.io.console import log, write_table
from personlab.methods import DEFAULT_METHOD, get_method
from personlab.methods.base import Boxes, InputOptions, Setup
from personlab.metrics.oks import match_people

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jsonargparse import ArgumentParser
    from numpy.typing import NDArray

    from personlab.methods import Method
    from personlab.poses import Poses

Result = TypeVar("Result")

SUMMARY = "find the people in a drawn image or a photograph with a network of the package; needs no files"
USAGE = "[options]"
DESCRIPTION = (
    "Draw an image of several people, run the network of the package on it, decode its output, and write the image "
    "beside a drawing of the poses and masks. That network knows drawn people only; --method chooses another one, and "
    "--photograph shows a photograph of the package and the network for photographs instead."
)

_PEOPLE, _SEED = 5, 5  # of the scene
_PHOTOGRAPH = Path(__file__).parents[1] / "data" / "shipped" / "astronaut.jpg"
RUNS = 9  # runs whose median is a stage's time
_PHOTOGRAPHS = (
    "This network was trained on drawn people and knows nothing else. `personlab demo --photograph` shows the one for\n"
    "photographs, which `personlab predict IMAGE --masks --output DIR` runs; `personlab train` makes your own.\n"
)


@dataclass(frozen=True, eq=False)
class Demo:
    """A scene, what the network and the decoder make of it, and the times."""

    scene: Scene
    setup: Setup
    fields: Any  # of the method
    poses: Poses  # pixels of the image
    masks: NDArray[np.bool_] | None  # (P, H, W); None of a method without masks
    matched: int  # people of the scene with a pose
    keypoint_error: float  # mean distance from their keypoints, pixels; NaN where `matched` is 0
    milliseconds: Mapping[str, float]  # median time of each call


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    from jsonargparse.typing import NonNegativeInt, PositiveInt

    add_method(parser, "whose network is shown")
    parser.add_argument("--output", type=str, default="personlab-demo.png", metavar="PNG", help="image to write")
    parser.add_argument(
        "--fields", type=str, metavar="DIR", help="write an image of each field and of each decoding step into DIR"
    )
    parser.add_argument("--people", type=NonNegativeInt, default=_PEOPLE, metavar="N", help="people in the scene")
    parser.add_argument("--seed", type=NonNegativeInt, default=_SEED, metavar="N", help="seed of the scene")
    parser.add_argument(
        "--photograph", action="store_true",
        help="show a photograph in place of a scene: the astronaut Eileen Collins, by NASA, in the public domain",
    )  # fmt: skip
    parser.add_argument(
        "--threads", type=PositiveInt, default=1, metavar="N", help="threads that share the decoding of the image"
    )


def run(config: Any) -> None:
    """Make the demonstration, print its numbers, and write the scene and the drawing side by side.

    Raises:
        UsageError: a method without a network in the package, or a flag without effect.
    """
    from personlab import visualize

    method = get_method(config.method or DEFAULT_METHOD)
    if config.photograph:
        _show_photograph(config, method)
        return
    required(method, "demo", "a network in the package")
    demo = make_demo(method, people=config.people, seed=config.seed, threads=config.threads)
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
        gallery = method.draw(
            demo.fields, demo.scene.image, demo.poses, demo.masks, options=demo.setup.options,
            skeleton=demo.setup.config.skeleton,
        )  # fmt: skip
        log(f"wrote {len(visualize.write_gallery(config.fields, gallery))} images into {config.fields}")


def _show_photograph(config: Any, method: Method) -> None:
    """Run the network for photographs on that of the package, and write it beside its drawing."""
    from personlab import visualize
    from personlab.predict import Predictor
    from personlab.weights import default_name

    weights = default_name(method)
    if weights is None:
        raise UsageError(f"--photograph: expected a method with a network for photographs, got {method.name}")
    if (config.people, config.seed) != (_PEOPLE, _SEED):
        raise UsageError("--people and --seed: have no effect with --photograph")
    predictor = Predictor(weights, threads=config.threads, keep_fields=bool(config.fields), keep_image=True)
    predictor(_PHOTOGRAPH)  # the first run of a network takes longer
    prediction = predictor(_PHOTOGRAPH)
    visualize.write_image(config.output, np.concatenate([prediction.image, prediction.draw()], axis=1))
    scores = ", ".join(f"{score:.2f}" for score in prediction.poses.scores)
    sys.stdout.write(f"{weights} on a photograph: scores of people {scores or '(none)'}\n\n")
    write_table(["stage", "ms"], [[name, f"{value:.2f}"] for name, value in prediction.times.items()])
    log(f"wrote {config.output}")
    if config.fields:
        gallery = method.draw(
            prediction.fields, prediction.image, prediction.poses, prediction.masks, options=predictor.options,
            skeleton=predictor.skeleton,
        )  # fmt: skip
        log(f"wrote {len(visualize.write_gallery(config.fields, gallery))} images into {config.fields}")


def make_demo(method: str | Method = DEFAULT_METHOD, *, people: int = 5, seed: int = 5, threads: int = 1) -> Demo:
    """Draw a scene, run a method's network of the package on it, decode its output, and compare.

    Args:
        method: by name or as a record.
        people: people in the scene.
        seed: the scene's.
        threads: threads that share the decoding of one image.

    Raises:
        ImportError: an engine or safetensors is missing.
        TypeError: an argument of the wrong type.
        ValueError: an argument out of range, or a method without such a network.
    """
    from personlab.predict.load import load_network

    record = get_method(method)
    if record.demo is None:
        raise ValueError(f"method: expected one with a network in the package, got {record.name}")
    scene = make_scene(seed, size=record.demo.size, people=people)
    network = load_network(record.demo.weights, precision="float32")
    setup = Setup(
        config=network.config,
        settings=network.settings,
        inputs=InputOptions(long_edge=max(record.demo.size)),
        options=record.tune(record.options(threads=threads), network.settings, None),
        mask_options=None if record.mask_options is None else record.mask_options(threads=threads),
    )
    names = record.outputs(record.decode_masks is not None and bool(network.config.masks))
    prepared = record.prepare(scene.image, setup, [], *([_boxes(scene)] if record.takes_boxes else []))
    seconds, outputs = _timed(lambda: [network.engine.run(view, names) for view in prepared.views])
    (fields,) = record.merge(outputs, [prepared.way], setup, True)
    milliseconds, poses, masks = _decode(record, fields.to_host(), setup)
    matched, error = match_people(poses, scene.keypoints)
    return Demo(scene, setup, fields, poses, masks, matched, error, {"network": 1e3 * seconds, **milliseconds})


def _boxes(scene: Scene) -> Boxes:
    """Return the boxes of the people of a scene, for a method that looks at one person at a time."""
    people = People(scene.keypoints, scene.masks, np.zeros(scene.image.shape[:2], bool))
    boxes = person_boxes(people)
    boxes = boxes[boxes[:, 2:].all(axis=1)]
    return Boxes(boxes, np.ones(len(boxes)))


def _timed(call: Callable[[], Result]) -> tuple[float, Result]:
    """Return the median time of a call, seconds, and its result."""
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        result = call()
        times.append(time.perf_counter() - start)
    return float(np.median(times)), result


def _decode(method: Method, fields: Any, setup: Setup) -> tuple[dict[str, float], Poses, NDArray[np.bool_] | None]:
    """Return the median times of the calls, ms, and their results."""
    seconds, decoded = _timed(lambda: method.decode(fields, setup))
    times, poses = {method.calls[0]: 1e3 * seconds}, decoded.scaled(*fields.image_scale)
    decode_masks = method.decode_masks
    if decode_masks is None or not setup.config.masks:
        return times, poses, None
    width, height = fields.image_size or fields.input_size
    seconds, (masks, _) = _timed(lambda: decode_masks(decoded, fields, (height, width), setup))
    return {**times, method.calls[1]: 1e3 * seconds}, poses, masks
