"""From a network's fields to poses and masks, the two calls of everyday use: check, choose the backend, compute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

from personlab import _core
from personlab.arrays.array import dense
from personlab.arrays.numbers import check_type
from personlab.arrays.take import take
from personlab.methods.personlab.backends import BACKENDS
from personlab.methods.personlab.checks import check_mask_fields, check_pose_fields
from personlab.options import DecodeOptions, MaskOptions
from personlab.poses import Poses
from personlab.skeleton import COCO_PERSON, Skeleton

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

_DECODE_DEFAULTS = DecodeOptions()
_MASK_DEFAULTS = MaskOptions()


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
            fields lie in the memory of a GPU, that GPU decodes them. A leading axis N makes it a batch. Contiguous
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
    # The core checks ordinary arrays at a glance; checks in Python take longer than decoding a cell.
    arrays = _core.decode_plain(
        heatmaps=heatmaps, short_offsets=short_offsets, mid_offsets=mid_offsets, stride=stride,
        skeleton=skeleton.native, options=options.native,
    )  # fmt: skip
    if arrays is not None:
        return [Poses._trusted(one) for one in arrays] if heatmaps.ndim == 4 else Poses._trusted(arrays[0])
    fields = take({"heatmaps": heatmaps, "short_offsets": short_offsets, "mid_offsets": mid_offsets})
    stride = check_pose_fields(*fields, stride=stride, skeleton=skeleton, options=options)
    heatmaps, short_offsets, mid_offsets = dense(fields)
    run, is_batch = BACKENDS[fields[0].place], len(heatmaps.shape) == 4
    if not is_batch:
        heatmaps, short_offsets, mid_offsets = heatmaps[None], short_offsets[None], mid_offsets[None]
    poses = run.decode_pose_batch(
        heatmaps, short_offsets, mid_offsets, stride=stride, skeleton=skeleton, options=options
    )
    return poses if is_batch else poses[0]


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

    Masks and scores lie where the fields do: in host memory, or on a GPU. In host memory, a block of 4 to 256 MiB that
    masks lay in is kept once no array over it is left, and is used by the next result that fills half of it or more;
    one block at most, which a result that it does not fit frees.

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
        list of N of them. On a GPU these are torch tensors where the fields are torch's, else arrays with
        `__cuda_array_interface__`, written by work queued on the fields' stream.

    Raises:
        RuntimeError: fields on a GPU, and CUDA cannot be used.
        TypeError: an argument of the wrong type, or some fields on a GPU and some not.
        ValueError: an argument of the wrong shape or range.
    """
    check_type(options, "options", MaskOptions)
    check_type(return_scores, "return_scores", bool)
    fields = take(
        {"segmentation": segmentation, "long_offsets": long_offsets, "short_offsets": short_offsets},
        optional=["short_offsets"],
    )
    stride, size = check_mask_fields(poses, *fields, stride=stride, size=size)
    arrays = [None if field is None else field.contiguous() for field in fields]
    images: Sequence[Poses] = [poses] if isinstance(poses, Poses) else poses
    if images is not poses:
        arrays = [None if array is None else array[None] for array in arrays]
    masks, scores = BACKENDS[fields[0].place].decode_mask_batch(
        images, *arrays, stride=stride, size=size, options=options, with_scores=return_scores
    )
    if images is not poses:
        masks, scores = masks[0], scores[0]
    return (masks, scores) if return_scores else masks
