"""Each stage of the pipeline by itself, over dense arrays, on the backend of your choice.

Stages come in the order in which data flows: `hough_vote`, `find_peaks`, `group_poses`, `score_poses`,
`sharpen_keypoints`, then `associate_pixels` and `score_masks`; beside them `refine_offsets` and `encode_targets`. All
take NumPy arrays, torch tensors or other DLPack producers, checked as `personlab.decode_poses` checks them. The backend
"cpu" is the compiled core and returns float32; "reference" is slow float64 NumPy (`backends/reference`). The backend
"cuda" takes arrays in the memory of a GPU and returns float32 in it: torch tensors where the fields are torch's, else
arrays with `__cuda_array_interface__`.

Every stage raises TypeError or ValueError, naming the argument, for arguments of the wrong type, shape or range.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from personlab.arrays.array import NUMBERS, to_float32
from personlab.arrays.numbers import check_type
from personlab.arrays.shapes import check_shape
from personlab.arrays.take import place_of, take
from personlab.methods.personlab import checks
from personlab.methods.personlab.backends import BACKENDS, Backend
from personlab.methods.personlab.stage_results import Floats, Groups, Peaks, Ranked, parts_of
from personlab.methods.personlab.targets import Targets, encode
from personlab.options import DecodeOptions, MaskOptions
from personlab.poses import Poses
from personlab.skeleton import COCO_PERSON, Skeleton

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from personlab.arrays.array import Elements
    from personlab.methods.personlab.backends import Stages

__all__ = [
    "Backend",
    "Groups",
    "Peaks",
    "Ranked",
    "associate_pixels",
    "choose_backend",
    "encode_targets",
    "find_peaks",
    "group_poses",
    "hough_vote",
    "refine_offsets",
    "score_masks",
    "score_poses",
    "sharpen_keypoints",
]

_DECODE_DEFAULTS = DecodeOptions()
_MASK_DEFAULTS = MaskOptions()
# What arrays may hold that are no fields.
_OF_PEAKS = {"peaks.keypoints": checks.INTEGERS, "peaks.positions": NUMBERS, "peaks.scores": NUMBERS}
_OF_GROUPS = {"hough": checks.HOUGH, "groups.keypoints": NUMBERS, "groups.probabilities": NUMBERS}
_OF_KEYPOINTS = {"keypoints": NUMBERS, "hough": checks.HOUGH}
_OF_MASKS = {"masks": checks.BOOLS, "scores": NUMBERS}


def choose_backend(backend: Backend | None, **arrays: Any) -> Backend:
    """Returns the backend that was asked for, or else that of where the arrays lie; None counts for nothing.

    Raises:
        TypeError: the arrays lie where that backend does not work, or some on a device and some not.
        ValueError: no backend.
    """
    if backend is not None and backend not in get_args(Backend):
        raise ValueError(f"backend: expected one of {', '.join(get_args(Backend))}, got {backend!r}")
    place = place_of(arrays)
    if backend is None:
        return place
    if (place == "cuda") != (backend == "cuda"):
        actual, expected = ("device", "host") if place == "cuda" else ("host", "device")
        name = next((name for name, value in arrays.items() if value is not None), next(iter(arrays), "arrays"))
        raise TypeError(
            f"{name}: expected {expected} memory for backend {backend!r}, got {actual} memory; "
            f"move it there first, or leave `backend` out"
        )
    return backend


def _take(
    backend: Backend | None,
    arrays: Mapping[str, Any],
    elements: Mapping[str, Elements] | None = None,
    optional: Collection[str] = (),
) -> tuple[Stages, list[Any]]:
    """Returns the module to compute on and the records of the arrays, by name, of a call."""
    name = choose_backend(backend, **arrays)
    return BACKENDS[name], take(arrays, elements, optional=optional, place="cuda" if name == "cuda" else "cpu")


def hough_vote(
    heatmaps: Any,
    short_offsets: Any,
    *,
    stride: int,
    options: DecodeOptions = _DECODE_DEFAULTS,
    backend: Backend | None = None,
) -> Floats:
    """Hough scores at the pixels that are multiples of g = `options.hough_stride` (PersonLab, section 3.1.1).

    Args:
        heatmaps: (K, h, w) logits.
        short_offsets: (K, 2, h, w) input pixels.
        stride: input pixels from cell to cell.
        options: hough_stride, disk_radius, vote_threshold and threads are used.
        backend: where to compute; where the arrays lie, if None.

    Returns:
        (K, H', W') with H' = floor((h - 1) * stride / g) + 1, W' likewise; (K, 0, 0) for an empty grid.
    """
    check_type(options, "options", DecodeOptions)
    run, (heatmaps, short_offsets) = _take(backend, {"heatmaps": heatmaps, "short_offsets": short_offsets})
    stride = checks.check_vote_fields(heatmaps, short_offsets, stride=stride, options=options)
    scores: Floats = run.hough_vote(heatmaps.to_float32(), short_offsets.to_float32(), stride=stride, options=options)
    return scores


def find_peaks(hough: Any, *, options: DecodeOptions = _DECODE_DEFAULTS, backend: Backend | None = None) -> Peaks:
    """Local maxima of Hough scores (K, H', W'), as `hough_vote` gives them; best first, ties by keypoint, y, x.

    Args:
        hough: (K, H', W') numbers of any width, on a GPU float32, float16 or bfloat16; what is not finite counts as 0.
        options: hough_stride and peak_threshold are used.
        backend: where to compute; where the arrays lie, if None.
    """
    check_type(options, "options", DecodeOptions)
    run, (hough,) = _take(backend, {"hough": hough}, {"hough": checks.HOUGH})
    checks.check_hough(hough)
    return Peaks(*run.find_peaks(hough.contiguous(), options=options))


def group_poses(
    peaks: Peaks | tuple[Any, Any, Any],
    heatmaps: Any,
    short_offsets: Any,
    mid_offsets: Any,
    *,
    stride: int,
    skeleton: Skeleton = COCO_PERSON,
    options: DecodeOptions = _DECODE_DEFAULTS,
    backend: Backend | None = None,
) -> Groups:
    """Poses grown greedily from peaks along the edges of the skeleton (PersonLab, section 3.1.2).

    Args:
        peaks: keypoints (N,), positions (N, 2), scores (N,), in any order, numbers of any width; none where the grid
            has no cells.
        heatmaps: (K, h, w) logits.
        short_offsets: (K, 2, h, w) input pixels.
        mid_offsets: (2E, 2, h, w) input pixels.
        stride: input pixels from cell to cell.
        skeleton: keypoints and edges.
        options: nms_radius and refine_steps are used.
        backend: where to compute; where the arrays lie, if None.
    """
    check_type(options, "options", DecodeOptions)
    check_type(skeleton, "skeleton", Skeleton)
    keypoints, positions, scores = parts_of(peaks, "peaks", Peaks)
    fields = {"heatmaps": heatmaps, "short_offsets": short_offsets, "mid_offsets": mid_offsets}
    small = {"peaks.keypoints": keypoints, "peaks.positions": positions, "peaks.scores": scores}
    run, (heatmaps, short_offsets, mid_offsets, *listed) = _take(backend, {**fields, **small}, _OF_PEAKS)
    stride = checks.check_pose_fields(heatmaps, short_offsets, mid_offsets, stride=stride, skeleton=skeleton)
    if len(heatmaps.shape) != 3:
        raise ValueError(f"heatmaps: expected shape (K, h, w), got {heatmaps.shape}")
    keypoints, positions, scores = (array.to_host() for array in listed)
    checks.check_peaks(keypoints, positions, scores, n_keypoints=skeleton.n_keypoints, grid=heatmaps.shape)
    checks.check_finite("peaks: expected finite positions and scores", to_float32(positions), to_float32(scores))
    return Groups(
        *run.group_poses(
            (keypoints, positions, scores), heatmaps.to_float32(), short_offsets.to_float32(),
            mid_offsets.to_float32(), stride=stride, skeleton=skeleton, options=options,
        )
    )  # fmt: skip


def score_poses(
    groups: Groups | tuple[Any, Any],
    hough: Any,
    *,
    skeleton: Skeleton = COCO_PERSON,
    options: DecodeOptions = _DECODE_DEFAULTS,
    backend: Backend | None = None,
) -> Ranked:
    """Keypoint scores, then instance scores by soft non-maximum suppression (PersonLab, section 3.1.3).

    Args:
        groups: keypoints (P, K, 2) in input pixels and probabilities (P, K), numbers of any width, in the order of
            their seeds.
        hough: (K, H', W') scores from `hough_vote` with the same options, on any backend; what is not finite, or
            larger than 2^96 so that sums could overflow, counts as 0.
        skeleton: its sigmas are used.
        options: hough_stride, disk_radius, nms_radius, scoring, ranking, instance_score, min_score and max_poses are
            used.
        backend: where to compute; where the arrays lie, if None.
    """
    check_type(skeleton, "skeleton", Skeleton)
    check_type(options, "options", DecodeOptions)
    keypoints, probabilities = parts_of(groups, "groups", Groups)
    small = {"groups.keypoints": keypoints, "groups.probabilities": probabilities}
    run, (hough, *grown) = _take(backend, {"hough": hough, **small}, _OF_GROUPS)
    keypoints, probabilities = (array.to_host() for array in grown)
    checks.check_groups(keypoints, probabilities, skeleton.n_keypoints)
    checks.check_hough(hough, skeleton.n_keypoints)
    checks.check_finite(
        "groups: expected finite keypoints and probabilities", to_float32(keypoints), to_float32(probabilities)
    )
    return Ranked(*run.score_poses(keypoints, probabilities, hough.contiguous(), skeleton=skeleton, options=options))


def sharpen_keypoints(
    keypoints: Any, hough: Any, *, options: DecodeOptions = _DECODE_DEFAULTS, backend: Backend | None = None
) -> Floats:
    """Keypoints moved to the mean of the Hough scores around them: one step of a Gaussian mean shift.

    y <- sum h_k(x) w(x) x / sum h_k(x) w(x) over lattice points x with |x - y| <= 3 sigma, where
    w(x) = exp(-|x - y|^2 / (2 sigma^2)), sigma = `options.sharpen`; unchanged where the sum is <= 1e-6.

    Args:
        keypoints: (P, K, 2) in input pixels, numbers of any width.
        hough: (K, H', W') scores from `hough_vote` with the same options; what is not finite, larger than 2^96 or
            negative counts as 0.
        options: hough_stride, sharpen and threads are used.
        backend: where to compute; where the arrays lie, if None.

    Returns:
        (P, K, 2).
    """
    check_type(options, "options", DecodeOptions)
    run, (poses, hough) = _take(backend, {"keypoints": keypoints, "hough": hough}, _OF_KEYPOINTS)
    checks.check_hough(hough)
    keypoints = poses.to_host()
    check_shape(keypoints, "keypoints", (None, hough.shape[0], 2), "(P, K, 2)")
    checks.check_finite("keypoints: expected finite numbers", to_float32(keypoints))
    sharpened: Floats = run.sharpen_keypoints(keypoints, hough.contiguous(), options=options)
    return sharpened


def associate_pixels(
    poses: Poses,
    segmentation: Any,
    long_offsets: Any,
    short_offsets: Any = None,
    *,
    stride: int,
    size: tuple[int, int],
    options: MaskOptions = _MASK_DEFAULTS,
    backend: Backend | None = None,
) -> NDArray[np.bool_]:
    """Masks (P, H, W): the pixels of each pose; what `personlab.decode_masks` does, on a backend of your choice.

    Where `backend` is None, that is where the fields lie.
    """
    check_type(options, "options", MaskOptions)
    check_type(poses, "poses", Poses)
    fields = {"segmentation": segmentation, "long_offsets": long_offsets, "short_offsets": short_offsets}
    run, (segmentation, long_offsets, short_offsets) = _take(backend, fields, optional=["short_offsets"])
    stride, size = checks.check_mask_fields(poses, segmentation, long_offsets, short_offsets, stride=stride, size=size)
    masks: NDArray[np.bool_] = run.associate_pixels(
        poses, segmentation.to_float32(), long_offsets.to_float32(),
        None if short_offsets is None else short_offsets.to_float32(), stride=stride, size=size, options=options,
    )  # fmt: skip
    return masks


def score_masks(
    masks: Any,
    segmentation: Any,
    scores: Any,
    *,
    stride: int,
    options: MaskOptions = _MASK_DEFAULTS,
    backend: Backend | None = None,
) -> Floats:
    """Mask scores: instance score times the mean person probability over the mask, to a power; 0 for an empty mask.

    What `personlab.decode_masks` returns with `return_scores`, for masks at hand.

    Args:
        masks: (P, H, W) bool, at pixels over which the segmentation is stretched, corner pixel on corner pixel.
        segmentation: (1, h, w) logits; NaN counts as probability 0.
        scores: (P,) instance scores; one that is not finite counts as 0.
        stride: input pixels from cell to cell.
        options: score_power and threads are used.
        backend: where to compute; where the arrays lie, if None.

    Returns:
        (P,)
    """
    check_type(options, "options", MaskOptions)
    arrays = {"masks": masks, "segmentation": segmentation, "scores": scores}
    run, (masks, segmentation, ranked) = _take(backend, arrays, _OF_MASKS)
    scores = ranked.to_host()
    stride = checks.check_masks(masks, segmentation, scores, stride=stride)
    mask_scores: Floats = run.score_masks(
        masks.contiguous(), scores, segmentation.to_float32(), stride=stride, options=options
    )
    return mask_scores


def refine_offsets(
    offsets: Any,
    by: Any,
    channels: Sequence[int],
    *,
    stride: int,
    steps: int = 2,
    threads: int = 1,
    backend: Backend | None = None,
) -> Floats:
    """Whole offset fields refined: `steps` times M_c(x) <- M_c(x) + S_l(x + M_c(x)), l = channels[c] (section 3.1.2).

    For mid-range offsets, `by` is the short-range offsets and `channels` the target keypoint of each directed edge; for
    long-range offsets, first themselves and then the short-range offsets, with `channels` = 0 .. K - 1.

    Args:
        offsets: (C, 2, h, w) input pixels.
        by: (L, 2, h, w) input pixels.
        channels: C indices into `by`.
        stride: input pixels from cell to cell.
        steps: refinements.
        threads: threads that share the work.
        backend: where to compute; where the arrays lie, if None.

    Returns:
        (C, 2, h, w); an offset that is not finite, or too large for float32 at the end, counts as (0, 0).
    """
    run, (offsets, by) = _take(backend, {"offsets": offsets, "by": by})
    channels, stride, steps, threads = checks.check_refinement(
        offsets, by, channels, stride=stride, steps=steps, threads=threads
    )
    refined: Floats = run.refine_offsets(
        offsets.to_float32(), by.to_float32(), channels, stride=stride, steps=steps, threads=threads
    )
    return refined


def encode_targets(
    keypoints: Any,
    masks: Any,
    *,
    size: tuple[int, int],
    stride: int,
    skeleton: Skeleton = COCO_PERSON,
    disk_radius: float = 32.0,
    crowd: Any = None,
    backend: Backend | None = None,
) -> Targets:
    """Training targets; what `personlab.encode_targets` does, on a backend of your choice.

    Where `backend` is None, that is where the arrays lie.
    """
    backend = choose_backend(backend, keypoints=keypoints, masks=masks, crowd=crowd)
    return encode(
        backend, keypoints, masks, crowd, size=size, stride=stride, skeleton=skeleton, disk_radius=disk_radius
    )
