"""COCO's annotations of one picture as arrays: keypoints, masks and crowd regions of its people."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from personlab.skeleton import COCO_PERSON, Skeleton

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pycocotools.coco import COCO

_PERSON = 1  # COCO's category number


class People(NamedTuple):
    """The annotated people of one picture of H x W pixels, what `encode_targets` takes."""

    keypoints: NDArray[np.float32]  # (P, K, 3) x, y in pixels of the picture, v > 0 where labelled
    masks: NDArray[np.bool_]  # (P, H, W)
    crowd: NDArray[np.bool_]  # (H, W) regions in which people were not told apart


def load_people(annotations: COCO, image_id: int, *, skeleton: Skeleton = COCO_PERSON) -> People:
    """Everyone annotated in one picture; a person without keypoint labels has v = 0 throughout.

    Raises:
        KeyError: no such picture.
    """
    image = annotations.imgs[image_id]
    size = (image["height"], image["width"])
    keypoints, masks, crowd = [], [], np.zeros(size, bool)
    for number in annotations.getAnnIds(imgIds=[image_id], catIds=[_PERSON]):
        annotation = annotations.anns[number]
        mask = annotations.annToMask(annotation).astype(bool)
        if annotation.get("iscrowd"):
            crowd |= mask
            continue
        masks.append(mask)
        keypoints.append(annotation.get("keypoints") or [0] * 3 * skeleton.n_keypoints)
    return People(
        np.array(keypoints, np.float32).reshape(-1, skeleton.n_keypoints, 3),
        np.array(masks, bool).reshape(-1, *size),
        crowd,
    )
