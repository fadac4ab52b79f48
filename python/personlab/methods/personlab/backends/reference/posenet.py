"""The decoder of Google's PoseNet, number for number."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from personlab.methods.personlab.backends.reference.group import Growth, Path, grow_pose, is_taken
from personlab.methods.personlab.backends.reference.sampling import Array, Field, single
from personlab.methods.personlab.backends.reference.score import rank_poses

if TYPE_CHECKING:
    from personlab.options import DecodeOptions
    from personlab.skeleton import Skeleton


def posenet_seeds(
    heatmaps: Field, short_offsets: Field, *, stride: int, threshold: float
) -> list[tuple[float, int, np.float32, np.float32]]:
    """Local maxima of the logits, ties all passing, as (logit, k, x, y) in input pixels; best first.

    Positions are float32, as the published decoder computes them: weak poses magnify rounding to visible distances.
    """
    count, h, w = heatmaps.shape
    odds = 1.0 / (single(threshold) + 1e-6) - 1.0
    lowest = np.float32(-math.log(odds) if odds > 0 else np.inf)
    seeds = []
    for k, i, j in np.ndindex(count, h, w):
        logit = heatmaps[k, i, j]
        around = heatmaps[k, max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2]
        if logit >= lowest and not (around > logit).any():
            dx, dy = short_offsets[k, :, i, j]
            if not (np.isfinite(dx) and np.isfinite(dy)):
                dx = dy = np.float32(0)
            x, y = np.clip(j * stride + dx, 0, (w - 1) * stride), np.clip(i * stride + dy, 0, (h - 1) * stride)
            seeds.append((float(logit), k, x, y, i, j))
    seeds.sort(key=lambda seed: (-seed[0], seed[1], seed[4], seed[5]))
    return [seed[:4] for seed in seeds]


def group_posenet(
    heatmaps: Field,
    short_offsets: Field,
    mid_offsets: Field,
    *,
    stride: int,
    skeleton: Skeleton,
    options: DecodeOptions,
    growths: list[Growth] | None = None,
) -> tuple[Array, Array]:
    """Poses that the published PoseNet decoder accepts, in the order of their seeds: as `group_poses` returns them."""
    poses: list[Array] = []
    probabilities: list[Array] = []
    for logit, k, x, y in posenet_seeds(heatmaps, short_offsets, stride=stride, threshold=options.min_score):
        if len(poses) == options.max_poses:
            break
        if is_taken(poses, k, x, y, options.nms_radius):
            continue
        followed: list[tuple[int, Path]] = []
        pose, probability = grow_pose(
            (k, x, y), heatmaps, short_offsets, mid_offsets,
            stride=stride, skeleton=skeleton, refine_steps=options.refine_steps, followed=followed,
        )  # fmt: skip
        if probability.mean() >= single(options.min_score):
            poses.append(pose)
            probabilities.append(probability)
            if growths is not None:
                growths.append(Growth((k, x, y), logit, followed))
    count = skeleton.n_keypoints
    return np.array(poses).reshape(-1, count, 2), np.array(probabilities).reshape(-1, count)


def decode_posenet(
    heatmaps: Field,
    short_offsets: Field,
    mid_offsets: Field,
    *,
    stride: int,
    skeleton: Skeleton,
    options: DecodeOptions,
) -> tuple[Array, Array, Array, Array]:
    """Poses as the published PoseNet decoder finds them; returns what `decode_poses` does."""
    keypoints, p = group_posenet(
        heatmaps, short_offsets, mid_offsets, stride=stride, skeleton=skeleton, options=options
    )  # fmt: skip
    best, scores = rank_poses(keypoints, p, options=posenet_ranking(options))
    return keypoints[best], p[best], p[best], scores


def posenet_ranking(options: DecodeOptions) -> DecodeOptions:
    """The options with the one way in which this decoder scores and ranks: all by mean probability."""
    return replace(options, scoring="heatmap", ranking="mean", instance_score="mean")
