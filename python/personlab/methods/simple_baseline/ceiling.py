"""The ceiling of Simple Baselines: what decoding returns for a network that repeats the annotations, by their boxes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from personlab.data.single import person_boxes
from personlab.methods.simple_baseline.boxes import box_fault, crop_affines, map_points
from personlab.methods.simple_baseline.config import STRIDE
from personlab.methods.simple_baseline.decode import decode_simple_baseline
from personlab.methods.simple_baseline.fields import SimpleBaselineFields
from personlab.methods.simple_baseline.options import TargetOptions
from personlab.methods.simple_baseline.targets import encode_targets
from personlab.methods.simple_baseline.views import crop_options
from personlab.skeleton import COCO_PERSON, Skeleton

if TYPE_CHECKING:
    from personlab.data.coco import People
    from personlab.methods.simple_baseline.options import SimpleBaselineOptions
    from personlab.poses import Poses

_SIZE = (256, 192)  # of the crops, pixels: those of the published networks


def perfect_fields(
    people: People, *, options: SimpleBaselineOptions, size: tuple[int, int] = _SIZE
) -> SimpleBaselineFields:
    """Return the heatmaps of a network that repeats the annotations of an image, by the boxes of its labelled people.

    Args:
        people: annotations of the image.
        options: of prediction; targets are made by the same rules.
        size: (H, W) of the crops, pixels.
    """
    shape = people.crowd.shape[0], people.crowd.shape[1]
    boxes, labelled = person_boxes(people), np.asarray((people.keypoints[..., 2] > 0).any(axis=1))
    kept = [n for n in np.flatnonzero(labelled) if box_fault(boxes[n], shape) is None]
    affines = crop_affines(boxes[kept], options=crop_options(options, size))
    keypoints = np.array(people.keypoints[kept], np.float64)
    for own, affine in zip(keypoints, affines, strict=True):
        own[:, :2] = map_points(own[:, :2], affine)
    targets = TargetOptions(full_value=options.full_value, rules=options.rules, threads=options.threads)
    maps = encode_targets(keypoints, size=size, stride=STRIDE, options=targets).heatmaps
    return SimpleBaselineFields(heatmaps=maps, affines=affines, scores=np.ones(len(kept)), size=shape)


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
    fields = perfect_fields(people, options=options, size=size)
    poses = decode_simple_baseline(
        fields.heatmaps, fields.affines, box_scores=fields.scores, skeleton=skeleton, options=options
    )
    return poses, None, None
