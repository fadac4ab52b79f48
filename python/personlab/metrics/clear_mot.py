"""CLEAR MOT: matches the objects and the hypotheses of a sequence frame by frame, and counts misses and switches.

Source: Bernardin and Stiefelhagen, "Evaluating Multiple Object Tracking Performance: The CLEAR MOT Metrics" (2008).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass
class Counts:
    """What a sequence, or several, add up to; `a + b` adds them."""

    objects: int = 0
    misses: int = 0
    false_positives: int = 0
    switches: int = 0
    matches: int = 0  # switches included
    distance: float = 0.0  # of all matches
    logged_distance: float = 0.0  # of all rows in the log of motmetrics >= 1.1: each match counts twice or more

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    @property
    def mota(self) -> float:
        """Accuracy, at most 1; NaN without objects."""
        errors = self.misses + self.false_positives + self.switches
        return 1 - errors / self.objects if self.objects else float("nan")

    @property
    def motp(self) -> float:
        """1 - mean distance of the matches; NaN without matches."""
        return 1 - self.distance / self.matches if self.matches else float("nan")

    @property
    def precision(self) -> float:
        """Share of the hypotheses that are matched; NaN without any."""
        hypotheses = self.matches + self.false_positives
        return self.matches / hypotheses if hypotheses else float("nan")

    @property
    def recall(self) -> float:
        """Share of the objects that are matched; NaN without any."""
        return self.matches / self.objects if self.objects else float("nan")


class ClearMot:
    """The matches of one sequence so far, and their `counts`."""

    def __init__(self) -> None:
        self.counts = Counts()
        self._matched_to: dict[int, int] = {}  # object -> its last hypothesis
        self._owner: dict[int, int] = {}  # hypothesis -> the last object that assignment gave it
        self._seen_objects: set[int] = set()  # that were matched
        self._seen: set[int] = set()  # hypotheses that were matched

    def update(
        self, objects: Sequence[int], hypotheses: Sequence[int], distances: NDArray[np.float64]
    ) -> list[tuple[int, int]]:
        """Match the objects and the hypotheses of the next frame, and count.

        A pair of earlier frames stays where it is still valid; the others are assigned so that as many as possible are
        matched, at the smallest sum of distances.

        Args:
            objects: N track ids, no id twice.
            hypotheses: M track ids, no id twice.
            distances: (N, M); NaN where a pair may not match.

        Returns:
            The matches: places of object and hypothesis.
        """
        free = np.array(distances, np.float64).reshape(len(objects), len(hypotheses))
        counts = self.counts
        valid = np.isfinite(free)
        counts.objects += len(objects)
        counts.logged_distance += float(free[valid].sum())
        matches = self._keep_pairs(objects, hypotheses, free)
        for i, j in matches:
            self._note(objects[i], hypotheses[j], float(distances[i, j]), rows=1)
            free[i, :] = free[:, j] = np.nan
        for i, j in assign(free):
            matches.append((i, j))
            self._assign(objects[i], hypotheses[j], float(distances[i, j]))
        counts.misses += len(objects) - len(matches)
        counts.false_positives += len(hypotheses) - len(matches)
        return matches

    def _keep_pairs(
        self, objects: Sequence[int], hypotheses: Sequence[int], distances: NDArray[np.float64]
    ) -> list[tuple[int, int]]:
        place = {hypothesis: j for j, hypothesis in enumerate(hypotheses)}
        kept: dict[int, int] = {}  # j -> i
        for i, one in enumerate(objects):
            j = place.get(self._matched_to.get(one, -1), -1) if one in self._matched_to else -1
            if j >= 0 and j not in kept and np.isfinite(distances[i, j]):
                kept[j] = i
        return [(i, j) for j, i in kept.items()]

    def _assign(self, one: int, hypothesis: int, distance: float) -> None:
        switched = self._matched_to.get(one, hypothesis) != hypothesis
        rows = 1
        if switched:
            self.counts.switches += 1
            rows += hypothesis not in self._seen
        if self._owner.get(hypothesis, one) != one:
            rows += 1 + (one not in self._seen_objects)
        self._note(one, hypothesis, distance, rows)
        self._matched_to[one], self._owner[hypothesis] = hypothesis, one

    def _note(self, one: int, hypothesis: int, distance: float, rows: int) -> None:
        self.counts.matches += 1
        self.counts.distance += distance
        self.counts.logged_distance += rows * distance
        self._seen_objects.add(one)
        self._seen.add(hypothesis)


def assign(costs: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Return the pairs (row, column) of max number, and of min cost among those; NaN is no pair."""
    valid = np.isfinite(costs)
    if not valid.any():
        return []
    from scipy.optimize import linear_sum_assignment

    barrier = 2 * min(costs.shape) * max(1.0, float(np.abs(costs[valid]).max())) + 1  # dearer than all pairs together
    rows, columns = linear_sum_assignment(np.where(valid, costs, barrier))
    return [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if valid[i, j]]
