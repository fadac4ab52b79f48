"""Poses as a detector would find them in a drawn video: with noise, misses, doubles and people who are not there."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from personlab.arrays.numbers import as_number, check_type
from personlab.poses import Poses
from personlab.skeleton import COCO_PERSON

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from personlab.data.synthetic.videos import DrawnVideo, FramePeople
    from personlab.data.synthetic.walking import Floats

_SIGMAS = np.array(COCO_PERSON.sigmas)


@dataclass(frozen=True, kw_only=True)
class DetectorNoise:
    """What is wrong with detected poses. A person's size is the square root of the area of the keypoints' box.

    Attributes:
        jitter: standard deviation of a visible keypoint, in those of annotators (COCO's sigmas times the size)
        hidden_jitter: that of a hidden keypoint
        shift: standard deviation of a whole pose, sizes of the person
        miss: share of frames in which a person begins to be missed, for no reason that is seen
        miss_frames: mean number of frames that this lasts
        min_visible: people of whom a smaller share of the keypoints is visible are never detected
        capture: share of poses of half hidden people whose hidden keypoints lie on the person in front
        double: share of detected people who are detected twice
        ghost: mean number of poses in a frame where no person is

    Raises:
        TypeError: a value that is no number.
        ValueError: a value out of range.
    """

    jitter: float = 0.7
    hidden_jitter: float = 3.0
    shift: float = 0.02
    miss: float = 0.03
    miss_frames: float = 2.0
    min_visible: float = 0.25
    capture: float = 0.3
    double: float = 0.05
    ghost: float = 0.05

    def __post_init__(self) -> None:
        for one in fields(self):
            largest = 100.0 if "jitter" in one.name or one.name in ("miss_frames", "ghost", "shift") else 1.0
            as_number(getattr(self, one.name), one.name, 0.0, largest)


class Detected(NamedTuple):
    """The poses of a frame, best first, and of whom they were made."""

    poses: Poses
    people: NDArray[np.int64]  # (P,) ids, the second pose of a person after the first; 0: there is no person


def detect(video: DrawnVideo, noise: DetectorNoise | None = None, *, seed: int = 0) -> list[Detected]:
    """Return the poses of each frame of a video; equal arguments give equal poses.

    A pose's score falls with what is hidden: 0.35 + 0.55 times the visible share, and noise of 0.05. Keypoints outside
    the image lie on its border, of a low probability.

    Args:
        video: whose people are detected.
        noise: what is wrong with the poses.
        seed: of the noise, non-negative.
    """
    noise = DetectorNoise() if noise is None else noise
    check_type(noise, "noise", DetectorNoise)
    rng = np.random.default_rng((video.seed, video.people, seed, 77))
    missed = np.zeros(video.people + 1, np.int64)  # frames left
    return [_frame(rng, video, video.truth(t), noise, missed) for t in range(len(video))]


def _frame(
    rng: np.random.Generator, video: DrawnVideo, people: FramePeople, noise: DetectorNoise, missed: Any
) -> Detected:
    starts = (missed == 0) & (rng.random(len(missed)) < noise.miss)
    missed[starts] = rng.geometric(1 / max(noise.miss_frames, 1.0), int(starts.sum()))
    shares = dict(zip(people.ids.tolist(), people.visible.tolist(), strict=True))
    rows: list[tuple[Floats, Floats, float, int]] = []
    for j, person in enumerate(people.ids.tolist()):
        visible = shares[person]
        faint = max(0.0, 1 - (visible - noise.min_visible) / max(0.6 - noise.min_visible, 1e-9))  # 1 at min_visible
        is_missed = missed[person] > 0 or visible < noise.min_visible or rng.random() < 0.7 * faint
        pose = _pose(rng, video, people, j, noise, 1.0)
        second = _pose(rng, video, people, j, noise, 2.0)
        share = rng.uniform(0.5, 0.9)
        is_double = rng.random() < noise.double
        if is_missed:
            continue
        rows.append((*pose, person))
        if is_double:
            rows.append((second[0], second[1], pose[2] * share, person))
    missed[missed > 0] -= 1
    for _ in range(int(rng.poisson(noise.ghost))):
        points = people.points[rng.integers(len(people))] if len(people) else rng.uniform(0, 100, (17, 2))
        height, width = video.size
        place = rng.uniform(0, 1, 2) * (width, height) - points.mean(axis=0)
        ghost = points + place + rng.normal(0.0, 8.0, points.shape)
        rows.append((_clipped(ghost, video), rng.uniform(0.1, 0.6, len(points)), float(rng.uniform(0.1, 0.45)), 0))
    rows.sort(key=lambda row: -row[2])
    k = COCO_PERSON.n_keypoints
    poses = Poses(
        np.array([row[0] for row in rows], np.float32).reshape(-1, k, 2),
        np.array([row[1] for row in rows], np.float32).reshape(-1, k),
        np.array([row[2] for row in rows], np.float32),
    )
    return Detected(poses, np.array([row[3] for row in rows], np.int64))


def _pose(
    rng: np.random.Generator, video: DrawnVideo, people: FramePeople, j: int, noise: DetectorNoise, more: float
) -> tuple[Floats, Floats, float]:
    """Return keypoints, their probabilities and the score of person j, with `more` times the noise."""
    truth, seen = people.points[j], people.keypoints[j, :, 2]
    size = float(np.sqrt(max(np.prod(np.ptp(truth, axis=0)), 1.0)))
    spread = np.where(seen == 2, noise.jitter, noise.hidden_jitter) * _SIGMAS * size * more
    points = truth + rng.normal(0.0, 1.0, truth.shape) * spread[:, None]
    points += rng.normal(0.0, 1.0, 2) * noise.shift * size * more
    chances = np.select(
        [seen == 2, seen == 1],
        [np.clip(rng.normal(0.85, 0.1, len(seen)), 0.3, 1.0), rng.uniform(0.1, 0.5, len(seen))],
        rng.uniform(0.0, 0.15, len(seen)),
    )
    is_captured = rng.random() < noise.capture
    visible = float(people.visible[j])
    if is_captured and visible < 0.6 and len(people) > 1:
        distance = np.abs(people.points - truth).mean(axis=(1, 2))
        distance[j] = np.inf
        front = int(np.argmin(distance))
        points[seen == 1] = people.points[front][seen == 1] + rng.normal(0.0, 2.0, ((seen == 1).sum(), 2))
    score = float(np.clip(0.35 + 0.55 * visible + rng.normal(0.0, 0.05), 0.05, 0.99))
    return _clipped(points, video), chances, score


def _clipped(points: Floats, video: DrawnVideo) -> Floats:
    height, width = video.size
    clipped: Floats = np.clip(points, 0, (width - 1, height - 1))
    return clipped
