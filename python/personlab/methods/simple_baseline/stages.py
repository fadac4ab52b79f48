"""The steps of the top-down method after the network: peaks, scores and suppression, on the backend of your choice.

The backend "cpu" is the compiled core; "reference" is slow float64 NumPy (`backends/reference`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from personlab import _core
from personlab.arrays.array import to_float32
from personlab.arrays.host import as_numbers
from personlab.arrays.numbers import as_number, check_type
from personlab.arrays.shapes import check_shape
from personlab.methods.simple_baseline.checks import Backend, check_backend, check_maps, check_poses
from personlab.methods.simple_baseline.options import SimpleBaselineOptions
from personlab.skeleton import COCO_PERSON, Skeleton

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Numbers = NDArray[np.intp]

__all__ = ["Backend", "find_peaks", "pose_similarities", "rescore_poses", "suppress_boxes", "suppress_poses"]

BoxRules = Literal["default", "python", "cython"]
_DEFAULTS = SimpleBaselineOptions()


def find_peaks(
    heatmaps: Any,
    mirrored: Any = None,
    *,
    skeleton: Skeleton = COCO_PERSON,
    options: SimpleBaselineOptions = _DEFAULTS,
    backend: Backend = "cpu",
) -> tuple[Array, NDArray[np.float32]]:
    """Return where each map is highest: positions (N, K, 2) = (x, y) in cells, and values (N, K) of the highest cells.

    Args:
        heatmaps: (N, K, h, w) float32, float16 or bfloat16, as `decode_simple_baseline` takes them.
        mirrored: those of the mirrored crops, whose mean with the others counts.
        skeleton: which maps of mirrored crops are exchanged.
        options: how peaks are located.
        backend: the compiled core, or the float64 reference in NumPy.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: an argument of the wrong shape or range.
    """
    check_backend(backend)
    maps, other = check_maps(heatmaps, mirrored, skeleton=skeleton, options=options)
    if backend == "reference":
        from personlab.methods.simple_baseline.backends import reference

        shown = to_float32(maps)
        if other is not None:
            shown = reference.merge(shown, to_float32(other), flip=skeleton.flip, shift=options.flip_shift)
        return reference.find_peaks(shown, options=options)
    return _core.find_baseline_peaks(maps=maps, mirrored=other, flip=skeleton.flip, options=options.native)


def rescore_poses(
    values: Any, box_scores: Any, *, options: SimpleBaselineOptions = _DEFAULTS, backend: Backend = "cpu"
) -> Array:
    """Return the scores (N,) of poses from the values (N, K) of their keypoints and the scores (N,) of their boxes.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: an argument of the wrong shape.
    """
    check_backend(backend)
    check_type(options, "options", SimpleBaselineOptions)
    given, scores = as_numbers(values, "values"), as_numbers(box_scores, "box_scores")
    check_shape(given, "values", (None, None), "(N, K)")
    check_shape(scores, "box_scores", (len(given),), "(N,)")
    own, boxes = np.ascontiguousarray(given, np.float64), np.ascontiguousarray(scores, np.float64)
    if backend == "reference":
        from personlab.methods.simple_baseline.backends import reference

        return reference.rescore(own, boxes, options=options)
    return _core.rescore_poses(values=own, box_scores=boxes, options=options.native)


def pose_similarities(
    keypoints: Any,
    areas: Any,
    *,
    skeleton: Skeleton = COCO_PERSON,
    visible: float | None = None,
    original: bool = False,
    backend: Backend = "cpu",
) -> Array:
    """Return COCO's object keypoint similarity (P, P) of all pairs of poses, on the mean of their areas.

    A keypoint that is not finite is like no other.

    Args:
        keypoints: (P, K, 3) x, y in pixels, and how visible.
        areas: (P,) of the people's boxes, square pixels.
        skeleton: whose sigmas.
        visible: keypoints count where both are more visible than this; None: all do.
        original: they count where the second of two poses has them so, as the originals have it.
        backend: the compiled core, or the float64 reference in NumPy.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: an argument of the wrong shape or range.
    """
    check_backend(backend)
    poses = check_poses(keypoints, None, areas, skeleton)
    how: Any = {"visible": _visible(visible), "original": bool(original), "sigmas": skeleton.sigmas}
    if backend == "reference":
        from personlab.methods.simple_baseline.backends import reference

        return reference.similarities(poses.keypoints, poses.areas, **how)
    return _core.pose_similarities(keypoints=poses.keypoints, areas=poses.areas, **how)


def suppress_poses(
    keypoints: Any,
    scores: Any,
    areas: Any,
    *,
    threshold: float = 0.9,
    skeleton: Skeleton = COCO_PERSON,
    visible: float | None = None,
    original: bool = False,
    backend: Backend = "cpu",
) -> Numbers:
    """Return the numbers of the poses that are no more similar than the threshold to a better one kept, best first.

    Of equal scores the first comes first; a pose without a finite score is dropped.

    Args:
        keypoints: (P, K, 3) x, y in pixels, and how visible.
        scores: (P,).
        areas: (P,) of the people's boxes, square pixels.
        threshold: 0 to 1.
        skeleton: whose sigmas.
        visible: keypoints count where both are more visible than this; None: all do.
        original: by the originals' rules: of equal scores the last comes first, and keypoints count where the second
            of two poses has them visible.
        backend: the compiled core, or the float64 reference in NumPy.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: an argument of the wrong shape or range.
    """
    check_backend(backend)
    poses = check_poses(keypoints, scores, areas, skeleton)
    how: Any = {
        "threshold": as_number(threshold, "threshold", 0, 1), "visible": _visible(visible), "original": bool(original),
        "sigmas": skeleton.sigmas,
    }  # fmt: skip
    if backend == "reference":
        from personlab.methods.simple_baseline.backends import reference

        return reference.suppress_poses(*poses, **how)
    return _core.suppress_poses(**poses._asdict(), **how)


def suppress_boxes(
    boxes: Any, scores: Any, *, threshold: float = 0.5, rules: BoxRules = "default", backend: Backend = "cpu"
) -> Numbers:
    """Return the numbers of the boxes that overlap no better one kept by more than the threshold, best first.

    Of equal scores the first comes first; a box without a finite score is dropped.

    Args:
        boxes: (N, 4) x0, y0, x1, y1.
        scores: (N,).
        threshold: of the intersection over the union, 0 to 1.
        rules: "python" or "cython": the originals'. Their boxes are a pixel larger each way, and of equal scores the
            last comes first; Cython's drop boxes that overlap by the threshold, too.
        backend: the compiled core, or the float64 reference in NumPy.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: an argument of the wrong shape or range.
    """
    check_backend(backend)
    if rules not in get_args(BoxRules):
        raise ValueError(f"rules: expected one of {', '.join(get_args(BoxRules))}, got {rules!r}")
    threshold = as_number(threshold, "threshold", 0, 1)
    given, values = as_numbers(boxes, "boxes"), as_numbers(scores, "scores")
    check_shape(given, "boxes", (None, 4), "(N, 4)")
    check_shape(values, "scores", (len(given),), "(N,)")
    corners, own = np.ascontiguousarray(given, np.float64), np.ascontiguousarray(values, np.float64)
    if backend == "reference":
        from personlab.methods.simple_baseline.backends import reference

        return reference.suppress_boxes(corners, own, threshold=threshold, rules=rules)
    return _core.suppress_boxes(boxes=corners, scores=own, threshold=threshold, rules=rules)


def _visible(visible: Any) -> float | None:
    return None if visible is None else as_number(visible, "visible", -1e6, 1e6)
