"""What a measured step says of longer runs and of more processes: plain arithmetic, with its assumptions in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

ASSUMPTIONS = (
    "each process has as many cores, workers and devices of its own as this run had, on this machine or another one",
    "a step takes a fixed time and a time an image, fitted to the whole batch and half of it",
    "the loader of each process is as fast as this one: storage keeps up with all of them",
    "loader and step slow each other down as much as they did here",
    "gradients are averaged in a ring, 2 (N - 1) / N times their bytes a step",
    "the lower speed waits for the gradients, the higher one hides them behind the backward pass",
)


class Speed(NamedTuple):
    """Images a second: over the whole measured time, and in the slowest and the fastest part of it."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Costs:
    """Seconds of one process, as measured.

    Attributes:
        fixed: of a step, whatever its images
        per_image: of a step, for each image
        loader: of the loader, for each image
        slowdown: time of a step with its loader, relative to the longer of both alone
    """

    fixed: float
    per_image: float
    loader: float
    slowdown: float

    @classmethod
    def fit(cls, whole: tuple[int, float], half: tuple[int, float], *, loader: float, together: float) -> Costs:
        """Fit the costs to measured times.

        Args:
            whole: images and seconds of a step.
            half: those of a step on about half of the images; the same ones where a batch is one image.
            loader: images a second of the loader alone.
            together: images a second of training.
        """
        (many, long), (few, short) = whole, half
        per_image = (long - short) / (many - few) if many > few else long / many
        per_image = min(max(per_image, 0.0), long / many)
        alone = max(long, many / loader)
        return cls(long - per_image * many, per_image, 1 / loader, max(many / together / alone, 1.0))

    def step(self, images: int) -> float:
        """Return the seconds of a step on so many images, its loader included."""
        return self.slowdown * max(self.fixed + self.per_image * images, self.loader * images)


class Row(NamedTuple):
    """A run on so many processes."""

    processes: int
    images: int  # a process and step
    low: float  # images a second, where all processes wait for the gradients
    high: float  # images a second, where the gradients travel during the backward pass

    @property
    def batch_size(self) -> int:
        """Images a step."""
        return self.processes * self.images


def forecast(costs: Costs, images: int, processes: int, *, gradients: int, bandwidth: float) -> Row:
    """Return the speed of so many processes.

    Args:
        costs: of one of them.
        images: of each process and step.
        processes: how many.
        gradients: bytes.
        bandwidth: bytes a second that a process sends, and receives at the same time.
    """
    step, sent = costs.step(images), 2 * (processes - 1) / processes * gradients / bandwidth
    total = processes * images
    return Row(processes, images, total / (step + sent), total / max(step, sent))


def count_saves(steps: int, every: int, evaluations: int) -> int:
    """Return how often a run writes its checkpoint: every so many steps, at each evaluation, and at its end."""
    due = set(range(every, steps + 1, every)) | {steps}
    if evaluations:
        due |= set(range(evaluations, steps + 1, evaluations))
    return len(due)
