"""Images of single people in training, for methods that look at one person at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from personlab.data.coco import People
from personlab.data.images import AnnotatedImages, DrawnImages, Example

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from personlab.data.images import Images

_VIEWS = 4  # of a drawn scene, one after the other
_NEXT = 2**32  # from a scene without people to the one in its place
_MAX_TRIES = 100


def single_people(images: Images) -> Images:
    """Return a source whose examples are those of `images`, with one labelled person each, and that person's box.

    Raises:
        ValueError: annotations without labelled people.
    """
    if isinstance(images, DrawnImages):
        return DrawnPeople(images)
    if isinstance(images, AnnotatedImages):
        return CocoPeople(images)
    raise ValueError(f"images: expected annotated or drawn images, got {type(images).__name__}")


class DrawnPeople:
    """Endless people of drawn scenes: a scene serves several numbers in a row, and is drawn once for these."""

    has_masks = False

    def __init__(self, images: DrawnImages) -> None:
        self.images, self.skeleton, self.domain = images, images.skeleton, images.domain
        self._last: tuple[int, Example, NDArray[np.intp]] | None = None

    def __len__(self) -> int:
        return 0

    def load(self, number: int) -> Example:
        """Return the scene of a number with one of its people."""
        scene, place = divmod(number, _VIEWS)
        if self._last is None or self._last[0] != scene:
            self._last = (scene, *self._draw(scene))
        _, (image, people), labelled = self._last
        person = labelled[place % len(labelled)]
        return Example(image, _alone(people.keypoints[person], person_boxes(people)[person], people.crowd.shape))

    def _draw(self, scene: int) -> tuple[Example, NDArray[np.intp]]:
        """Return a scene, and the numbers of its people with labelled keypoints; the scene has one."""
        for attempt in range(_MAX_TRIES):
            example = self.images.load(scene + attempt * _NEXT)
            labelled = np.flatnonzero((example.people.keypoints[..., 2] > 0).any(axis=1))
            if len(labelled):
                return example, labelled
        raise ValueError(f"data.scene_people: expected scenes with people, got none in {_MAX_TRIES}")


class CocoPeople:
    """The labelled people of annotated images, but crowds and people whose box does not touch their image."""

    has_masks = False

    def __init__(self, images: AnnotatedImages) -> None:
        self.images, self.skeleton, self.domain = images, images.skeleton, images.domain
        self._people = images.single_people()
        if len(self._people) == 0:
            raise ValueError(f"{images.name}: expected annotations of people with keypoints, got none")

    def __len__(self) -> int:
        return len(self._people)

    def load(self, number: int) -> Example:
        """Read the image of person `number`.

        Raises:
            OSError, ValueError: as `AnnotatedImages.load`.
        """
        place, keypoints, box = self._people[number]
        image = self.images.read(place)
        return Example(image, _alone(keypoints, box, image.shape[:2]))


def _alone(keypoints: NDArray[np.float32], box: NDArray[np.floating], size: tuple[int, ...]) -> People:
    empty = np.zeros((1, 1, 1), bool)
    masks = np.broadcast_to(empty, (1, *size))
    return People(keypoints[None], masks, masks[0], boxes=np.asarray(box, np.float64)[None])


def person_boxes(people: People) -> NDArray[np.float64]:
    """Return the boxes (P, 4) = x, y, w, h of people: as annotated, else around their masks, else their keypoints.

    People without any of these have zeros.
    """
    boxes = np.zeros((len(people.keypoints), 4))
    for n, (keypoints, mask) in enumerate(zip(people.keypoints, people.masks, strict=True)):
        if people.boxes is not None and people.boxes[n, 2] * people.boxes[n, 3] > 0:
            boxes[n] = people.boxes[n]
        elif mask.any():
            rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
            boxes[n] = columns[0], rows[0], columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0]
        elif (keypoints[:, 2] > 0).any():
            points = keypoints[keypoints[:, 2] > 0, :2]
            low, high = points.min(axis=0), points.max(axis=0)
            boxes[n] = (*low, *(high - low + 1))
    return boxes
