"""From a network's fields to poses and masks: the two calls most users need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, overload

from personlab import _core
from personlab.arrays.device import Queue, all_on_device
from personlab.arrays.host import (
    Shaped,
    as_elements,
    as_field,
    as_integer,
    as_size,
    check_extent,
    check_shape,
    check_type,
    look_for,
    widened,
)
from personlab.methods.personlab.backends.cuda import dense as _dense_cuda
from personlab.options import DecodeOptions, MaskOptions
from personlab.poses import Poses
from personlab.skeleton import COCO_PERSON, Skeleton

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_DECODE_DEFAULTS = DecodeOptions()
_MASK_DEFAULTS = MaskOptions()


def check_pose_fields(
    heatmaps: Any,
    short_offsets: Any,
    mid_offsets: Any,
    *,
    stride: Any,
    skeleton: Skeleton,
    hough_stride: int | None = None,
    take: Callable[[Any, str], Any] = as_field,
) -> tuple[Any, Any, Any, int]:
    """The three fields that poses come from, taken, checked against each other and the skeleton, and the stride.

    They are what `take` makes of them: arrays in host memory, or `DeviceArray`s by a `Queue`'s.

    Raises:
        TypeError: no float array, no integer stride, or no skeleton.
        ValueError: a wrong shape, or a grid too large for the stride, or for the Hough lattice where one is made.
    """
    check_type(skeleton, "skeleton", Skeleton)
    look = look_for(take)
    heatmaps = look(heatmaps, "heatmaps")
    short_offsets = look(short_offsets, "short_offsets")
    mid_offsets = look(mid_offsets, "mid_offsets")
    k, e2 = skeleton.n_keypoints, 2 * skeleton.n_edges
    shape = heatmaps.shape
    if len(shape) not in (3, 4) or shape[-3] != k:
        raise ValueError(f"heatmaps: expected shape (K, h, w) or (N, K, h, w) with K = {k}, got {shape}")
    n, h, w = shape[:-3], shape[-2], shape[-1]
    if short_offsets.shape != (*n, k, 2, h, w):
        check_shape(short_offsets, "short_offsets", (*n, k, 2, h, w), "([N,] K, 2, h, w)")
    if mid_offsets.shape != (*n, e2, 2, h, w):
        check_shape(mid_offsets, "mid_offsets", (*n, e2, 2, h, w), "([N,] 2E, 2, h, w)")
    number: int = stride if type(stride) is int and 1 <= stride <= 4096 else as_integer(stride, "stride", 1, 4096)
    check_extent(heatmaps, "heatmaps", number, hough_stride)
    if look is not take:
        heatmaps, short_offsets = take(heatmaps, "heatmaps"), take(short_offsets, "short_offsets")
        mid_offsets = take(mid_offsets, "mid_offsets")
    return heatmaps, short_offsets, mid_offsets, number


def check_hough_shapes(heatmaps: Shaped, short_offsets: Shaped, stride: Any, options: DecodeOptions) -> int:
    """The stride, after the shapes of what votes have been checked."""
    check_shape(heatmaps, "heatmaps", (None, None, None), "(K, h, w)")
    k, h, w = heatmaps.shape
    check_shape(short_offsets, "short_offsets", (k, 2, h, w), "(K, 2, h, w)")
    number = as_integer(stride, "stride", 1, 4096)
    check_extent(heatmaps, "heatmaps", number, options.hough_stride)
    return number


def decode_poses(
    heatmaps: Any,
    short_offsets: Any,
    mid_offsets: Any,
    *,
    stride: int,
    skeleton: Skeleton = COCO_PERSON,
    options: DecodeOptions = _DECODE_DEFAULTS,
) -> Poses | list[Poses]:
    """Find every person's keypoints in the fields of a network (PersonLab, section 3.1).

    Args:
        heatmaps: (K, h, w) logits of "within R pixels of a keypoint of type k"; float32, float16 or bfloat16, a NumPy
            array, a torch tensor or any DLPack producer, or anything with `__cuda_array_interface__`. Where all three
            fields lie in the memory of a GPU, they are decoded there. A leading axis N makes it a batch. Contiguous
            fields of one element type are read where they lie; others in host memory are copied first.
        short_offsets: ([N,] K, 2, h, w) (dx, dy) to the nearest keypoint of type k, in pixels of the network input.
        mid_offsets: ([N,] 2E, 2, h, w) (dx, dy) along each directed edge, in pixels of the network input.
        stride: input pixels from cell to cell; cell (i, j) lies at pixel (j * stride, i * stride).
        skeleton: the keypoints and edges that the network was trained for.
        options: how to decode; `DecodeOptions.posenet` for what Google's PoseNet decoder does.

    Returns:
        `Poses` in pixels of the network input, best first; a list of N of them for a batch.

    Raises:
        RuntimeError: the fields lie on a GPU, and CUDA cannot be used.
        TypeError: an argument of the wrong type, or fields on a GPU and in host memory.
        ValueError: an argument of the wrong shape or range.
    """
    check_type(options, "options", DecodeOptions)
    check_type(skeleton, "skeleton", Skeleton)
    # That all is well with ordinary arrays the core sees at a glance, which takes Python longer than decoding a cell.
    found = _core.decode_plain(
        heatmaps=heatmaps, short_offsets=short_offsets, mid_offsets=mid_offsets, stride=stride,
        skeleton=skeleton.native, options=options.native,
    )  # fmt: skip
    if found is None:
        if all_on_device(heatmaps=heatmaps, short_offsets=short_offsets, mid_offsets=mid_offsets):
            from personlab.methods.personlab.backends.cuda import poses as cuda

            return cuda.decode_all(
                heatmaps, short_offsets, mid_offsets, stride=stride, skeleton=skeleton, options=options
            )
        heatmaps, short_offsets, mid_offsets, stride = check_pose_fields(
            heatmaps, short_offsets, mid_offsets, stride=stride, skeleton=skeleton,
            hough_stride=options.hough_stride if options.decoder == "personlab" else None, take=as_elements,
        )  # fmt: skip
        if not heatmaps.dtype == short_offsets.dtype == mid_offsets.dtype:
            heatmaps, short_offsets, mid_offsets = widened(heatmaps), widened(short_offsets), widened(mid_offsets)
        found = _core.decode_poses(
            heatmaps=heatmaps, short_offsets=short_offsets, mid_offsets=mid_offsets, stride=stride,
            skeleton=skeleton.native, options=options.native,
        )  # fmt: skip
    if heatmaps.ndim == 4:
        return [Poses._trusted(arrays) for arrays in found]
    return Poses._trusted(found[0])


def check_mask_fields(
    poses: Poses,
    segmentation: Any,
    long_offsets: Any,
    short_offsets: Any,
    *,
    stride: Any,
    size: Any,
    take: Callable[[Any, str], Any] = as_field,
) -> tuple[Any, Any, Any, int, tuple[int, int]]:
    """The fields that masks come from, taken, checked against the poses and each other, the stride and the size.

    `take` makes arrays of what may be fields, given their names.

    Raises:
        TypeError: no float array, no integer stride, or no size.
        ValueError: a wrong shape, or a grid too large for the stride.
    """
    check_type(poses, "poses", Poses)
    look = look_for(take)
    segmentation, long_offsets = look(segmentation, "segmentation"), look(long_offsets, "long_offsets")
    k = poses.keypoints.shape[1]
    check_shape(segmentation, "segmentation", (1, None, None), "(1, h, w)")
    h, w = segmentation.shape[1:]
    check_shape(long_offsets, "long_offsets", (k, 2, h, w), "(K, 2, h, w)")
    if short_offsets is not None:
        short_offsets = look(short_offsets, "short_offsets")
        check_shape(short_offsets, "short_offsets", (k, 2, h, w), "(K, 2, h, w)")
    stride, size = as_integer(stride, "stride", 1, 4096), as_size(size, "size")
    check_extent(segmentation, "segmentation", stride)
    if look is not take:
        segmentation, long_offsets = take(segmentation, "segmentation"), take(long_offsets, "long_offsets")
        short_offsets = None if short_offsets is None else take(short_offsets, "short_offsets")
    return segmentation, long_offsets, short_offsets, stride, size


@overload
def decode_masks(
    poses: Poses,
    segmentation: Any,
    long_offsets: Any,
    *,
    short_offsets: Any = None,
    stride: int,
    size: tuple[int, int],
    options: MaskOptions = _MASK_DEFAULTS,
    return_scores: Literal[True],
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]: ...


@overload
def decode_masks(
    poses: Sequence[Poses],
    segmentation: Any,
    long_offsets: Any,
    *,
    short_offsets: Any = None,
    stride: int,
    size: tuple[int, int],
    options: MaskOptions = _MASK_DEFAULTS,
    return_scores: Literal[True],
) -> tuple[list[NDArray[np.bool_]], list[NDArray[np.float32]]]: ...


@overload
def decode_masks(
    poses: Poses | Sequence[Poses],
    segmentation: Any,
    long_offsets: Any,
    *,
    short_offsets: Any = None,
    stride: int,
    size: tuple[int, int],
    options: MaskOptions = _MASK_DEFAULTS,
    return_scores: Literal[False] = False,
) -> NDArray[np.bool_] | list[NDArray[np.bool_]]: ...


def decode_masks(
    poses: Poses | Sequence[Poses],
    segmentation: Any,
    long_offsets: Any,
    *,
    short_offsets: Any = None,
    stride: int,
    size: tuple[int, int],
    options: MaskOptions = _MASK_DEFAULTS,
    return_scores: bool = False,
) -> Any:
    """Give each pose the pixels of its person (PersonLab, section 3.2).

    Fields in the memory of a GPU stay there, and so do their masks and scores.

    Args:
        poses: P poses in pixels of the network input, as `decode_poses` gave them; a sequence of N for a batch. A pose
            that is not finite, or with a negative probability, owns no pixel.
        segmentation: ([N,] 1, h, w) logits of "is a person"; element types and containers as in `decode_poses`.
        long_offsets: ([N,] K, 2, h, w) (dx, dy) from a person's pixel to keypoint k, in pixels of the network input.
        short_offsets: ([N,] K, 2, h, w), for the last refinement steps; None leaves these out.
        stride: input pixels from cell to cell.
        size: (H, W) of the image the masks are for; the fields are stretched over it, corner pixel on corner pixel.
        options: thresholds and refinement steps, whether masks exclude each other, and the power in mask scores.
        return_scores: whether to return mask scores, too: a pose's score times the mean person probability over its
            mask to the power `options.score_power`, and 0 for an empty mask. By these masks are to be ranked.

    Returns:
        (P, H, W) bool; a list of N of them for a batch. With `return_scores`, these and the scores (P,) float32, or a
        list of N of them. For fields on a GPU all lie there too, torch tensors where the fields are torch's, else
        arrays with `__cuda_array_interface__`, and are there once the fields' stream has come so far.

    Raises:
        RuntimeError: fields on a GPU, and no module or driver to work there.
        TypeError: an argument of the wrong type, or some fields on a GPU and some not.
        ValueError: an argument of the wrong shape or range.
    """
    check_type(options, "options", MaskOptions)
    check_type(return_scores, "return_scores", bool)
    more: dict[str, Any] = {"stride": stride, "size": size, "options": options, "scored": return_scores}
    if all_on_device(segmentation=segmentation, long_offsets=long_offsets, short_offsets=short_offsets):
        masks, scores = _decode_masks_on_device(poses, segmentation, long_offsets, short_offsets, **more)
    elif isinstance(poses, Poses):
        masks, scores = _decode_masks_of(poses, segmentation, long_offsets, short_offsets, **more)
    else:
        fields = _check_mask_batch(poses, segmentation, long_offsets, short_offsets, as_elements)
        found = [
            _decode_masks_of(one, *(None if field is None else field[i] for field in fields), **more)
            for i, one in enumerate(poses)
        ]
        masks, scores = [mask for mask, _ in found], [score for _, score in found]
    return (masks, scores) if return_scores else masks


def _decode_masks_of(
    poses: Poses,
    segmentation: Any,
    long_offsets: Any,
    short_offsets: Any,
    *,
    stride: Any,
    size: Any,
    options: MaskOptions,
    scored: bool,
) -> tuple[NDArray[np.bool_], NDArray[np.float32] | None]:
    """The masks of one image, and their scores where these are wanted, else None; on the core."""
    segmentation, long_offsets, short_offsets, stride, size = check_mask_fields(
        poses, segmentation, long_offsets, short_offsets, stride=stride, size=size, take=as_elements
    )
    return _core.associate_pixels(
        keypoints=poses.keypoints, weights=poses.keypoint_probabilities, scores=poses.scores,
        segmentation=segmentation, long_offsets=long_offsets, short_offsets=short_offsets, stride=stride, size=size,
        options=options.native, scored=scored,
    )  # fmt: skip


def _check_mask_batch(
    poses: Sequence[Poses], segmentation: Any, long_offsets: Any, short_offsets: Any, take: Callable[[Any, str], Any]
) -> tuple[Any, Any, Any]:
    """The fields of as many images as there are poses; each image's own are still to be checked."""
    if not isinstance(poses, Sequence):
        raise TypeError(f"poses: expected Poses or a sequence of them, got {type(poses).__name__}")
    for i, one in enumerate(poses):
        check_type(one, f"poses[{i}]", Poses)
    n = len(poses)
    look = look_for(take)
    segmentation, long_offsets = look(segmentation, "segmentation"), look(long_offsets, "long_offsets")
    check_shape(segmentation, "segmentation", (n, 1, None, None), "(N, 1, h, w)")
    check_shape(long_offsets, "long_offsets", (n, None, 2, None, None), "(N, K, 2, h, w)")
    if short_offsets is not None:
        short_offsets = look(short_offsets, "short_offsets")
        check_shape(short_offsets, "short_offsets", long_offsets.shape, "(N, K, 2, h, w)")
    return segmentation, long_offsets, short_offsets


def _decode_masks_on_device(
    poses: Poses | Sequence[Poses],
    segmentation: Any,
    long_offsets: Any,
    short_offsets: Any,
    *,
    stride: Any,
    size: Any,
    options: MaskOptions,
    scored: bool,
) -> tuple[Any, Any]:
    """Masks and, where these are wanted, their scores, or lists of them; on the device."""
    queue = Queue.of(segmentation=segmentation, long_offsets=long_offsets, short_offsets=short_offsets)
    if isinstance(poses, Poses):
        *fields, stride, size = check_mask_fields(
            poses, segmentation, long_offsets, short_offsets, stride=stride, size=size, take=queue.take
        )
        fields = [None if field is None else replace(field, shape=(1, *field.shape)) for field in fields]
        masks, scores = _dense_cuda.associate_pixels(
            queue, [poses], *fields, stride=stride, size=size, options=options, scored=scored
        )
        return masks[0], scores[0]
    fields = list(_check_mask_batch(poses, segmentation, long_offsets, short_offsets, queue.take))
    if len(poses) == 0:
        return [], []
    for i, one in enumerate(poses):
        *_, stride, size = check_mask_fields(
            one, *(None if field is None else field[i] for field in fields),
            stride=stride, size=size, take=lambda field, _: field,
        )  # fmt: skip
    return _dense_cuda.associate_pixels(queue, poses, *fields, stride=stride, size=size, options=options, scored=scored)
