"""Mean losses, speed and time spent waiting for images, since they were last read."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

import torch

from personlab.data.loader import read_batches

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from personlab.data.loader import Batch
    from personlab.train.processes import Place


class Meter:
    """Sums up the steps of a run.

    Args:
        batch_size: images a step, over all processes.
        place: whose losses are averaged over processes when they are read.
    """

    def __init__(self, batch_size: int, place: Place) -> None:
        self._batch_size, self._place = batch_size, place
        self._restart()

    def _restart(self) -> None:
        self._sums: torch.Tensor | None = None  # stays on its device: reading it waits for the device
        self._names: list[str] = []
        self._steps, self._waited, self._since = 0, 0.0, time.perf_counter()

    def waiting(self, loader: Any) -> Generator[Batch]:
        """Yield the loader's batches and add up the time until each; to be closed."""
        with contextlib.closing(read_batches(loader)) as batches:
            while True:
                start = time.perf_counter()
                batch = next(batches, None)
                if batch is None:
                    return
                self._waited += time.perf_counter() - start
                yield batch

    def leave_out(self, seconds: float) -> None:
        """Leave out time that was spent on something else than steps."""
        self._since += seconds

    def add(self, losses: Mapping[str, torch.Tensor], gradient: torch.Tensor) -> None:
        """Add a step."""
        named = {**losses, "gradient": gradient}
        values = torch.stack([value.detach().float() for value in named.values()])
        self._names, self._steps = list(named), self._steps + 1
        self._sums = values if self._sums is None else self._sums + values

    def means(self) -> dict[str, float]:
        """Return mean losses and the mean gradient norm before clipping; every process has to call this."""
        if self._sums is None:
            return {}
        return dict(zip(self._names, self._place.mean(self._sums / self._steps).tolist(), strict=True))

    def speed(self) -> dict[str, float]:
        """Return images a second and the share of the time spent waiting for images, and start again."""
        seconds = max(time.perf_counter() - self._since, 1e-9)
        figures = {"images_per_second": self._steps * self._batch_size / seconds, "waiting": self._waited / seconds}
        self._restart()
        return figures
