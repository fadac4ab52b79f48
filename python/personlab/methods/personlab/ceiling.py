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
    """What decoding makes of a network that says exactly what the annotations of one image do.

    Args:
        people: annotations of an image of H x W pixels, which is widened to a multiple of the stride plus 1.
        stride: pixels from cell to cell of the network imagined.
        skeleton: keypoints and edges.
        options: how poses are decoded.
        mask_options: how masks are.

    Returns:
        the poses, their masks (P, H, W), in the image's pixels, and the scores of these (P,).
    """
    height, width = people.crowd.shape
    size = tuple(-(-(side - 1) // stride) * stride + 1 for side in (height, width))

    def widened(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        wide = np.zeros((*mask.shape[:-2], *size), bool)
        wide[..., :height, :width] = mask
        return wide

    fields = encode_targets(
        people.keypoints,
        widened(people.masks),
        size=(size[0], size[1]),
        stride=stride,
        skeleton=skeleton,
        disk_radius=options.disk_radius,
        crowd=widened(people.crowd),
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
    """COCO keypoint and segmentation results of `decode_ceiling` over images by image id.

    Options left out are `EXACT` and the defaults of masks.
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
        if people.unoutlined is not None:  # people without outline have no mask to be scored
            known = masks.any(axis=(1, 2))
            poses, masks, scores = poses[known], masks[known], scores[known]
        segmentations += mask_results(poses, masks, image_id, scores=scores)
    return keypoints, segmentations
