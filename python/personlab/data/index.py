"""COCO's annotation files as a few arrays, so that 118,000 pictures cost megabytes, and forked workers share them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from personlab.data.runs import encode_outline

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from numpy.typing import NDArray

    PathLike = str | os.PathLike[str]


class Index(NamedTuple):
    """M pictures and the P people in them, those of picture i from `first[i]` up to `first[i + 1]`."""

    image_ids: list[int]
    names: NDArray[np.str_]  # (M,) of the files
    sizes: NDArray[np.int32]  # (M, 2) H, W pixels
    first: NDArray[np.int64]  # (M + 1,)
    keypoints: NDArray[np.float32]  # (P, K, 3) x, y, v; 0 throughout where nothing is labelled
    crowd: NDArray[np.bool_]  # (P,) a region in which nothing is known, no person
    ends: NDArray[np.int64]  # (P + 1,) the mask of person j is runs[ends[j] : ends[j + 1]]
    runs: bytes  # COCO's compressed run lengths of all masks, one after the other; nothing where there is no mask
    has_masks: bool  # some person has one


class Annotations(NamedTuple):
    """What a file in COCO's format says of one category, as it stands in the file."""

    path: PathLike
    category: Mapping[str, Any]
    images: list[dict[str, Any]]
    people: list[dict[str, Any]]
    info: Any = None  # who made the file, where it says


def read_annotations(path: PathLike, category: str) -> Annotations:
    """The pictures of a file, and the annotations of the category of that name.

    Raises:
        OSError: no file that can be read.
        ValueError: not COCO's format, or no such category.
    """
    try:
        content = json.loads(Path(path).read_bytes())
        entries = {str(entry["name"]): entry for entry in content["categories"]}
        if category not in entries:
            raise ValueError(f"{path}: expected a category {category!r}, got {', '.join(entries) or 'none'}")
        number = entries[category]["id"]
        people = [person for person in content["annotations"] if person["category_id"] == number]
        return Annotations(path, entries[category], content["images"], people, content.get("info"))
    except (AttributeError, KeyError, TypeError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise _not_coco(path, error) from None


def join(annotations: Annotations, others: Annotations) -> Annotations:
    """The annotations with the outlines of `others` where they have none, and the people whom only `others` name.

    Raises:
        ValueError: not COCO's format, or the ids are not the same ones.
    """
    known = {person["id"]: person for person in annotations.people}
    people = dict(known)
    try:
        for other in others.people:
            person = known.get(other["id"], {**other, "keypoints": []})
            if person["image_id"] != other["image_id"]:
                raise ValueError(
                    f"{others.path}: annotation {other['id']}: expected it in picture {person['image_id']}, as in "
                    f"{annotations.path}, got {other['image_id']}"
                )
            outline = person.get("segmentation") or other.get("segmentation")
            people[other["id"]] = {**person, "segmentation": outline}
    except (AttributeError, KeyError, TypeError) as error:
        raise _not_coco(others.path, error) from None
    if known and others.people and len(people) == len(known) + len(others.people):
        raise ValueError(f"{others.path}: expected the annotation ids of {annotations.path}, got not one of them")
    return annotations._replace(people=list(people.values()))


def make_index(annotations: Annotations, *, n_keypoints: int, labelled_only: bool) -> Index:
    """The pictures in the order of their ids, and who is in each.

    Where a crowd, or a person without keypoint labels, has no outline, its box is a region in which nothing is known.

    Args:
        annotations: what was read.
        n_keypoints: K.
        labelled_only: leave out pictures in which nobody has a labelled keypoint.

    Raises:
        ValueError: not COCO's format, or keypoints of another number; the annotation is named.
    """
    try:
        images = {image["id"]: image for image in annotations.images}
        found: dict[int, list[dict[str, Any]]] = {number: [] for number in sorted(images)}
        for person in annotations.people:
            if person["image_id"] in found:
                found[person["image_id"]].append(person)
        if labelled_only:
            found = {number: people for number, people in found.items() if any(map(_is_labelled, people))}
        names = np.array([str(images[number]["file_name"]) for number in found], np.str_)
        sizes = [(int(images[number]["height"]), int(images[number]["width"])) for number in found]
        rows = [
            _person(person, size, n_keypoints, f"{annotations.path}: annotation {person['id']}")
            for people, size in zip(found.values(), sizes, strict=True)
            for person in people
        ]
    except (AttributeError, KeyError, TypeError) as error:
        raise _not_coco(annotations.path, error) from None
    return Index(
        image_ids=list(found),
        names=names,
        sizes=np.array(sizes, np.int32).reshape(-1, 2),
        first=np.cumsum([0, *map(len, found.values())], dtype=np.int64),
        keypoints=np.array([row.keypoints for row in rows], np.float32).reshape(-1, n_keypoints, 3),
        crowd=np.array([row.crowd for row in rows], bool),
        ends=np.cumsum([0, *(len(row.runs) for row in rows)], dtype=np.int64),
        runs=b"".join(row.runs for row in rows),
        has_masks=any(row.runs and not row.crowd for row in rows),
    )


class _Person(NamedTuple):
    keypoints: NDArray[np.float32]  # (3K,)
    runs: bytes
    crowd: bool


def _not_coco(path: PathLike, error: Exception) -> ValueError:
    return ValueError(f"{path}: expected annotations in COCO's format, got {type(error).__name__}: {error}")


def _is_labelled(person: Mapping[str, Any]) -> bool:
    return not person.get("iscrowd") and any(v > 0 for v in (person.get("keypoints") or ())[2::3])


def _person(person: Mapping[str, Any], size: tuple[int, int], n_keypoints: int, label: str) -> _Person:
    keypoints = np.array(person.get("keypoints") or [0] * 3 * n_keypoints, np.float32)
    if len(keypoints) != 3 * n_keypoints:
        raise ValueError(
            f"{label}: expected {3 * n_keypoints} numbers for the {n_keypoints} keypoints, got {len(keypoints)}"
        )
    if not np.isfinite(keypoints).all():
        raise ValueError(f"{label}: expected finite keypoints, got NaN or infinity")
    runs = encode_outline(person.get("segmentation"), size, label)
    if runs or _is_labelled(person):
        return _Person(keypoints, runs, bool(person.get("iscrowd")))
    left, top, width, height = person.get("bbox") or (0, 0, 0, 0)
    right, bottom = left + width, top + height
    box = [[left, top, right, top, right, bottom, left, bottom]]
    return _Person(keypoints, encode_outline(box, size, label), crowd=True)
