"""Bodies by the rules of the originals: limb after limb, each connection starts, extends or merges bodies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from personlab.methods.simple_pose.steps import Body

if TYPE_CHECKING:
    from collections.abc import Sequence

    from personlab.methods.simple_pose.options import SimplePoseOptions
    from personlab.methods.simple_pose.steps import Connection, PeakArrays


def assemble(
    connections: Sequence[Connection],
    limbs: Sequence[tuple[int, int]],
    peaks: PeakArrays,
    *,
    options: SimplePoseOptions,
) -> list[Body]:
    """All bodies, in the order in which they began; connections come limb by limb, best first."""
    bodies: list[Body] = []
    for one in connections:
        a, b = limbs[one.limb]
        holders = [
            body for body in bodies if body.slots.get(a, (-1, 0))[0] == one.a or body.slots.get(b, (-1, 0))[0] == one.b
        ][:2]
        if not holders:
            total = float(peaks.scores[one.a] + peaks.scores[one.b]) + one.score
            bodies.append(Body({a: (one.a, one.score), b: (one.b, one.score)}, total, 2, one.length))
        elif len(holders) == 1:
            _extend(holders[0], one, b, peaks, options)
        elif holders[0].slots.keys() & holders[1].slots.keys():
            if options.resolve_shared:
                _resolve(holders, one, a, b, peaks)
        elif _merge(holders, one, options):
            bodies.remove(holders[1])  # by identity
    return bodies


def _extend(body: Body, one: Connection, b: int, peaks: PeakArrays, options: SimplePoseOptions) -> None:
    held, old = body.slots.get(b, (-1, 0.0))
    near = options.length_ratio * body.longest > one.length
    if held == -1:
        if not near:
            return
        body.count += 1
        body.total += float(peaks.scores[one.b]) + one.score
        body.longest = max(body.longest, one.length)
    elif held != one.b:
        if not (old < one.score and near):
            return
        body.total += float(peaks.scores[one.b]) + one.score - float(peaks.scores[held]) - old
        body.longest = max(body.longest, one.length)
    else:
        if options.rules == "part_a" or old > one.score or (options.rules == "demo" and not near):
            return
        body.total += one.score - old
        body.longest = max(body.longest, one.length)
    body.slots[b] = one.b, one.score


def _merge(holders: Sequence[Body], one: Connection, options: SimplePoseOptions) -> bool:
    first, second = holders
    lowest = min(score for body in holders for _, score in body.slots.values())
    if one.score < options.merge_ratio * lowest or options.length_ratio * first.longest <= one.length:
        return False
    first.slots.update(second.slots)
    first.total += second.total + one.score
    first.count += second.count
    first.longest = max(first.longest, one.length)  # the second's is forgotten
    return True


def _resolve(holders: Sequence[Body], one: Connection, a: int, b: int, peaks: PeakArrays) -> None:
    """One of two bodies that share a keypoint type loses its end of the connection."""
    ends = [a if body.slots.get(a, (-1, 0))[0] == one.a else b for body in holders]
    held = [body.slots[end] for body, end in zip(holders, ends, strict=True)]
    if one.score < held[0][1] and one.score < held[1][1]:
        return
    loser = 1 if held[0][1] > held[1][1] else 0
    body, (peak, score) = holders[loser], held[loser]
    del body.slots[ends[loser]]
    body.total -= float(peaks.scores[peak]) + score
    body.count -= 1
