"""What the maps of Simple Pose show: 18 keypoints with the neck, 30 limbs, and which of them are COCO's keypoints."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from personlab._cached import Cached, PicklesFields
from personlab.arrays.numbers import check_type
from personlab.skeleton import COCO_PERSON, Skeleton

if TYPE_CHECKING:
    from personlab import _core


@dataclass(frozen=True, kw_only=True)
class BodyParts(PicklesFields):
    """The keypoints and limbs that maps show, and the skeleton of the people that come of them.

    Args:
        skeleton: K keypoint types, one map each; its E edges are the limbs, one map each, from the first end to the
            second. Limbs need not form a tree.
        person: the skeleton of results.
        keypoints: for each keypoint of `person`, the keypoint of `skeleton` that it is.

    Raises:
        TypeError: something else than these.
        ValueError: not one keypoint of the skeleton for each of the person.
    """

    skeleton: Skeleton
    person: Skeleton
    keypoints: tuple[int, ...]

    def __post_init__(self) -> None:
        check_type(self.skeleton, "skeleton", Skeleton)
        check_type(self.person, "person", Skeleton)
        try:
            listed = tuple(operator.index(k) for k in self.keypoints)
        except TypeError:
            raise TypeError(f"keypoints: expected a list of integers, got {self.keypoints!r}") from None
        object.__setattr__(self, "keypoints", listed)
        count = self.skeleton.n_keypoints
        if len(listed) != self.person.n_keypoints or any(not 0 <= k < count for k in listed):
            raise ValueError(
                f"keypoints: expected {self.person.n_keypoints} integers in 0..{count - 1}, one for each keypoint of "
                f"`person`, got {listed}"
            )

    @Cached
    def native(self) -> _core.LimbSkeleton:
        """The compiled core's copy."""
        from personlab import _core

        return _core.LimbSkeleton(
            n_keypoints=self.skeleton.n_keypoints, limbs=self.skeleton.edges, people=self.keypoints
        )

    @classmethod
    def of(cls, skeleton: Skeleton) -> BodyParts:
        """Return parts whose people have the keypoints of the maps themselves."""
        return cls(skeleton=skeleton, person=skeleton, keypoints=tuple(range(skeleton.n_keypoints)))


_SIDES = ("shoulder", "elbow", "wrist")
_LEGS = ("hip", "knee", "ankle")
_NAMES = (
    "nose", "neck",
    *(f"right_{name}" for name in _SIDES), *(f"left_{name}" for name in _SIDES),
    *(f"right_{name}" for name in _LEGS), *(f"left_{name}" for name in _LEGS),
    "right_eye", "left_eye", "right_ear", "left_ear",
)  # fmt: skip
# In the order of the published networks' outputs, which is the order in which the original joins them.
_LIMBS = (
    "1-0 1-14 1-15 1-16 1-17 0-14 0-15 14-16 15-17 1-2 2-3 3-4 1-5 5-6 6-7 1-8 8-9 9-10 1-11 11-12 12-13 0-2 0-5 2-8 "
    "8-12 5-11 11-9 16-2 17-5 8-11"
)
_NECK = COCO_PERSON.sigmas[COCO_PERSON.names.index("left_shoulder")]  # COCO has no neck: the shoulders' sigma

BODY = Skeleton(
    names=_NAMES,
    edges=tuple((int(a), int(b)) for a, b in (limb.split("-") for limb in _LIMBS.split())),
    sigmas=tuple(_NECK if name == "neck" else COCO_PERSON.sigmas[COCO_PERSON.names.index(name)] for name in _NAMES),
    flip=(0, 1, 5, 6, 7, 2, 3, 4, 11, 12, 13, 8, 9, 10, 15, 14, 17, 16),
)
"""The 18 keypoints and 30 limbs of the published networks of Simple Pose (Part B), in the order of their outputs."""

COCO_PARTS = BodyParts(
    skeleton=BODY, person=COCO_PERSON, keypoints=tuple(_NAMES.index(name) for name in COCO_PERSON.names)
)
"""`BODY`, of which come people of COCO's 17 keypoints."""

BODY_A = Skeleton(names=_NAMES, edges=(*BODY.edges[:21], (8, 11), (2, 16), (5, 17)), sigmas=BODY.sigmas, flip=BODY.flip)
"""The same keypoints with the 24 limbs of the networks of Part A."""
