"""Log of a training run: log.jsonl, TensorBoard if it is installed, and a progress bar."""

from __future__ import annotations

import contextlib
import json
import math
from types import NoneType
from typing import TYPE_CHECKING, Any

from personlab.io.console import above_progress, log, progress_bar
from personlab.io.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

LOG = "log.jsonl"


class Log:
    """Writes the log of a run from step `step` on; later entries of a killed run are dropped.

    Args:
        folder: of the run.
        step: steps done.
        steps: steps in all.
        quiet: write nothing, as another process does.

    Raises:
        OSError: the log cannot be read or written.
        ValueError: the log is damaged.
    """

    def __init__(self, folder: Path, *, step: int, steps: int, quiet: bool = False) -> None:
        self._path, self._writer, self._bar = folder / LOG, None, None
        self._quiet = quiet
        self._entries: list[dict[str, Any]] = []
        if quiet:
            return
        self._bar = progress_bar(steps, unit="steps", done=step, keep=True)
        self._entries += [entry for entry in _read(self._path) if entry["step"] <= step] if step else []
        write_whole(self._path, "".join(json.dumps(entry) + "\n" for entry in self._entries).encode())
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            self.say("no TensorBoard log: pip install 'personlab[train]'")
        else:
            self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def scores(self, step: int) -> dict[str, float]:
        """Return the figures of the evaluation after that step, by the log so far; empty without an evaluation."""
        return next((entry for number, entry in self.evaluations() if number == step), {})

    def evaluations(self) -> list[tuple[int, dict[str, float]]]:
        """Return step and figures of each evaluation so far; none in a process that writes no log."""
        return [
            (entry["step"], {name: value for name, value in entry.items() if name != "step"})
            for entry in self._entries
            if "evaluation_seconds" in entry
        ]

    def say(self, message: str) -> None:
        """Log a line on stderr, above the progress bar."""
        if self._quiet:
            return
        with above_progress():
            log(message)

    def figures(self, step: int, figures: Mapping[str, float]) -> None:
        """Log the figures of a step."""
        if self._quiet:
            return
        # JSON knows neither infinity nor NaN.
        entry = {name: value if math.isfinite(value) else None for name, value in figures.items()}
        self._entries.append({"step": step, **entry})
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(self._entries[-1]) + "\n")
        if self._writer is not None:
            for name, value in figures.items():
                self._writer.add_scalar(name, value, step)
        self.say(f"step {step}: " + ", ".join(f"{name} {value:.4g}" for name, value in figures.items()))

    def image(self, step: int, name: str, image: NDArray[Any]) -> None:
        """Show an (H, W, 3) uint8 image in TensorBoard."""
        if self._writer is not None:
            self._writer.add_image(name, image, step, dataformats="HWC")

    def advance(self) -> None:
        """Move the progress bar by one step."""
        if self._bar is not None:
            self._bar.update()

    def close(self) -> None:
        """Close the progress bar, and write buffered entries of TensorBoard."""
        if self._bar is not None:
            self._bar.close()
        if self._writer is not None:
            self._writer.close()


def _read(path: Path) -> list[dict[str, Any]]:
    """Read the entries of a log, without an incomplete last line that a crash left.

    Raises:
        ValueError: another line is damaged.
    """
    lines = path.read_bytes().splitlines() if path.exists() else []
    try:
        entries = [_entry(line, f"line {number}") for number, line in enumerate(lines[:-1], 1)]
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    with contextlib.suppress(ValueError):
        entries += [_entry(line, "last line") for line in lines[-1:]]
    return entries


def _entry(line: bytes, name: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except (RecursionError, ValueError):
        entry = None
    if (
        not isinstance(entry, dict)
        or type(entry.get("step")) is not int
        or not all(isinstance(value, (int, float, NoneType)) for value in entry.values())
    ):
        raise ValueError(f"{name}: expected the step and the figures that a run logs, got {line[:40]!r}")
    return entry
