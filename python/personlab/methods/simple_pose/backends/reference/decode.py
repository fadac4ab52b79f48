"""The whole decoder of Simple Pose: peaks, limbs, bodies, people."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from personlab.methods.simple_pose.backends.reference.assemble import assemble
from personlab.methods.simple_pose.backends.reference.assemble_best import assemble_best
from personlab.methods.simple_pose.backends.reference.enlarge import enlarge, read_between_cells
from personlab.methods.simple_pose.backends.reference.limbs import best_first, match, score_pairs
from personlab.methods.simple_pose.backends.reference.peaks import find_peaks
from personlab.methods.simple_pose.steps import Steps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from personlab.methods.simple_pose.grid import MapGrid
    from personlab.methods.simple_pose.options import SimplePoseOptions
    from personlab.methods.simple_pose.parts import BodyParts
    from personlab.methods.simple_pose.steps import Body

    Array = NDArray[np.float64]
    Maps = NDArray[np.floating]


def decode_steps(
    keypoint_maps: Sequence[Maps],
    limb_maps: Sequence[Maps],
    *,
    grids: Sequence[MapGrid],
    parts: BodyParts,
    options: SimplePoseOptions,
) -> Steps:
    """The steps of decoding an image shown at one scale or, by the rules of the originals, at several.

    Args:
        keypoint_maps: (K, h, w) of each scale. A value that is not finite counts as 0.
        limb_maps: (E, h, w) of each scale.
        grids: of each scale.
        parts: keypoints and limbs.
        options: how to decode.
    """
    if options.rules == "default":
        return _decode_cells(_finite(keypoint_maps[0]), _finite(limb_maps[0]), grids[0], parts, options)
    return decode_pixels(
        _mean_enlarged(keypoint_maps, grids), _mean_enlarged(limb_maps, grids), parts=parts, options=options
    )


def _finite(maps: Maps) -> Array:
    values = np.asarray(maps, np.float64)
    return np.where(np.isfinite(values), values, 0.0)


def _mean_enlarged(maps: Sequence[Maps], grids: Sequence[MapGrid]) -> Array:
    total = np.zeros((maps[0].shape[0], *grids[0].size))
    for one, grid in zip(maps, grids, strict=True):
        total += enlarge(_finite(one), grid)
    return total / len(maps)


def decode_pixels(keypoint_maps: Array, limb_maps: Array, *, parts: BodyParts, options: SimplePoseOptions) -> Steps:
    """The steps of an original on maps (K, H, W) and (E, H, W) at the pixels of the image."""
    height, width = keypoint_maps.shape[1:]

    def read(limb: int, points: Array) -> Array:
        x, y = (np.rint(points[:, axis]) for axis in (0, 1))
        rows, columns = np.clip(y, 0, height - 1).astype(int), np.clip(x, 0, width - 1).astype(int)
        values: Array = limb_maps[limb, rows, columns]
        return values

    peaks = find_peaks(keypoint_maps, options=options)
    limbs = parts.skeleton.edges
    connections = [
        one
        for limb, ends in enumerate(limbs)
        for one in match(score_pairs(limb, ends, peaks, read, height=height, longest=height + width, options=options))
    ]
    bodies = assemble(connections, limbs, peaks, options=options)
    return Steps(peaks, connections, [body for body in bodies if _is_kept(body, options)])


def _decode_cells(
    keypoint_maps: Array, limb_maps: Array, grid: MapGrid, parts: BodyParts, options: SimplePoseOptions
) -> Steps:
    rows, columns = (-(-side // grid.stride) for side in grid.input_size)  # cells that show the image
    peaks = find_peaks(keypoint_maps[:, :rows, :columns], options=options)
    candidates = [
        one
        for limb, ends in enumerate(parts.skeleton.edges)
        for one in score_pairs(
            limb, ends, peaks, lambda limb, points: np.clip(read_between_cells(limb_maps[limb], points), 0, 1),
            height=grid.size[0], longest=sum(grid.size), scale=pixels_per_cell(grid), options=options,
        )
    ]  # fmt: skip
    bodies, connections = assemble_best(best_first(candidates), peaks, options=options)
    return Steps(peaks, connections, [body for body in bodies if _is_kept(body, options)])


def pixels_per_cell(grid: MapGrid) -> tuple[float, float]:
    """Pixels of the image from cell to cell along x and y."""
    (inner_rows, inner_columns), (rows, columns) = grid.input_size, grid.size
    return grid.stride * columns / max(inner_columns, 1), grid.stride * rows / max(inner_rows, 1)


def _is_kept(body: Body, options: SimplePoseOptions) -> bool:
    return body.count >= options.min_keypoints and body.total / body.count >= options.min_score


def _score(body: Body, parts: BodyParts, options: SimplePoseOptions) -> float:
    if options.rules == "default":
        return body.total / parts.skeleton.n_keypoints
    with np.errstate(divide="ignore", over="ignore"):
        return float(1 - 1 / np.float64(body.total))


def people_of(
    steps: Steps, *, grid: MapGrid, parts: BodyParts, options: SimplePoseOptions
) -> tuple[Array, Array, Array, Array]:
    """Keypoints (P, Q, 2) in pixels of the image, their scores (P, Q) and probabilities (P, Q), and scores (P,).

    A keypoint without a peak has score 0; it lies at the mean of the others, or at (0, 0) by the originals' rules. Best
    first, ties in the order in which bodies began. A body whose score is not finite is nobody: by the originals' rules,
    one with a total of 0.
    """
    original = options.rules != "default"
    positions = steps.peaks.positions
    if not original:
        scale = np.array(pixels_per_cell(grid))
        positions = np.clip(positions * scale + (0.5 * scale - 0.5), 0, [max(side - 1, 0) for side in grid.size[::-1]])
    bodies = [body for body in steps.bodies if np.isfinite(_score(body, parts, options))]
    count, k = len(bodies), len(parts.keypoints)
    keypoints, scores, probabilities = np.zeros((count, k, 2)), np.zeros((count, k)), np.zeros((count, k))
    totals = np.zeros(count)
    for n, body in enumerate(bodies):
        totals[n] = _score(body, parts, options)
        present = [m for m, part in enumerate(parts.keypoints) if part in body.slots]
        for m in present:
            peak, limb = body.slots[parts.keypoints[m]]
            keypoints[n, m] = positions[peak]
            probabilities[n, m] = np.clip(steps.peaks.scores[peak], 0, 1)
            scores[n, m] = (keypoints[n, m] > 0).any() if original else 0.5 * (probabilities[n, m] + limb)
        if present and not original:
            keypoints[n, [m for m in range(k) if m not in present]] = keypoints[n, present].mean(axis=0)
    order = np.argsort(-totals, kind="stable")[: options.max_poses]
    return keypoints[order], scores[order], probabilities[order], totals[order]
