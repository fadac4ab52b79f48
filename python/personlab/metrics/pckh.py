"""PCKh: the share of joints that lie within a share of the head's size of their annotation (MPII, PoseTrack).

Source: Andriluka et al., "2D Human Pose Estimation: New Benchmark and State of the Art Analysis" (CVPR 2014).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from personlab.data.posetrack import JOINTS
from personlab.metrics.clear_mot import assign

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from personlab.data.posetrack import Frame

    Array = NDArray[np.float64]

THRESHOLD = 0.5  # head sizes
FINE = 0.1  # of the figure Mean@0.1
_ORIGINAL_FINE = 0.11  # that the original takes for 0.1
_NOT_IN_MEAN = (6, 7)  # pelvis and thorax
_PARTS = {  # MPII's joints, left and right
    "Head": (9,),
    "Shoulder": (13, 12),
    "Elbow": (14, 11),
    "Wrist": (15, 10),
    "Hip": (3, 2),
    "Knee": (4, 1),
    "Ankle": (5, 0),
}


class Shares(NamedTuple):
    """Of each joint: how many are labelled, and how many of them lie within the threshold."""

    right: NDArray[np.int64]  # (K,)
    labelled: NDArray[np.int64]  # (K,)

    @property
    def percent(self) -> Array:
        """(K,) percent; NaN for joints that are never labelled."""
        shares = np.full(len(self.right), np.nan)
        np.divide(self.right, self.labelled, out=shares, where=self.labelled > 0)
        return 100 * shares


def pckh(
    points: Array, truth: Array, labelled: NDArray[np.bool_], heads: Array, *, threshold: float = THRESHOLD
) -> Shares:
    """Count the joints within `threshold` head sizes of their annotation.

    Args:
        points: (N, K, 2) predictions, one for each annotated person; NaN where there is none, which is wrong.
        truth: (N, K, 2) annotations, in the same coordinates.
        labelled: (N, K) whether a joint is annotated.
        heads: (N,) head sizes, pixels: 0.6 of the diagonal of the head's box.
        threshold: head sizes.

    Raises:
        ValueError: shapes that disagree, or a head size that is not positive.
    """
    points, truth = np.asarray(points, np.float64), np.asarray(truth, np.float64)
    labelled, heads = np.asarray(labelled, bool), np.asarray(heads, np.float64)
    if truth.ndim != 3 or truth.shape[2] != 2:
        raise ValueError(f"truth: expected shape (N, K, 2), got {truth.shape}")
    expected = {"points": truth.shape, "labelled": truth.shape[:2], "heads": truth.shape[:1]}
    for name, array in (("points", points), ("labelled", labelled), ("heads", heads)):
        if array.shape != expected[name]:
            raise ValueError(f"{name}: expected shape {expected[name]}, got {array.shape}")
    if not (heads > 0).all():
        raise ValueError(f"heads: expected sizes above 0, got {heads[~(heads > 0)][0]:g}")
    apart = np.linalg.norm(points - truth, axis=2) / heads[:, None]
    right = labelled & (apart <= threshold)
    return Shares(right.sum(axis=0), labelled.sum(axis=0))


def mpii_figures(
    points: Array, truth: Array, labelled: NDArray[np.bool_], heads: Array, *, original: bool = False
) -> dict[str, float]:
    """Return the figures of MPII's table, percent: parts of the body, Mean and Mean@0.1; NaN without annotations.

    A part is the mean of its left and its right joint; the means weigh joints by how often they are annotated, without
    pelvis and thorax.

    Args:
        points: as `pckh` takes them, of MPII's 16 joints.
        truth: likewise.
        labelled: likewise.
        heads: likewise.
        original: compute Mean@0.1 at a threshold of 0.11, as human-pose-estimation.pytorch does.
    """
    coarse = pckh(points, truth, labelled, heads)
    fine = pckh(points, truth, labelled, heads, threshold=_ORIGINAL_FINE if original else FINE)
    if len(coarse.right) != 16:
        raise ValueError(f"truth: expected MPII's 16 joints, got {len(coarse.right)}")
    figures = {part: float(np.mean(coarse.percent[list(joints)])) for part, joints in _PARTS.items()}
    for name, shares in (("Mean", coarse), ("Mean@0.1", fine)):
        right, labels = (int(np.delete(counts, _NOT_IN_MEAN).sum()) for counts in shares)
        figures[name] = 100 * right / labels if labels else float("nan")
    return figures


def match_people(points: Array, truth: Array, labelled: NDArray[np.bool_], heads: Array) -> Array:
    """Return the pose of each annotated person, (N, K, 2), NaN for people without one.

    Poses are assigned so that the sum over people of the mean distance of their joints, at most one head size each, is
    smallest.

    Args:
        points: (M, K, 2) poses of an image.
        truth: (N, K, 2) its people.
        labelled: (N, K) whether a joint is annotated.
        heads: (N,) head sizes, pixels.
    """
    chosen = np.full(truth.shape, np.nan)
    if len(points) and len(truth):
        apart = np.linalg.norm(points[None] - truth[:, None], axis=3) / heads[:, None, None]
        near = np.where(labelled[:, None], np.minimum(apart, 1.0), 0.0)
        cost = near.sum(axis=2) / np.maximum(labelled.sum(axis=1), 1)[:, None]
        near_enough = labelled.any(axis=1, keepdims=True) & (cost < 1)
        for person, pose in assign(np.where(near_enough, cost, np.nan)):
            chosen[person] = points[pose]
    return chosen


def pckh_by_place(truth: Sequence[Frame], predictions: Sequence[Frame]) -> Mapping[str, float]:
    """Return poseval's PCKh of single people, percent: of each joint of PoseTrack, and of all points together.

    Person n of a frame is compared with prediction n; a joint that is not predicted is wrong.

    Raises:
        ValueError: another number of frames, or fewer predictions than people in a frame.
    """
    if len(truth) != len(predictions):
        raise ValueError(f"predictions: expected {len(truth)} frames, got {len(predictions)}")
    right = labelled = np.zeros(len(JOINTS), np.int64)
    for one, other in zip(truth, predictions, strict=True):
        if other.people < one.people:
            raise ValueError(f"predictions: {one.name}: expected {one.people} people, got {other.people}")
        chosen = other.select(slice(one.people))
        points = np.where(chosen.present[..., None], chosen.points, np.nan)
        shares = pckh(points, one.points, one.present, one.heads)
        right, labelled = right + shares.right, labelled + shares.labelled
    percent = Shares(right, labelled).percent
    total = Shares(right.sum(keepdims=True), labelled.sum(keepdims=True)).percent[0]
    return {**dict(zip(JOINTS, percent.tolist(), strict=True)), "total": float(total)}
