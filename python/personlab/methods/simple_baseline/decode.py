"""From heatmaps of one person each to the poses of an image, the call of everyday use: check, choose, compute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from personlab import _core
from personlab.arrays.array import to_float32
from personlab.methods.simple_baseline.checks import Backend, check_backend, check_maps, check_where
from personlab.methods.simple_baseline.options import SimpleBaselineOptions
from personlab.poses import Poses
from personlab.skeleton import COCO_PERSON, Skeleton

if TYPE_CHECKING:
    from personlab.arrays.array import FloatArray

_DEFAULTS = SimpleBaselineOptions()


def decode_simple_baseline(
    heatmaps: Any,
    affines: Any,
    *,
    mirrored: Any = None,
    box_scores: Any = None,
    size: tuple[int, int] | None = None,
    skeleton: Skeleton = COCO_PERSON,
    options: SimpleBaselineOptions = _DEFAULTS,
    backend: Backend = "cpu",
) -> Poses:
    """Read the poses of an image from the heatmaps of a crop for each person (Simple Baselines, ECCV 2018).

    Args:
        heatmaps: (N, K, h, w) how sure a keypoint of each type is, 0 to `options.full_value`; float32, float16 or
            bfloat16, a NumPy array, a torch tensor or any DLPack producer in host memory. Cell (i, j) lies at pixel
            (j * W / w, i * H / h) of the crop.
        affines: (N, 2, 3) from pixels (x, y) of the image to those of each crop, as `crop_affines` makes them.
        mirrored: heatmaps of the mirrored crops, which are mirrored back, and whose mean with the others counts.
        box_scores: (N,) of the boxes; None: 1.
        size: (H, W) of the crops; 4 pixels a cell if None.
        skeleton: keypoints of the maps; of mirrored crops, maps are exchanged by its `flip`.
        options: how to decode; `SimpleBaselineOptions.original` for what the originals do, number for number.
        backend: the compiled core, or the float64 reference in NumPy.

    Returns:
        `Poses` in pixels of the image, best first, or in the order of their boxes if `options.oks_threshold` is 1;
        those of at least `options.min_score`.

    Raises:
        TypeError: an argument of the wrong type, or maps on a GPU.
        ValueError: an argument of the wrong shape or range.
    """
    check_backend(backend)
    maps, other = check_maps(heatmaps, mirrored, skeleton=skeleton, options=options)
    where = check_where(maps, affines, box_scores, size)
    how: Any = {**where._asdict(), "flip": skeleton.flip, "sigmas": skeleton.sigmas}
    if backend == "reference":
        from personlab.methods.simple_baseline.backends import reference

        made = reference.decode_people(
            to_float32(maps), None if other is None else to_float32(other), **how, options=options
        )
        keypoints, scores, probabilities, totals = (_narrow(one) for one in made)
        poses = Poses(keypoints, scores, totals, probabilities)
    else:
        poses = Poses._trusted(_core.decode_baseline(maps=maps, mirrored=other, **how, options=options.native))
    return poses[poses.scores >= options.min_score] if options.min_score > 0 else poses


def _narrow(values: Any) -> FloatArray:
    largest = np.finfo(np.float32).max
    narrow: FloatArray = np.clip(values, -largest, largest).astype(np.float32)
    return narrow
