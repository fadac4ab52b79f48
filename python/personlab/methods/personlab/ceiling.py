"""The ceiling of PersonLab's encoding: what decoding returns for a network that repeats the annotations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from personlab.methods.personlab.decode import decode_masks, decode_poses
from personlab.methods.personlab.every_pose import EXACT
from personlab.methods.personlab.targets import encode_targets
from personlab.options import DecodeOptions, MaskOptions
from personlab.poses import Poses
from personlab.skeleton import COCO_PERSON, Skeleton

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from personlab.data.coco import People


def decode_ceiling(
    people: People,
    *,
    stride: int,
    skeleton: Skeleton = COCO_PERSON,
    long_edge: int | None = None,
    options: DecodeOptions = EXACT,
    mask_options: MaskOptions = MaskOptions(),  # noqa: B008  # frozen
) -> tuple[Poses, NDArray[np.bool_], NDArray[np.float32]]:
    """Encode the annotations of one image and decode them again.

    Args:
        people: annotations of an image of H x W pixels; it is padded to multiples of the stride plus 1.
        stride: pixels from cell to cell of the fields.
        skeleton: keypoints and edges.
        long_edge: without effect: networks are shown images of their own size.
        options: of decoding poses.
        mask_options: of decoding masks.

    Returns:
        The poses in pixels of the image, their masks (P, H, W) and the scores of the masks (P,).
    """
    del long_edge
    height, width = people.crowd.shape
    size = tuple(-(-(side - 1) // stride) * stride + 1 for side in (height, width))

    def pad(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        padded = np.zeros((*mask.shape[:-2], *size), bool)
        padded[..., :height, :width] = mask
        return padded

    fields = encode_targets(
        people.keypoints,
        pad(people.masks),
        size=(size[0], size[1]),
        stride=stride,
        skeleton=skeleton,
        disk_radius=options.disk_radius,
        crowd=pad(people.crowd),
    ).to_fields()
    poses = decode_poses(
        fields.heatmaps, fields.short_offsets, fields.mid_offsets, stride=stride, skeleton=skeleton, options=options
    )
    assert isinstance(poses, Poses)
    assert fields.segmentation is not None
    masks, scores = decode_masks(
        poses,
        fields.segmentation,
        fields.long_offsets,
        short_offsets=fields.short_offsets,
        stride=stride,
        size=(size[0], size[1]),
        options=mask_options,
        return_scores=True,
    )
    return poses, masks[:, :height, :width], scores
