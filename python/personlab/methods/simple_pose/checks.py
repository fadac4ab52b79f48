"""The arguments of decoding maps, looked at once, before anything is copied or allocated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from personlab.arrays.numbers import as_integer, check_type
from personlab.arrays.shapes import check_grid, check_shape
from personlab.arrays.take import place_of, take
from personlab.methods.simple_pose.grid import MAX_STRIDE, MapGrid
from personlab.methods.simple_pose.options import ORIGINALS, SimplePoseOptions
from personlab.methods.simple_pose.parts import BodyParts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from personlab.arrays.array import HostArray

MAX_PIXELS = 1 << 28  # of an image


def check_maps(
    keypoint_maps: Any, limb_maps: Any, *, stride: Any, input_size: Any, size: Any, parts: Any, options: Any
) -> tuple[list[HostArray], list[HostArray], list[MapGrid]]:
    """Take maps as `decode_simple_pose` says, and check them against each other; returns those of each scale.

    Raises:
        TypeError, ValueError: naming the argument, what was expected and what came.
    """
    check_type(options, "options", SimplePoseOptions)
    check_type(parts, "parts", BodyParts)
    several = isinstance(keypoint_maps, (list, tuple))
    scales = _scales(keypoint_maps, limb_maps, input_size) if several else [(keypoint_maps, limb_maps, input_size)]
    if several and options.rules not in ORIGINALS:
        raise ValueError(f"keypoint_maps: expected one array for rules 'default', got {len(scales)} scales")
    stride = as_integer(stride, "stride", 1, MAX_STRIDE)
    keypoints: list[HostArray] = []
    limbs: list[HostArray] = []
    grids: list[MapGrid] = []
    for n, (heat, limb, inner) in enumerate(scales):
        names = [f"{name}[{n}]" if several else name for name in ("keypoint_maps", "limb_maps")]
        arrays = dict(zip(names, (heat, limb), strict=True))
        if place_of(arrays) != "cpu":
            raise TypeError(f"{names[0]}: expected host memory, got device memory; move it there first")
        own, between = take(arrays, place="cpu")
        _check_shapes(own, between, parts, stride)
        if keypoints and own.shape[:-3] != keypoints[0].shape[:-3]:
            raise ValueError(f"{names[0]}: expected {keypoints[0].shape[:-3]} images, got {own.shape[:-3]}")
        keypoints.append(own)
        limbs.append(between)
        grids.append(MapGrid.of(own, names[0], stride, inner, size))
    if len({grid.size for grid in grids}) > 1:
        raise ValueError("size: expected (H, W) of the image with several scales, got None")
    if grids[0].size[0] * grids[0].size[1] > MAX_PIXELS:
        raise ValueError(f"size: expected at most {MAX_PIXELS} pixels, got {grids[0].size}")
    return keypoints, limbs, grids


def _scales(keypoint_maps: Sequence[Any], limb_maps: Any, input_size: Any) -> list[tuple[Any, Any, Any]]:
    count = len(keypoint_maps)
    if count == 0:
        raise ValueError("keypoint_maps: expected at least one scale, got none")
    if not isinstance(limb_maps, (list, tuple)) or len(limb_maps) != count:
        got = f"{len(limb_maps)}" if isinstance(limb_maps, (list, tuple)) else type(limb_maps).__name__
        raise ValueError(f"limb_maps: expected {count} arrays, one for each scale, got {got}")
    sizes = [None] * count if input_size is None else input_size
    if not isinstance(sizes, (list, tuple)) or len(sizes) != count:
        raise ValueError(f"input_size: expected {count} sizes (H, W), one for each scale, got {input_size!r}")
    return list(zip(keypoint_maps, limb_maps, sizes, strict=True))


def _check_shapes(keypoints: HostArray, limbs: HostArray, parts: BodyParts, stride: int) -> None:
    k, e, shape, name = parts.skeleton.n_keypoints, parts.skeleton.n_edges, keypoints.shape, keypoints.name
    if len(shape) not in (3, 4) or shape[-3] != k:
        raise ValueError(f"{name}: expected shape (K, h, w) or (N, K, h, w) with K = {k}, got {shape}")
    check_shape(limbs, limbs.name, (*shape[:-3], e, *shape[-2:]), "([N,] E, h, w)")
    check_grid(keypoints, name, stride)
