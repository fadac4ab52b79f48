"""Bodies by the default rules: the best connections of all limbs first, each joins what it can."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from personlab.methods.simple_pose.backends.reference.arithmetic import in_order
from personlab.methods.simple_pose.steps import Body

if TYPE_CHECKING:
    from collections.abc import Sequence

    from personlab.methods.simple_pose.options import SimplePoseOptions
    from personlab.methods.simple_pose.steps import Connection, PeakArrays


def assemble_best(
    connections: Sequence[Connection], peaks: PeakArrays, *, options: SimplePoseOptions
) -> tuple[list[Body], list[Connection]]:
    """All bodies, in the order of their first peaks, and the connections whose ends belong together.

    Every peak is a body of its own at first. A connection merges the bodies of its ends unless they share a keypoint
    type, it is too long beside the longest connection of both, or too weak beside the weakest.

    Args:
        connections: of all limbs, best first.
        peaks: of all types.
        options: `length_ratio` and `merge_ratio`.
    """
    members: list[dict[int, int]] = [{int(k): n} for n, k in enumerate(peaks.keypoints)]  # by body
    owner = list(range(len(members)))
    longest, lowest = [0.0] * len(owner), [np.inf] * len(owner)
    best = [0.0] * len(owner)
    kept = []
    for one in connections:
        first, second = sorted((owner[one.a], owner[one.b]))
        if first != second:
            long, low = max(longest[first], longest[second]), min(lowest[first], lowest[second])
            if long > 0 and one.length >= options.length_ratio * long:
                continue
            if low < np.inf and one.score < options.merge_ratio * low:
                continue
            if members[first].keys() & members[second].keys():
                continue
            members[first].update(members[second])
            for peak in members[second].values():
                owner[peak] = first
            longest[first], lowest[first] = max(long, one.length), min(low, one.score)
        for end in (one.a, one.b):
            best[end] = max(best[end], one.score)
        kept.append(one)
    bodies = []
    for n, own in enumerate(members):
        if owner[n] == n:
            slots = {k: (peak, best[peak]) for k, peak in sorted(own.items())}
            scores = [0.5 * (min(max(float(peaks.scores[p]), 0.0), 1.0) + limb) for p, limb in slots.values()]
            bodies.append(Body(slots, in_order(scores), len(slots), longest[n]))
    return bodies, kept
