"""The ceiling of Simple Baselines: what decoding returns for a network that repeats the annotations, by their boxes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from personlab.data.single import person_boxes
from personlab.methods.simple_baseline.boxes import box_fault, crop_affines, grow_boxes, map_points
from personlab.methods.simple_baseline.config import STRIDE
from personlab.methods.simple_baseline.fields import SimpleBaselineFields
from personlab.methods.simple_baseline.loss_options import SimpleBaselineLossOptions
from personlab.methods.simple_baseline.maps import REACH
from personlab.methods.simple_baseline.options import CropOptions
from personlab.methods.simple_baseline.people import decode_people, encode_person
from personlab.skeleton import COCO_PERSON, Skeleton

if TYPE_CHECKING:
    from personlab.data.coco import People
    from personlab.methods.simple_baseline.pose_options import SimpleBaselineOptions
    from personlab.poses import Poses

_SIZE = (256, 192)  # of the crops, pixels: those of the published networks


def perfect_fields(
    people: People, *, options: SimpleBaselineOptions, size: tuple[int, int] = _SIZE
) -> SimpleBaselineFields:
    """Return the heatmaps of a network that repeats the annotations of an image, by the boxes of its labelled people.

    Args:
        people: annotations of the image.
        options: of prediction.
        size: (H, W) of the crops, pixels.
    """
    shape = people.crowd.shape
    boxes, labelled = person_boxes(people), np.asarray((people.keypoints[..., 2] > 0).any(axis=1))
    kept = [n for n in np.flatnonzero(labelled) if box_fault(boxes[n], (shape[0], shape[1])) is None]
    crops = CropOptions(size=size, padding=options.padding)
    affines, grown = crop_affines(boxes[kept], options=crops), grow_boxes(boxes[kept], options=crops)
    maps = np.zeros((len(kept), people.keypoints.shape[1], size[0] // STRIDE, size[1] // STRIDE), np.float32)
    for own, affine, keypoints in zip(maps, affines, np.asarray(people.keypoints)[kept], strict=True):
        points = map_points(keypoints[:, :2], affine)
        reach = STRIDE * REACH
        inside = ((points >= -reach) & (points < (size[1] + reach, size[0] + reach))).all(axis=1)
        shown = np.column_stack([points, (keypoints[:, 2] > 0) & inside])
        own[:] = encode_person(shown, size, SimpleBaselineLossOptions()).heatmaps
    return SimpleBaselineFields(
        heatmaps=maps, affines=affines, areas=grown[:, 2] * grown[:, 3], scores=np.ones(len(kept)),
        size=(shape[0], shape[1]),
    )  # fmt: skip


def decode_ceiling(
    people: People,
    *,
    stride: int,
    skeleton: Skeleton = COCO_PERSON,
    long_edge: int | None = None,
    options: SimpleBaselineOptions,
    mask_options: None = None,
) -> tuple[Poses, None, None]:
    """Encode the annotations of one image and decode them again, with crops of 256 x 192.

    Args:
        people: annotations of the image.
        stride: input pixels from cell to cell of the maps: 4.
        skeleton: keypoints of the people.
        long_edge: the height of the crops, a multiple of 32 with 3 / 4 of it as width; None: 256.
        options: of decoding.
        mask_options: none.

    Returns:
        The people in pixels of the image, and no masks.

    Raises:
        ValueError: another stride.
    """
    del mask_options
    if stride != STRIDE:
        raise ValueError(f"stride: expected {STRIDE}, got {stride}")
    size = _SIZE if long_edge is None else (long_edge, long_edge * 3 // 4)
    return decode_people(perfect_fields(people, options=options, size=size), skeleton, options), None, None
