"""The settings of a training run on the command line: a configuration file, and a flag for each."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from personlab.commands.config_file import check_config_file
from personlab.commands.flags import UsageError, add_options, apply_flags
from personlab.methods import METHODS, get_method

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jsonargparse import ArgumentParser

    from personlab.train import TrainConfig

_CONFIGS = Path(__file__).resolve().parents[1] / "configs"
_FILES, _SHARDS = ("annotations", "images", "instances"), ("shards",)  # settings of `data`: either these or those


def shipped_configs() -> list[str]:
    """Return the names that --config takes beside files."""
    return sorted(path.stem for path in _CONFIGS.glob("*.yaml"))


def add_config(parser: ArgumentParser) -> None:
    """Add the flag that names a configuration file."""
    import jsonargparse

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


def add_settings(parser: ArgumentParser) -> None:
    """Add a flag for each setting."""
    from personlab.train.config import TrainConfig

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


def _let_flags_choose(data: Any, argv: Sequence[str]) -> None:
    """Drop the images that --config names where flags name others: shards in place of files, or files of shards."""
    flags = {word.partition("=")[0] for word in argv}
    for own, others in ((_SHARDS, _FILES), (_FILES, _SHARDS)):
        if not flags.isdisjoint(f"--data.{name}" for name in own):
            for name in others:
                if f"--data.{name}" not in flags:
                    setattr(data, name, None)


def read_settings(config: Any, *, resume: bool = False) -> TrainConfig:
    """Return the settings that a file and flags give; to resume, over those of the run in the folder.

    Raises:
        OSError, ValueError: a damaged run.
        UsageError: a setting out of range, or of another method.
    """
    from personlab.train import TrainConfig
    from personlab.train.folder import saved_config

    base, names = _defaults(config.method), TrainConfig.__dataclass_fields__
    if resume:
        base = saved_config(Path(config.output or base.output)) or base
        if config.method not in (None, base.method):
            raise UsageError(f"--method: expected {base.method} as in the run to go on with, got {config.method}")
    own = {"loss": _names(base.loss), "teaching": _names(base.teaching)}
    for part, known in own.items():
        for name, value in vars(getattr(config, part)).items():
            if value is not None and name not in known:
                raise UsageError(f"{part}.{name}: expected none, for losses of {base.method} have no such option")
    _let_flags_choose(config.data, config.argv)
    flags = {name: value for name, value in vars(config).items() if name in names}
    for part, known in own.items():
        values = {name: value for name, value in vars(getattr(config, part)).items() if name in known}
        flags[part] = SimpleNamespace(**values)
    settings: TrainConfig = apply_flags(base, SimpleNamespace(**flags))
    return settings
