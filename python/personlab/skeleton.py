"""What a person is made of: keypoint names, edges, OKS sigmas and the left/right permutation, as data."""

from __future__ import annotations

import operator
import reprlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from personlab._cached import Cached, PicklesFields

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from personlab import _core


@dataclass(frozen=True, kw_only=True)
class Skeleton(PicklesFields):
    """K keypoint types joined by E undirected edges (PersonLab, section 3.1.2).

    The edges need not form a tree: grouping follows them best-first and takes each keypoint once.

    Args:
        names: one name per keypoint type.
        edges: pairs of keypoint indices (parent, child). Directed edge ``e < E`` runs parent -> child, directed edge
            ``E + e`` is the same edge child -> parent; mid-range offset fields are numbered so.
        sigmas: one OKS sigma per keypoint type (COCO keypoint evaluation), from 1e-6 to 1e6.
        flip: for each keypoint, the index of its mirror image; itself where there is none. An involution.

    Raises:
        TypeError: something else than these.
        ValueError: lengths disagree, an index is out of range, a sigma is not positive, or ``flip`` is no involution.
    """

    names: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]
    sigmas: tuple[float, ...]
    flip: tuple[int, ...]

    def __post_init__(self) -> None:
        freeze = object.__setattr__
        freeze(self, "names", _tuple_of(self.names, "names", "a list of texts", _text))
        freeze(self, "edges", _tuple_of(self.edges, "edges", "a list of pairs of integers", _pair))
        freeze(self, "sigmas", _tuple_of(self.sigmas, "sigmas", "a list of numbers", float))
        freeze(self, "flip", _tuple_of(self.flip, "flip", "a list of integers", operator.index))
        count = len(self.names)
        if count == 0 or len(set(self.names)) != count:
            raise ValueError(f"names: expected at least one and no name twice, got {self.names}")
        for label, values in (("sigmas", self.sigmas), ("flip", self.flip)):
            if len(values) != count:
                raise ValueError(f"{label}: expected {count} entries, one per name, got {len(values)}")
        if not all(np.isfinite(sigma) and 1e-6 <= sigma <= 1e6 for sigma in self.sigmas):
            raise ValueError(f"sigmas: expected numbers from 1e-6 to 1e6, got {self.sigmas}")
        for a, b in self.edges:
            if not (0 <= a < count and 0 <= b < count and a != b):
                raise ValueError(f"edges: expected pairs of two different indices in 0..{count - 1}, got {(a, b)}")
        if any(not 0 <= i < count or self.flip[i] != k for k, i in enumerate(self.flip)):
            raise ValueError(f"flip: expected each index to be its mirror's mirror, got {self.flip}")

    @property
    def n_keypoints(self) -> int:
        """K, the number of keypoint types."""
        return len(self.names)

    @property
    def n_edges(self) -> int:
        """E, the number of undirected edges; mid-range offsets have 2E channels."""
        return len(self.edges)

    @Cached
    def directed_edges(self) -> tuple[tuple[int, int], ...]:
        """(source, target) of each of the 2E directed edges, in the order of the mid-range offset channels."""
        return self.edges + tuple((b, a) for a, b in self.edges)

    @Cached
    def directed_flip(self) -> tuple[int, ...]:
        """For each directed edge, the channel that takes its place in a mirrored image.

        Raises:
            ValueError: the mirror image of an edge is not an edge of this skeleton.
        """
        number = {edge: e for e, edge in enumerate(self.directed_edges)}
        mirrored = [(self.flip[a], self.flip[b]) for a, b in self.directed_edges]
        missing = [edge for edge in mirrored if edge not in number]
        if missing:
            raise ValueError(f"edges: {missing[0]} is the mirror image of an edge but no edge itself")
        return tuple(number[edge] for edge in mirrored)

    @Cached
    def native(self) -> _core.Skeleton:
        """The compiled core's copy of edges and sigmas."""
        from personlab import _core

        return _core.Skeleton(n_keypoints=self.n_keypoints, edges=self.edges, sigmas=self.sigmas)


def _tuple_of(values: Any, name: str, expected: str, read: Callable[[Any], Any]) -> tuple[Any, ...]:
    """The values, read one by one.

    Raises:
        TypeError: no values, or one that cannot be read.
    """
    listed: Any = None if isinstance(values, str) else values
    try:
        return tuple(map(read, listed))
    except (OverflowError, TypeError, ValueError):
        raise TypeError(f"{name}: expected {expected}, got {reprlib.repr(values)}") from None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return str(value)


def _pair(value: Any) -> tuple[int, int]:
    a, b = value
    return operator.index(a), operator.index(b)


def _edges(names: Sequence[str], pairs: str) -> tuple[tuple[int, int], ...]:
    index = {name: i for i, name in enumerate(names)}
    return tuple((index[a], index[b]) for a, b in (pair.split("-") for pair in pairs.split()))


_COCO_NAMES = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
)  # fmt: skip

COCO_PERSON = Skeleton(
    names=_COCO_NAMES,
    # The tree of the published PersonLab networks, in the order of their mid-range offset channels.
    edges=_edges(
        _COCO_NAMES,
        "nose-left_eye left_eye-left_ear nose-right_eye right_eye-right_ear nose-left_shoulder "
        "left_shoulder-left_elbow left_elbow-left_wrist left_shoulder-left_hip left_hip-left_knee "
        "left_knee-left_ankle nose-right_shoulder right_shoulder-right_elbow right_elbow-right_wrist "
        "right_shoulder-right_hip right_hip-right_knee right_knee-right_ankle",
    ),
    # COCO keypoint evaluation, https://cocodataset.org/#keypoints-eval
    sigmas=(
        0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089,
        0.089,
    ),
    flip=(0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15),
)  # fmt: skip
"""COCO's 17 keypoints and sigmas, joined by the 16 edges of the published PersonLab networks."""

_MPII_NAMES = (
    "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "pelvis", "thorax", "upper_neck",
    "head_top", "right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist",
)  # fmt: skip

MPII_PERSON = Skeleton(
    names=_MPII_NAMES,
    edges=_edges(
        _MPII_NAMES,
        "pelvis-thorax thorax-upper_neck upper_neck-head_top thorax-left_shoulder left_shoulder-left_elbow "
        "left_elbow-left_wrist pelvis-left_hip left_hip-left_knee left_knee-left_ankle thorax-right_shoulder "
        "right_shoulder-right_elbow right_elbow-right_wrist pelvis-right_hip right_hip-right_knee "
        "right_knee-right_ankle",
    ),
    # MPII has none: COCO's where it has the joint; those of the trunk are the hip's, of neck and head the shoulder's.
    sigmas=(
        0.089, 0.087, 0.107, 0.107, 0.087, 0.089, 0.107, 0.107, 0.079, 0.079, 0.062, 0.072, 0.079, 0.079, 0.072, 0.062,
    ),
    flip=(5, 4, 3, 2, 1, 0, 6, 7, 8, 9, 15, 14, 13, 12, 11, 10),
)  # fmt: skip
"""The 16 joints of the MPII Human Pose data set, in its order."""

_POSETRACK_NAMES = ("nose", "head_bottom", "head_top", *_COCO_NAMES[3:])

POSETRACK_PERSON = Skeleton(
    names=_POSETRACK_NAMES,
    edges=_edges(
        _POSETRACK_NAMES,
        "head_bottom-nose nose-head_top nose-left_ear nose-right_ear head_bottom-left_shoulder "
        "left_shoulder-left_elbow left_elbow-left_wrist left_shoulder-left_hip left_hip-left_knee "
        "left_knee-left_ankle head_bottom-right_shoulder right_shoulder-right_elbow right_elbow-right_wrist "
        "right_shoulder-right_hip right_hip-right_knee right_knee-right_ankle",
    ),
    # COCO's where it has the joint, and the shoulder's for both ends of the head.
    sigmas=(0.026, 0.079, 0.079, *COCO_PERSON.sigmas[3:]),
    flip=(0, 1, 2, *COCO_PERSON.flip[3:]),
)
"""The 17 keypoints of PoseTrack 2018, in the order of its files; ears are never labelled there."""

_CROWDPOSE_NAMES = (*_COCO_NAMES[5:], "head", "neck")

CROWDPOSE_PERSON = Skeleton(
    names=_CROWDPOSE_NAMES,
    edges=_edges(
        _CROWDPOSE_NAMES,
        "neck-head neck-left_shoulder left_shoulder-left_elbow left_elbow-left_wrist left_shoulder-left_hip "
        "left_hip-left_knee left_knee-left_ankle neck-right_shoulder right_shoulder-right_elbow "
        "right_elbow-right_wrist right_shoulder-right_hip right_hip-right_knee right_knee-right_ankle",
    ),
    # Of its evaluation: COCO's, and the shoulder's for head and neck.
    sigmas=(*COCO_PERSON.sigmas[5:], 0.079, 0.079),
    flip=(*(mirror - 5 for mirror in COCO_PERSON.flip[5:]), 12, 13),
)
"""The 14 keypoints of CrowdPose, in the order of its files."""
