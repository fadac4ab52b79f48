"""State of all tracks, one row each, and its motion: a Kalman filter of the body's place, and the pose about it."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from personlab.track.seen import extent

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from personlab.track.options import TrackOptions
    from personlab.track.seen import Floats, Seen

_POSE_GAIN = 0.8  # share of a sure keypoint's new place in the pose about the body
_SIZE_GAIN = 0.3  # share of a new size, of a person who is wholly seen
_FADE = 0.9  # factor on the weight of a keypoint in each frame that does not show it


class Sights(NamedTuple):
    """Tracks where they are predicted, as `keypoint_similarity` takes them."""

    points: Floats
    weights: Floats
    sizes: Floats
    shares: Floats
    limits: tuple[Floats, Floats]


@dataclass(eq=False)
class Tracks:
    """T tracks; the covariance of place and velocity is the same in x and y."""

    ids: NDArray[np.int64]  # (T,) 0: has none yet
    points: Floats  # (T, N, 2) pixels; 0 where never seen
    weights: Floats  # (T, N)
    velocities: Floats  # (T, 2) pixels a frame
    covariances: Floats  # (T, 3) of place, of place and velocity, of velocity, pixels^2
    sizes: Floats  # (T,) pixels
    places: Floats  # (T, 2) centre where last seen, pixels
    hidden: NDArray[np.int64]  # (T,) frames since last seen
    hits: NDArray[np.int64]  # (T,) frames in which it was seen
    shares: Floats  # (T,) of the points, when last seen

    @classmethod
    def none(cls, n: int) -> Tracks:
        """Return no tracks, of N points."""
        counts, pairs = np.zeros(0, np.int64), np.zeros((0, 2))
        points, covariances = np.zeros((0, n, 2)), np.zeros((0, 3))
        numbers = np.zeros(0)
        return cls(counts, points, np.zeros((0, n)), pairs, covariances, numbers, pairs, counts, counts, numbers)

    def __len__(self) -> int:
        return len(self.ids)

    def sights(self, rows: Any) -> Sights:
        """Return what of some tracks is compared with the people of a frame."""
        points, weights = self.points[rows], self.weights[rows]
        return Sights(points, weights, self.sizes[rows], self.shares[rows], extent(points, weights))

    def kept(self, rows: Any) -> Tracks:
        """Return the tracks that an index array or flags select."""
        return replace(self, **{one.name: getattr(self, one.name)[rows] for one in fields(self)})

    def joined(self, other: Tracks) -> Tracks:
        """Return these tracks and others."""
        if not len(self):
            return other
        return replace(
            self,
            **{one.name: np.concatenate([getattr(self, one.name), getattr(other, one.name)]) for one in fields(self)},
        )


def start(seen: Seen, people: Any, options: TrackOptions) -> Tracks:
    """Return new tracks of people of a frame."""
    sizes = seen.sizes[people]
    covariances = np.zeros((len(sizes), 3))
    covariances[:, 0] = np.square(options.jitter * sizes)
    covariances[:, 2] = np.square(options.speed * sizes)
    return Tracks(
        ids=np.zeros(len(sizes), np.int64),
        points=seen.points[people],
        weights=seen.weights[people],
        velocities=np.zeros((len(sizes), 2)),
        covariances=covariances,
        sizes=sizes,
        places=seen.centres[people],
        hidden=np.zeros(len(sizes), np.int64),
        hits=np.ones(len(sizes), np.int64),
        shares=seen.shares[people],
    )


def predict(tracks: Tracks, options: TrackOptions, frames: int) -> None:
    """Move the tracks on by so many frames, at constant velocity; acceleration makes the place less certain."""
    shift = tracks.velocities * frames
    tracks.points += np.where(tracks.weights > 0, 1.0, 0.0)[..., None] * shift[:, None]
    place, both, velocity = tracks.covariances.T
    noise = np.square(options.acceleration * tracks.sizes)
    place += 2 * frames * both + frames**2 * velocity + noise * frames**3 / 3
    both += frames * velocity + noise * frames**2 / 2
    velocity += noise * frames
    tracks.hidden += frames


def correct(tracks: Tracks, rows: Any, seen: Seen, people: Any, kappas: Floats, options: TrackOptions) -> None:
    """Correct tracks `rows` by the people of the frame that continue them, one each.

    The body's displacement is the mean of that of the common points; a Kalman filter takes its share of it. The pose
    about the body follows the seen keypoints, and keypoints that are not seen move with the body.
    """
    points, weights = tracks.points[rows], tracks.weights[rows]
    own, own_weights = seen.points[people], seen.weights[people]
    pull = np.minimum(weights, own_weights)
    pull /= kappas
    pull /= np.maximum(np.add.reduce(pull, axis=1), 1e-12)[:, None]
    residuals = own - points
    moved = np.add.reduce(residuals * pull[..., None], axis=1)
    covariances, sizes, shares = tracks.covariances[rows], tracks.sizes[rows], seen.shares[people]
    noise = np.square(options.jitter * sizes)
    gains = covariances[:, :2] / (covariances[:, 0] + noise)[:, None]  # of place and velocity
    gain, velocity_gain = gains[:, :1], gains[:, 1:]
    share = np.minimum(own_weights, 1.0)
    share *= _POSE_GAIN
    share[(weights <= 0) & (own_weights > 0)] = 1.0
    # What moves with the body: all points that are known; those not known stay 0.
    shown = np.maximum(own_weights, _FADE * weights)
    residuals -= moved[:, None]
    residuals *= share[..., None]
    residuals += (gain * moved)[:, None]
    residuals *= (shown > 0)[..., None]
    tracks.points[rows] = points + residuals
    tracks.weights[rows] = shown
    tracks.velocities[rows] += velocity_gain * moved
    covariances[:, 2] -= gains[:, 1] * covariances[:, 1]
    covariances[:, :2] *= 1 - gain
    tracks.covariances[rows] = covariances
    tracks.sizes[rows] = sizes + _SIZE_GAIN * shares**2 * (seen.sizes[people] - sizes)
    tracks.places[rows] = seen.centres[people]
    tracks.shares[rows] = shares
    tracks.hidden[rows] = 0
    tracks.hits[rows] += 1


def rescale(tracks: Tracks, factor: Floats) -> None:
    """Rescale all tracks by factors (x, y), as where the frames of a video change their size."""
    tracks.points *= factor
    tracks.velocities *= factor
    tracks.places *= factor
    length = float(np.sqrt(factor[0] * factor[1]))
    tracks.sizes *= length
    tracks.covariances *= length**2
