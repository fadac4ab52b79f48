"""MPII's people in a converted annotation file, with the heads that PCKh measures by, and results for its tools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from personlab.data.annotations import read_annotations
from personlab.data.category import keypoint_names
from personlab.data.coco_file import MAX_COORDINATE, are_within, read_entries, read_integer, read_numbers
from personlab.data.mpii import KEYPOINTS
from personlab.data.posetrack import HEAD_SHARE
from personlab.data.posetrack_files import read_object
from personlab.data.sides import words_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray

    from personlab.data.coco_file import PathLike

    Array = NDArray[np.float64]

_OTHER_NAMES = {"throax": "thorax"}  # in the original's files


class Heads(NamedTuple):
    """The N people of an image who have joints and a head."""

    points: Array  # (N, 16, 2) x, y of MPII's joints, pixels
    labelled: NDArray[np.bool_]  # (N, 16)
    heads: Array  # (N,) head sizes, pixels


def read_heads(path: PathLike, category: str = "person") -> dict[int, Heads]:
    """Read the people of each image, by image id.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file is not in COCO's format, has other keypoints, or a person with keypoints has no head box.
    """
    annotations = read_annotations(path, category)
    names = keypoint_names(annotations.category)
    try:
        order = mpii_order(names)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    number = annotations.category["id"]
    people: dict[int, list[tuple[Array, float]]] = {image: [] for image in annotations.images}
    for place, entry in enumerate(read_entries(read_object(path), "annotations", path)):
        values = np.array(entry.get("keypoints") or [0] * 3 * len(names), np.float64).reshape(-1, 3)  # checked above
        if entry.get("category_id") != number or entry.get("iscrowd") or not (values[:, 2] > 0).any():
            continue
        label = f"{path}: annotations[{place}]"
        image = read_integer(entry, "image_id", label)
        if image in people:
            people[image].append((values[order], _head_size(entry.get("bbox_head"), label)))
    return {image: _gathered(listed) for image, listed in people.items()}


def _gathered(people: list[tuple[Array, float]]) -> Heads:
    keypoints = np.array([keypoints for keypoints, _ in people]).reshape(-1, len(KEYPOINTS), 3)
    return Heads(keypoints[..., :2], keypoints[..., 2] > 0, np.array([head for _, head in people], np.float64))


def _head_size(values: Any, label: str) -> float:
    expected = f"{label}: bbox_head: expected the box of a head, as personlab convert-annotations mpii writes it, got"
    if values in (None, []):
        raise ValueError(f"{expected} none")
    numbers = read_numbers(values, f"{label}: bbox_head", "4 numbers x, y, w, h")
    if len(numbers) != 4 or not are_within(numbers, -MAX_COORDINATE, MAX_COORDINATE) or not numbers[2:].any():
        raise ValueError(f"{expected} {numbers.tolist()}")
    return HEAD_SHARE * float(np.hypot(numbers[2], numbers[3]))


def mpii_order(names: Sequence[str]) -> list[int]:
    """Return the place of each of MPII's joints among the names of keypoints, in any spelling of left and right.

    Raises:
        ValueError: one of them is missing.
    """
    spelled = [words_of(_OTHER_NAMES.get(name, name)) for name in names]
    missing = [joint for joint in KEYPOINTS if words_of(joint) not in spelled]
    if missing:
        raise ValueError(f"keypoints: expected MPII's, got none called {missing[0]!r}")
    return [spelled.index(words_of(joint)) for joint in KEYPOINTS]


def to_mat(poses: Mapping[int, Array], images: Collection[int]) -> dict[str, Any]:
    """Return what `scipy.io.savemat` writes for the tools of MPII: coordinates from 1.

    Variable `pred` is a struct for each image of the release, with annorect.annopoints.point of x, y and id, as MPII's
    own evaluation takes it; `preds` an array (people, 16, 2), as human-pose-estimation.pytorch writes it.

    Args:
        poses: (N, 16, 2) by image id, for each annotated person; NaN where there is none.
        images: all image ids, which are the places in the release from 0.
    """
    count = max(images, default=-1) + 1
    pred = np.zeros((1, count), [("annorect", object)])
    for image in range(count):
        pred[0, image]["annorect"] = _rects(poses.get(image, np.zeros((0, len(KEYPOINTS), 2))))
    listed = [poses[image] + 1 for image in sorted(poses)]
    preds = np.concatenate([np.zeros((0, len(KEYPOINTS), 2)), *listed])
    return {"pred": pred, "preds": preds}


def _rects(poses: Array) -> NDArray[np.void]:
    rects = np.zeros((1, len(poses)), [("annopoints", object)])
    for place, pose in enumerate(poses):
        known = np.flatnonzero(np.isfinite(pose).all(axis=1))
        points = np.zeros((1, len(known)), [("x", object), ("y", object), ("id", object)])
        for column, joint in enumerate(known):
            x, y = pose[joint] + 1
            points[0, column] = (float(x), float(y), int(joint))
        annopoints = np.zeros((1, 1), [("point", object)])
        annopoints[0, 0]["point"] = points
        rects[0, place]["annopoints"] = annopoints
    return rects
