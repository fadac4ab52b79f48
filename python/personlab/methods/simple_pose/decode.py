"""From maps of keypoints and limbs to people, the call of everyday use: check, choose the backend, compute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from personlab.arrays.array import dense
from personlab.methods.simple_pose.backends import cpu
from personlab.methods.simple_pose.checks import check_maps
from personlab.methods.simple_pose.options import SimplePoseOptions
from personlab.methods.simple_pose.parts import COCO_PARTS, BodyParts

if TYPE_CHECKING:
    from personlab.poses import Poses

_DEFAULTS = SimplePoseOptions()


def decode_simple_pose(
    keypoint_maps: Any,
    limb_maps: Any,
    *,
    stride: int = 4,
    input_size: Any = None,
    size: tuple[int, int] | None = None,
    parts: BodyParts = COCO_PARTS,
    options: SimplePoseOptions = _DEFAULTS,
) -> Poses | list[Poses]:
    """Find every person in the maps of a Simple Pose network (Li, Su, Wang, AAAI 2020).

    Args:
        keypoint_maps: (K, h, w) how near a keypoint of each type is, 0 to 1; float32, float16 or bfloat16, a NumPy
            array, a torch tensor or any DLPack producer in host memory. A leading axis N makes it a batch. A list of
            arrays: the same images at several scales, whose mean the rules of the originals take.
        limb_maps: ([N,] E, h, w) how near a limb is; likewise.
        stride: input pixels from cell to cell; the centre of cell (i, j) lies at pixel ((j + 0.5) * stride - 0.5,
            (i + 0.5) * stride - 0.5).
        input_size: (H, W) of the part of the network input, at its top left, that shows the image; all of it if None.
            A list for several scales.
        size: (H, W) of the image, which that part shows scaled; (H, W) of the part if None.
        parts: the keypoints and limbs that the maps show, and which of them are those of people.
        options: how to decode; `SimplePoseOptions.original` for what the originals do, number for number.

    Returns:
        `Poses` in pixels of the image, best first; a list of N of them for a batch. An absent keypoint has score 0; it
        lies at the mean of the others or, by the rules of the originals, at (0, 0).

    Raises:
        TypeError: an argument of the wrong type, or maps on a GPU.
        ValueError: an argument of the wrong shape or range.
    """
    keypoints, limbs, grids = check_maps(
        keypoint_maps, limb_maps, stride=stride, input_size=input_size, size=size, parts=parts, options=options
    )
    arrays = dense([*keypoints, *limbs])
    poses = cpu.decode_people_batch(
        arrays[: len(grids)], arrays[len(grids) :], grids=grids, parts=parts, options=options
    )
    return poses if len(keypoints[0].shape) == 4 else poses[0]
