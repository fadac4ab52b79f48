"""How well people of a frame continue tracks: OKS that allows for uncertain motion, and overlap of masks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from personlab.track.seen import Floats, Seen

# Of the second result of `keypoint_similarity`; the benchmark's suites of other seeds than those it prints decided.
_PLACE = 0.12  # standard deviation of a body's place, sizes of the person
_POWER = 0.6  # of the share of this variance in the whole one: by how much an unsure track comes after a sure one
_SHARP = 0.7  # factor on the kappas: two poses in one place differ in little


def keypoint_similarity(
    points: Floats, weights: Floats, sizes: Floats, variances: Floats, seen: Seen, kappas: Floats
) -> tuple[Floats, Floats]:
    """Compare T tracks with the P people of a frame.

    OKS (COCO keypoint evaluation) with the mean of both areas, keypoints weighted by the lower of their two weights,
    and the variance of the predicted place added to that of each keypoint: a track that was not seen for long is
    looked for in a wider area. The second result ranks tracks for one person: a normal distribution of the body's
    displacement, lower in its middle the less sure the place is, times the OKS of the poses about the bodies.

    Args:
        points: (T, N, 2) predicted, pixels.
        weights: (T, N).
        sizes: (T,) pixels.
        variances: (T,) of the predicted place, pixels^2.
        seen: the people.
        kappas: (N,) 2 sigma of each point.

    Returns:
        (T, P) similarity, 0 to 1, 0 without a common point; (T, P) rank, 0 to 1, likewise.
    """
    dx = points[:, None, :, 0] - seen.points[None, :, :, 0]
    dy = points[:, None, :, 1] - seen.points[None, :, :, 1]
    area = (np.square(sizes)[:, None] + np.square(seen.sizes)) / 2
    own = area[..., None] * np.square(kappas)
    shared = np.minimum(weights[:, None], seen.weights)
    total = np.maximum(shared.sum(axis=2), 1e-12)
    squared = dx * dx
    squared += dy * dy
    squared /= own + variances[:, None, None]
    squared *= -0.5
    plain = (np.exp(squared, out=squared) * shared).sum(axis=2) / total
    pull = shared / kappas
    whole = np.maximum(pull.sum(axis=2), 1e-12)
    x, y = np.einsum("tpn,tpn->tp", pull, dx) / whole, np.einsum("tpn,tpn->tp", pull, dy) / whole
    dx -= x[..., None]
    dy -= y[..., None]
    dx *= dx
    dy *= dy
    dx += dy
    dx /= own
    dx *= -0.5 / _SHARP**2
    shape = (np.exp(dx, out=dx) * shared).sum(axis=2) / total
    base = area * _PLACE**2
    spread = base + variances[:, None]
    ranked = np.exp((x * x + y * y) / spread * -0.5) * shape * (base / spread) ** _POWER
    return plain, ranked


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
    first, second = moved.reshape(len(moved), -1), seen.reshape(len(seen), -1)
    common = (first @ second.T).astype(np.float64)  # sums of 0 and 1, exact in any order
    union = first.sum(axis=1, dtype=np.float64)[:, None] + second.sum(axis=1, dtype=np.float64) - common
    overlap: NDArray[np.float64] = np.divide(common, union, out=np.zeros_like(common), where=union > 0)
    return overlap
