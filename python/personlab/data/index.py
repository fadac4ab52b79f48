"""Stores checked annotations as a few arrays: 118,000 images take megabytes, and forked workers share them."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from personlab.data.coco import People, gather_people
from personlab.data.rle import decode_runs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from personlab.data.annotations import Annotations
    from personlab.data.entries import Person


class Index(NamedTuple):
    """M images and their P annotations; those of image i are `first[i]` up to, not including, `first[i + 1]`."""

    image_ids: list[int]
    names: NDArray[np.str_]  # (M,) file names; empty texts where the annotations have none
    sizes: NDArray[np.int32]  # (M, 2) H, W pixels
    first: NDArray[np.int64]  # (M + 1,)
    keypoints: NDArray[np.float32]  # (P, K, 3) x, y, v; zeros for people without labelled keypoints
    crowd: NDArray[np.bool_]  # (P,) regions of people annotated together, not persons
    boxes: NDArray[np.float32]  # (P, 4) x, y, w, h pixels
    ends: NDArray[np.int64]  # (P + 1,) the mask of person j is runs[ends[j] : ends[j + 1]]
    runs: bytes  # COCO's compressed run lengths of all masks, concatenated; a missing mask has no bytes

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """(P,) whether a keypoint is labelled."""
        return np.asarray((self.keypoints[..., 2] > 0).any(axis=1))

    @property
    def outlined(self) -> NDArray[np.bool_]:
        """(P,) whether an outline covers a pixel."""
        return np.diff(self.ends) > 0

    def people(self, number: int, label: str) -> People:
        """Return the people of image `number`; `label` names the image in errors.

        Raises:
            ValueError: the run lengths of a mask are damaged.
        """
        height, width = self.sizes[number].tolist()
        rows = slice(self.first[number], self.first[number + 1])
        masks = np.zeros((rows.stop - rows.start, height, width), bool)
        ends = self.ends[rows.start : rows.stop + 1].tolist()
        for mask, (start, stop) in zip(masks, pairwise(ends), strict=True):
            if start < stop:
                mask[:] = decode_runs(self.runs[start:stop], (height, width), label)
        outlined = np.diff(ends) > 0
        return gather_people(self.keypoints[rows], masks, self.boxes[rows], outlined=outlined, crowd=self.crowd[rows])


def make_index(annotations: Annotations, *, n_keypoints: int) -> Index:
    """Index annotations by image, in the order of the image ids.

    Args:
        annotations: as `read_annotations` returns them.
        n_keypoints: K.
    """
    listed: dict[int, list[Person]] = {number: [] for number in annotations.images}
    for person in annotations.people:
        listed[person.image_id].append(person)
    rows = [person for people in listed.values() for person in people]
    images = [annotations.images[number] for number in listed]
    unlabelled = np.zeros((n_keypoints, 3))
    keypoints = [unlabelled if row.keypoints is None else row.keypoints for row in rows]
    return Index(
        image_ids=list(listed),
        names=np.array([image.name or "" for image in images], np.str_),
        sizes=np.array([image.size for image in images], np.int32).reshape(-1, 2),
        first=np.cumsum([0, *map(len, listed.values())], dtype=np.int64),
        keypoints=np.array(keypoints, np.float32).reshape(-1, n_keypoints, 3),
        crowd=np.array([row.crowd for row in rows], bool),
        boxes=np.array([row.box for row in rows], np.float32).reshape(-1, 4),
        ends=np.cumsum([0, *(len(row.runs) for row in rows)], dtype=np.int64),
        runs=b"".join(row.runs for row in rows),
    )
