"""The folder of a run: whether it is free, or holds the run that is to go on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from personlab.io.files import write_whole
from personlab.train.config import TrainConfig
from personlab.train.read_config import flattened
from personlab.train.state import CHECKPOINT

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = "config.json"
# What may change when a run goes on: how long it is, where it is and what it tells. Other threads or devices round
# differently.
_FREE = ("steps", "output", "log_every", "checkpoint_every", "evaluation", "threads", "device", "data.workers")


def saved_config(folder: Path) -> TrainConfig | None:
    """The configuration of the run in a folder; None where there is none.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged.
    """
    path = folder / CONFIG
    if not path.exists():
        return None
    try:
        return TrainConfig.from_json(path.read_text("utf-8"))
    except (RecursionError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path}: expected the configuration of a run, got another or a damaged file ({error})"
        ) from None


def check_folder(folder: Path, config: TrainConfig, *, resume: bool) -> None:
    """Refuse a folder that holds another run; nothing is written.

    Raises:
        FileExistsError: it holds a run that is not to go on.
        OSError: its files cannot be read.
        ValueError: the run to go on with had other settings, or its configuration is damaged.
    """
    if not (folder / CHECKPOINT).exists():
        return
    if not resume:
        raise FileExistsError(f"{folder}: holds a run; --resume goes on with it, another --output leaves it alone")
    saved = saved_config(folder)
    if saved is None:
        return
    before, now = flattened(json.loads(saved.to_json())), flattened(json.loads(config.to_json()))
    changed = [
        name
        for name in now
        if before[name] != now[name] and not any(f"{name}.".startswith(f"{free}.") for free in _FREE)
    ]
    if changed:
        name = changed[0]
        others = f", and {len(changed) - 1} more differ" if len(changed) > 1 else ""
        raise ValueError(f"{name}: expected {before[name]!r} as in the run to go on with, got {now[name]!r}{others}")


def check_steps(folder: Path, config: TrainConfig, done: int) -> None:
    """Refuse to end a run before where it is.

    Raises:
        ValueError: more steps are done than there are to be.
    """
    if config.steps < done:
        raise ValueError(f"steps: expected at least the {done} that the run in {folder} has done, got {config.steps}")


def open_folder(folder: Path, config: TrainConfig) -> None:
    """Save the configuration in the folder; what another process left half written goes."""
    for partial in folder.glob(".*.part"):
        partial.unlink()
    write_whole(folder / CONFIG, config.to_json().encode())
