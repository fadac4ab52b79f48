"""`personlab train`: a network from annotated images or drawn scenes, by a configuration file and flags."""

from __future__ import annotations

import argparse
import dataclasses
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from personlab.commands.config_file import check_config_file
from personlab.commands.flags import UsageError, add_options, apply_flags
from personlab.io.console import log, write_table
from personlab.methods import METHODS, get_method

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

    from personlab.train import TrainConfig

SUMMARY = "train a network on annotated images or on drawn scenes"
USAGE = "[--config FILE] [--resume] [options]"
DESCRIPTION = (
    "Train a network on COCO's annotations, or others of that format, or on drawn scenes without annotations. Flags "
    "after --config override its settings. Checkpoints, weights and logs go into --output. Under torchrun, "
    "`torchrun --nproc-per-node N -m personlab train ...`, the processes share each batch."
)
_CONFIGS = Path(__file__).resolve().parents[1] / "configs"


def shipped_configs() -> list[str]:
    """Return the names that --config takes beside files."""
    return sorted(path.stem for path in _CONFIGS.glob("*.yaml"))


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    import jsonargparse

    from personlab.train.config import TrainConfig

    base: Any = jsonargparse.ActionConfigFile  # type: ignore[attr-defined]
    names = ", ".join(shipped_configs())

    class ConfigAction(base):  # type: ignore[misc]
        """Reads a file, or the configuration of the package with that name."""

        def __call__(self, parser: Any, config: Any, values: Any, option_string: Any = None) -> None:
            path, own = Path(values), _CONFIGS / f"{values}.yaml"
            if not path.is_file() and own.is_file():
                path = own
            if not path.is_file():
                raise argparse.ArgumentError(
                    self, f"{values}: no such file, and no configuration of the package ({names})"
                )
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
        help=f"YAML or JSON file, or the name of a configuration of the package: {names}",
    )  # fmt: skip
    parser.add_argument(
        "--resume", action="store_true",
        help="continue from the checkpoint in --output, if there is one, with the settings of that run, changed by "
        "flags; --steps makes the run longer",
    )  # fmt: skip
    parser.add_argument(
        "--cache-teachers", action="store_true",
        help="compute the teachers' fields of all images, as far as --cache does not hold them, and do not train",
    )  # fmt: skip
    base = TrainConfig()
    add_options(parser, "run", "", base)
    for name in METHODS:
        if name != base.method:
            losses = get_method(name).loss_options()
            add_options(parser, f"loss, with --method {name}", "loss", losses, leave_out=_names(base.loss))


def _names(options: Any) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(options))


def _defaults(method: str | None) -> TrainConfig:
    from personlab.train import TrainConfig

    try:
        return TrainConfig() if method is None else TrainConfig(method=method)
    except ValueError as error:
        raise UsageError(str(error)) from None


def run(config: Any) -> None:
    """Train, and print the figures of the last evaluation.

    Raises:
        BlockingIOError: another training runs in the folder.
        UsageError: a setting out of range, or a folder that holds a run.
        ValueError: settings that contradict each other, the data or the run to continue, or a damaged run.
    """
    from types import SimpleNamespace

    from personlab.train import TrainConfig, train
    from personlab.train.folder import saved_config

    base, names = _defaults(config.method), TrainConfig.__dataclass_fields__
    if config.resume:
        base = saved_config(Path(config.output or base.output)) or base
        if config.method not in (None, base.method):
            raise UsageError(f"--method: expected {base.method} as in the run to go on with, got {config.method}")
    own = {"loss": _names(base.loss), "teaching": _names(base.teaching)}
    for part, known in own.items():
        for name, value in vars(getattr(config, part)).items():
            if value is not None and name not in known:
                raise UsageError(f"{part}.{name}: expected none, for losses of {base.method} have no such option")
    flags = {name: value for name, value in vars(config).items() if name in names}
    for part, known in own.items():
        values = {name: value for name, value in vars(getattr(config, part)).items() if name in known}
        flags[part] = SimpleNamespace(**values)
    settings = apply_flags(base, SimpleNamespace(**flags))
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
