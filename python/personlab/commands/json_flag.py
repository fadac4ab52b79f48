"""The flags --json and --jsonl of the commands that write results: help, the files they name, and where tables go."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from personlab.io.results import STDOUT, mask_file

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

_HELP = (
    "write COCO keypoint results to this file and, with --masks, COCO segmentation results (RLE) to a file beside it "
    "that ends in .masks.json; - stands for standard output, which gets the list of keypoint results or, with --masks, "
    'an object of two lists, "keypoints" and "masks", and leaves tables to standard error'
)


_JSONL_HELP = (
    "write a line of JSON to this file for each image and each frame as soon as it is predicted: file, frame, time in "
    "seconds, image_id, size, and people with keypoints, score, box and, with --masks, mask (RLE); - stands for "
    "standard output"
)


def add_json(parser: ArgumentParser, more: str = "") -> None:
    """Add the flag --json."""
    parser.add_argument("--json", type=str, metavar="FILE", help=_HELP + more)


def add_jsonl(parser: ArgumentParser) -> None:
    """Add the flags --jsonl and --resume."""
    parser.add_argument("--jsonl", type=str, metavar="FILE", help=_JSONL_HELP)
    parser.add_argument(
        "--resume", action="store_true",
        help="go on with the --jsonl file of a run that was killed: inputs in it are skipped, and a video goes on at "
        "its next frame; inputs and options must be the same",
    )  # fmt: skip


def result_files(path: str | None, *, masks: bool) -> dict[str, Path]:
    """Return the files that results go to, by what messages call them."""
    if path is None or path == STDOUT:
        return {}
    return {"--json": Path(path), **({"--json with --masks": mask_file(path)} if masks else {})}


def table_stream(*paths: str | None) -> TextIO:
    """Return the stream for tables: standard error where --json or --jsonl takes standard output."""
    return sys.stderr if STDOUT in paths else sys.stdout
