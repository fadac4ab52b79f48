"""`personlab scenes`: drawn people as a data set in COCO's format, to train, to score and to try things with."""

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
from personlab.settings import SCENES_GENERATOR

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from jsonargparse import ArgumentParser

    from personlab.data.synthetic.scenes import Scene

SUMMARY = "write drawn people as a data set in COCO's format; needs no files"
USAGE = "--output DIR [options]"
DESCRIPTION = (
    "Draw scenes whose keypoints and masks are exact, and write them as COCO's data sets are: images in DIR/images, "
    "named by their number, and everyone in them in DIR/person_keypoints.json. The same flags write the same files."
)
SIZE = (481, 641)  # (H, W) of an image, pixels
PEOPLE = (1, 5)  # fewest and most in an image
IMAGE_NAME = "{:012d}.png"  # of scene n, counted from 1, whose number is the image id


def add_arguments(parser: ArgumentParser) -> None:
    """What the command takes."""
    from jsonargparse.typing import NonNegativeInt, PositiveInt

    parser.add_argument("--output", type=str, required=True, metavar="DIR", help="the folder to write, new or empty")
    parser.add_argument("--count", type=PositiveInt, default=200, metavar="N", help="how many scenes")
    parser.add_argument("--seed", type=NonNegativeInt, default=1, metavar="N", help="another seed, other scenes")
    parser.add_argument(
        "--size", type=PositiveInt, nargs=2, metavar=("H", "W"),
        help=f"height and width of each, pixels [{SIZE[0]} {SIZE[1]}]",
    )  # fmt: skip
    parser.add_argument(
        "--people", type=NonNegativeInt, nargs=2, metavar=("LOW", "HIGH"),
        help=f"fewest and most people in each [{PEOPLE[0]} {PEOPLE[1]}]",
    )  # fmt: skip


def run(config: Any) -> None:
    """Draw and write the scenes, then the annotations.

    Raises:
        UsageError: more people at least than at most.
        FileExistsError: the folder holds something already.
    """
    import cv2  # noqa: F401 - missed here, if at all, and not once there is a folder

    size, (low, high) = tuple(config.size or SIZE), config.people or PEOPLE
    if low > high:
        raise UsageError(f"--people: expected LOW up to HIGH, got {low} {high}")
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
    """Write the image of each numbered scene; gives its number and who is in it."""
    for number, scene in scenes:
        folder.mkdir(parents=True, exist_ok=True)  # now: scenes that cannot be drawn leave no folder behind
        visualize.write_image(folder / IMAGE_NAME.format(number), scene.image)
        progress()
        yield number, People(scene.keypoints, scene.masks, np.zeros(scene.image.shape[:2], bool))
