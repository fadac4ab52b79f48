"""Training targets in plain float64 NumPy, written for reading: what the compiled `encode_targets` has to equal.

Shapes: P people, K keypoint types, E edges, a field grid of h x w cells; coordinates are (x, y) input pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from personlab.methods.personlab.backends.reference.sampling import Array, Field
    from personlab.skeleton import Skeleton


def stand_ins(labelled: NDArray[np.bool_], skeleton: Skeleton) -> list[int | None]:
    """For each keypoint of one person the nearest labelled one along the edges; None where none is in reach."""
    stand_in: list[int | None] = [k if label else None for k, label in enumerate(labelled)]
    reached = [k for k, label in enumerate(labelled) if label]
    for k in reached:  # grows: breadth first
        for source, target in skeleton.directed_edges:
            if source == k and stand_in[target] is None:
                stand_in[target] = stand_in[k]
                reached.append(target)
    return stand_in


def encode_targets(
    keypoints: Field,
    masks: NDArray[Any] | None,
    crowd: NDArray[Any] | None,
    *,
    size: tuple[int, int],
    stride: int,
    skeleton: Skeleton,
    disk_radius: float,
) -> dict[str, NDArray[Any]]:
    """What a network should say of people with keypoints (P, K, 3) = (x, y, v) and masks (P, H, W); see `Targets`."""
    height, width = size
    people = len(keypoints)
    xy = np.asarray(keypoints[..., :2], np.float64)
    labelled: NDArray[np.bool_] = np.asarray(keypoints[..., 2] > 0)
    y, x = np.meshgrid(np.arange(0.0, height, stride), np.arange(0.0, width, stride), indexing="ij")
    h, w = x.shape
    edges = skeleton.directed_edges
    heatmaps = np.zeros((skeleton.n_keypoints, h, w))
    short_offsets, long_offsets = np.zeros((2, skeleton.n_keypoints, 2, h, w))
    mid_offsets = np.zeros((len(edges), 2, h, w))
    short_valid, long_valid = np.zeros((2, skeleton.n_keypoints, h, w), bool)
    mid_valid = np.zeros((len(edges), h, w), bool)

    stand_in = [stand_ins(labels, skeleton) for labels in labelled]

    def to(person: int, k: int) -> Array:
        return np.stack([xy[person, k, 0] - x, xy[person, k, 1] - y])

    for k in range(skeleton.n_keypoints):
        owner = np.full((h, w), -1)  # the nearest labelled keypoint in reach, else the nearest stand-in
        for with_label in (True, False):
            nearest = np.full((h, w), np.inf)
            free = owner < 0
            for person in range(people):
                place = stand_in[person][k]
                if place is None or labelled[person, k] != with_label:
                    continue
                distance2 = (to(person, place) ** 2).sum(axis=0)
                nearer = free & (distance2 < nearest) & (distance2 <= (disk_radius + np.sqrt(2.0) * stride) ** 2)
                owner[nearer], nearest[nearer] = person, distance2[nearer]
        for person in np.unique(owner[owner >= 0]):
            own, place = owner == person, stand_in[person][k]
            short_offsets[k, :, own] = to(person, place)[:, own].T
            on_disc = own & labelled[person, k] & ((to(person, k) ** 2).sum(axis=0) <= disk_radius**2)
            heatmaps[k][on_disc] = 1
            short_valid[k] |= on_disc
            for e, (source, target) in enumerate(edges):
                if source == k:
                    mid_offsets[e, :, own] = to(person, stand_in[person][target])[:, own].T
                    mid_valid[e] |= on_disc & labelled[person, target]

    at_cells = (slice(None), slice(None, None, stride), slice(None, None, stride))
    covering = np.zeros((people, h, w), bool) if masks is None else masks[at_cells].astype(bool)
    alone = covering.sum(axis=0) == 1
    for person, k in zip(*np.nonzero(labelled), strict=True):
        own = covering[person] & alone
        long_offsets[k, :, own] = to(person, k)[:, own].T
        long_valid[k] |= own
    segmentation = np.logical_or.reduce(covering, axis=0)[None]
    unlabelled = covering[np.flatnonzero(~labelled.any(axis=1))].any(axis=0)
    counts = np.ones((h, w), bool) if crowd is None else ~crowd[at_cells[1:]].astype(bool)
    return {
        "heatmaps": heatmaps,
        "short_offsets": short_offsets,
        "mid_offsets": mid_offsets,
        "segmentation": segmentation.astype(np.float64),
        "long_offsets": long_offsets,
        "heatmap_valid": (counts & ~unlabelled)[None],
        "short_valid": short_valid & counts,
        "mid_valid": mid_valid & counts,
        "segmentation_valid": (counts & (masks is not None))[None],
        "long_valid": long_valid & counts,
    }
