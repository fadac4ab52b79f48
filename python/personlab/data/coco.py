"""Converts COCO's annotations to arrays, one image at a time, and arrays to COCO's annotations."""

from __future__ import annotations

import contextlib
import io
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from personlab.data.category import keypoint_names
from personlab.skeleton import COCO_PERSON, Skeleton

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray
    from pycocotools.coco import COCO

    from personlab.data.annotations import Annotations

_PERSON = 1  # COCO's category number


class People(NamedTuple):
    """The annotated people of one image of H x W pixels, as `encode_targets` takes them."""

    keypoints: NDArray[np.float32]  # (P, K, 3) x, y in pixels of the image, v > 0 where labelled
    masks: NDArray[np.bool_]  # (P, H, W)
    crowd: NDArray[np.bool_]  # (H, W) regions without annotations of single people: no loss counts there
    unoutlined: NDArray[np.bool_] | None = None  # (H, W) grown boxes of people without outline; None: none
    boxes: NDArray[np.floating[Any]] | None = None  # (P, 4) x, y, w, h pixels as annotated, zeros where unknown


def gather_people(
    keypoints: NDArray[np.float32],
    masks: NDArray[np.bool_],
    boxes: NDArray[np.float32],
    *,
    outlined: NDArray[np.bool_],
    crowd: NDArray[np.bool_],
) -> People:
    """Sort the n annotations of one image into people and regions.

    `People.crowd` covers the masks of crowds, and the grown boxes (`grow_box`) of crowds without outline and of people
    with neither outline nor labelled keypoints. `People.unoutlined` covers the grown boxes of people with labelled
    keypoints and no outline.

    Args:
        keypoints: (n, K, 3) x, y, v.
        masks: (n, H, W).
        boxes: (n, 4) x, y, w, h pixels.
        outlined: (n,) whether the mask is annotated.
        crowd: (n,) whether the annotation is a crowd.
    """
    labelled = (keypoints[..., 2] > 0).any(axis=1)
    people = ~crowd & (outlined | labelled)
    region = np.logical_or.reduce(masks[crowd])
    for box in boxes[~people & ~outlined]:
        region[grow_box(box, region.shape)] = True
    unoutlined = None
    if (people & ~outlined).any():
        unoutlined = np.zeros_like(region)
        for box in boxes[people & ~outlined]:
            unoutlined[grow_box(box, region.shape)] = True
    return People(keypoints[people], masks[people], region, unoutlined, boxes[people])


def grow_box(box: Iterable[float], size: tuple[int, ...]) -> tuple[slice, slice]:
    """Return the rows and columns of an image (H, W) that a box x, y, w, h covers, grown by a tenth on each side.

    People reach beyond their boxes, both hand-drawn ones and those around keypoints.
    """
    x, y, w, h = map(float, box)
    sides = []
    for start, length, end in ((y, h, size[0]), (x, w, size[1])):
        low, high = math.floor(start - length / 10), math.ceil(start + length + length / 10)
        sides.append(slice(min(max(low, 0), end), min(max(high, 0), end)) if w * h > 0 else slice(0, 0))
    return sides[0], sides[1]


def load_people(
    annotations: COCO, image_id: int, *, skeleton: Skeleton = COCO_PERSON, category_id: int = _PERSON
) -> People:
    """Return the people annotated in one image (`gather_people`); v = 0 for people without labelled keypoints.

    Raises:
        KeyError: the index has no such image.
    """
    image = annotations.imgs[image_id]
    size = (image["height"], image["width"])
    entries = annotations.loadAnns(annotations.getAnnIds(imgIds=[image_id], catIds=[category_id]))
    nothing = [0] * 3 * skeleton.n_keypoints
    keypoints = np.array([entry.get("keypoints") or nothing for entry in entries], np.float32)
    masks = np.zeros((len(entries), *size), bool)
    outlined = np.array([bool(entry.get("segmentation")) for entry in entries], bool)
    for mask, entry, has_outline in zip(masks, entries, outlined, strict=True):
        if has_outline:
            mask[:] = annotations.annToMask(entry)
    return gather_people(
        keypoints.reshape(-1, skeleton.n_keypoints, 3),
        masks,
        np.array([entry.get("bbox") or [0] * 4 for entry in entries], np.float32).reshape(-1, 4),
        outlined=outlined,
        crowd=np.array([bool(entry.get("iscrowd")) for entry in entries], bool),
    )


def make_annotations(images: Mapping[int, People], *, skeleton: Skeleton = COCO_PERSON) -> COCO:
    """Return COCO's index of people by image id, as evaluation takes it, without a file."""
    return index_dataset(make_dataset(images.items(), skeleton=skeleton))


def index_dataset(dataset: dict[str, Any]) -> COCO:
    """Return COCO's index of a data set in memory; nothing is printed."""
    from pycocotools.coco import COCO

    index = COCO()
    index.dataset = dataset
    with contextlib.redirect_stdout(io.StringIO()):
        index.createIndex()
    return index


def index_annotations(parts: Sequence[Annotations]) -> COCO:
    """Return COCO's index of checked annotations of one or more categories of a file, as evaluation takes it.

    Annotations keep their ids where all ids are positive and unique; otherwise they are numbered from 1.
    """
    listed = [(part, person) for part in parts for person in part.people]
    ids = [person.id or 0 for _, person in listed]
    if min(ids, default=1) < 1 or len(set(ids)) < len(ids):
        ids = list(range(1, len(ids) + 1))
    images = [
        {"id": number, "height": image.size[0], "width": image.size[1]}
        | ({} if image.name is None else {"file_name": image.name})
        for number, image in parts[0].images.items()
    ]
    entries = [
        {
            "id": number,
            "image_id": person.image_id,
            "category_id": part.category["id"],
            "iscrowd": int(person.crowd),
            "bbox": list(person.box),
            "area": person.area,
            **_outline(person.runs, part.images[person.image_id].size),
            **_keypoints(person.keypoints, part.n_keypoints),
        }
        for number, (part, person) in zip(ids, listed, strict=True)
    ]
    return index_dataset(
        {"images": images, "annotations": entries, "categories": [_category(p.category) for p in parts]}
    )


def _category(category: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a category that evaluation reads."""
    names = keypoint_names(category)
    return {"id": category["id"], "name": category["name"]} | ({"keypoints": list(names)} if names else {})


def _outline(runs: bytes, size: tuple[int, int]) -> dict[str, Any]:
    return {"segmentation": {"size": list(size), "counts": runs.decode("ascii")}} if runs else {}


def _keypoints(keypoints: NDArray[np.float64] | None, n_keypoints: int) -> dict[str, Any]:
    if n_keypoints == 0:
        return {}
    if keypoints is None:
        return {"keypoints": [0] * 3 * n_keypoints, "num_keypoints": 0}
    return {"keypoints": keypoints.ravel().tolist(), "num_keypoints": int((keypoints[:, 2] > 0).sum())}


def make_dataset(
    images: Iterable[tuple[int, People]], *, skeleton: Skeleton = COCO_PERSON, file_name: str | None = None
) -> dict[str, Any]:
    """Return people as the content of an annotation file in COCO's format, for `json.dump`.

    A person's area is the area of the mask, as in COCO; crowd regions are one annotation for each image.

    Args:
        images: pairs of image id and people; iterated once, one image at a time.
        skeleton: names and edges of the keypoints.
        file_name: format of the file names with the image id, such as "{:012d}.png"; no file names where left out.
    """
    records: list[dict[str, Any]] = []
    listed: list[dict[str, Any]] = []
    unlabelled = np.zeros((skeleton.n_keypoints, 3), np.float32)
    for image_id, people in images:
        height, width = people.crowd.shape
        image = {"id": image_id, "height": height, "width": width}
        records.append(image if file_name is None else image | {"file_name": file_name.format(image_id)})
        for keypoints, mask in zip(people.keypoints, people.masks, strict=True):
            listed.append({"id": len(listed) + 1, "image_id": image_id, **_annotation(mask, keypoints, crowd=False)})
        if people.crowd.any():
            crowd = _annotation(people.crowd, unlabelled, crowd=True)
            listed.append({"id": len(listed) + 1, "image_id": image_id, **crowd})
    category = {
        "id": _PERSON,
        "name": "person",
        "supercategory": "person",
        "keypoints": list(skeleton.names),
        "skeleton": [[a + 1, b + 1] for a, b in skeleton.edges],  # COCO counts keypoints from 1
    }
    return {"images": records, "annotations": listed, "categories": [category]}


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
