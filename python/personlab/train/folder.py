"""The folder of a run: whether it is free, or holds the run that is to go on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from personlab._files import write_whole
from personlab.train.config import TrainConfig
from personlab.train.log import LOG
from personlab.train.state import CHECKPOINT

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = "config.json"
# What may change when a run goes on: where it is and what it tells. Other threads or devices round differently.
_FREE = ("output", "log_every", "checkpoint_every", "evaluation", "threads", "device", "data.workers")


def check_folder(folder: Path, config: TrainConfig, *, resume: bool) -> None:
    """Refuse a folder that holds another run; nothing is written.

    Raises:
        FileExistsError: it holds a run that is not to go on.
        ValueError: the run to go on with had other settings.
    """
    if not (folder / CHECKPOINT).exists():
        return
    if not resume:
        raise FileExistsError(f"{folder}: holds a run; --resume goes on with it, another --output leaves it alone")
    if not (folder / CONFIG).exists():
        return
    default, now = _flat(json.loads(TrainConfig().to_json())), _flat(json.loads(config.to_json()))
    before = {**default, **_flat(json.loads((folder / CONFIG).read_text("utf-8")))}
    changed = [
        name
        for name in now
        if before[name] != now[name] and not any(f"{name}.".startswith(f"{free}.") for free in _FREE)
    ]
    if changed:
        name = changed[0]
        others = f", and {len(changed) - 1} more differ" if len(changed) > 1 else ""
        raise ValueError(f"{name}: expected {before[name]!r} as in the run to go on with, got {now[name]!r}{others}")


def open_folder(folder: Path, config: TrainConfig, *, resume: bool) -> None:
    """Make the folder and save the configuration in it; what another process left half written goes."""
    folder.mkdir(parents=True, exist_ok=True)
    for partial in folder.glob(".*.part"):
        partial.unlink()
    write_whole(folder / CONFIG, config.to_json().encode())
    if not resume:
        (folder / LOG).unlink(missing_ok=True)


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat
