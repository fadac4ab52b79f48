"""`personlab train`: a network from annotated images or drawn scenes, by a configuration file and flags."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, Any

from personlab.commands.flags import UsageError
from personlab.commands.train_settings import add_config, add_settings, read_settings
from personlab.io.console import log, write_table

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

SUMMARY = "train a network on annotated images or on drawn scenes"
USAGE = "[--config FILE] [--resume] [options]"
DESCRIPTION = (
    "Train a network on COCO's annotations, or others of that format, or on drawn scenes without annotations. Flags "
    "after --config override its settings. Checkpoints, weights and logs go into --output. Under torchrun, "
    "`torchrun --nproc-per-node N -m personlab train ...`, the processes share each batch."
)


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_config(parser)
    parser.add_argument(
        "--resume", action="store_true",
        help="continue from the checkpoint in --output, if there is one, with the settings of that run, changed by "
        "flags; --steps makes the run longer",
    )  # fmt: skip
    parser.add_argument(
        "--cache-teachers", action="store_true",
        help="compute the teachers' fields of all images, as far as --cache does not hold them, and do not train",
    )  # fmt: skip
    add_settings(parser)


def run(config: Any) -> None:
    """Train, and print the figures of the last evaluation.

    Raises:
        BlockingIOError: another training runs in the folder.
        UsageError: a setting out of range, or a folder that holds a run.
        ValueError: settings that contradict each other, the data or the run to continue, or a damaged run.
    """
    from personlab.train import train

    settings = read_settings(config, resume=config.resume)
    if config.cache_teachers:
        from personlab.train.teachers import cache_fields

        cache_fields(settings)
        return
    command = shlex.join(["personlab", *(word for word in config.argv if word != "--resume")])
    try:
        summary = train(settings, resume=config.resume, metadata={"command": command})
    except FileExistsError as error:
        message = f"--output: expected a folder, got a file {error.filename}" if error.filename else str(error)
        raise UsageError(message) from None
    if int(os.environ.get("RANK", "0")) > 0:  # the first of several processes prints
        return
    rows = [["steps", str(summary.step)], ["minutes", f"{summary.seconds / 60:.1f}"]]
    rows += [[name.replace("_", " "), f"{value:.3f}"] for name, value in summary.figures.items()]
    write_table(["", ""], rows)
    log(f"wrote {summary.weights}")
