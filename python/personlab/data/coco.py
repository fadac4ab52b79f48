"""COCO's annotations as arrays, one picture at a time, and arrays as COCO's annotations."""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from personlab.skeleton import COCO_PERSON, Skeleton

if TYPE_CHECKING:
    from collections.abc import Mapping

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


def make_annotations(pictures: Mapping[int, People], *, skeleton: Skeleton = COCO_PERSON) -> COCO:
    """COCO's index of people that never were in a file, by image id; what evaluation compares with.

    A person's area is that of the mask, as in COCO; crowd regions are one annotation for each picture.
    """
    from pycocotools import mask as coco_mask
    from pycocotools.coco import COCO

    def annotation(image_id: int, mask: NDArray[np.bool_], keypoints: NDArray[np.float32], *, crowd: bool) -> None:
        encoded = coco_mask.encode(np.asfortranarray(mask, np.uint8))
        listed.append(
            {
                "id": len(listed) + 1,
                "image_id": image_id,
                "category_id": _PERSON,
                "iscrowd": int(crowd),
                "area": float(mask.sum()),
                "bbox": [float(value) for value in coco_mask.toBbox(encoded)],
                "segmentation": encoded,
                "keypoints": [float(value) for value in keypoints.ravel()],
                "num_keypoints": int((keypoints[:, 2] > 0).sum()),
            }
        )

    listed: list[dict[str, Any]] = []
    for image_id, people in pictures.items():
        for keypoints, mask in zip(people.keypoints, people.masks, strict=True):
            annotation(image_id, mask, keypoints, crowd=False)
        if people.crowd.any():
            annotation(image_id, people.crowd, np.zeros((skeleton.n_keypoints, 3), np.float32), crowd=True)
    index = COCO()
    index.dataset = {
        "images": [
            {"id": image_id, "height": people.crowd.shape[0], "width": people.crowd.shape[1]}
            for image_id, people in pictures.items()
        ],
        "annotations": listed,
        "categories": [{"id": _PERSON, "name": "person", "keypoints": list(skeleton.names)}],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        index.createIndex()
    return index
