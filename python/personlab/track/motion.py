"""State of all tracks, one row each, and its motion: a Kalman filter of the body's place, and the pose about it."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from personlab.track.options import TrackOptions
    from personlab.track.seen import Floats, Seen

_POSE_GAIN = 0.8  # share of a sure keypoint's new place in the pose about the body
_SIZE_GAIN = 0.3  # share of a new size, of a person who is wholly seen
_FADE = 0.9  # factor on the weight of a keypoint in each frame that does not show it


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
    common = np.minimum(weights, own_weights)
    pull = common / kappas
    residuals = own - points
    moved = np.einsum("tn,tnc->tc", pull, residuals) / np.maximum(pull.sum(axis=1), 1e-12)[:, None]
    place, both, velocity = tracks.covariances[rows].T
    noise = np.square(options.jitter * tracks.sizes[rows])
    gain, velocity_gain = place / (place + noise), both / (place + noise)
    shift = gain[:, None] * moved
    share = np.where(weights > 0, _POSE_GAIN * np.minimum(own_weights, 1.0), 1.0)
    share[own_weights == 0] = 0.0
    posed = points + shift[:, None] + share[..., None] * (residuals - moved[:, None])
    known = (weights > 0) | (own_weights > 0)
    tracks.points[rows] = np.where(known[..., None], posed, 0.0)
    tracks.weights[rows] = np.maximum(own_weights, _FADE * weights)
    tracks.velocities[rows] += velocity_gain[:, None] * moved
    tracks.covariances[rows] = np.stack(
        [(1 - gain) * place, (1 - gain) * both, velocity - velocity_gain * both], axis=1
    )
    share_of_size = _SIZE_GAIN * seen.shares[people] ** 2
    tracks.sizes[rows] += share_of_size * (seen.sizes[people] - tracks.sizes[rows])
    tracks.places[rows] = seen.centres[people]
    tracks.shares[rows] = seen.shares[people]
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
