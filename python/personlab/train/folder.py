"""The folder of a run: free, or with a run to resume."""

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
# Settings that may change when a run resumes: its length, its place and its log. Other threads or devices round
# differently.
_FREE = (
    "steps", "passes", "output", "log_every", "checkpoint_every", "evaluation", "threads", "device", "data.workers",
    "cache",
)  # fmt: skip


def saved_config(folder: Path) -> TrainConfig | None:
    """Read the configuration of the run in a folder; None without one.

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
    """Check that a folder holds no other run; nothing is written.

    Raises:
        FileExistsError: it holds a run, and `resume` is not set.
        OSError: its files cannot be read.
        ValueError: the run to resume has other settings, or its configuration is damaged.
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
        if before.get(name) != now[name] and not any(f"{name}.".startswith(f"{free}.") for free in _FREE)
    ]
    if changed:
        name = "method" if "method" in changed else changed[0]  # which decides what others there are
        others = f", and {len(changed) - 1} more differ" if len(changed) > 1 else ""
        raise ValueError(
            f"{name}: expected {before.get(name)!r} as in the run to go on with, got {now[name]!r}{others}"
        )


def check_steps(folder: Path, config: TrainConfig, done: int) -> None:
    """Check that a run does not end before its checkpoint.

    Raises:
        ValueError: it has done more steps than the configuration asks for.
    """
    if config.steps < done:
        raise ValueError(f"steps: expected at least the {done} that the run in {folder} has done, got {config.steps}")


def open_folder(folder: Path, config: TrainConfig) -> None:
    """Save the configuration in the folder, and remove partial files of a killed process."""
    for partial in folder.glob(".*.part"):
        partial.unlink()
    write_whole(folder / CONFIG, config.to_json().encode())
