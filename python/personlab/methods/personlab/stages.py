"""Each stage of the pipeline by itself, over dense arrays, on the backend of your choice.

Stages come in the order in which data flows: `hough_vote`, `find_peaks`, `group_poses`, `score_poses`,
`sharpen_keypoints`, then `associate_pixels` and `score_masks`; beside them `refine_offsets` and `encode_targets`. All
take NumPy arrays, torch tensors or other DLPack producers, checked as `personlab.decode_poses` checks them. The backend
"cpu" is the compiled core and returns float32; "reference" is slow float64 NumPy (`backends/reference`). The backend
"cuda" takes arrays in the memory of a GPU and returns float32 there: torch tensors where the fields are torch's, else
arrays with `__cuda_array_interface__`.

Every stage raises TypeError or ValueError, naming the argument, for arguments of the wrong type, shape or range.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from personlab import _core
from personlab.arrays.device import Queue
from personlab.arrays.host import (
    as_field,
    as_integer,
    as_numbers,
    as_size,
    check_copy,
    check_extent,
    check_shape,
    check_type,
    narrowed,
    to_numpy,
    view_elements,
)
from personlab.methods.personlab import targets as _targets
from personlab.methods.personlab.backends import reference
from personlab.methods.personlab.backends.cuda import dense as _dense_cuda
from personlab.methods.personlab.backends.cuda import stages as _stages_cuda
from personlab.methods.personlab.backends.reference import encode as reference_targets
from personlab.methods.personlab.backends.reference import masks as reference_masks
from personlab.methods.personlab.decode import check_hough_shapes, check_mask_fields, check_pose_fields, decode_masks
from personlab.methods.personlab.stage_inputs import (
    Backend,
    Floats,
    Groups,
    Peaks,
    Ranked,
    check_finite,
    check_peaks,
    choose_backend,
    parts_of,
)
from personlab.options import DecodeOptions, MaskOptions
from personlab.poses import Poses
from personlab.skeleton import COCO_PERSON, Skeleton

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

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
    backend = choose_backend(backend, heatmaps=heatmaps, short_offsets=short_offsets)
    if backend == "cuda":
        queue = Queue.of(heatmaps=heatmaps, short_offsets=short_offsets)
        votes = queue.take(heatmaps, "heatmaps"), queue.take(short_offsets, "short_offsets")
        scores: Floats = _stages_cuda.hough_vote(queue, *votes, check_hough_shapes(*votes, stride, options), options)
        return scores
    views = view_elements(heatmaps, "heatmaps"), view_elements(short_offsets, "short_offsets")
    stride = check_hough_shapes(*views, stride, options)
    heatmaps, short_offsets = as_field(views[0], "heatmaps"), as_field(views[1], "short_offsets")
    if backend == "reference":
        return reference.hough_vote(heatmaps, short_offsets, stride=stride, options=options)
    return _core.hough_vote(heatmaps=heatmaps, short_offsets=short_offsets, stride=stride, options=options.native)


def find_peaks(hough: Any, *, options: DecodeOptions = _DECODE_DEFAULTS, backend: Backend | None = None) -> Peaks:
    """Local maxima of Hough scores (K, H', W'), as `hough_vote` gives them; best first, ties by keypoint, y, x.

    Args:
        hough: (K, H', W') numbers of any width, on a GPU float32, float16 or bfloat16; what is not finite counts as 0.
        options: hough_stride and peak_threshold are used.
        backend: where to compute; where the arrays lie, if None.
    """
    check_type(options, "options", DecodeOptions)
    backend = choose_backend(backend, hough=hough)
    queue = Queue.of(hough=hough) if backend == "cuda" else None
    hough = as_numbers(hough, "hough") if queue is None else queue.take(hough, "hough")
    check_shape(hough, "hough", (None, None, None), "(K, H', W')")
    check_extent(hough, "hough", 1)
    if queue is not None:
        return Peaks(*_stages_cuda.find_peaks(queue, hough, options))
    if backend == "reference":
        return Peaks(*reference.find_peaks(hough, options=options))
    return Peaks(*_core.find_peaks(hough=narrowed(hough), options=options.native))


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
    keypoints, positions, scores = parts_of(peaks, "peaks", Peaks)
    arrays = {"heatmaps": heatmaps, "short_offsets": short_offsets, "mid_offsets": mid_offsets}
    small = {"peaks.keypoints": keypoints, "peaks.positions": positions, "peaks.scores": scores}
    backend = choose_backend(backend, **arrays, **small)
    queue = Queue.of(**arrays, **small) if backend == "cuda" else None
    heatmaps, short_offsets, mid_offsets, stride = check_pose_fields(
        heatmaps, short_offsets, mid_offsets, stride=stride, skeleton=skeleton,
        take=as_field if queue is None else queue.take,
    )  # fmt: skip
    if heatmaps.ndim != 3:
        raise ValueError(f"heatmaps: expected shape (K, h, w), got {heatmaps.shape}")
    if queue is not None:
        keypoints, positions, scores = (_stages_cuda.read_numbers(value, name) for name, value in small.items())
    keypoints, positions, scores = check_peaks(keypoints, positions, scores, skeleton.n_keypoints)
    if len(keypoints) and heatmaps.size == 0:
        raise ValueError(f"peaks: expected none on a grid of shape {heatmaps.shape}, got {len(keypoints)}")
    native = narrowed(positions), narrowed(scores)
    check_finite("peaks: expected finite positions and scores", *native)
    if queue is not None:
        fields = heatmaps, short_offsets, mid_offsets
        return Groups(*_stages_cuda.group_poses(queue, (keypoints, *native), fields, stride, skeleton, options))
    if backend == "reference":
        return Groups(
            *reference.group_poses(
                (keypoints, positions, scores), heatmaps, short_offsets, mid_offsets,
                stride=stride, skeleton=skeleton, options=options,
            )
        )  # fmt: skip
    return Groups(
        *_core.group_poses(
            peak_keypoints=np.ascontiguousarray(keypoints, np.int32), positions=native[0], scores=native[1],
            heatmaps=heatmaps, short_offsets=short_offsets, mid_offsets=mid_offsets, stride=stride,
            skeleton=skeleton.native, options=options.native,
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
        hough: (K, H', W') scores from `hough_vote` with the same options, on either backend; what is not finite, or
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
    backend = choose_backend(backend, hough=hough, **small)
    queue = Queue.of(hough=hough, **small) if backend == "cuda" else None
    if queue is not None:
        keypoints, probabilities = (_stages_cuda.read_numbers(value, name) for name, value in small.items())
    keypoints = as_numbers(keypoints, "groups.keypoints")
    probabilities = as_numbers(probabilities, "groups.probabilities")
    hough = as_numbers(hough, "hough") if queue is None else queue.take(hough, "hough")
    k = skeleton.n_keypoints
    check_shape(keypoints, "groups.keypoints", (None, k, 2), "(P, K, 2)")
    check_shape(probabilities, "groups.probabilities", (len(keypoints), k), "(P, K)")
    check_shape(hough, "hough", (k, None, None), "(K, H', W')")
    check_extent(hough, "hough", 1)
    native = narrowed(keypoints), narrowed(probabilities)
    check_finite("groups: expected finite keypoints and probabilities", *native)
    if queue is not None:
        return Ranked(*_stages_cuda.score_poses(queue, native, hough, skeleton, options))
    if backend == "reference":
        return Ranked(*reference.score_poses(keypoints, probabilities, hough, skeleton=skeleton, options=options))
    return Ranked(
        *_core.score_poses(
            keypoints=native[0], probabilities=native[1], hough=narrowed(hough), skeleton=skeleton.native,
            options=options.native,
        )
    )  # fmt: skip


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
    backend = choose_backend(backend, keypoints=keypoints, hough=hough)
    queue = Queue.of(keypoints=keypoints, hough=hough) if backend == "cuda" else None
    keypoints = as_numbers(
        keypoints if queue is None else _stages_cuda.read_numbers(keypoints, "keypoints"), "keypoints"
    )
    hough = as_numbers(hough, "hough") if queue is None else queue.take(hough, "hough")
    check_shape(hough, "hough", (None, None, None), "(K, H', W')")
    check_shape(keypoints, "keypoints", (None, len(hough), 2), "(P, K, 2)")
    check_extent(hough, "hough", 1)
    native = narrowed(keypoints)
    check_finite("keypoints: expected finite numbers", native)
    if queue is not None:
        sharpened: Floats = _stages_cuda.sharpen_keypoints(queue, native, hough, options)
        return sharpened
    if backend == "reference":
        return reference.sharpen_keypoints(keypoints, hough, options=options)
    return _core.sharpen_keypoints(keypoints=native, hough=narrowed(hough), options=options.native)


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
    backend = choose_backend(backend, segmentation=segmentation, long_offsets=long_offsets, short_offsets=short_offsets)
    if backend == "cuda":
        on_device: Any = decode_masks(
            poses, segmentation, long_offsets, short_offsets=short_offsets, stride=stride, size=size, options=options
        )
        return on_device  # type: ignore[no-any-return]
    segmentation, long_offsets, short_offsets, stride, size = check_mask_fields(
        poses, segmentation, long_offsets, short_offsets, stride=stride, size=size
    )
    if backend == "reference":
        return reference_masks.associate_pixels(
            poses.keypoints, poses.keypoint_probabilities, poses.scores, segmentation, long_offsets, short_offsets,
            stride=stride, size=size, options=options,
        )  # fmt: skip
    masks, _ = _core.associate_pixels(
        keypoints=poses.keypoints, weights=poses.keypoint_probabilities, scores=poses.scores,
        segmentation=segmentation, long_offsets=long_offsets, short_offsets=short_offsets, stride=stride, size=size,
        options=options.native, scored=False,
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

    What `personlab.decode_masks` returns with `return_scores`, for masks that are there already.

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
    backend = choose_backend(backend, **arrays)
    queue = Queue.of(**arrays) if backend == "cuda" else None
    if queue is None:
        masks, segmentation = to_numpy(masks, "masks"), as_field(segmentation, "segmentation")
        if masks.dtype != np.bool_:
            raise TypeError(f"masks: expected bool, got {masks.dtype}")
        check_copy(masks, "masks")
    else:
        masks = queue.take(masks, "masks", ("bool",))
        segmentation = queue.take(segmentation, "segmentation")
        scores = _stages_cuda.read_numbers(scores, "scores")
    scores = as_numbers(scores, "scores")
    check_shape(masks, "masks", (None, None, None), "(P, H, W)")
    check_shape(segmentation, "segmentation", (1, None, None), "(1, h, w)")
    check_shape(scores, "scores", (masks.shape[0],), "(P,)")
    stride = as_integer(stride, "stride", 1, 4096)
    check_extent(segmentation, "segmentation", stride)
    as_size(masks.shape[1:], "masks")
    if queue is not None:
        batch = replace(segmentation, shape=(1, *segmentation.shape))
        on_device: Floats = _dense_cuda.score_masks(
            queue, masks, narrowed(scores), batch, stride=stride, options=options
        )
        return on_device
    if backend == "reference":
        return reference_masks.score_masks(masks, scores, segmentation, stride=stride, options=options)
    return _core.score_masks(
        masks=np.ascontiguousarray(masks), scores=narrowed(scores), segmentation=segmentation, stride=stride,
        options=options.native,
    )  # fmt: skip


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
    backend = choose_backend(backend, offsets=offsets, by=by)
    queue = Queue.of(offsets=offsets, by=by) if backend == "cuda" else None
    look = view_elements if queue is None else queue.take
    offsets, by = look(offsets, "offsets"), look(by, "by")
    check_shape(offsets, "offsets", (None, 2, None, None), "(C, 2, h, w)")
    check_shape(by, "by", (None, 2, *offsets.shape[2:]), "(L, 2, h, w)")
    numbers = [as_integer(channel, "channels", 0, len(by) - 1) for channel in channels]
    if len(numbers) != len(offsets):
        raise ValueError(f"channels: expected {len(offsets)} entries, one per offset channel, got {len(numbers)}")
    stride, steps = as_integer(stride, "stride", 1, 4096), as_integer(steps, "steps", 0, 1000)
    check_extent(offsets, "offsets", stride)
    threads = as_integer(threads, "threads", 1, 1024)
    if queue is not None:
        on_device: Floats = _dense_cuda.refine_offsets(queue, offsets, by, numbers, stride=stride, steps=steps)
        return on_device
    offsets, by = as_field(offsets, "offsets"), as_field(by, "by")
    if backend == "reference":
        return reference_masks.refine_offsets(offsets, by, numbers, stride=stride, steps=steps)
    return _core.refine_offsets(offsets=offsets, by=by, channels=numbers, stride=stride, steps=steps, threads=threads)


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
) -> _targets.Targets:
    """Training targets; what `personlab.encode_targets` does, on a backend of your choice.

    Where `backend` is None, that is where the arrays lie.
    """
    if choose_backend(backend, keypoints=keypoints, masks=masks, crowd=crowd) != "reference":
        return _targets.encode_targets(
            keypoints, masks, size=size, stride=stride, skeleton=skeleton, disk_radius=disk_radius, crowd=crowd
        )
    people, people_masks, crowd, size, stride, disk_radius = _targets.check_annotations(
        keypoints, masks, crowd, size=size, stride=stride, skeleton=skeleton, disk_radius=disk_radius
    )
    arrays = reference_targets.encode_targets(
        people, people_masks, crowd, size=size, stride=stride, skeleton=skeleton, disk_radius=disk_radius
    )
    return _targets.Targets(**arrays, stride=stride)
