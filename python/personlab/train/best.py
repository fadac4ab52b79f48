"""Which of a run's evaluations was the best, and whether others are worth waiting for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Evaluations = Sequence[tuple[int, Mapping[str, float]]]  # step and figures, in the order of steps


def score_of(figures: Mapping[str, float]) -> float:
    """Return the mean of the average precisions among the figures of an evaluation; 0 without one."""
    precisions = [value for name, value in figures.items() if name.endswith("_ap") and value is not None]
    return sum(precisions) / max(len(precisions), 1)


def best_of(evaluations: Evaluations) -> tuple[int, float]:
    """Return step and score of the best evaluation, the first of equals; (-1, -1) of none."""
    scores = [(step, score_of(figures)) for step, figures in evaluations]
    return max(scores, key=lambda one: (one[1], -one[0]), default=(-1, -1.0))


def is_over(evaluations: Evaluations, patience: int) -> bool:
    """Return whether the last `patience` evaluations were not better than one before; never where that is 0."""
    best, _ = best_of(evaluations)
    return 0 < patience <= sum(step > best for step, _ in evaluations)
