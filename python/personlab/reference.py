"""Every stage in plain float64 NumPy, written for reading: what the compiled backends have to equal.

Shapes: K keypoint types, E edges, a field grid of h x w cells, stride s input pixels; coordinates are (x, y) input
pixels. The functions take checked arrays and return float64; section numbers are the paper's (arXiv 1803.08225).
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from personlab.options import DecodeOptions
    from personlab.skeleton import Skeleton

Array = NDArray[np.float64]
Field = NDArray[Any]  # float32 as it came, or float64
Path = tuple[tuple[Any, Any], ...]  # (x, y) after the mid-range offset, then after each refinement


class Growth(NamedTuple):
    """How a pose came to be."""

    seed: tuple[int, Any, Any]  # keypoint type, x, y
    score: float  # by which the queue of seeds is ordered
    followed: list[tuple[int, Path]]  # directed edges in the order in which they reached a keypoint, and how


def sigmoid(logit: Field) -> Array:
    """Probability of a logit."""
    with np.errstate(over="ignore"):
        return 1.0 / (1.0 + np.exp(-np.asarray(logit, np.float64)))


def log_odds(probability: float) -> float:
    """Logit of a probability; infinite at 0 and 1."""
    with np.errstate(divide="ignore"):
        return float(np.log(np.float64(probability)) - np.log1p(-np.float64(probability)))


def sample(field: Field, x: Field, y: Field, stride: int) -> Field:
    """Read field (..., h, w) bilinearly at input pixels x, y (any shape n): (..., n), in the precision of x and y.

    Coordinates are clamped to the grid. A cell of weight zero is not read, so that a non-finite value reaches exactly
    the points that lie beside it.
    """
    h, w = field.shape[-2:]
    x, y = np.asarray(x), np.asarray(y)
    cx, cy = np.clip(x / x.dtype.type(stride), 0, w - 1), np.clip(y / y.dtype.type(stride), 0, h - 1)
    j = np.minimum(np.floor(cx).astype(int), max(w - 2, 0))
    i = np.minimum(np.floor(cy).astype(int), max(h - 2, 0))
    right, below = np.minimum(j + 1, w - 1), np.minimum(i + 1, h - 1)
    tx, ty = cx - j.astype(x.dtype), cy - i.astype(y.dtype)

    def weighed(weight: Field, value: Field) -> Field:
        return np.where(weight > 0, weight * value, x.dtype.type(0))

    a, b, c, d = (field[..., row, column].astype(x.dtype) for row in (i, below) for column in (j, right))
    with np.errstate(invalid="ignore", over="ignore"):  # 0 * inf, +inf beside -inf, sums past float32
        top, bottom = weighed(1 - tx, a) + weighed(tx, b), weighed(1 - tx, c) + weighed(tx, d)
        return weighed(1 - ty, top) + weighed(ty, bottom)


def sample_offset(offsets: Field, x: Field, y: Field, stride: int) -> tuple[Field, Field]:
    """Read an offset field (2, h, w) at input pixels x, y; a non-finite offset counts as (0, 0)."""
    dx, dy = sample(offsets, x, y, stride)
    finite = np.isfinite(dx) & np.isfinite(dy)
    zero = dx.dtype.type(0)
    return np.where(finite, dx, zero), np.where(finite, dy, zero)


def sample_probability(heatmap: Field, x: Field, y: Field, stride: int) -> Array:
    """Probability that heatmap (h, w) of logits gives at input pixels x, y; 0 where the logit is NaN."""
    return np.nan_to_num(sigmoid(sample(heatmap, x, y, stride)), nan=0.0)


# --- Hough voting (section 3.1.1) -------------------------------------------------------------------------------------


def hough_vote(heatmaps: Field, short_offsets: Field, *, stride: int, options: DecodeOptions) -> Array:
    """Hough scores h_k on the lattice of pixels that are multiples of g: (K, H', W'), H' = floor((H - 1) / g) + 1."""
    g = options.hough_stride
    count, h, w = heatmaps.shape
    if h == 0 or w == 0:
        return np.zeros((count, 0, 0))
    rows, columns = (h - 1) * stride // g + 1, (w - 1) * stride // g + 1
    y, x = np.meshgrid(np.arange(rows) * float(g), np.arange(columns) * float(g), indexing="ij")
    hough = np.zeros((count, rows, columns))
    for k in range(count):
        logit = sample(heatmaps[k], x, y, stride)
        voters = np.nonzero(logit >= log_odds(options.vote_threshold))
        p = sigmoid(logit[voters])
        dx, dy = sample(short_offsets[k], x[voters], y[voters], stride)
        u, v = (x[voters] + dx) / g, (y[voters] + dy) / g
        inside = (u > -1) & (u < columns) & (v > -1) & (v < rows)  # drops non-finite votes too
        p, u, v = p[inside], u[inside], v[inside]
        left, top = np.floor(u).astype(int), np.floor(v).astype(int)
        for row, weight_y in ((top, 1 - (v - top)), (top + 1, v - top)):
            for column, weight_x in ((left, 1 - (u - left)), (left + 1, u - left)):
                on = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
                np.add.at(hough[k], (row[on], column[on]), (p * weight_y * weight_x)[on])
    return hough * (g * g / (np.pi * options.disk_radius**2))


# --- Peaks ------------------------------------------------------------------------------------------------------------


def sort_order(scores: Field, keypoints: Field, y: Field, x: Field) -> NDArray[np.intp]:
    """The order of all candidates: score descending, ties by keypoint, y, x ascending."""
    return np.lexsort((x, y, keypoints, -scores))


def find_peaks(hough: Field, *, options: DecodeOptions) -> tuple[NDArray[np.intp], Array, Array]:
    """Local maxima of (K, H', W') scores: keypoint (N,), position (N, 2) in input pixels, score (N,); best first.

    A score that is not finite counts as 0: it is no peak and hides none.
    """
    count, rows, columns = hough.shape
    padded = np.full((count, rows + 2, columns + 2), -np.inf)
    padded[:, 1:-1, 1:-1] = np.where(np.isfinite(hough), hough, 0.0)
    centre = padded[:, 1:-1, 1:-1]
    peak = centre >= options.peak_threshold
    for di, dj in ((-1, -1), (-1, 0), (-1, 1), (0, -1)):
        peak &= centre > padded[:, 1 + di : 1 + di + rows, 1 + dj : 1 + dj + columns]
        peak &= centre >= padded[:, 1 - di : 1 - di + rows, 1 - dj : 1 - dj + columns]
    k, i, j = np.nonzero(peak)
    scores: Array = centre[k, i, j]
    order = sort_order(scores, k, i, j)
    positions: Array = np.stack([j, i], axis=1)[order] * np.float64(options.hough_stride)
    return k[order], positions, scores[order]


# --- Greedy grouping (section 3.1.2) ----------------------------------------------------------------------------------


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
    `followed`, where given, gets what `Growth` says.
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

    `growths`, where given, gets one `Growth` for each pose.
    """
    poses: list[Array] = []
    probabilities: list[Array] = []
    peak_keypoints, positions, scores = peaks
    for i in sort_order(scores, peak_keypoints, positions[:, 1], positions[:, 0]):
        k, (x, y) = int(peak_keypoints[i]), positions[i].astype(np.float64)
        if any(np.hypot(*(pose[k] - (x, y)).astype(np.float64)) <= options.nms_radius for pose in poses):
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


# --- Scoring and soft non-maximum suppression (section 3.1.3) ---------------------------------------------------------


def pose_size(keypoints: Field) -> Array:
    """lambda_j (P,): the square root of the area, at least 1, of the tight box of each pose (P, K, 2)."""
    if len(keypoints) == 0:
        return np.zeros(0)
    extent = np.ptp(np.asarray(keypoints, np.float64), axis=1)
    size: Array = np.sqrt(np.maximum(extent[:, 0] * extent[:, 1], 1.0))
    return size


def expected_oks(
    keypoints: Field, probabilities: Field, hough: Field, *, skeleton: Skeleton, options: DecodeOptions
) -> Array:
    """s_jk (P, K): the probability at a keypoint times the Hough-weighted mean OKS over its disc of radius R."""
    g, radius = options.hough_stride, options.disk_radius
    rows, columns = hough.shape[1:]
    size = pose_size(keypoints)
    scores = np.zeros(np.shape(probabilities))
    for j, k in np.ndindex(*scores.shape):
        x, y = keypoints[j, k].astype(np.float64)
        i0, i1 = (int(np.clip(i, 0, rows)) for i in (np.ceil((y - radius) / g), np.floor((y + radius) / g) + 1))
        j0, j1 = (int(np.clip(j, 0, columns)) for j in (np.ceil((x - radius) / g), np.floor((x + radius) / g) + 1))
        window = np.nan_to_num(hough[k, i0:i1, j0:j1].astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
        distance2 = (np.arange(i0, i1)[:, None] * g - y) ** 2 + (np.arange(j0, j1) * g - x) ** 2
        weight = np.where(distance2 <= radius**2, window, 0.0)
        kappa = 2 * skeleton.sigmas[k]
        if weight.sum() > 0:
            oks = np.exp(-distance2 / (2 * size[j] ** 2 * kappa**2))
            scores[j, k] = probabilities[j, k] * (weight * oks).sum() / weight.sum()
    return scores


def soft_nms(keypoints: Field, scores: Field, *, nms_radius: float) -> tuple[NDArray[np.intp], Array]:
    """Order by mean s_jk and instance scores in that order: 1/K the sum over keypoints no pose ahead has taken."""
    ahead = np.argsort(-scores.mean(axis=1), kind="stable")
    instance = np.zeros(len(ahead))
    for rank, j in enumerate(ahead):
        distance = np.linalg.norm(keypoints[ahead[:rank]].astype(np.float64) - keypoints[j], axis=2)  # (rank, K)
        free = (distance > nms_radius).all(axis=0)
        instance[rank] = scores[j][free].sum() / scores.shape[1]
    return ahead, instance


def score_poses(
    keypoints: Field, probabilities: Field, hough: Field, *, skeleton: Skeleton, options: DecodeOptions
) -> tuple[NDArray[np.intp], Array, Array]:
    """Which of the poses are kept, best first: index (Q,), keypoint scores s_jk (Q, K), instance scores (Q,)."""
    scores = np.asarray(probabilities, np.float64)
    if len(scores) == 0:
        return np.zeros(0, np.intp), scores, np.zeros(0)
    if options.scoring == "expected_oks":
        scores = expected_oks(keypoints, probabilities, hough, skeleton=skeleton, options=options)
    order, instance = soft_nms(keypoints, scores, nms_radius=options.nms_radius)
    best = [i for i in np.argsort(-instance, kind="stable") if instance[i] >= options.min_score][: options.max_poses]
    return order[best], scores[order[best]], instance[best]


def decode_poses(
    heatmaps: Field,
    short_offsets: Field,
    mid_offsets: Field,
    *,
    stride: int,
    skeleton: Skeleton,
    options: DecodeOptions,
) -> tuple[Array, Array, Array, Array]:
    """The whole of section 3.1: keypoints (P, K, 2), s_jk (P, K), p_jk (P, K), instance scores (P,)."""
    if options.decoder == "posenet":
        return decode_posenet(heatmaps, short_offsets, mid_offsets, stride=stride, skeleton=skeleton, options=options)
    hough = hough_vote(heatmaps, short_offsets, stride=stride, options=options)
    peaks = find_peaks(hough, options=options)
    keypoints, probabilities = group_poses(
        peaks, heatmaps, short_offsets, mid_offsets, stride=stride, skeleton=skeleton, options=options
    )
    kept, keypoint_scores, scores = score_poses(keypoints, probabilities, hough, skeleton=skeleton, options=options)
    return keypoints[kept], keypoint_scores, probabilities[kept], scores


# --- The decoder of Google's PoseNet ----------------------------------------------------------------------------------


def posenet_seeds(
    heatmaps: Field, short_offsets: Field, *, stride: int, threshold: float
) -> list[tuple[float, int, np.float32, np.float32]]:
    """Local maxima of the logits, ties all passing, as (logit, k, x, y) in input pixels; best first.

    Positions are float32, as the published decoder computes them: weak poses magnify rounding to visible distances.
    """
    count, h, w = heatmaps.shape
    odds = 1.0 / (threshold + 1e-6) - 1.0
    lowest = -np.log(odds) if odds > 0 else np.inf
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
        if any(np.hypot(*(pose[k] - (x, y)).astype(np.float64)) <= options.nms_radius for pose in poses):
            continue
        followed: list[tuple[int, Path]] = []
        pose, probability = grow_pose(
            (k, x, y), heatmaps, short_offsets, mid_offsets,
            stride=stride, skeleton=skeleton, refine_steps=options.refine_steps, followed=followed,
        )  # fmt: skip
        if probability.mean() >= options.min_score:
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
    best, scores = rank_posenet(keypoints, p, options=options)
    return keypoints[best], p[best], p[best], scores


def rank_posenet(keypoints: Field, p: Field, *, options: DecodeOptions) -> tuple[NDArray[np.intp], Array]:
    """Which of the accepted poses (P, K, 2) with probabilities (P, K) are kept, best first, and their scores."""
    if len(keypoints) == 0:
        return np.zeros(0, np.intp), np.zeros(0)
    order, scores = soft_nms(keypoints, p, nms_radius=options.nms_radius)
    best = [i for i in np.argsort(-scores, kind="stable") if scores[i] >= options.min_score]
    return order[best], scores[best]
