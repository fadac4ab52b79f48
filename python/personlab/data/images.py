"""Where training images come from: COCO's annotations or alike, and drawn scenes; one image and its people each."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from personlab.data.annotations import join, read_annotations
from personlab.data.category import skeleton_of
from personlab.data.coco import People
from personlab.data.coco_file import one_line
from personlab.data.coverage import count_coverage
from personlab.data.index import make_index
from personlab.data.synthetic.scenes import numbered_scene
from personlab.settings import DRAWN, PHOTOGRAPHS, SCENES_GENERATOR
from personlab.skeleton import COCO_PERSON, Skeleton

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["CocoImages", "DrawnImages", "Example", "Images", "check_files", "skeleton_of"]

_SHOWN = 5  # bad images named in an error


class Example(NamedTuple):
    """An image and everyone in it."""

    image: NDArray[np.uint8]  # (H, W, 3) RGB
    people: People


class Images(Protocol):
    """Numbered images; an endless source knows as many as anybody asks for."""

    skeleton: Skeleton
    has_masks: bool
    domain: str  # `Settings.domain` of a network trained on them

    def __len__(self) -> int:
        """How many images there are; 0 where they do not end."""

    def load(self, number: int) -> Example:
        """Image `number`, from 0."""


class DrawnImages:
    """Endless drawn scenes: image i is the scene of number i of the seed."""

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


class CocoImages:
    """The images of an annotation file in COCO's format, whatever its keypoints; checked before the first is read.

    Images without people are among them. Who is a person and what is a region in which losses do not count is decided
    by `personlab.data.coco.gather_people`; `coverage` counts what each loss sees, and `notes` tells what was left out.

    Args:
        annotations: COCO's person_keypoints JSON, or one alike.
        images: the folder with the images it names.
        instances: COCO's instances JSON, for masks that `annotations` lacks, matched by annotation id, and for people
            whom it does not name; these have no keypoint labels.
        skeleton: what the keypoints are, in the order of the annotations unless the category names the same ones in
            another; `skeleton_of` the file's category where left out.
        category: name or number of the category; see `personlab.data.category.choose_category`.
        labelled_only: leave out images in which nobody has a labelled keypoint.

    Raises:
        OSError: no such file or folder, or none that can be read.
        ValueError: not COCO's format, no such category, other keypoints than the skeleton's, a skeleton in pieces,
            nothing to train on, or images that are missing or no images: the first few are named.
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
        count = None if skeleton is None else skeleton.n_keypoints
        read = read_annotations(annotations, category, n_keypoints=count)
        if instances is not None:
            read = join(read, read_annotations(instances, read.category["name"], n_keypoints=0))
        if skeleton is not None:
            with contextlib.suppress(ValueError):  # names of its own: the caller knows what they are
                read = read.of_skeleton(skeleton)
        self.skeleton = skeleton or read.skeleton()
        read.names()  # are complete
        listed = read.labelled_images() if labelled_only else read
        self._index = make_index(listed, n_keypoints=self.skeleton.n_keypoints)
        self.image_ids = self._index.image_ids
        self.coverage = count_coverage(self._index)
        self.notes = read.notes
        self.has_masks = self.coverage.outlined > 0
        made_by = read.info.get("generator") if isinstance(read.info, dict) else None
        self.domain = DRAWN if made_by == SCENES_GENERATOR else PHOTOGRAPHS
        if not self.image_ids:
            raise ValueError(f"{annotations}: expected images{' with keypoints' * labelled_only}, got none")
        check_files(self.folder, self._index.names.tolist())

    def __len__(self) -> int:
        return len(self.image_ids)

    def load(self, number: int) -> Example:
        """Read image `number` and its people.

        Raises:
            OSError: the file cannot be read.
            ValueError: it is no image, or of another size than its annotations.
        """
        from personlab.io.images import read_image

        path = self.folder / str(self._index.names[number])
        size = tuple(self._index.sizes[number].tolist())
        image = read_image(path)
        if image.shape[:2] != size:
            raise ValueError(f"{path}: expected (H, W) = {size} as annotated, got {image.shape[:2]}")
        return Example(image, self._index.people(number, str(path)))


def check_files(folder: Path, names: Sequence[str]) -> None:
    """Refuse images that are missing or no images.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: the first few images are named.
    """
    import cv2

    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    bad = []
    for name in names:
        path = folder / name
        if not path.is_file():
            bad.append(f"{one_line(name)} (missing)")
        elif not cv2.haveImageReader(str(path)):
            bad.append(f"{one_line(name)} (no image)")
    if bad:
        more = f" and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
        raise ValueError(f"{folder}: {len(bad)} of {len(names)} images cannot be read: {', '.join(bad[:_SHOWN])}{more}")
