"""How well people of a frame continue tracks: OKS that allows for the uncertainty of the motion, and overlap of masks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from personlab.track.seen import Floats, Seen


def keypoint_similarity(
    points: Floats, weights: Floats, sizes: Floats, variances: Floats, seen: Seen, kappas: Floats
) -> tuple[Floats, Floats]:
    """Compare T tracks with the P people of a frame.

    OKS (COCO keypoint evaluation) with the mean of both areas, keypoints weighted by the lower of their two weights,
    and the variance of the predicted place added to that of each keypoint: a track that was not seen for long is
    looked for in a wider area. The second result also has the factor by which a normal distribution of that variance
    is lower in its middle, so that a sure track goes before an unsure one.

    Args:
        points: (T, N, 2) predicted, pixels.
        weights: (T, N).
        sizes: (T,) pixels.
        variances: (T,) of the predicted place, pixels^2.
        seen: the people.
        kappas: (N,) 2 sigma of each point.

    Returns:
        (T, P) similarity, 0 to 1, 0 without a common point; (T, P) the same, times that factor.
    """
    squared = np.square(points[:, None, :, 0] - seen.points[None, :, :, 0])
    squared += np.square(points[:, None, :, 1] - seen.points[None, :, :, 1])
    area = (np.square(sizes)[:, None] + np.square(seen.sizes)) / 2
    own = area[..., None] * np.square(kappas)
    wide = own + variances[:, None, None]
    shared = np.minimum(weights[:, None], seen.weights)
    total = np.maximum(shared.sum(axis=2), 1e-12)
    np.divide(squared, wide, out=squared)
    squared *= -0.5
    np.exp(squared, out=squared)
    squared *= shared
    plain = squared.sum(axis=2) / total
    own /= wide
    squared *= own
    return plain, squared.sum(axis=2) / total


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
    return np.divide(common, union, out=np.zeros_like(common), where=union > 0)
