"""Where training pictures come from: COCO's annotations or alike, and drawn scenes; one picture and its people each."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from personlab.data.coco import People
from personlab.data.index import join, make_index, read_annotations
from personlab.data.runs import decode_runs
from personlab.data.synthetic import numbered_scene
from personlab.settings import DRAWN, PHOTOGRAPHS
from personlab.skeleton import COCO_PERSON, Skeleton

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

SCENES_GENERATOR = "personlab scenes"  # in `info` of the files that this command writes
_SHOWN = 5  # bad pictures named in an error
_SIGMA = 0.05  # of a keypoint that nobody gave one: about the middle of COCO's
_PAIRS = [("left", "right"), ("Left", "Right"), ("LEFT", "RIGHT"), ("l", "r"), ("L", "R")]
_SIDES = {side: other for a, b in _PAIRS for side, other in ((a, b), (b, a))}
_SIDE = re.compile(rf"(?<![a-zA-Z])({'|'.join(_SIDES)})(?![a-zA-Z])")  # as a word of its own


class Example(NamedTuple):
    """A picture and everyone in it."""

    image: NDArray[np.uint8]  # (H, W, 3) RGB
    people: People


class Pictures(Protocol):
    """Numbered pictures; an endless source knows as many as anybody asks for."""

    skeleton: Skeleton
    has_masks: bool
    domain: str  # `Settings.domain` of a network trained on them

    def __len__(self) -> int:
        """How many pictures there are; 0 where they do not end."""

    def load(self, number: int) -> Example:
        """Picture `number`, from 0."""


class DrawnPictures:
    """Endless drawn scenes: picture i is the scene of number i of the seed."""

    skeleton = COCO_PERSON
    has_masks = True
    domain = DRAWN

    def __init__(self, seed: int, *, size: tuple[int, int], people: tuple[int, int]) -> None:
        self.seed, self.size, self.people = seed, size, people

    def __len__(self) -> int:
        return 0

    def load(self, number: int) -> Example:
        """Draw scene `number`."""
        scene = numbered_scene(self.seed, number, size=self.size, people=self.people)
        return Example(scene.image, People(scene.keypoints, scene.masks, np.zeros(scene.image.shape[:2], bool)))


class CocoPictures:
    """The pictures of an annotation file in COCO's format, whatever its keypoints; checked before the first is read.

    Pictures without anybody are among them. Where a crowd, or a person without keypoint labels, has no outline, its box
    counts as a crowd region; a person with labels and without an outline has an empty mask.

    Args:
        annotations: COCO's person_keypoints JSON, or one alike.
        images: the folder with the pictures it names.
        instances: COCO's instances JSON, for masks that `annotations` lacks, matched by annotation id, and for people
            whom it does not name; these have no keypoint labels.
        skeleton: what the keypoints are; `skeleton_of` the file's category where left out.
        category: name of the category, in both files.
        labelled_only: leave out pictures in which nobody has a labelled keypoint.

    Raises:
        OSError: no such file or folder, or none that can be read.
        ValueError: not COCO's format, no such category, other keypoints than the skeleton's, nothing to train on, or
            pictures that are missing or no pictures: the first few are named.
    """

    def __init__(
        self,
        annotations: str | os.PathLike[str],
        images: str | os.PathLike[str],
        *,
        instances: str | os.PathLike[str] | None = None,
        skeleton: Skeleton | None = None,
        category: str = "person",
        labelled_only: bool = False,
    ) -> None:
        self.folder = Path(images)
        found = read_annotations(annotations, category)
        if instances is not None:
            found = join(found, read_annotations(instances, category))
        try:
            self.skeleton = skeleton or skeleton_of(found.category)
        except ValueError as error:
            raise ValueError(f"{annotations}: {error}") from None
        self._index = make_index(found, n_keypoints=self.skeleton.n_keypoints, labelled_only=labelled_only)
        self.image_ids = self._index.image_ids
        self.has_masks = self._index.has_masks
        made_by = found.info.get("generator") if isinstance(found.info, dict) else None
        self.domain = DRAWN if made_by == SCENES_GENERATOR else PHOTOGRAPHS
        if not self.image_ids:
            raise ValueError(f"{annotations}: expected pictures{' with keypoints' * labelled_only}, got none")
        _check_files(self.folder, self._index.names.tolist())

    def __len__(self) -> int:
        return len(self.image_ids)

    def load(self, number: int) -> Example:
        """Read picture `number` and its people.

        Raises:
            OSError: the file cannot be read.
            ValueError: it is no picture, or of another size than its annotations.
        """
        from personlab.predict.images import read_picture

        index = self._index
        path = self.folder / str(index.names[number])
        height, width = index.sizes[number].tolist()
        image = read_picture(path)
        if image.shape[:2] != (height, width):
            raise ValueError(f"{path}: expected (H, W) = {(height, width)} as annotated, got {image.shape[:2]}")
        people = slice(index.first[number], index.first[number + 1])
        keypoints, crowd = index.keypoints[people], index.crowd[people]
        masks = np.zeros((len(crowd), height, width), bool)
        ends = index.ends[people.start : people.stop + 1].tolist()
        for mask, (start, stop) in zip(masks, pairwise(ends), strict=True):
            if start < stop:
                mask[:] = decode_runs(index.runs[start:stop], (height, width), str(path))
        return Example(image, People(keypoints[~crowd], masks[~crowd], np.logical_or.reduce(masks[crowd])))


def _check_files(folder: Path, names: Sequence[str]) -> None:
    import cv2

    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    bad = []
    for name in names:
        path = folder / name
        if not path.is_file():
            bad.append(f"{name} (missing)")
        elif not cv2.haveImageReader(str(path)):
            bad.append(f"{name} (no picture)")
    if bad:
        more = f" and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
        raise ValueError(
            f"{folder}: {len(bad)} of {len(names)} pictures cannot be read: {', '.join(bad[:_SHOWN])}{more}"
        )


def skeleton_of(category: Mapping[str, Any], *, sigmas: Sequence[float] | None = None) -> Skeleton:
    """The skeleton of a category of a COCO file: `COCO_PERSON`'s where the names are its, else the file's own.

    Left and right are found by their names: left_x beside right_x, L-x beside R-x. Edges are those of the category's
    `skeleton`.

    Args:
        category: with `keypoints`, the names, and `skeleton`, pairs of their numbers counted from 1.
        sigmas: OKS sigmas; the category's `sigmas` where it has any, else COCO's for its names and 0.05 for others.

    Raises:
        ValueError: no keypoints, or edges that lead nowhere.
    """
    label = f"category {category.get('name')!r}"
    names = tuple(str(name) for name in category.get("keypoints") or ())
    if not names:
        raise ValueError(f"{label}: expected the names of its keypoints, got none")
    given = category.get("sigmas") if sigmas is None else sigmas
    if names == COCO_PERSON.names:
        return COCO_PERSON if given is None else replace(COCO_PERSON, sigmas=tuple(given))
    place = {name: k for k, name in enumerate(names)}
    try:
        return Skeleton(
            names=names,
            edges=tuple((a - 1, b - 1) for a, b in category.get("skeleton") or ()),
            sigmas=tuple([_SIGMA] * len(names) if given is None else given),
            flip=tuple(place.get(_SIDE.sub(_other_side, name), k) for k, name in enumerate(names)),
        )
    except (TypeError, ValueError) as error:
        raise ValueError(f"{label}: {error}") from None


def _other_side(match: re.Match[str]) -> str:
    return _SIDES[match[0]]
