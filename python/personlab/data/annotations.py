"""Reads annotation files in COCO's format for training and evaluation alike, and checks them completely.

Derived values replace missing ones: annotation ids that are missing or repeated; boxes from outlines, else from
labelled keypoints; areas from outlines, else 0.53 times the box's (the mean share of outlines in COCO). The number of
labelled keypoints is counted; `num_keypoints` is not read. A person without `keypoints` has no labelled ones. Every
other fault raises an error that names file, annotation and field.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from personlab.data.category import check_joined, choose_category, keypoint_names, keypoint_order, skeleton_of
from personlab.data.coco_file import as_integer_or_none, not_coco, read_entries, read_integer, read_json, shown
from personlab.data.entries import read_categories, read_images, read_person

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from personlab.data.coco_file import PathLike
    from personlab.data.entries import Image, Person
    from personlab.skeleton import Skeleton

_MAX_NAMED = 5  # entries in a note


class Annotations(NamedTuple):
    """The images of a file and its annotations of one category."""

    path: PathLike
    category: Mapping[str, Any]
    images: dict[int, Image]  # in the order of their ids
    people: list[Person]
    n_keypoints: int  # K; 0 without keypoints
    notes: tuple[str, ...] = ()  # one line for each reason why annotations were left out
    info: Any = None  # the file's own `info`

    def skeleton(self, *, joined: bool = True) -> Skeleton:
        """Return the skeleton of the category's own keypoints and edges.

        Args:
            joined: whether edges have to join all keypoints, as for methods that group keypoints into people.

        Raises:
            ValueError: the category has no keypoints, or its edges do not join them all.
        """
        try:
            skeleton = skeleton_of(self.category)
            if joined:
                check_joined(self.category, skeleton)
        except ValueError as error:
            raise ValueError(f"{self.path}: {error}") from None
        return skeleton

    def names(self) -> list[str]:
        """Return the file names of the images.

        Raises:
            ValueError: an image has no file name.
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
        """Return the annotations with keypoints in the order of a network's skeleton, matched by name.

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
    """Read the images of a file, and its annotations of one category.

    Args:
        path: the file.
        category: name or number of the category, as `choose_category` takes it.
        n_keypoints: K; where left out, the number that the category names, or that its first annotation has.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file is not in COCO's format; the message names file, annotation and field.
    """
    content = Content(path)
    try:
        chosen = choose_category(content.categories, content.counts, category)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return content.of(chosen, n_keypoints=n_keypoints)


class Content:
    """The content of an annotation file; images and categories are checked, annotations when `of` reads them.

    Args:
        path: the file; where parts are given, the name of them all.
        parts: name and JSON object of each part of a set of annotations that lies in several files.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file is not in COCO's format.
    """

    def __init__(self, path: PathLike, parts: Iterable[tuple[str, Mapping[str, Any]]] | None = None) -> None:
        self.path = path
        try:
            self._read([(str(path), read_json(path))] if parts is None else parts)
        except RecursionError:
            raise not_coco(path, "JSON nested too deep") from None

    def _read(self, parts: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        self._info: Any = None
        images, categories, entries = list[Any](), list[Any](), list[tuple[str, Any]]()
        last: Any = None  # parts repeat their categories
        for name, content in parts:
            self._info = content.get("info") if self._info is None else self._info
            images.extend(read_images(read_entries(content, "images", name), name).items())
            if (own := read_entries(content, "categories", name)) != last:
                categories, last = read_categories([*categories, *own], name), own
            own = read_entries(content, "annotations", name)
            entries.extend((f"{name}: annotations[{place}]", entry) for place, entry in enumerate(own))
        self.images, self.categories = dict(sorted(images, key=lambda one: one[0])), categories
        ids = [as_integer_or_none(entry.get("id")) for _, entry in entries]
        counts, hashes, repeated = Counter(ids), set(), []
        self._entries: list[tuple[str, int, Mapping[str, Any]]] = []  # label, number of the category, annotation
        for (placed, entry), number in zip(entries, ids, strict=True):
            label = placed
            if counts[number] == 1 and number is not None:
                label = f"{placed.rpartition(': ')[0]}: annotation {number}"
            elif (content_hash := hash(repr(entry))) in hashes:
                repeated.append(label)
                continue
            else:
                hashes.add(content_hash)
            self._entries.append((label, read_integer(entry, "category_id", label), entry))
        self._notes = (_note(repeated, "that stand in the file twice"),)
        self.counts = Counter(number for _, number, _ in self._entries)

    def of(self, category: Mapping[str, Any], *, n_keypoints: int | None = None) -> Annotations:
        """Read the annotations of one of the categories.

        Raises:
            ValueError: an annotation is not in COCO's format.
        """
        entries = [(label, entry) for label, number, entry in self._entries if number == category["id"]]
        if n_keypoints is None:
            n_keypoints = self._count_keypoints(category, [entry for _, entry in entries])
        people, unlisted, empty = [], [], []
        for label, entry in entries:
            image_id = read_integer(entry, "image_id", label)
            image = self.images.get(image_id)
            if image is None:
                unlisted.append(label)
                continue
            person = read_person(entry, image_id, image.size, n_keypoints, label)
            if person.runs or person.keypoints is not None or person.box[2] * person.box[3] > 0:
                people.append(person)
            else:
                empty.append(label)
        notes = (
            *self._notes,
            _note(unlisted, "of images that are not listed"),
            _note(empty, "without box, outline and labelled keypoints"),
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
    """Return annotations completed by `others`: outlines where they are missing, and people whom only `others` list.

    Raises:
        ValueError: the annotation ids or the sizes of the images disagree.
    """
    own, added = _by_id(annotations), _by_id(others)
    people = dict(own)
    for number, other in added.items():
        person = own.get(number, other._replace(keypoints=None))
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
    if own and added and not own.keys() & added.keys():
        raise ValueError(f"{others.path}: expected the annotation ids of {annotations.path}, got not one of them")
    return annotations._replace(people=list(people.values()))


def _by_id(annotations: Annotations) -> dict[int, Person]:
    people = {person.id: person for person in annotations.people if person.id is not None}
    if len(people) != len(annotations.people):
        repeated = [number for number, count in Counter(p.id for p in annotations.people).items() if count > 1]
        raise ValueError(
            f"{annotations.path}: expected annotation ids that come once, to match others by, got "
            f"{shown(repeated[0] if repeated else None)}"
        )
    return people


def _note(labels: Sequence[str], what: str) -> str:
    if not labels:
        return ""
    named = [label.rpartition(": ")[2] for label in labels[:_MAX_NAMED]]
    more = f" and {len(labels) - _MAX_NAMED} more" if len(labels) > _MAX_NAMED else ""
    return f"{labels[0].rpartition(': ')[0]}: left out {len(labels)} annotations {what}: {', '.join(named)}{more}"
