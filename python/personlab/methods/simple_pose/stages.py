"""The steps of decoding maps, one image at a time: peaks, connections and bodies, on the backend of your choice.

The backend "cpu" is the compiled core; "reference" is slow float64 NumPy (`backends/reference`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

from personlab.arrays.array import dense, to_float32
from personlab.methods.simple_pose.backends import cpu
from personlab.methods.simple_pose.checks import check_maps
from personlab.methods.simple_pose.options import SimplePoseOptions
from personlab.methods.simple_pose.parts import COCO_PARTS, BodyParts

if TYPE_CHECKING:
    from personlab.methods.simple_pose.steps import Steps

__all__ = ["Backend", "decode_steps"]

Backend = Literal["cpu", "reference"]
_DEFAULTS = SimplePoseOptions()


def decode_steps(
    keypoint_maps: Any,
    limb_maps: Any,
    *,
    stride: int = 4,
    input_size: Any = None,
    size: tuple[int, int] | None = None,
    parts: BodyParts = COCO_PARTS,
    options: SimplePoseOptions = _DEFAULTS,
    backend: Backend = "cpu",
) -> Steps:
    """Return what the steps of decoding one image come to; arguments as for `personlab.decode_simple_pose`.

    Raises:
        TypeError: an argument of the wrong type, or maps on a GPU.
        ValueError: an argument of the wrong shape or range, a batch, or no backend.
    """
    if backend not in get_args(Backend):
        raise ValueError(f"backend: expected one of {', '.join(get_args(Backend))}, got {backend!r}")
    keypoints, limbs, grids = check_maps(
        keypoint_maps, limb_maps, stride=stride, input_size=input_size, size=size, parts=parts, options=options
    )
    if len(keypoints[0].shape) != 3:
        raise ValueError(f"keypoint_maps: expected shape (K, h, w), got {keypoints[0].shape}")
    arrays, count = dense([*keypoints, *limbs]), len(grids)
    if backend == "cpu":
        return cpu.decode_steps(arrays[:count], arrays[count:], grids=grids, parts=parts, options=options)
    from personlab.methods.simple_pose.backends import reference

    maps = [to_float32(array) for array in arrays]
    return reference.decode_steps(maps[:count], maps[count:], grids=grids, parts=parts, options=options)
