"""The arguments of decoding and of its stages, looked at once: arrays against each other, the skeleton and the limits.

Checks look at records of arrays (`personlab.arrays`), or at anything with a shape. They raise TypeError or ValueError,
naming the argument, what was expected and what came, before anything is copied or allocated.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from personlab import _core
from personlab.arrays.array import FIELDS, elements
from personlab.arrays.numbers import as_integer, as_number, as_size, check_type
from personlab.arrays.shapes import check_grid, check_lattice, check_shape
from personlab.poses import Poses
from personlab.skeleton import Skeleton

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from personlab.arrays.array import FloatArray
    from personlab.arrays.shapes import Shaped
    from personlab.options import DecodeOptions

HOUGH = elements("numbers", *FIELDS.names, kinds="fiu")  # in host memory of any width
INTEGERS = elements("integers", "int32", "int64", "uint8", kinds="iu")
MASKS = elements("bool or uint8", "bool", "uint8")
BOOLS = elements("bool", "bool")
PEOPLE = elements("numbers", kinds="fiu")  # on a GPU what the backend can convert
MAX_STRIDE = _core.MAX_STRIDE  # input pixels


def check_stride(stride: Any) -> int:
    """Returns a stride as a Python int."""
    if type(stride) is int and 1 <= stride <= MAX_STRIDE:
        return stride
    return as_integer(stride, "stride", 1, MAX_STRIDE)


def check_pose_fields(
    heatmaps: Shaped,
    short_offsets: Shaped,
    mid_offsets: Shaped,
    *,
    stride: Any,
    skeleton: Skeleton,
    options: DecodeOptions | None = None,
) -> int:
    """Checks the fields that poses come from; returns the stride.

    Args:
        heatmaps: ([N,] K, h, w).
        short_offsets: ([N,] K, 2, h, w).
        mid_offsets: ([N,] 2E, 2, h, w).
        stride: input pixels from cell to cell.
        skeleton: keypoints and edges.
        options: how the fields are decoded, where the whole decoder runs: it may need a Hough lattice.
    """
    number = check_stride(stride)
    k, e2, shape = skeleton.n_keypoints, 2 * skeleton.n_edges, heatmaps.shape
    if len(shape) not in (3, 4) or shape[-3] != k:
        raise ValueError(f"heatmaps: expected shape (K, h, w) or (N, K, h, w) with K = {k}, got {shape}")
    n, grid = shape[:-3], shape[-2:]
    check_shape(short_offsets, "short_offsets", (*n, k, 2, *grid), "([N,] K, 2, h, w)")
    check_shape(mid_offsets, "mid_offsets", (*n, e2, 2, *grid), "([N,] 2E, 2, h, w)")
    check_grid(heatmaps, "heatmaps", number)
    if options is not None and options.decoder == "personlab":
        check_lattice(heatmaps, number, options.hough_stride, "hough_stride")
    return number


def check_vote_fields(heatmaps: Shaped, short_offsets: Shaped, *, stride: Any, options: DecodeOptions) -> int:
    """Checks heatmaps (K, h, w) and short offsets (K, 2, h, w), which cast votes; returns the stride."""
    check_shape(heatmaps, "heatmaps", (None, None, None), "(K, h, w)")
    k, h, w = heatmaps.shape
    check_shape(short_offsets, "short_offsets", (k, 2, h, w), "(K, 2, h, w)")
    number = check_stride(stride)
    check_grid(heatmaps, "heatmaps", number)
    check_lattice(heatmaps, number, options.hough_stride, "hough_stride")
    return number


def check_hough(hough: Shaped, n_keypoints: int | None = None) -> None:
    """Checks Hough scores (K, H', W')."""
    check_shape(hough, "hough", (n_keypoints, None, None), "(K, H', W')")
    check_grid(hough, "hough", 1)


def check_peaks(
    keypoints: NDArray[Any], positions: NDArray[Any], scores: NDArray[Any], *, n_keypoints: int, grid: tuple[int, ...]
) -> None:
    """Checks keypoint types (N,) from 0 to K - 1, and for each a position (N, 2) and a score (N,).

    Args:
        keypoints: integers.
        positions: numbers of any width.
        scores: likewise.
        n_keypoints: K.
        grid: shape of the heatmaps that peaks are to lie on.
    """
    check_shape(keypoints, "peaks.keypoints", (None,), "(N,)")
    check_shape(positions, "peaks.positions", (len(keypoints), 2), "(N, 2)")
    check_shape(scores, "peaks.scores", (len(keypoints),), "(N,)")
    if keypoints.size and not 0 <= keypoints.min() <= keypoints.max() < n_keypoints:
        outside = keypoints[(keypoints < 0) | (keypoints >= n_keypoints)][0]
        raise ValueError(f"peaks.keypoints: expected 0..{n_keypoints - 1}, got {outside}")
    if len(keypoints) and 0 in grid:
        raise ValueError(f"peaks: expected none on a grid of shape {grid}, got {len(keypoints)}")


def check_groups(keypoints: Shaped, probabilities: Shaped, n_keypoints: int) -> None:
    """Checks keypoints (P, K, 2) and probabilities (P, K) of poses."""
    check_shape(keypoints, "groups.keypoints", (None, n_keypoints, 2), "(P, K, 2)")
    check_shape(probabilities, "groups.probabilities", (keypoints.shape[0], n_keypoints), "(P, K)")


def check_finite(expected: str, *arrays: FloatArray) -> None:
    """Checks that float32 numbers are finite, as those too large for float32 no longer are.

    Args:
        expected: how the error begins: what was to be finite.
        arrays: float32.
    """
    if not all(np.isfinite(array).all() for array in arrays):
        raise ValueError(f"{expected}, got NaN or infinity")


def check_mask_fields(
    poses: Any, segmentation: Shaped, long_offsets: Shaped, short_offsets: Shaped | None, *, stride: Any, size: Any
) -> tuple[int, tuple[int, int]]:
    """Checks the fields that masks come from against the poses; returns the stride and the size.

    Args:
        poses: `Poses` of one image; a sequence of N for a batch.
        segmentation: ([N,] 1, h, w).
        long_offsets: ([N,] K, 2, h, w).
        short_offsets: ([N,] K, 2, h, w), or None.
        stride: input pixels from cell to cell.
        size: (H, W) of the image.
    """
    if isinstance(poses, Poses):
        batch: tuple[int, ...] = ()
        numbers = {poses.keypoints.shape[1]}
    else:
        check_poses(poses)
        batch = (len(poses),)
        numbers = {one.keypoints.shape[1] for one in poses} or {None}
    for k in numbers:  # one K for all images, or the fields are not those of some
        checked = check_fields_of_masks(
            segmentation, long_offsets, short_offsets, batch=batch, n_keypoints=k, stride=stride, size=size
        )
    return checked


def check_poses(poses: Any) -> None:
    """Checks that poses are a sequence of `Poses`, one for each image."""
    if not isinstance(poses, Sequence):
        raise TypeError(f"poses: expected Poses or a sequence of them, got {type(poses).__name__}")
    for i, one in enumerate(poses):
        check_type(one, f"poses[{i}]", Poses)


def check_fields_of_masks(
    segmentation: Shaped,
    long_offsets: Shaped,
    short_offsets: Shaped | None,
    *,
    batch: tuple[int, ...],
    n_keypoints: int | None,
    stride: Any,
    size: Any,
) -> tuple[int, tuple[int, int]]:
    """Checks fields as `check_mask_fields` does, of a batch (N,) or (), for K keypoints or any number of them."""
    offsets = "(N, K, 2, h, w)" if batch else "(K, 2, h, w)"
    check_shape(segmentation, "segmentation", (*batch, 1, None, None), "(N, 1, h, w)" if batch else "(1, h, w)")
    check_shape(long_offsets, "long_offsets", (*batch, n_keypoints, 2, *segmentation.shape[-2:]), offsets)
    if short_offsets is not None:
        check_shape(short_offsets, "short_offsets", long_offsets.shape, offsets)
    stride, size = check_stride(stride), as_size(size, "size")
    check_grid(segmentation, "segmentation", stride)
    return stride, size


def check_masks(masks: Shaped, segmentation: Shaped, scores: Shaped, *, stride: Any) -> int:
    """Checks masks (P, H, W), what they lie on and the scores (P,) of their poses; returns the stride."""
    check_shape(masks, "masks", (None, None, None), "(P, H, W)")
    check_shape(segmentation, "segmentation", (1, None, None), "(1, h, w)")
    check_shape(scores, "scores", (masks.shape[0],), "(P,)")
    number = check_stride(stride)
    check_grid(segmentation, "segmentation", number)
    as_size(masks.shape[1:], "masks")
    return number


def check_refinement(
    offsets: Shaped, by: Shaped, channels: Sequence[Any], *, stride: Any, steps: Any, threads: Any
) -> tuple[list[int], int, int, int]:
    """Checks offsets (C, 2, h, w) and (L, 2, h, w); returns the channels, the stride, the steps and the threads."""
    check_shape(offsets, "offsets", (None, 2, None, None), "(C, 2, h, w)")
    check_shape(by, "by", (None, 2, *offsets.shape[2:]), "(L, 2, h, w)")
    numbers = [as_integer(channel, "channels", 0, by.shape[0] - 1) for channel in channels]
    if len(numbers) != offsets.shape[0]:
        raise ValueError(f"channels: expected {offsets.shape[0]} entries, one per offset channel, got {len(numbers)}")
    stride, steps = check_stride(stride), as_integer(steps, "steps", 0, 1000)
    check_grid(offsets, "offsets", stride)
    return numbers, stride, steps, as_integer(threads, "threads", 1, 1024)


def check_annotations(
    keypoints: Shaped,
    masks: Shaped | None,
    crowd: Shaped | None,
    *,
    size: Any,
    stride: Any,
    skeleton: Skeleton,
    disk_radius: Any,
) -> tuple[tuple[int, int], int, float]:
    """Checks the annotations of one image against each other; returns the size, the stride and the radius.

    Args:
        keypoints: (P, K, 3).
        masks: (P, H, W), or None.
        crowd: (H, W), or None.
        size: (H, W) of the network input, each a multiple of the stride plus 1.
        stride: input pixels from cell to cell.
        skeleton: keypoints and edges.
        disk_radius: input pixels.
    """
    check_type(skeleton, "skeleton", Skeleton)
    height, width = size = as_size(size, "size")
    stride = check_stride(stride)
    if height < 1 or width < 1 or (height - 1) % stride or (width - 1) % stride:
        raise ValueError(f"size: expected a multiple of the stride {stride} plus 1 each way, got {size}")
    disk_radius = as_number(disk_radius, "disk_radius", 1e-3, 4096)
    check_shape(keypoints, "keypoints", (None, skeleton.n_keypoints, 3), "(P, K, 3)")
    if masks is not None:
        check_shape(masks, "masks", (keypoints.shape[0], *size), "(P, H, W)")
    if crowd is not None:
        check_shape(crowd, "crowd", size, "(H, W)")
    return size, stride, disk_radius


def check_labelled(people: FloatArray) -> None:
    """Checks that the keypoints (P, K, 3) of people in host memory are finite where they are labelled, v > 0."""
    labelled = people[people[..., 2] > 0]
    if not np.isfinite(labelled).all() or np.isnan(people[..., 2]).any():
        raise ValueError("keypoints: expected finite coordinates where v > 0, got NaN or infinity")
