"""PoseTrack's metrics as poseval defines them: average precision of joints, and MOTA and MOTP of their tracks.

Rules and quirks are facts about poseval 4258a15, which is not used here; `Rules.original()` prints its figures.
"""

from __future__ import annotations

import itertools
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from personlab.data.posetrack import JOINTS
from personlab.data.posetrack_files import repeated_tracks
from personlab.metrics.clear_mot import ClearMot, Counts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from personlab.data.posetrack import Frame, Sequences

    Array = NDArray[np.float64]

MAX_DISTANCE = 0.5  # head sizes, of a match
MIN_SCORE = -9999.0  # of joints without a score
NAMES = tuple("neck" if name == "head_bottom" else name for name in JOINTS)


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What counts, and how; the defaults count everything once.

    Attributes:
        skip_last_frame: the last frame of each sequence does not count in MOTA and MOTP
        skip_empty_frames: labelled frames without annotated people do not count, whatever is predicted there
        merge_empty_frames: in MOTA, a frame in which people are either annotated or predicted, but not both, counts as
            one miss and one false positive of each joint, however many people it has
        unlabelled_is_false: a joint that is predicted for a person who is annotated without it is a false positive;
            where false, it does not count
        sum_logged_distances: MOTP takes the distance of each match two times or more often, as the log of motmetrics
            from 1.1 on lists it, and is 0 for joints without matches
        later_first: of equal scores, the later counts as the higher; where false, they count as one
        refuse_shared_tracks: two people of a frame who share a track id are an error
        count_absent_joints: joints without annotations and predictions count as 0 in the mean over joints
    """

    skip_last_frame: bool = False
    skip_empty_frames: bool = False
    merge_empty_frames: bool = False
    unlabelled_is_false: bool = False
    sum_logged_distances: bool = False
    later_first: bool = False
    refuse_shared_tracks: bool = False
    count_absent_joints: bool = False

    @classmethod
    def original(cls) -> Rules:
        """Return the rules of poseval, with motmetrics 1.4."""
        return cls(
            skip_last_frame=True, skip_empty_frames=True, merge_empty_frames=True, unlabelled_is_false=True,
            sum_logged_distances=True, later_first=True, refuse_shared_tracks=True,
            count_absent_joints=True,
        )  # fmt: skip


class Figures(NamedTuple):
    """Percent, (16,) each: of the joints in the order of `NAMES`, then their total; NaN where nothing counts."""

    ap: Array
    precision: Array
    recall: Array
    mota: Array
    motp: Array
    track_precision: Array
    track_recall: Array


@dataclass
class _Tally:
    """What the frames of a sequence, or of several, add up to."""

    scores: list[list[float]] = field(default_factory=lambda: [[] for _ in JOINTS])  # of predicted joints
    labels: list[list[bool]] = field(default_factory=lambda: [[] for _ in JOINTS])  # whether they are right
    truth: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(JOINTS), np.int64))
    tracks: list[Counts] = field(default_factory=lambda: [Counts() for _ in JOINTS])

    def __add__(self, other: _Tally) -> _Tally:
        return _Tally(
            [a + b for a, b in zip(self.scores, other.scores, strict=True)],
            [a + b for a, b in zip(self.labels, other.labels, strict=True)],
            self.truth + other.truth,
            [a + b for a, b in zip(self.tracks, other.tracks, strict=True)],
        )


def evaluate(truth: Sequences, predictions: Sequences, *, rules: Rules | None = None) -> dict[str, Figures]:
    """Return the figures of each sequence, and those of all under "total".

    MOTA and MOTP are NaN where no prediction has a track id.

    Args:
        truth: annotated sequences (`personlab.data.posetrack.read_sequences`).
        predictions: of the same names; frames are paired by file name, else by image id.
        rules: what counts.

    Raises:
        ValueError: predictions of a sequence or a frame are missing, some people have a track id and others none, a
            person has joints and no head box, or, where the rules refuse it, two people of a frame have one track id.
    """
    rules = rules or Rules()
    tracking = _have_tracks(predictions, "predictions") and _have_tracks(truth, "annotations")
    if tracking:
        truth, predictions = (
            _with_own_tracks(sequences, what, rules)
            for sequences, what in ((truth, "annotations"), (predictions, "predictions"))
        )
    tallies: dict[str, _Tally] = {}
    for name, frames in truth.items():
        if name not in predictions:
            raise ValueError(f"predictions: expected those of sequence {name}, got none")
        tallies[name] = _tally(_pair(name, frames, predictions[name]), rules, tracking=tracking)
    total = sum(tallies.values(), _Tally())
    return {name: _figures(tally, rules, tracking) for name, tally in (*tallies.items(), ("total", total))}


def _have_tracks(sequences: Sequences, what: str) -> bool:
    """Return whether people with joints have track ids.

    Raises:
        ValueError: some have, and others do not.
    """
    having = {True: "", False: ""}  # an image of each kind
    for name, frames in sequences.items():
        for frame in frames:
            for track, present in zip(frame.tracks, frame.present, strict=True):
                if present.any():
                    having[track >= 0] = having[track >= 0] or f"sequence {name}, {frame.name}"
    if all(having.values()):
        raise ValueError(f"{what}: {having[False]}: expected a track_id of each person, got none of one")
    return not having[False]


def _with_own_tracks(sequences: Sequences, what: str, rules: Rules) -> Sequences:
    """Return sequences whose people of a frame differ in track ids: of those who share one, the later get new ids."""
    repeated = repeated_tracks(sequences)
    if not repeated:
        return sequences
    name, frame, track = repeated[0]
    fault = f"{what}: sequence {name}, {frame.name}: expected track ids that differ in a frame, got {track} twice"
    if rules.refuse_shared_tracks:
        raise ValueError(fault)
    more = f", and {len(repeated) - 1} times more" if len(repeated) > 1 else ""
    warnings.warn(f"{fault}{more}: each later person counts as a track of one frame", RuntimeWarning, stacklevel=3)
    fresh = itertools.count(max(max(f.tracks, default=0) for frames in sequences.values() for f in frames) + 1)
    return {
        name: [
            frame._replace(
                tracks=tuple(
                    next(fresh) if track in frame.tracks[:place] else track for place, track in enumerate(frame.tracks)
                )
            )
            for frame in frames
        ]
        for name, frames in sequences.items()
    }


def _pair(name: str, truth: list[Frame], predicted: list[Frame]) -> list[tuple[Frame, Frame]]:
    """Return each frame of the truth with its predictions."""
    by_id = {frame.image_id: frame for frame in predicted}
    by_name = {frame.name: frame for frame in predicted}
    pairs = []
    for frame in truth:
        own = by_name.get(frame.name) or by_id.get(frame.image_id)
        if own is None:
            raise ValueError(f"predictions: sequence {name}: expected image {frame.name}, got {len(predicted)} others")
        pairs.append((frame, own))
    return pairs


def _tally(pairs: list[tuple[Frame, Frame]], rules: Rules, *, tracking: bool) -> _Tally:
    """Add up a sequence."""
    pairs = [(one, other) for one, other in pairs if one.people > 0 or (one.labelled and not rules.skip_empty_frames)]
    tally = _Tally()
    tracks = [ClearMot() for _ in JOINTS]
    for number, pair in enumerate(pairs):
        truth, predicted = (_clear(frame, pair[0].ignored) for frame in pair)
        distances = _distances(truth, predicted)  # (predictions, people, joints)
        owner = assign_people(distances <= MAX_DISTANCE, truth.present)
        tally.truth += truth.present.sum(axis=0)
        _tally_scores(tally, truth, predicted, distances, owner, rules)
        if tracking and not (rules.skip_last_frame and number == len(pairs) - 1):
            _tally_tracks(tracks, truth, predicted, distances, owner, rules)
    tally.tracks = [one.counts for one in tracks]
    return tally


def _clear(frame: Frame, polygons: tuple[Array, ...]) -> Frame:
    """Return a frame without the joints inside polygons, and without people who have no joint."""
    present = frame.present.copy()
    for polygon in polygons:
        present &= ~inside(frame.points.reshape(-1, 2), polygon).reshape(present.shape)
    return frame._replace(present=present).select(present.any(axis=1))


def inside(points: Array, polygon: Array) -> NDArray[np.bool_]:
    """Return whether points (n, 2) lie inside a polygon (m, 2), not on its border, by the even-odd rule."""
    x, y = points[:, :1], points[:, 1:]  # (n, 1) against (m,)
    (ax, ay), (bx, by) = polygon.T, np.roll(polygon, -1, axis=0).T
    side = (bx - ax) * (y - ay) - (by - ay) * (x - ax)
    in_box = (
        (np.minimum(ax, bx) <= x) & (x <= np.maximum(ax, bx)) & (np.minimum(ay, by) <= y) & (y <= np.maximum(ay, by))
    )
    crosses = ((ay > y) != (by > y)) & ((side > 0) == (by > ay))  # a ray to the left
    return np.asarray((crosses.sum(axis=1) % 2 == 1) & ~((side == 0) & in_box).any(axis=1))


def _distances(truth: Frame, predicted: Frame) -> Array:
    """Return (predictions, people, joints) distances in head sizes; infinity where either lacks the joint."""
    for person, head in enumerate(truth.heads):
        if not head > 0:
            raise ValueError(
                f"annotations: {truth.name}, person {person}: bbox_head: expected a box of the head, whose size is the "
                f"unit of distances, got {'none' if np.isnan(head) else 'one of size 0'}"
            )
    apart = np.linalg.norm(predicted.points[:, None] - truth.points[None], axis=3) / truth.heads[None, :, None]
    return np.where(predicted.present[:, None] & truth.present[None], apart, np.inf)


def assign_people(match: NDArray[np.bool_], present: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the person of each prediction, -1 for none: by the share of a person's joints that match.

    Each prediction keeps its best person, the first of equals; each person takes the best prediction that kept them.

    Args:
        match: (n, m, joints) whether a joint of a prediction matches that of a person.
        present: (m, joints) whether a person's joint is labelled.
    """
    owner = np.full(len(match), -1)
    if match.size == 0:
        return owner
    share = match.sum(axis=2) / np.maximum(present.sum(axis=1), 1)
    best = share.argmax(axis=1)
    kept = np.where(best[:, None] == np.arange(share.shape[1]), share, 0)
    for person, prediction in enumerate(kept.argmax(axis=0)):
        if kept[prediction, person] > 0:
            owner[prediction] = person
    return owner


def _tally_scores(
    tally: _Tally, truth: Frame, predicted: Frame, distances: Array, owner: NDArray[np.int64], rules: Rules
) -> None:
    scores = np.where(np.isnan(predicted.scores), MIN_SCORE, predicted.scores)
    for prediction, person in enumerate(owner):
        for joint in np.flatnonzero(predicted.present[prediction]):
            if person >= 0 and not truth.present[person, joint] and not rules.unlabelled_is_false:
                continue
            right = person >= 0 and bool(distances[prediction, person, joint] <= MAX_DISTANCE)
            tally.scores[joint].append(float(scores[prediction, joint]))
            tally.labels[joint].append(right)


def _tally_tracks(
    tracks: list[ClearMot], truth: Frame, predicted: Frame, distances: Array, owner: NDArray[np.int64], rules: Rules
) -> None:
    if rules.merge_empty_frames and not (truth.people and predicted.people):
        for one in tracks:
            one.update([0], [0], np.full((1, 1), np.nan))
        return
    for joint, one in enumerate(tracks):
        people, poses = np.flatnonzero(truth.present[:, joint]), np.flatnonzero(predicted.present[:, joint])
        apart = distances[np.ix_(poses, people)][..., joint].T
        matches = one.update(
            [truth.tracks[k] for k in people],
            [predicted.tracks[k] for k in poses],
            np.where(apart <= MAX_DISTANCE, apart, np.nan),
        )
        if not rules.unlabelled_is_false:
            rest = np.delete(poses, [j for _, j in matches])
            unlabelled = (owner[rest] >= 0) & ~truth.present[owner[rest], joint] if len(rest) and truth.people else []
            one.counts.false_positives -= int(np.sum(unlabelled))


def _figures(tally: _Tally, rules: Rules, tracking: bool) -> Figures:
    ranked = np.array(
        [_rank(*joint, rules) for joint in zip(tally.scores, tally.labels, tally.truth.tolist(), strict=True)]
    )
    tracks = np.array([_track_figures(counts, rules) for counts in tally.tracks])
    if not tracking:
        tracks[:] = np.nan
    return Figures(*(_with_mean(column) for column in np.concatenate([ranked, tracks], axis=1).T))


def _with_mean(joints: Array) -> Array:
    counted = joints[~np.isnan(joints)]
    return np.append(joints, counted.mean() if len(counted) else np.nan)


def _track_figures(counts: Counts, rules: Rules) -> tuple[float, float, float, float]:
    motp = counts.motp
    if rules.sum_logged_distances:
        motp = 1 - counts.logged_distance / counts.matches if counts.matches else 0.0
    return 100 * counts.mota, 100 * motp, 100 * counts.precision, 100 * counts.recall


def _rank(scores: list[float], labels: list[bool], truth: int, rules: Rules) -> tuple[float, float, float]:
    """Return average precision, precision and recall of one joint, percent."""
    if not scores or not truth:
        if rules.count_absent_joints and not scores:
            return 0.0, 0.0, 0.0
        nan = float("nan")
        return (0.0, nan, 0.0) if truth else (nan, 0.0 if scores else nan, nan)
    order = np.argsort(scores, kind="stable")[::-1]
    right = np.array(labels)[order]
    precision = right.cumsum() / np.arange(1, len(right) + 1)
    recall = right.cumsum() / truth
    if not rules.later_first:  # a threshold takes all equal scores, or none
        sorted_scores = np.array(scores)[order]
        ends = np.append(sorted_scores[1:] != sorted_scores[:-1], True)
        precision, recall = precision[ends], recall[ends]
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    area = float((np.diff(recall, prepend=0.0) * envelope).sum())
    return 100 * area, 100 * float(precision[-1]), 100 * float(recall[-1])
