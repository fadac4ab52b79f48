"""The one reading of annotation files in COCO's format, for training and evaluation alike: everything is checked here.

What can be derived is: annotation ids where they are missing or come twice; boxes from outlines, else from labelled
keypoints; areas from outlines, else 0.53 times the box's (what people's outlines cover of their boxes in COCO); the
number of labelled keypoints, whatever `num_keypoints` says. A person without `keypoints` has none labelled. Whatever
else is wrong is an error that names file, annotation and field.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from personlab.data.category import check_joined, choose_category, keypoint_names, keypoint_order, skeleton_of
from personlab.data.coco_file import (
    MAX_COORDINATE,
    are_within,
    as_integer_or_none,
    not_coco,
    read_entries,
    read_integer,
    read_json,
    read_numbers,
    shown,
)
from personlab.data.rle import count_pixels, encode_outline
from personlab.io.image_header import check_pixels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from personlab.data.coco_file import PathLike
    from personlab.skeleton import Skeleton

    Box = tuple[float, float, float, float]

AREA_OF_BOX = 0.53  # share of a box that a person's outline covers, about COCO's mean
MAX_SIDE = 32_766  # pixels of an image: OpenCV warps no larger ones
_MAX_AREA = 1e10  # pixels: beyond, COCO's evaluation leaves people out
_NO_BOX = (0.0, 0.0, 0.0, 0.0)
_SHOWN = 5  # entries named in a note
_LONGEST_NAME, _LONGEST_PART = 3072, 255  # bytes of a path and of each of its parts: file systems take no more
_OUTSIDE = re.compile(r"[/\\]|[A-Za-z]:|(.*[/\\])?\.\.([/\\]|$)", re.DOTALL)  # names that lead out of a folder


class Image(NamedTuple):
    """An image that an annotation file lists."""

    name: str | None  # of its file, inside the folder of images
    size: tuple[int, int]  # (H, W) pixels


class Person(NamedTuple):
    """One annotation, checked."""

    id: int | None  # the file's own; None where it has none that is a number
    image_id: int
    crowd: bool  # a region in which people were not told apart, no person
    keypoints: NDArray[np.float64] | None  # (K, 3) x, y, v; None where none is labelled
    runs: bytes  # compressed run lengths of the mask; empty where there is no outline that covers a pixel
    box: Box  # x, y, w, h pixels; zeros where nothing says where
    area: float  # pixels


class Annotations(NamedTuple):
    """What a file says of one category."""

    path: PathLike
    category: Mapping[str, Any]
    images: dict[int, Image]  # in the order of their ids
    people: list[Person]
    n_keypoints: int  # K; 0 where there are none
    notes: tuple[str, ...] = ()  # what was left out, a line each
    info: Any = None  # what the file says of itself

    def skeleton(self) -> Skeleton:
        """What the category's own keypoints make, joined by its edges.

        Raises:
            ValueError: no keypoints, or edges that leave them in pieces.
        """
        try:
            skeleton = skeleton_of(self.category)
            check_joined(self.category, skeleton)
        except ValueError as error:
            raise ValueError(f"{self.path}: {error}") from None
        return skeleton

    def names(self) -> list[str]:
        """The names of the images' files.

        Raises:
            ValueError: an image without.
        """
        names = []
        for number, image in self.images.items():
            if image.name is None:
                raise ValueError(f"{self.path}: image {number}: file_name: expected the name of a file, got none")
            names.append(image.name)
        return names

    def labelled_images(self) -> Annotations:
        """Return the annotations of the images in which a person, no crowd, has a labelled keypoint."""
        labelled = {person.image_id for person in self.people if not person.crowd and person.keypoints is not None}
        images = {number: image for number, image in self.images.items() if number in labelled}
        return self._replace(images=images, people=[person for person in self.people if person.image_id in labelled])

    def of_skeleton(self, skeleton: Skeleton) -> Annotations:
        """The annotations with the keypoints in the order of a network's skeleton, matched by name.

        Raises:
            ValueError: the category has other keypoints.
        """
        try:
            order = keypoint_order(self.category, skeleton)
        except ValueError as error:
            raise ValueError(f"{self.path}: {error}") from None
        if self.n_keypoints not in (0, skeleton.n_keypoints):
            raise ValueError(
                f"{self.path}: expected the network's {skeleton.n_keypoints} keypoints, got {self.n_keypoints}"
            )
        if order is None or order == list(range(self.n_keypoints)):
            return self
        people = [p if p.keypoints is None else p._replace(keypoints=p.keypoints[order]) for p in self.people]
        category = {name: self.category[name] for name in ("id", "name")} | {"keypoints": list(skeleton.names)}
        return self._replace(category=category, people=people)


def read_annotations(path: PathLike, category: str = "person", *, n_keypoints: int | None = None) -> Annotations:
    """The images of a file, and the annotations of one category.

    Args:
        path: the file.
        category: its name or number; `choose_category` is the rule.
        n_keypoints: K; where left out, as many as the category names, or as its first annotation has.

    Raises:
        OSError: no file that can be read.
        ValueError: not COCO's format; file, annotation and field are named.
    """
    content = Content(path)
    try:
        chosen = choose_category(content.categories, content.counts, category)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return content.of(chosen, n_keypoints=n_keypoints)


class Content:
    """An annotation file as it stands, its images and categories checked.

    Raises:
        OSError: no file that can be read.
        ValueError: not COCO's format.
    """

    def __init__(self, path: PathLike) -> None:
        try:
            self._read(path, read_json(path))
        except RecursionError:
            raise not_coco(path, "JSON nested too deep") from None

    def _read(self, path: PathLike, content: Mapping[str, Any]) -> None:
        self.path, self._info = path, content.get("info")
        self.images = _read_images(read_entries(content, "images", path), path)
        self.categories = _read_categories(read_entries(content, "categories", path), path)
        entries = read_entries(content, "annotations", path)
        ids = [as_integer_or_none(entry.get("id")) for entry in entries]
        counts, seen, twice = Counter(ids), set(), []
        self._entries: list[tuple[str, int, Mapping[str, Any]]] = []  # label, number of the category, annotation
        for place, (entry, number) in enumerate(zip(entries, ids, strict=True)):
            label = f"{path}: annotations[{place}]"
            if counts[number] == 1 and number is not None:
                label = f"{path}: annotation {number}"
            elif (content_hash := hash(repr(entry))) in seen:
                twice.append(label)
                continue
            else:
                seen.add(content_hash)
            self._entries.append((label, read_integer(entry, "category_id", label), entry))
        self._notes = (_note(twice, "that stand in the file twice"),)
        self.counts = Counter(number for _, number, _ in self._entries)

    def of(self, category: Mapping[str, Any], *, n_keypoints: int | None = None) -> Annotations:
        """The annotations of one of the categories.

        Raises:
            ValueError: something is wrong with one of them.
        """
        entries = [(label, entry) for label, number, entry in self._entries if number == category["id"]]
        if n_keypoints is None:
            n_keypoints = self._count_keypoints(category, [entry for _, entry in entries])
        people, unlisted, nowhere = [], [], []
        for label, entry in entries:
            image_id = read_integer(entry, "image_id", label)
            image = self.images.get(image_id)
            if image is None:
                unlisted.append(label)
                continue
            person = _read_person(entry, image_id, image.size, n_keypoints, label)
            if person.runs or person.keypoints is not None or person.box[2] * person.box[3] > 0:
                people.append(person)
            else:
                nowhere.append(label)
        notes = (
            *self._notes,
            _note(unlisted, "of images that are not listed"),
            _note(nowhere, "without box, outline and labelled keypoints"),
        )
        kept = tuple(note for note in notes if note)
        return Annotations(self.path, category, self.images, people, n_keypoints, kept, self._info)

    def _count_keypoints(self, category: Mapping[str, Any], entries: Sequence[Mapping[str, Any]]) -> int:
        try:
            names = keypoint_names(category)
        except ValueError as error:
            raise ValueError(f"{self.path}: {error}") from None
        lists = (entry.get("keypoints") for entry in entries)
        return len(names) or len(next((values for values in lists if values and isinstance(values, list)), ())) // 3


def join(annotations: Annotations, others: Annotations) -> Annotations:
    """The annotations with the outlines of `others` where they have none, and the people whom only `others` name.

    Raises:
        ValueError: the ids are not the same ones, or images of other sizes.
    """
    known, more = _by_id(annotations), _by_id(others)
    people = dict(known)
    for number, other in more.items():
        person = known.get(number, other._replace(keypoints=None))
        image = annotations.images.get(person.image_id)
        label = f"{others.path}: annotation {number}"
        if person.image_id != other.image_id:
            raise ValueError(
                f"{label}: expected it in image {person.image_id}, as in {annotations.path}, got {other.image_id}"
            )
        if image is None:
            continue
        if image.size != others.images[other.image_id].size:
            raise ValueError(
                f"{others.path}: image {other.image_id}: expected (H, W) = {image.size} as in {annotations.path}, got "
                f"{others.images[other.image_id].size}"
            )
        outline = person if person.runs else other
        people[number] = person._replace(runs=outline.runs, box=outline.box, area=outline.area)
    if known and more and len(known.keys() & more.keys()) == 0:
        raise ValueError(f"{others.path}: expected the annotation ids of {annotations.path}, got not one of them")
    return annotations._replace(people=list(people.values()))


def _by_id(annotations: Annotations) -> dict[int, Person]:
    people = {person.id: person for person in annotations.people if person.id is not None}
    if len(people) != len(annotations.people):
        twice = [number for number, count in Counter(p.id for p in annotations.people).items() if count > 1]
        raise ValueError(
            f"{annotations.path}: expected annotation ids that come once, to match others by, got "
            f"{shown(twice[0] if twice else None)}"
        )
    return people


def _note(labels: Sequence[str], what: str) -> str:
    if not labels:
        return ""
    named = [label.rpartition(": ")[2] for label in labels[:_SHOWN]]
    more = f" and {len(labels) - _SHOWN} more" if len(labels) > _SHOWN else ""
    return f"{labels[0].rpartition(': ')[0]}: left out {len(labels)} annotations {what}: {', '.join(named)}{more}"


def _read_images(entries: Sequence[Mapping[str, Any]], path: PathLike) -> dict[int, Image]:
    images: dict[int, Image] = {}
    for place, entry in enumerate(entries):
        number = read_integer(entry, "id", f"{path}: images[{place}]")
        label = f"{path}: image {number}"
        height, width = (read_integer(entry, name, label, high=MAX_SIDE) for name in ("height", "width"))
        check_pixels((width, height), label)
        image = Image(read_name(entry.get("file_name"), label), (height, width))
        if images.setdefault(number, image) != image:
            raise ValueError(f"{label}: expected one image of this id, got two that differ")
    return dict(sorted(images.items()))


def read_name(name: Any, label: str) -> str | None:
    """The name of a file inside a folder; None where there is none.

    Raises:
        ValueError: no name, or one that leads out of the folder.
    """
    if name is None:
        return None
    if not isinstance(name, str) or not name or "\0" in name or not _is_text(name):
        raise ValueError(f"{label}: file_name: expected the name of a file, got {shown(name)}")
    if _OUTSIDE.match(name):
        raise ValueError(f"{label}: file_name: expected a name inside the folder of images, got {shown(name)}")
    lengths = [len(os.fsencode(part)) for part in name.split("/")]
    if max(lengths) > _LONGEST_PART or sum(lengths) + len(lengths) > _LONGEST_NAME:
        raise ValueError(f"{label}: file_name: expected a name that a file can have, got {shown(name)}")
    return name


def _read_categories(entries: Sequence[Mapping[str, Any]], path: PathLike) -> list[Mapping[str, Any]]:
    categories: dict[int, Mapping[str, Any]] = {}
    for place, entry in enumerate(entries):
        label = f"{path}: categories[{place}]"
        number, name = read_integer(entry, "id", label), entry.get("name")
        if not isinstance(name, str) or not _is_text(name):
            raise ValueError(f"{label}: name: expected text, got {shown(name)}")
        category = {**entry, "id": number}
        if categories.setdefault(number, category) != category:
            raise ValueError(f"{label}: id: expected a number that comes once, got {number} again")
    return list(categories.values())


def _is_text(value: str) -> bool:
    """Whether it is Unicode: JSON can write halves of characters."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _read_person(
    entry: Mapping[str, Any], image_id: int, size: tuple[int, int], n_keypoints: int, label: str
) -> Person:
    crowd = entry.get("iscrowd") or 0
    if crowd not in (0, 1) or isinstance(crowd, (list, dict, str)):
        raise ValueError(f"{label}: iscrowd: expected 0 or 1, got {shown(crowd)}")
    keypoints = _read_keypoints(entry.get("keypoints"), n_keypoints, label) if n_keypoints else None
    runs = encode_outline(entry.get("segmentation"), size, label)
    box = _read_box(entry.get("bbox"), label)
    if box[2] * box[3] == 0:
        box = _derive_box(runs, size, keypoints)
    return Person(
        id=as_integer_or_none(entry.get("id")),
        image_id=image_id,
        crowd=bool(crowd),
        keypoints=keypoints,
        runs=runs,
        box=box,
        area=_read_area(entry.get("area"), label)
        or (count_pixels(runs, size) if runs else AREA_OF_BOX * box[2] * box[3]),
    )


def _read_keypoints(values: Any, n_keypoints: int, label: str) -> NDArray[np.float64] | None:
    if values is None or values == []:
        return None
    numbers = read_numbers(values, label, f"{3 * n_keypoints} numbers for the {n_keypoints} keypoints")
    if len(numbers) != 3 * n_keypoints:
        raise ValueError(
            f"{label}: expected {3 * n_keypoints} numbers for the {n_keypoints} keypoints, got {len(numbers)}"
        )
    keypoints = numbers.reshape(-1, 3)
    labelled = keypoints[:, 2] > 0
    if are_within(numbers, -MAX_COORDINATE, MAX_COORDINATE):
        return keypoints if labelled.any() else None
    if not np.isfinite(keypoints[:, 2]).all() or not np.isfinite(keypoints[labelled]).all():
        raise ValueError(f"{label}: expected finite keypoints, got NaN or infinity")
    if not are_within(keypoints[labelled], -MAX_COORDINATE, MAX_COORDINATE):
        raise ValueError(
            f"{label}: expected keypoints of at most {MAX_COORDINATE} pixels, got {np.abs(keypoints[labelled]).max():g}"
        )
    keypoints[~labelled] = 0  # whatever stands where there is no label
    return keypoints if labelled.any() else None


def _read_box(values: Any, label: str) -> Box:
    if values is None or values == []:
        return _NO_BOX
    numbers = read_numbers(values, label, "4 numbers x, y, w, h as bbox").tolist()
    if len(numbers) != 4:
        raise ValueError(f"{label}: expected 4 numbers x, y, w, h as bbox, got {len(numbers)}")
    x, y, w, h = numbers
    low, high = -MAX_COORDINATE, MAX_COORDINATE
    if not (low <= x <= high and low <= y <= high and 0 <= w <= high and 0 <= h <= high):
        raise ValueError(f"{label}: expected a bbox of at most {high} pixels, w and h not negative, got {numbers}")
    return x, y, w, h


def _derive_box(runs: bytes, size: tuple[int, int], keypoints: NDArray[np.float64] | None) -> Box:
    """Around an outline, else around labelled keypoints."""
    from pycocotools import mask as coco_mask

    if runs:
        x, y, w, h = coco_mask.toBbox({"size": size, "counts": runs}).tolist()
        return x, y, w, h
    if keypoints is None:
        return _NO_BOX
    points = keypoints[keypoints[:, 2] > 0, :2]
    (x, y), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return x, y, right - x + 1, bottom - y + 1  # pixels are as wide as they are


def _read_area(value: Any, label: str) -> float:
    """The area as it stands; 0 where there is none."""
    if value is None:
        return 0.0
    if type(value) not in (int, float) or not 0 <= value <= _MAX_AREA:
        raise ValueError(f"{label}: area: expected a number of pixels from 0 to {_MAX_AREA:g}, got {shown(value)}")
    return float(value)
