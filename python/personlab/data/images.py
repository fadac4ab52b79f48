"""Sources of training images: annotation files in COCO's format, and drawn scenes."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from personlab.data.annotations import join, read_annotations
from personlab.data.category import skeleton_of
from personlab.data.coco import People
from personlab.data.coco_file import one_line
from personlab.data.coverage import count_coverage
from personlab.data.index import make_index
from personlab.data.split import held_out_ids, without_images
from personlab.data.synthetic.scenes import numbered_scene
from personlab.settings import DRAWN, PHOTOGRAPHS, SCENES_GENERATOR
from personlab.skeleton import COCO_PERSON, Skeleton

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from personlab.data.annotations import Annotations
    from personlab.io.images import StoredImage

__all__ = ["AnnotatedImages", "CocoImages", "DrawnImages", "Example", "Images", "check_files", "skeleton_of"]

_MAX_NAMED = 5  # images in an error message


class Example(NamedTuple):
    """An image and its people."""

    image: NDArray[np.uint8]  # (H, W, 3) RGB
    people: People


class Images(Protocol):
    """Numbered images; a source may be endless."""

    skeleton: Skeleton
    has_masks: bool
    domain: str  # `Settings.domain` of a network trained on them

    def __len__(self) -> int:
        """Return the number of images; 0 for an endless source."""

    def load(self, number: int) -> Example:
        """Return image `number`, counted from 0."""


class DrawnImages:
    """Endless drawn scenes: image i is scene i of the seed (`numbered_scene`)."""

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


class AnnotatedImages:
    """Images with checked annotations, wherever their files lie; a subclass says where (`source`).

    Images without people are included. `personlab.data.coco.gather_people` sorts annotations into people and regions
    where losses do not count; `coverage` counts what each loss covers, and `notes` lists what was left out.

    Args:
        read: the annotations.
        whole: those that `held_out` chooses from.
        skeleton: of the keypoints, which are in the order of the annotations unless the category names the same ones in
            another order; `skeleton_of` the file's category where left out.
        joined: whether edges of the category have to join all keypoints, as for methods that group keypoints into
            people.
        labelled_only: leave out images without labelled keypoints.
        held_out: images to leave out, as `personlab.data.split.held_out_ids` takes them.
        empty_is_unknown: in images without annotations no loss counts, else they show nobody.

    Raises:
        ValueError: other keypoints than the skeleton, a skeleton in pieces, or no images.
    """

    def __init__(
        self,
        read: Annotations,
        whole: Annotations,
        *,
        skeleton: Skeleton | None,
        joined: bool,
        labelled_only: bool,
        held_out: str | os.PathLike[str] | None,
        empty_is_unknown: bool,
    ) -> None:
        self.name, self.empty_is_unknown = str(read.path), empty_is_unknown
        if skeleton is not None:
            with contextlib.suppress(ValueError):  # other names: the caller vouches for their order
                read = read.of_skeleton(skeleton)
        self.skeleton = skeleton or read.skeleton(joined=joined)
        if held_out is not None:
            read = without_images(read, held_out_ids(held_out, whole), held_out)
        listed = read.labelled_images() if labelled_only else read
        self._index = make_index(listed, n_keypoints=self.skeleton.n_keypoints)
        self.image_ids = self._index.image_ids
        self.coverage = count_coverage(self._index)
        self.notes = read.notes
        self.has_masks = self.coverage.outlined > 0
        generator = read.info.get("generator") if isinstance(read.info, dict) else None
        self.domain = DRAWN if generator == SCENES_GENERATOR else PHOTOGRAPHS
        if not self.image_ids:
            raise ValueError(f"{read.path}: expected images{' with keypoints' * labelled_only}, got none")

    def __len__(self) -> int:
        return len(self.image_ids)

    def source(self, number: int) -> Path | StoredImage:
        """Return the file of image `number`."""
        raise NotImplementedError

    def digest(self) -> str:
        """Return a digest of ids, sizes and annotations, wherever the image files lie."""
        index = self._index
        content = hashlib.sha256(repr((index.image_ids, self.skeleton, self.empty_is_unknown)).encode())
        for array in (index.sizes, index.first, index.keypoints, index.crowd, index.boxes, index.ends):
            content.update(np.ascontiguousarray(array).tobytes())
        content.update(index.runs)
        return content.hexdigest()

    def load(self, number: int) -> Example:
        """Read image `number` and its people.

        Raises:
            OSError: the file cannot be read.
            ValueError: the file is not an image, or has another size than its annotations state.
        """
        image = self.read(number)
        people = self._index.people(number, str(self.source(number)))
        if self.empty_is_unknown and self._index.first[number] == self._index.first[number + 1]:
            people = people._replace(crowd=np.ones_like(people.crowd))  # no loss counts in a crowd
        return Example(image, people)

    def read(self, number: int) -> NDArray[np.uint8]:
        """Read image `number`, (H, W, 3) RGB.

        Raises:
            OSError, ValueError: as `load`.
        """
        from personlab.io.images import read_image

        source = self.source(number)
        size = tuple(self._index.sizes[number].tolist())
        image = read_image(source)
        if image.shape[:2] != size:
            raise ValueError(f"{source}: expected (H, W) = {size} as annotated, got {image.shape[:2]}")
        return image

    def single_people(self) -> list[tuple[int, NDArray[np.float32], NDArray[np.float32]]]:
        """Return number of the image, keypoints (K, 3) and box x, y, w, h of each labelled person, crowds left out.

        People whose box does not touch the image are left out, too.
        """
        index = self._index
        images = np.repeat(np.arange(len(index.sizes)), np.diff(index.first))
        (x, y, w, h), (height, width) = index.boxes.T, index.sizes[images].T
        touches = (w * h > 0) & (x + w > 0) & (y + h > 0) & (x < width) & (y < height)
        rows = np.flatnonzero(index.labelled & ~index.crowd & touches)
        return [(int(images[row]), index.keypoints[row], index.boxes[row]) for row in rows]


class CocoImages(AnnotatedImages):
    """The images of an annotation file in COCO's format, with any keypoints; all are checked before the first is read.

    Args:
        annotations: COCO's person_keypoints JSON, or another file in its format.
        images: the folder with the images.
        instances: COCO's instances JSON: adds masks that `annotations` lacks, matched by annotation id, and people
            whom `annotations` does not list; these have no labelled keypoints.
        skeleton, joined, labelled_only, held_out, empty_is_unknown: as `AnnotatedImages` takes them.
        category: name or number of the category (`personlab.data.category.choose_category`).

    Raises:
        OSError: a file or folder does not exist or cannot be read.
        ValueError: the file is not in COCO's format, has no such category, other keypoints than the skeleton, a
            skeleton in pieces or no images; or images are missing or unreadable: the message names the first few.
    """

    def __init__(
        self,
        annotations: str | os.PathLike[str],
        images: str | os.PathLike[str],
        *,
        instances: str | os.PathLike[str] | None = None,
        skeleton: Skeleton | None = None,
        joined: bool = True,
        category: str = "person",
        labelled_only: bool = False,
        held_out: str | os.PathLike[str] | None = None,
        empty_is_unknown: bool = False,
    ) -> None:
        self.folder = Path(images)
        count = None if skeleton is None else skeleton.n_keypoints
        whole = read = read_annotations(annotations, category, n_keypoints=count)
        if instances is not None:
            read = join(read, read_annotations(instances, read.category["name"], n_keypoints=0))
        super().__init__(
            read, whole, skeleton=skeleton, joined=joined, labelled_only=labelled_only, held_out=held_out,
            empty_is_unknown=empty_is_unknown,
        )  # fmt: skip
        read.names()  # raises where one is missing
        check_files(self.folder, self._index.names.tolist())

    def path(self, number: int) -> Path:
        """Return the file of image `number`."""
        return self.folder / str(self._index.names[number])

    source = path


def check_files(folder: Path, names: Sequence[str]) -> None:
    """Check that images exist and have a format that can be read.

    Raises:
        FileNotFoundError: the folder does not exist.
        ValueError: images are missing or unreadable; the message names the first few.
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
        more = f" and {len(bad) - _MAX_NAMED} more" if len(bad) > _MAX_NAMED else ""
        raise ValueError(
            f"{folder}: {len(bad)} of {len(names)} images cannot be read: {', '.join(bad[:_MAX_NAMED])}{more}"
        )
