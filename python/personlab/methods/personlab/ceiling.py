"""The ceiling of PersonLab's encoding: what decoding returns for a network that repeats the annotations."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.io.results import mask_results
from personlab.methods.personlab.decode import decode_masks, decode_poses
from personlab.methods.personlab.method import EVERY_POSE
from personlab.methods.personlab.targets import encode_targets
from personlab.options import DecodeOptions, MaskOptions
from personlab.poses import Poses
from personlab.skeleton import COCO_PERSON, Skeleton

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from personlab.data.coco import People

EXACT = replace(EVERY_POSE, hough_stride=1)  # votes on every pixel: fields without error deserve no coarser lattice


def decode_ceiling(
    people: People,
    *,
    stride: int,
    skeleton: Skeleton = COCO_PERSON,
    options: DecodeOptions,
    mask_options: MaskOptions,
) -> tuple[Poses, NDArray[np.bool_], NDArray[np.float32]]:
    """Encode the annotations of one image and decode them again.

    Args:
        people: annotations of an image of H x W pixels; it is padded to multiples of the stride plus 1.
        stride: pixels from cell to cell of the fields.
        skeleton: keypoints and edges.
        options: of decoding poses.
        mask_options: of decoding masks.

    Returns:
        The poses in pixels of the image, their masks (P, H, W) and the scores of the masks (P,).
    """
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


def evaluate_ceiling(
    images: Mapping[int, People],
    *,
    stride: int,
    skeleton: Skeleton = COCO_PERSON,
    options: DecodeOptions | None = None,
    mask_options: MaskOptions | None = None,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return COCO keypoint and segmentation results of `decode_ceiling` for images by image id.

    Options default to `EXACT` and `MaskOptions()`.
    """
    keypoints: list[dict[str, Any]] = []
    segmentations: list[dict[str, Any]] = []
    for image_id, people in images.items():
        poses, masks, scores = decode_ceiling(
            people,
            stride=stride,
            skeleton=skeleton,
            options=options or EXACT,
            mask_options=mask_options or MaskOptions(),
        )
        keypoints += poses.to_coco(image_id)
        if people.unoutlined is not None:  # people without outline decode to empty masks
            filled = masks.any(axis=(1, 2))
            poses, masks, scores = poses[filled], masks[filled], scores[filled]
        segmentations += mask_results(poses, masks, image_id, scores=scores)
    return keypoints, segmentations
