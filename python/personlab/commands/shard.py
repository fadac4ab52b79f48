"""`personlab shard`: annotated images as WebDataset tars or Parquet files, which training reads."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from personlab.io.console import log, progress_bar

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

SUMMARY = "write annotated images as shards: WebDataset tars or Parquet files"
USAGE = "--annotations FILE --images DIR --output DIR [options]"
DESCRIPTION = (
    "Write images and their annotations as shards, files of many images each, which `personlab train --data.shards` "
    "reads. The bytes of images stay as they are, and a run on shards gives the same weights as one on the files. The "
    "same flags write the same bytes."
)


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    from jsonargparse.typing import PositiveInt

    parser.add_argument(
        "--annotations", type=str, required=True, metavar="FILE", help="COCO's JSON, or a file of that format"
    )
    parser.add_argument(
        "--images", type=str, required=True, metavar="DIR", help="folder with the images that the annotations name"
    )
    parser.add_argument("--output", type=str, required=True, metavar="DIR", help="folder to write, new or empty")
    parser.add_argument(
        "--instances", type=str, metavar="FILE", help="COCO's instances JSON, if the annotations have no masks"
    )
    parser.add_argument(
        "--category", type=str, default="person", metavar="NAME", help="name or number of the people's category"
    )
    parser.add_argument(
        "--format", choices=("tar", "parquet"), default="tar", metavar="{tar,parquet}",
        help="WebDataset's tars, or Parquet files, which need the extra `shards`",
    )  # fmt: skip
    parser.add_argument("--count", type=PositiveInt, default=1000, metavar="N", help="max number of images in a shard")


def run(config: Any) -> None:
    """Write the shards, and print how many images and people they hold.

    Raises:
        FileExistsError: the folder is not empty.
        ImportError: pyarrow is missing.
        OSError: a file cannot be read or written.
        ValueError: not COCO's format, or images that are missing or unreadable.
    """
    from personlab.data.annotations import join, read_annotations
    from personlab.data.shards.write import write_shards

    read = read_annotations(config.annotations, config.category)
    if config.instances is not None:
        read = join(read, read_annotations(config.instances, read.category["name"], n_keypoints=0))
    for note in read.notes:
        log(f"warning: {note}")
    folder = Path(config.output)
    with progress_bar(len(read.images)) as bar:
        paths = write_shards(
            read, Path(config.images), folder, ending=f".{config.format}", count=config.count, progress=bar.update
        )
    size = sum(path.stat().st_size for path in paths)
    people = sum(not person.crowd for person in read.people)
    files = "1 shard" if len(paths) == 1 else f"{len(paths)} shards"
    sys.stdout.write(f"{len(read.images)} images, {people} people, {files}, {size / 1e6:.1f} MB\n")
    log(f"wrote {folder}")
