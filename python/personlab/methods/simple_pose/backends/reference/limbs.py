"""Limbs: every pair of peaks that a limb may join, scored along the line between them, and matched one to one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from personlab.methods.simple_pose.backends.reference.arithmetic import in_order
from personlab.methods.simple_pose.steps import Connection

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from personlab.methods.simple_pose.options import SimplePoseOptions
    from personlab.methods.simple_pose.steps import PeakArrays

    Array = np.ndarray
    Read = Callable[[int, Array], Array]


SURE = 0.5  # score of a limb beside which much longer ones are not tried


def sample_count(length: float, longest: float, options: SimplePoseOptions) -> int:
    """The number of samples along a limb; `longest`: no line on the image is as long."""
    if options.rules == "part_a":
        return max(int(min(length, longest)), options.max_samples)
    return int(min(np.rint(length + 1), options.max_samples))


def sample_points(start: Array, end: Array, count: int, options: SimplePoseOptions) -> Array:
    """Evenly from end to end, (count, 2): where samples are rounded to pixels, the last bit decides which is read.

    The originals place them as np.linspace does, axis by axis.
    """
    last = max(count - 1, 1)
    step = (end - start) * (1 / last) if options.rules == "default" else (end - start) / last
    points: Array = np.arange(count)[:, None] * step + start
    if options.rules != "default" and count > 1:
        points[last] = end
    return points


def from_the_middle(count: int) -> list[int]:
    """The order in which samples are added up: 0 .. count - 1 from the middle outwards."""
    return [count // 2 + n // 2 if n % 2 == 0 else count // 2 - 1 - n // 2 for n in range(count)]


def limb_score(values: Array, length: float, height: int, options: SimplePoseOptions) -> float | None:
    """The score of a limb by its samples, or None where it is none."""
    share = np.count_nonzero(values > options.limb_threshold)
    needed = options.min_support * len(values)
    total = in_order(values[from_the_middle(len(values))])
    score = total / len(values) + min(0.5 * height / length - 1, 0)
    supported = share > needed if options.rules == "demo" else share >= needed
    return score if supported and score > 0 else None


def score_pairs(
    limb: int,
    ends: tuple[int, int],
    peaks: PeakArrays,
    read: Read,
    *,
    height: int,
    longest: float,
    scale: Sequence[float] = (1.0, 1.0),
    options: SimplePoseOptions,
) -> list[Connection]:
    """All candidates of a limb, in the order of i, then j.

    Args:
        limb: its number.
        ends: the keypoint types that it joins.
        peaks: of all types.
        read: values of a limb's map at points (n, 2), in the unit of the peaks.
        height: of the image, pixels.
        longest: no line on the image is as long, pixels.
        scale: pixels of the image for each unit of the peaks along x and y.
        options: of sampling and accepting.
    """
    first, second = (np.flatnonzero(peaks.keypoints == k) for k in ends)
    candidates = []
    for i, a in enumerate(first):
        own = []
        for j, b in enumerate(second):
            start, end = peaks.positions[a], peaks.positions[b]
            dx, dy = (end - start) * scale
            length = float(np.sqrt(dx * dx + dy * dy))
            if length == 0:
                continue
            points = sample_points(start, end, sample_count(length, longest, options), options)
            score = limb_score(read(limb, points), length, height, options)
            if score is not None:
                rank = 0.5 * score + 0.25 * peaks.scores[a] + 0.25 * peaks.scores[b]
                own.append(Connection(limb, int(a), int(b), score, i, j, length, float(rank)))
        candidates += _in_reach(own, height, options) if options.rules == "default" else own
    return candidates


def _in_reach(candidates: list[Connection], height: int, options: SimplePoseOptions) -> list[Connection]:
    """The candidates of one peak that are not too long beside its shortest sure one."""
    sure = [one.length for one in candidates if one.score >= SURE]
    limit = options.max_reach * max(min(sure), height / 20) if sure else np.inf
    return [one for one in candidates if one.length <= limit]


def best_first(candidates: Sequence[Connection]) -> list[Connection]:
    """Candidates by rank; ties keep their order."""
    return sorted(candidates, key=lambda c: -c.rank)


def match(candidates: Sequence[Connection]) -> list[Connection]:
    """The connections of a limb, best first: greedily by rank, each peak in one at most."""
    chosen: list[Connection] = []
    used: tuple[set[int], set[int]] = set(), set()
    for one in best_first(candidates):
        if one.a not in used[0] and one.b not in used[1]:
            used[0].add(one.a)
            used[1].add(one.b)
            chosen.append(one)
    return chosen
