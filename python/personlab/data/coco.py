"""COCO's annotations as arrays, one picture at a time, and arrays as COCO's annotations."""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from personlab.skeleton import COCO_PERSON, Skeleton

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray
    from pycocotools.coco import COCO

_PERSON = 1  # COCO's category number


class People(NamedTuple):
    """The annotated people of one picture of H x W pixels, what `encode_targets` takes."""

    keypoints: NDArray[np.float32]  # (P, K, 3) x, y in pixels of the picture, v > 0 where labelled
    masks: NDArray[np.bool_]  # (P, H, W)
    crowd: NDArray[np.bool_]  # (H, W) regions in which people were not told apart


def load_people(
    annotations: COCO, image_id: int, *, skeleton: Skeleton = COCO_PERSON, category_id: int = _PERSON
) -> People:
    """Everyone annotated in one picture; a person without keypoint labels has v = 0 throughout.

    Raises:
        KeyError: no such picture.
    """
    image = annotations.imgs[image_id]
    size = (image["height"], image["width"])
    keypoints, masks, crowd = [], [], np.zeros(size, bool)
    for number in annotations.getAnnIds(imgIds=[image_id], catIds=[category_id]):
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
    """COCO's index of people that never were in a file, by image id; what evaluation compares with."""
    from pycocotools.coco import COCO

    index = COCO()
    index.dataset = make_dataset(pictures.items(), skeleton=skeleton)
    with contextlib.redirect_stdout(io.StringIO()):
        index.createIndex()
    return index


def make_dataset(
    pictures: Iterable[tuple[int, People]], *, skeleton: Skeleton = COCO_PERSON, file_name: str | None = None
) -> dict[str, Any]:
    """People as an annotation file of COCO's holds them, for `json.dump`.

    A person's area is that of the mask, as in COCO; crowd regions are one annotation for each picture.

    Args:
        pictures: image ids and who is in each picture; gone through once, one picture at a time.
        skeleton: what the keypoints are.
        file_name: of each picture, a pattern for the image id such as "{:012d}.png"; none where left out.
    """
    images: list[dict[str, Any]] = []
    listed: list[dict[str, Any]] = []
    nobody = np.zeros((skeleton.n_keypoints, 3), np.float32)
    for image_id, people in pictures:
        height, width = people.crowd.shape
        image = {"id": image_id, "height": height, "width": width}
        images.append(image if file_name is None else image | {"file_name": file_name.format(image_id)})
        for keypoints, mask in zip(people.keypoints, people.masks, strict=True):
            listed.append({"id": len(listed) + 1, "image_id": image_id, **_annotation(mask, keypoints, crowd=False)})
        if people.crowd.any():
            crowd = _annotation(people.crowd, nobody, crowd=True)
            listed.append({"id": len(listed) + 1, "image_id": image_id, **crowd})
    category = {
        "id": _PERSON,
        "name": "person",
        "supercategory": "person",
        "keypoints": list(skeleton.names),
        "skeleton": [[a + 1, b + 1] for a, b in skeleton.edges],  # COCO counts keypoints from 1
    }
    return {"images": images, "annotations": listed, "categories": [category]}


def _annotation(mask: NDArray[np.bool_], keypoints: NDArray[np.float32], *, crowd: bool) -> dict[str, Any]:
    from pycocotools import mask as coco_mask

    encoded = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return {
        "category_id": _PERSON,
        "iscrowd": int(crowd),
        "area": float(mask.sum()),
        "bbox": [float(value) for value in coco_mask.toBbox(encoded)],
        "segmentation": {"size": list(mask.shape), "counts": encoded["counts"].decode("ascii")},
        "keypoints": [float(value) for value in keypoints.ravel()],
        "num_keypoints": int((keypoints[:, 2] > 0).sum()),
    }
