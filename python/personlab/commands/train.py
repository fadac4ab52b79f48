"""`personlab train`: a network from annotated images or drawn scenes, by a configuration file and flags."""

from __future__ import annotations

import argparse
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from personlab.commands.config_file import check_config_file
from personlab.commands.flags import UsageError, add_options, with_given
from personlab.io.console import log, write_table

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

SUMMARY = "train a network on annotated images or on drawn scenes"
USAGE = "[--config FILE] [--resume] [options]"
DESCRIPTION = (
    "Train a network: on COCO's annotations or any alike, or on drawn scenes where none are named. Flags behind "
    "--config go before what it says. Writes checkpoints, weights and logs into --output. Under torchrun, "
    "`torchrun --nproc-per-node N -m personlab train ...`, processes share each batch."
)
_CONFIGS = Path(__file__).resolve().parents[1] / "configs"


def shipped_configs() -> list[str]:
    """The names that --config takes beside files."""
    return sorted(path.stem for path in _CONFIGS.glob("*.yaml"))


def add_arguments(parser: ArgumentParser) -> None:
    """What the command takes."""
    import jsonargparse

    from personlab.train.config import TrainConfig

    base: Any = jsonargparse.ActionConfigFile  # type: ignore[attr-defined]
    names = ", ".join(shipped_configs())

    class ConfigAction(base):  # type: ignore[misc]
        """Reads a file, or the shipped configuration of that name."""

        def __call__(self, parser: Any, config: Any, values: Any, option_string: Any = None) -> None:
            path, own = Path(values), _CONFIGS / f"{values}.yaml"
            if not path.is_file() and own.is_file():
                path = own
            if not path.is_file():
                raise argparse.ArgumentError(self, f"{values}: no such file, nor a shipped configuration ({names})")
            try:
                check_config_file(path)
            except (OSError, ValueError) as error:
                raise argparse.ArgumentError(self, str(error)) from None
            try:
                super().__call__(parser, config, str(path), option_string)
            except ValueError as error:
                raise argparse.ArgumentError(self, f"{path}: {error}") from None

    parser.add_argument(
        "--config", action=ConfigAction, metavar="FILE",
        help=f"YAML or JSON, or the name of a configuration that the package brings: {names}",
    )  # fmt: skip
    parser.add_argument(
        "--resume", action="store_true",
        help="go on from the checkpoint in --output, if any, with the settings of that run where no others are given; "
        "--steps makes the run longer",
    )  # fmt: skip
    add_options(parser, "run", "", TrainConfig())


def run(config: Any) -> None:
    """Train, and print the figures of the last evaluation.

    Raises:
        BlockingIOError: another training runs in the folder.
        UsageError: a setting out of range, or the folder holds a run.
        ValueError: settings at odds with each other, with the data or with the run to go on with, or a damaged run.
    """
    from types import SimpleNamespace

    from personlab.train import TrainConfig, train
    from personlab.train.folder import saved_config

    base, known = TrainConfig(), TrainConfig.__dataclass_fields__
    if config.resume:
        base = saved_config(Path(config.output or base.output)) or base
    settings = with_given(base, SimpleNamespace(**{k: v for k, v in vars(config).items() if k in known}))
    command = shlex.join(["personlab", *(word for word in config.argv if word != "--resume")])
    try:
        summary = train(settings, resume=config.resume, metadata={"command": command})
    except FileExistsError as error:
        taken = f"--output: expected a folder, got a file {error.filename}" if error.filename else str(error)
        raise UsageError(taken) from None
    if int(os.environ.get("RANK", "0")) > 0:  # one of several processes tells
        return
    rows = [["steps", str(summary.step)], ["minutes", f"{summary.seconds / 60:.1f}"]]
    rows += [[name.replace("_", " "), f"{value:.3f}"] for name, value in summary.figures.items()]
    write_table(["", ""], rows)
    log(f"wrote {summary.weights}")
