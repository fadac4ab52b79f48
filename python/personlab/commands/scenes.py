"""`personlab scenes`: drawn people as a dataset in COCO's format, for training, scoring and experiments."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from personlab import visualize
from personlab.commands.flags import UsageError
from personlab.data.coco import People, make_dataset
from personlab.data.synthetic.scenes import numbered_scene
from personlab.info import __version__
from personlab.io.console import log, progress_bar
from personlab.io.files import write_whole
from personlab.io.imaging import imaging_library
from personlab.settings import SCENES_GENERATOR

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from jsonargparse import ArgumentParser

    from personlab.data.synthetic.scenes import Scene

SUMMARY = "write drawn people as a dataset in COCO's format; needs no files"
USAGE = "--output DIR [options]"
DESCRIPTION = (
    "Draw scenes of people whose keypoints and masks are exact, and write them in COCO's format: images into "
    "DIR/images, named by their number, and annotations into DIR/person_keypoints.json. The same flags write the same "
    "files."
)
SIZE = (481, 641)  # (H, W) of an image, pixels
PEOPLE = (1, 5)  # min and max in an image
IMAGE_NAME = "{:012d}.png"  # of scene n, counted from 1, whose number is the image id


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    from jsonargparse.typing import NonNegativeInt, PositiveInt

    parser.add_argument("--output", type=str, required=True, metavar="DIR", help="folder to write, new or empty")
    parser.add_argument("--count", type=PositiveInt, default=200, metavar="N", help="number of scenes")
    parser.add_argument("--seed", type=NonNegativeInt, default=1, metavar="N", help="seed of the scenes")
    parser.add_argument(
        "--size", type=PositiveInt, nargs=2, metavar=("H", "W"),
        help=f"height and width of each image, pixels [{SIZE[0]} {SIZE[1]}]",
    )  # fmt: skip
    parser.add_argument(
        "--people", type=NonNegativeInt, nargs=2, metavar=("LOW", "HIGH"),
        help=f"min and max number of people in an image [{PEOPLE[0]} {PEOPLE[1]}]",
    )  # fmt: skip


def run(config: Any) -> None:
    """Draw and write the scenes, then the annotations.

    Raises:
        UsageError: LOW above HIGH.
        FileExistsError: the folder is not empty.
    """
    imaging_library()  # raises here, if at all, not after a folder is made
    size, (low, high) = tuple(config.size or SIZE), config.people or PEOPLE
    if low > high:
        raise UsageError(f"--people: expected LOW <= HIGH, got {low} {high}")
    folder = Path(config.output)
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder}: expected a new or empty folder, got one with files in it")
    with progress_bar(config.count, "scenes") as bar:
        drawn = (
            (number, numbered_scene(config.seed, number, size=size, people=(low, high)))
            for number in range(1, config.count + 1)
        )
        dataset = make_dataset(_written(folder / "images", drawn, bar.update), file_name=IMAGE_NAME)
    info = {
        "description": "people drawn by personlab scenes",
        "generator": SCENES_GENERATOR,
        "version": __version__,
        "seed": config.seed,
        "size": list(size),
        "people": [low, high],
    }
    write_whole(folder / "person_keypoints.json", json.dumps({"info": info, **dataset}).encode() + b"\n")
    sys.stdout.write(f"{len(dataset['images'])} scenes, {len(dataset['annotations'])} people\n")
    log(f"wrote {folder}")


def _written(
    folder: Path, scenes: Iterable[tuple[int, Scene]], progress: Callable[[], Any]
) -> Iterator[tuple[int, People]]:
    """Write the image of each numbered scene, and yield its number and its people."""
    for number, scene in scenes:
        folder.mkdir(parents=True, exist_ok=True)  # not before: scenes that cannot be drawn leave no folder
        visualize.write_image(folder / IMAGE_NAME.format(number), scene.image)
        progress()
        yield number, People(scene.keypoints, scene.masks, np.zeros(scene.image.shape[:2], bool))
