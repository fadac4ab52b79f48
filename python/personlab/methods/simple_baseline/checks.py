"""The arguments of decoding people from heatmaps, looked at once, before anything is copied or allocated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np

from personlab.arrays.array import dense
from personlab.arrays.host import as_numbers
from personlab.arrays.numbers import as_size, check_type
from personlab.arrays.shapes import check_grid, check_shape
from personlab.arrays.take import place_of, take
from personlab.methods.simple_baseline.boxes import check_affines
from personlab.methods.simple_baseline.options import SimpleBaselineOptions
from personlab.skeleton import Skeleton

if TYPE_CHECKING:
    from numpy.typing import NDArray

Backend = Literal["cpu", "reference"]
CELL = 4  # pixels of a crop from cell to cell, unless its size is given


def check_backend(backend: Any) -> None:
    """Raise ValueError where there is no such backend."""
    if backend not in get_args(Backend):
        raise ValueError(f"backend: expected one of {', '.join(get_args(Backend))}, got {backend!r}")


class Maps(NamedTuple):
    """Heatmaps of N people, and of their mirrored crops: C-contiguous, of one element type."""

    maps: NDArray[Any]  # (N, K, h, w)
    mirrored: NDArray[Any] | None  # likewise


def check_maps(maps: Any, mirrored: Any, *, skeleton: Any, options: Any) -> Maps:
    """Take heatmaps, and check them against the skeleton and each other.

    Raises:
        TypeError, ValueError: naming the argument, what was expected and what came.
    """
    check_type(options, "options", SimpleBaselineOptions)
    check_type(skeleton, "skeleton", Skeleton)
    arrays = {"heatmaps": maps, "mirrored": mirrored}
    if place_of(arrays) != "cpu":
        raise TypeError("heatmaps: expected host memory, got device memory; move it there first")
    own, other = take(arrays, optional=["mirrored"], place="cpu")
    k = skeleton.n_keypoints
    if len(own.shape) != 4 or own.shape[1] != k:
        raise ValueError(f"heatmaps: expected shape (N, K, h, w) with K = {k}, got {own.shape}")
    check_grid(own, "heatmaps", CELL)
    if other is None:
        return Maps(own.contiguous(), None)
    check_shape(other, "mirrored", own.shape, "(N, K, h, w)")
    return Maps(*dense([own, other]))


class Where(NamedTuple):
    """Where the crops of N people lie in the image."""

    affines: NDArray[np.float64]  # (N, 2, 3)
    box_scores: NDArray[np.float64]  # (N,)
    size: tuple[int, int]  # (H, W) of the crops, pixels


def check_where(maps: NDArray[Any], affines: Any, box_scores: Any, size: Any) -> Where:
    """Check what leads from heatmaps (N, K, h, w) to the image.

    Raises:
        TypeError, ValueError: naming the argument, what was expected and what came.
    """
    count, _, h, w = maps.shape
    own = (CELL * h, CELL * w) if size is None else as_size(size, "size", "(H, W)")
    scores = np.ones(count) if box_scores is None else as_numbers(box_scores, "box_scores")
    check_shape(scores, "box_scores", (count,), "(N,)")
    scores = np.ascontiguousarray(scores, np.float64)
    if not np.isfinite(scores).all():
        raise ValueError("box_scores: expected finite numbers, got NaN or infinity")
    return Where(check_affines(affines, count), scores, own)


class PoseArrays(NamedTuple):
    """Poses to choose from."""

    keypoints: NDArray[np.float64]  # (P, K, 3)
    scores: NDArray[np.float64]  # (P,)
    areas: NDArray[np.float64]  # (P,)


def check_poses(keypoints: Any, scores: Any, areas: Any, skeleton: Any) -> PoseArrays:
    """Check poses against each other and the skeleton; `scores` None: all 0.

    Raises:
        TypeError, ValueError: naming the argument, what was expected and what came.
    """
    check_type(skeleton, "skeleton", Skeleton)
    points = as_numbers(keypoints, "keypoints")
    check_shape(points, "keypoints", (None, skeleton.n_keypoints, 3), "(P, K, 3)")
    values = np.zeros(len(points)) if scores is None else as_numbers(scores, "scores")
    sizes = as_numbers(areas, "areas")
    check_shape(values, "scores", (len(points),), "(P,)")
    check_shape(sizes, "areas", (len(points),), "(P,)")
    return PoseArrays(*(np.ascontiguousarray(one, np.float64) for one in (points, values, sizes)))
