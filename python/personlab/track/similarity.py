"""How well people of a frame continue tracks: OKS that allows for uncertain motion, and overlap of masks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from personlab.track.motion import Sights
    from personlab.track.seen import Floats, Seen

# Of the second result of `keypoint_similarity`; the benchmark's suites of other seeds than those it prints decided.
_PLACE = 0.12  # standard deviation of a body's place, sizes of the person
_POWER = 0.6  # of the share of this variance in the whole one: by how much an unsure track comes after a sure one
_SHARP = 0.7  # factor on the kappas: two poses in one place differ in little
_SHARE = 0.12  # standard deviation of the share of a person that is seen, from frame to frame
_SHARE_CHANGE = 0.2  # by how much it is less sure after each frame that does not show the person, likewise


def keypoint_similarity(
    tracks: Sights, variances: Floats, hidden: NDArray[np.int64], seen: Seen, kappas: Floats, least: float
) -> tuple[Floats, Floats]:
    """Compare T tracks with the P people of a frame.

    OKS (COCO keypoint evaluation) with the mean of both areas, keypoints weighted by the lower of their two weights,
    and the variance of the predicted place added to that of each keypoint: a track that was not seen for long is
    looked for in a wider area. The second result ranks tracks for one person: a normal distribution of the body's
    displacement, lower in its middle the less sure the place is, times the OKS of the poses about the bodies, times a
    normal distribution of the change of the share that is seen: who was behind another does not come before them.

    Args:
        tracks: where they are predicted.
        variances: (T,) of the predicted place, pixels^2.
        hidden: (T,) frames since last seen, 1 for who was seen in the frame before.
        seen: the people.
        kappas: (N,) 2 sigma of each point.
        least: similarities below may be left at 0.

    Returns:
        (T, P) similarity, 0 to 1, 0 without a common point; (T, P) rank, 0 to 1, likewise.
    """
    shape = len(variances), len(seen)
    plain, ranked = np.zeros(shape), np.zeros(shape)
    squares = kappas * kappas
    area = (np.square(tracks.sizes)[:, None] + np.square(seen.sizes)) / 2
    t, p = np.nonzero(_near(tracks, seen, area * squares.max() + variances[:, None], least))
    d = tracks.points[t] - seen.points[p]
    dx, dy = d[..., 0], d[..., 1]
    area, variance = area[t, p], variances[t]
    own = area[:, None] * squares
    shared = np.minimum(tracks.weights[t], seen.weights[p])
    total = np.maximum(np.add.reduce(shared, axis=1), 1e-12)
    squared = dx * dx
    squared += dy * dy
    squared /= own + variance[:, None]
    squared *= -0.5
    np.exp(squared, out=squared)
    squared *= shared
    plain[t, p] = np.add.reduce(squared, axis=1) / total
    pull = shared / kappas
    pull /= np.maximum(np.add.reduce(pull, axis=1), 1e-12)[:, None]
    x, y = np.add.reduce(pull * dx, axis=1), np.add.reduce(pull * dy, axis=1)
    dx, dy = dx - x[:, None], dy - y[:, None]
    dx *= dx
    dy *= dy
    dx += dy
    dx /= own
    dx *= -0.5 / _SHARP**2
    np.exp(dx, out=dx)
    dx *= shared
    base = area * _PLACE**2
    spread = base + variance
    changed = np.square(tracks.shares[t] - seen.shares[p]) / (_SHARE**2 + _SHARE_CHANGE**2 * hidden[t])
    place = np.exp(-0.5 * ((x * x + y * y) / spread + changed))
    ranked[t, p] = place * np.add.reduce(dx, axis=1) / total * (base / spread) ** _POWER
    return plain, ranked


def second_poses(seen: Seen, kappas: Floats, least: float) -> NDArray[np.bool_]:
    """Return (P,) whose pose is a second one of a person with a better pose: a higher score, or a lower index.

    OKS with twice the variance of a keypoint, for both are unsure, in which a point that one of them sees better counts
    as different by the rest: of two people in one place, the one behind is partly hidden.
    """
    flags = np.zeros(len(seen), bool)
    squares = kappas * kappas
    area = np.square(seen.sizes)
    area = area[:, None] + area  # twice the mean
    near = _near(seen, seen, area * squares.max(), least)
    i, j = np.nonzero(np.triu(near, 1))
    if not len(i):
        return flags
    d = seen.points[i] - seen.points[j]
    d *= d
    squared = d[..., 0] + d[..., 1]
    squared /= area[i, j, None] * squares
    squared *= -0.5
    np.exp(squared, out=squared)
    first, second = seen.weights[i], seen.weights[j]
    squared *= np.minimum(first, second)
    all_weights = np.add.reduce(np.maximum(first, second), axis=1)
    alike = np.add.reduce(squared, axis=1) >= least * np.maximum(all_weights, 1e-12)
    flags[np.where(seen.scores[j] > seen.scores[i], i, j)[alike]] = True
    return flags


def _near(first: Sights | Seen, second: Seen, variances: Floats, least: float) -> NDArray[np.bool_]:
    """Return (A, B) which pairs may have a similarity of `least`: points so near that a keypoint alone reaches it."""
    (low, high), (other_low, other_high) = first.limits, second.limits
    gaps = np.maximum(other_low - high[:, None], low[:, None] - other_high)
    np.maximum(gaps, 0.0, out=gaps)
    gaps *= gaps
    near: NDArray[np.bool_] = gaps[..., 0] + gaps[..., 1] <= -2.0 * math.log(max(least, 1e-12)) * variances
    return near


def mask_overlap(
    masks: NDArray[np.float32], shifts: Floats, seen: NDArray[np.float32], cell: int
) -> NDArray[np.float64]:
    """Return (T, P) intersection over union of the masks of tracks, moved, with those of the people of a frame.

    Args:
        masks: (T, h, w) 0 or 1, of the frame before.
        shifts: (T, 2) x, y by which each person has moved since, pixels.
        seen: (P, h, w) 0 or 1.
        cell: pixels between neighbouring points of the masks.
    """
    moved = np.zeros_like(masks)
    height, width = masks.shape[1:]
    for target, mask, (x, y) in zip(moved, masks, np.rint(shifts / cell).tolist(), strict=True):
        dx, dy = (int(min(max(step, -limit), limit)) for step, limit in ((x, width), (y, height)))
        target[max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)] = mask[
            max(-dy, 0) : height - max(dy, 0), max(-dx, 0) : width - max(dx, 0)
        ]
    first, second = moved.reshape(len(moved), height * width), seen.reshape(len(seen), height * width)
    common = (first @ second.T).astype(np.float64)  # sums of 0 and 1, exact in any order
    union = first.sum(axis=1, dtype=np.float64)[:, None] + second.sum(axis=1, dtype=np.float64) - common
    overlap: NDArray[np.float64] = np.divide(common, union, out=np.zeros_like(common), where=union > 0)
    return overlap
