"""The ceiling of Simple Pose: what decoding returns for a network that repeats the annotations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.methods.simple_pose.decode import decode_simple_pose
from personlab.methods.simple_pose.fields import SimplePoseFields
from personlab.methods.simple_pose.grid import MapGrid
from personlab.methods.simple_pose.people import parts_of
from personlab.methods.simple_pose.target_options import TargetOptions
from personlab.methods.simple_pose.targets import encode_targets
from personlab.skeleton import COCO_PERSON, Skeleton

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from personlab.data.coco import People
    from personlab.methods.simple_pose.options import SimplePoseOptions
    from personlab.poses import Poses

HEIGHT = 640  # of an image in the network input, pixels, as the published networks are shown it
_STEP = 64  # what the sides of the published network's input are multiples of, pixels


def perfect_fields(
    keypoints: NDArray[Any],
    *,
    size: tuple[int, int],
    input_size: tuple[int, int],
    stride: int,
    skeleton: Skeleton = COCO_PERSON,
    options: TargetOptions = TargetOptions(),  # noqa: B008  # frozen
) -> SimplePoseFields:
    """Return the maps of a network that repeats the annotations of an image.

    Args:
        keypoints: (P, K, 3) x, y in pixels of the image, labelled where v > 0.
        size: (H, W) of the image.
        input_size: (H, W) of the part of the network input that shows it.
        stride: input pixels from cell to cell.
        skeleton: of the people.
        options: how people become maps.

    Raises:
        TypeError, ValueError: as `encode_targets`.
    """
    shown = np.array(keypoints, np.float64)
    factor = np.array(input_size[::-1]) / np.maximum(size[::-1], 1)
    shown[..., :2] = (shown[..., :2] + 0.5) * factor - 0.5
    step = np.lcm(_STEP, stride)
    height, width = (max(-(-side // step), 1) * int(step) for side in input_size)
    targets = encode_targets(shown, size=(height, width), stride=stride, parts=parts_of(skeleton), options=options)
    grid = MapGrid(stride=stride, input_size=input_size, size=size)
    return SimplePoseFields(keypoints=targets.keypoints, limbs=targets.limbs, grid=grid)


def decode_ceiling(
    people: People,
    *,
    stride: int,
    skeleton: Skeleton = COCO_PERSON,
    long_edge: int | None = None,
    options: SimplePoseOptions,
    mask_options: None = None,
) -> tuple[Poses, None, None]:
    """Encode the annotations of one image and decode them again.

    Args:
        people: annotations of the image.
        stride: input pixels from cell to cell of the maps.
        skeleton: keypoints of the people.
        long_edge: longest side of the network input, pixels; without it, the image is shown 640 pixels high.
        options: of decoding.
        mask_options: none.

    Returns:
        The people in pixels of the image, and no masks.
    """
    del mask_options
    size = people.crowd.shape
    factor = HEIGHT / max(size[0], 1) if long_edge is None else long_edge / max(*size, 1)
    inner = tuple(max(round(side * factor), 1) for side in size)
    fields = perfect_fields(
        people.keypoints, size=(size[0], size[1]), input_size=(inner[0], inner[1]), stride=stride, skeleton=skeleton
    )
    maps, where = fields.arguments
    poses: Any = decode_simple_pose(*maps, **where, parts=parts_of(skeleton), options=options)
    return poses, None, None
