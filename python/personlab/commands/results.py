"""COCO results as JSON: where they go, to a file or to standard output, and what a part of them is called."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from personlab.commands.common import log
from personlab.io.files import write_whole

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

STDOUT = "-"
_HELP = (
    "write COCO keypoint results to this file and, with --masks, COCO segmentation results (RLE) to another beside it "
    "that ends in .masks.json; - stands for standard output, which gets the list of keypoint results or, with --masks, "
    'an object of two lists, "keypoints" and "masks", while tables go to standard error'
)


def add_json(parser: ArgumentParser, more: str = "") -> None:
    """The flag --json."""
    parser.add_argument("--json", type=str, metavar="FILE", help=_HELP + more)


def files(path: str | None, *, masks: bool) -> dict[str, Path]:
    """The files that results go to, by what they are called in messages."""
    if path is None or path == STDOUT:
        return {}
    return {"--json": Path(path), **({"--json with --masks": Path(path).with_suffix(".masks.json")} if masks else {})}


def table_stream(path: str | None) -> TextIO:
    """Where tables go: standard output belongs to the results alone where they are written there."""
    return sys.stderr if path == STDOUT else sys.stdout


def write_results(path: str, keypoints: list[Any], masks: list[Any] | None, *, is_part: bool = False) -> None:
    """Write results, those of masks where there are any.

    Args:
        path: the file of the keypoint results, or `STDOUT`.
        keypoints: COCO keypoint results.
        masks: COCO segmentation results.
        is_part: the run broke off: a file is called NAME.part.json and replaces nothing whole; only files are written.

    Raises:
        OSError: a file cannot be written.
    """
    if path == STDOUT:
        if not is_part:
            sys.stdout.write(json.dumps(keypoints if masks is None else {"keypoints": keypoints, "masks": masks}))
            sys.stdout.write("\n")
        return
    if is_part:
        if Path(path).exists() and not Path(path).is_file():  # a pipe or a device
            return
        path = str(Path(path).with_suffix(f".part{Path(path).suffix or '.json'}"))
    lists = zip(files(path, masks=masks is not None).values(), (keypoints, masks), strict=False)
    for file, results in lists:
        write_whole(file, json.dumps(results).encode() + b"\n")
        log(f"wrote {file}{': a part, for the run broke off' if is_part else ''}")
