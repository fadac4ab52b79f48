"""Greedy grouping: poses that grow from the best peaks (section 3.1.2)."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from personlab.methods.personlab.backends.reference.peaks import sort_order
from personlab.methods.personlab.backends.reference.sampling import (
    Array,
    Field,
    sample,
    sample_offset,
    sample_probability,
    sigmoid,
    single,
)

if TYPE_CHECKING:
    from personlab.options import DecodeOptions
    from personlab.skeleton import Skeleton

Path = tuple[tuple[Any, Any], ...]  # (x, y) after the mid-range offset, then after each refinement


class Growth(NamedTuple):
    """How a pose came to be."""

    seed: tuple[int, Any, Any]  # keypoint type, x, y
    score: float  # by which the queue of seeds is ordered
    followed: list[tuple[int, Path]]  # directed edges in the order in which they reached a keypoint, and how


def is_taken(poses: list[Array], keypoint: int, x: Any, y: Any, radius: float) -> bool:
    """Returns whether (x, y) lies within a radius of one keypoint of any of the poses (K, 2)."""
    for pose in poses:
        dx, dy = np.float64(pose[keypoint, 0]) - np.float64(x), np.float64(pose[keypoint, 1]) - np.float64(y)
        if dx * dx + dy * dy <= single(radius) ** 2:
            return True
    return False


def grow_pose(
    seed: tuple[int, Any, Any],
    heatmaps: Field,
    short_offsets: Field,
    mid_offsets: Field,
    *,
    stride: int,
    skeleton: Skeleton,
    refine_steps: int,
    followed: list[tuple[int, Path]] | None = None,
) -> tuple[Array, Array]:
    """Follow the directed edges best-first from a seed (k, x, y): keypoints (K, 2) and their probabilities (K,).

    x and y are NumPy scalars; coordinates are computed in their precision. In float64 targets wait by their
    probability, as in the paper; in float32 by their logit, as in the published PoseNet decoder.
    A keypoint that no edge reaches from the seed stays at the seed's position with probability 0.
    `followed`, unless None, is extended as `Growth` says.
    """
    h, w = heatmaps.shape[1:]
    k, x, y = seed
    keypoints = np.tile(np.array([x, y]), (skeleton.n_keypoints, 1))
    probabilities = np.zeros(skeleton.n_keypoints)
    reached = np.zeros(skeleton.n_keypoints, bool)
    path: Path = ()
    by_logit = np.asarray(x).dtype == np.float32

    def key(k: int, x: Any, y: Any) -> float:
        if by_logit:
            return -float(np.nan_to_num(sample(heatmaps[k], x, y, stride), nan=-np.inf, posinf=np.inf, neginf=-np.inf))
        return -float(sample_probability(heatmaps[k], x, y, stride))

    queue = [(key(k, x, y), k, y, x, -1, path)]
    while queue:
        waited, k, y, x, e, path = heapq.heappop(queue)
        if reached[k]:
            continue
        reached[k] = True
        if followed is not None and e >= 0:
            followed.append((e, path))
        keypoints[k] = x, y
        probabilities[k] = sigmoid(np.asarray(-waited)) if by_logit else -waited
        for e, (source, target) in enumerate(skeleton.directed_edges):
            if source != k or reached[target]:
                continue
            dx, dy = sample_offset(mid_offsets[e], x, y, stride)
            tx = np.clip(x + dx, 0, (w - 1) * stride)
            ty = np.clip(y + dy, 0, (h - 1) * stride)
            path = ((tx, ty),)
            for _ in range(refine_steps):
                dx, dy = sample_offset(short_offsets[target], tx, ty, stride)
                tx = np.clip(tx + dx, 0, (w - 1) * stride)
                ty = np.clip(ty + dy, 0, (h - 1) * stride)
                path += ((tx, ty),)
            heapq.heappush(queue, (key(target, tx, ty), target, ty, tx, e, path))
    return keypoints, probabilities


def group_poses(
    peaks: tuple[Field, Field, Field],
    heatmaps: Field,
    short_offsets: Field,
    mid_offsets: Field,
    *,
    stride: int,
    skeleton: Skeleton,
    options: DecodeOptions,
    growths: list[Growth] | None = None,
) -> tuple[Array, Array]:
    """Poses in the order of their seeds: keypoints (P, K, 2) in input pixels, probabilities p_k(y_jk) (P, K).

    `growths`, unless None, is extended by one `Growth` for each pose.
    """
    poses: list[Array] = []
    probabilities: list[Array] = []
    peak_keypoints, positions, scores = peaks
    for i in sort_order(scores, peak_keypoints, positions[:, 1], positions[:, 0]):
        k, (x, y) = int(peak_keypoints[i]), positions[i].astype(np.float64)
        if is_taken(poses, k, x, y, options.nms_radius):
            continue
        followed: list[tuple[int, Path]] = []
        pose, probability = grow_pose(
            (k, x, y), heatmaps, short_offsets, mid_offsets,
            stride=stride, skeleton=skeleton, refine_steps=options.refine_steps, followed=followed,
        )  # fmt: skip
        poses.append(pose)
        probabilities.append(probability)
        if growths is not None:
            growths.append(Growth((k, x, y), float(scores[i]), followed))
    count = skeleton.n_keypoints
    return np.array(poses, np.float64).reshape(-1, count, 2), np.array(probabilities).reshape(-1, count)
