"""`personlab convert-annotations`: the annotations of MPII and PoseTrack as files that training and scoring read."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from personlab.commands.flags import UsageError
from personlab.io.console import log, progress_bar
from personlab.io.files import check_folder, real_path, write_whole

if TYPE_CHECKING:
    from collections.abc import Callable

    from jsonargparse import ArgumentParser

    from personlab.data.conversion import Converted

SUMMARY = "write annotations of MPII or PoseTrack as a file in COCO's format"
USAGE = "{mpii,posetrack,posetrack17} SRC DST [options]"
DESCRIPTION = (
    "Write annotations in COCO's format: of MPII's release, a MATLAB file, or of PoseTrack 2018, a folder of JSON "
    "files. posetrack17 writes each JSON file of PoseTrack 2018 in the layout of 2017. What is odd about annotations "
    "is one line for each kind; no annotation is lost."
)


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("kind", choices=("mpii", "posetrack", "posetrack17"), metavar="KIND", help="what SRC is")
    parser.add_argument(
        "src", type=str, metavar="SRC", help="MPII's .mat file; PoseTrack's folder of JSON files, or one of them"
    )
    parser.add_argument(
        "dst", type=str, metavar="DST", help="JSON file to write; for posetrack17 a folder, which is made if necessary"
    )
    parser.add_argument(
        "--images", type=str, metavar="DIR",
        help="folder of the images, for their sizes: MPII's `images`, or the one in which the file names of PoseTrack "
        "lead to images",
    )  # fmt: skip
    parser.add_argument(
        "--split", choices=("train", "test"), metavar="{train,test}", help="which images of MPII [train]"
    )
    parser.add_argument(
        "--original", action="store_true",
        help="the fields and the faults of TF-SimpleHumanPose's converters: MPII's coordinates from 1 and edges from "
        "0, which training does not read, and people left out whose joints span no box",
    )  # fmt: skip


def run(config: Any) -> None:
    """Convert, and print how many images and people there are.

    Raises:
        UsageError: a flag that has no effect, or no --images where sizes are needed.
        OSError: a file cannot be read or written.
        ValueError: SRC is damaged, or another kind of file.
    """
    if config.split and config.kind != "mpii":
        raise UsageError(f"--split: has no effect on {config.kind}, whose splits are folders")
    if config.kind == "posetrack17":
        if config.images or config.original:
            raise UsageError("--images and --original: have no effect on posetrack17")
        _write_2017(config)
        return
    check_folder(config.dst)
    if real_path(config.dst) == real_path(config.src):
        raise UsageError(f"DST: {config.dst} is SRC, too")
    if config.images and not Path(config.images).is_dir():
        raise FileNotFoundError(f"{config.images}: no such folder")
    with progress_bar(None, "sizes") as bar:
        converted = _convert(config, bar.update)
    for note in converted.notes:
        log(f"warning: {note}")
    write_whole(config.dst, json.dumps(converted.dataset).encode() + b"\n")
    people = converted.dataset["annotations"]
    crowds = sum(entry["iscrowd"] for entry in people)
    regions = f", {crowds} regions without annotations" if crowds else ""
    sys.stdout.write(f"{len(converted.dataset['images'])} images, {len(people) - crowds} people{regions}\n")
    log(f"wrote {config.dst}")


def _convert(config: Any, progress: Callable[[], Any]) -> Converted:
    from personlab.data.mpii import convert_mpii
    from personlab.data.posetrack_coco import convert_posetrack
    from personlab.io.image_size import read_image_size

    def size_of(name: str) -> tuple[int, int]:
        if not config.images:
            raise UsageError(f"--images: expected the folder of the images, as {name} has no size, got none")
        progress()
        return read_image_size(Path(config.images) / name)

    if config.kind == "mpii":
        return convert_mpii(config.src, size_of, split=config.split or "train", original=config.original)
    return convert_posetrack(config.src, size_of, original=config.original)


def _write_2017(config: Any) -> None:
    from personlab.data.posetrack_2017 import to_2017
    from personlab.data.posetrack_files import list_files, read_object

    folder = Path(config.dst)
    converted = {folder / file.name: to_2017(read_object(file), file) for file, _ in list_files(config.src)}
    folder.mkdir(parents=True, exist_ok=True)
    for path, content in converted.items():
        write_whole(path, json.dumps(content).encode() + b"\n")
    sys.stdout.write(f"{len(converted)} sequences, {sum(len(c['annolist']) for c in converted.values())} images\n")
    log(f"wrote {folder}")
