"""The flag --json of the commands that write COCO results: its help, the files it names, and where tables go."""

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


def add_json(parser: ArgumentParser, more: str = "") -> None:
    """Add the flag --json."""
    parser.add_argument("--json", type=str, metavar="FILE", help=_HELP + more)


def result_files(path: str | None, *, masks: bool) -> dict[str, Path]:
    """Return the files that results go to, by what messages call them."""
    if path is None or path == STDOUT:
        return {}
    return {"--json": Path(path), **({"--json with --masks": mask_file(path)} if masks else {})}


def table_stream(path: str | None) -> TextIO:
    """Return the stream for tables: standard error where --json takes standard output."""
    return sys.stderr if path == STDOUT else sys.stdout
