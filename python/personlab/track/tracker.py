"""`Tracker`: gives the people of each frame of a video numbers that stay theirs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.arrays.numbers import as_integer, as_size, check_type
from personlab.io.images import as_image
from personlab.poses import Poses
from personlab.skeleton import COCO_PERSON, Skeleton
from personlab.track import motion
from personlab.track.assign import assign, check_solver
from personlab.track.options import TrackOptions
from personlab.track.seen import Seen, kappas, see
from personlab.track.similarity import keypoint_similarity, mask_overlap, second_poses

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from personlab.track.flow import Flow
    from personlab.track.seen import Flags, Floats

    Ids = NDArray[np.int64]
    Indices = NDArray[np.intp]

_SURE = 0.1  # rank of a second pose of somebody, beyond which it is that of another person who stands close
_DOUBT = 1.0  # frames seen after which the rank of a track is half of that of a track seen for long
NO_ID = -1
"""in place of the id of a person who has none"""


class Tracker:
    """Number the people of a video, frame after frame, from the poses of any method.

    A track predicts the place of its person by a Kalman filter of the body, or by optical flow. The people of a frame
    are assigned to tracks so that the sum of similarities is maximal: OKS that allows for the uncertainty of the
    prediction, the share of the person that is seen and, where both have one, the overlap of masks. A person who is
    not seen is followed for `TrackOptions.max_hidden` frames. For `max_away` frames, someone of a similar size who
    appears where a person was last seen is that person.

    Results depend on the calls since `reset` alone, and not on threads.

    Args:
        skeleton: the keypoints of the poses.
        options: how to track.

    Raises:
        ImportError: SciPy is missing, or OpenCV for optical flow.
        TypeError: an argument of the wrong type.
    """

    def __init__(self, skeleton: Skeleton = COCO_PERSON, options: TrackOptions | None = None) -> None:
        check_type(skeleton, "skeleton", Skeleton)
        self.skeleton, self.options = skeleton, TrackOptions() if options is None else options
        check_type(self.options, "options", TrackOptions)
        check_solver()
        self._kappas = kappas(skeleton)
        self._flow: Flow | None = None
        if self.options.flow:
            from personlab.track.flow import Flow

            self._flow = Flow()
        self.reset()

    def reset(self) -> None:
        """Forget all people, as at the start of another video."""
        self._tracks = motion.Tracks.none(len(self._kappas))
        self._seen: Seen | None = None  # the frame before
        self._people: Indices = np.zeros(0, np.intp)  # of each track, its person in that frame, or -1
        self._size: tuple[int, int] | None = None
        self._given = 0  # ids
        self._is_first = True
        if self._flow is not None:
            self._flow.reset()

    def update(
        self,
        poses: Poses,
        *,
        masks: Any = None,
        boxes: Any = None,
        image: NDArray[np.uint8] | None = None,
        size: tuple[int, int] | None = None,
        frames: int = 1,
    ) -> Ids:
        """Return the ids of the people of the next frame.

        Keypoints that are not finite, or of a lower probability than `min_keypoint`, are left out; a person of whom
        no point is known gets no id.

        Args:
            poses: P people, pixels of the frame; an empty frame counts, too.
            masks: (P, H, W) bool, or None.
            boxes: (P, 4) x0, y0, x1, y1, pixels, that go with the poses, as of a detector, or None.
            image: (H, W, 3) uint8, for optical flow; without it, the motion so far counts.
            size: (H, W) of the frame; where it changes, the tracks are scaled. Left out: that of `image`, if any.
            frames: since the last call, at least 1; more where frames were left out.

        Returns:
            (P,) int64: ids, from 1, in the order of appearance; -1 for a person without one: in the first
            frames of a track, for a second pose of a person, and for one of a low score that continues no track.

        Raises:
            TypeError: an argument of the wrong type.
            ValueError: an argument of the wrong shape, or out of range.
        """
        check_type(poses, "poses", Poses)
        frames = as_integer(frames, "frames", 1, 1_000_000)
        seen = see(poses, boxes, masks, self.skeleton, self.options.min_keypoint)
        if image is not None:
            image = as_image(image)
            size = image.shape[:2] if size is None else size
        if size is not None:
            self._rescale(as_size(size, "size", minimum=1))
        before = self._tracks.points.copy()
        motion.predict(self._tracks, self.options, frames)
        if self._flow is not None:
            self._flow.move(self._tracks, before, image, frames)
        track_of = np.full(len(seen), -1, np.intp)
        doubles = second_poses(seen, self._kappas, self.options.double_similarity)
        rows, people = self._match(seen, doubles, before, frames)
        track_of[people] = rows
        people = (track_of >= 0).nonzero()[0]
        motion.correct(self._tracks, track_of[people], seen, people, self._kappas, self.options)
        starts = (track_of < 0) & ~doubles & (seen.scores >= self.options.start_score) & seen.known
        born = starts.nonzero()[0]
        if len(born):
            track_of[born] = len(self._tracks) + np.arange(len(born))
            self._tracks = self._tracks.joined(motion.start(seen, born, self.options))
        self._give_ids()
        ids = np.full(len(seen), NO_ID, np.int64)
        people = (track_of >= 0).nonzero()[0]
        ids[people] = self._tracks.ids[track_of[people]]
        ids[ids == 0] = NO_ID
        self._finish(seen, track_of)
        return ids

    def skip(self, frames: int = 1) -> None:
        """Pass over frames that could not be read, as if they had no people.

        Raises:
            TypeError, ValueError: as `update` raises them.
        """
        k = self.skeleton.n_keypoints
        empty = Poses(np.zeros((0, k, 2), np.float32), np.zeros((0, k), np.float32), np.zeros(0, np.float32))
        self.update(empty, frames=frames)

    def _rescale(self, size: tuple[int, int]) -> None:
        """Take the size (H, W) of the next frame."""
        if self._size is not None and self._size != size:
            motion.rescale(self._tracks, np.array([size[1] / self._size[1], size[0] / self._size[0]]))
            self._seen = None
            if self._flow is not None:
                self._flow.reset()
        self._size = size

    def _match(self, seen: Seen, doubles: Flags, before: Floats, frames: int) -> tuple[Indices, Indices]:
        """Return tracks and the people who continue them; second poses come after the others."""
        tracks, options = self._tracks, self.options
        rows = np.flatnonzero(tracks.hidden - frames <= options.max_hidden)
        if not len(rows) or not len(seen):
            return np.zeros(0, np.intp), np.zeros(0, np.intp)
        hidden, hits = tracks.hidden[rows], tracks.hits[rows]
        # With masks, the similarity of poses counts however low it is.
        lowest = options.min_similarity if seen.masks is None else 0.0
        plain, ranked = keypoint_similarity(
            tracks.sights(rows), tracks.covariances[rows, 0], hidden, seen, self._kappas, lowest
        )
        if seen.masks is not None:
            change = self._mask_change(seen, before, rows, plain)
            plain, ranked = plain + change, ranked + change
        ranked *= (hits / (hits + _DOUBT))[:, None]
        ranked = np.where(plain >= options.min_similarity, np.maximum(ranked, 1e-9), 0.0)
        matched, people = assign(np.where(doubles, 0.0, ranked))
        if doubles.any():  # two people may stand close: both go on without a gap
            steady = hidden == frames
            steady[matched] = False
            more, others = assign(np.where(steady[:, None] & doubles & (ranked > _SURE), ranked, 0.0))
            matched, people = np.concatenate([matched, more]), np.concatenate([people, others])
        return rows[matched], people

    def _mask_change(self, seen: Seen, before: Floats, rows: Indices, plain: Floats) -> Floats:
        """Return by how much the overlap of masks changes similarities (T, P), where both have a mask."""
        change = np.zeros_like(plain)
        last = self._seen
        if seen.masks is None or last is None or last.masks is None or last.masks.shape[1:] != seen.masks.shape[1:]:
            return change
        if not len(last):
            return change
        shown, showing = last.masks.max(axis=(1, 2), initial=0) > 0, seen.masks.max(axis=(1, 2), initial=0) > 0
        owners = self._people[rows]
        own = np.flatnonzero((owners >= 0) & shown[owners])
        other = np.flatnonzero(showing)
        points, weights = self._tracks.points[rows[own]], self._tracks.weights[rows[own], :, None]
        shifts = ((points - before[rows[own]]) * weights).sum(axis=1) / np.maximum(weights.sum(axis=1), 1e-12)
        overlap = mask_overlap(last.masks[owners[own]], shifts, seen.masks[other], seen.cell)
        pairs = np.ix_(own, other)
        change[pairs] = self.options.mask_share * (overlap - plain[pairs])
        return change

    def _give_ids(self) -> None:
        """Number tracks that are old enough: as a person who returns, or anew."""
        tracks, options = self._tracks, self.options
        ready = (tracks.ids == 0) & (tracks.hidden == 0) & ((tracks.hits >= options.start_frames) | self._is_first)
        self._is_first = False
        new = np.flatnonzero(ready)
        if not len(new):
            return
        away = np.flatnonzero((tracks.ids > 0) & (tracks.hidden > 0) & (tracks.hidden <= options.max_away))
        similarity = self._returns(new, away)
        rows, columns = assign(np.where(similarity >= options.min_similarity, similarity, 0.0))
        tracks.ids[new[rows]] = tracks.ids[away[columns]]
        tracks.ids[away[columns]] = 0  # the track from before ends
        left = new[tracks.ids[new] == 0]
        tracks.ids[left] = self._given + 1 + np.arange(len(left))
        self._given += len(left)

    def _returns(self, new: Indices, away: Indices) -> Floats:
        """Return (new, away): how well new tracks are people who return to where they were last seen, 0 to 1."""
        tracks, options = self._tracks, self.options
        sizes = tracks.sizes[away]
        distance = np.square(tracks.places[new][:, None] - tracks.places[away]).sum(axis=2)
        spread = np.square(options.return_distance * sizes)
        growth = np.square(np.log(tracks.sizes[new])[:, None] - np.log(sizes)) / math.log(options.return_growth) ** 2
        growth *= np.minimum(tracks.shares[new][:, None], tracks.shares[away])  # of a part, the size is unsure
        with np.errstate(divide="ignore", invalid="ignore"):
            far = np.nan_to_num(distance / spread, nan=0.0)
        similarity: Floats = np.exp(-(far + growth) / 2)
        similarity[tracks.hidden[away] < tracks.hits[new][:, None]] = 0.0  # both were seen at once
        return similarity

    def _finish(self, seen: Seen, track_of: Indices) -> None:
        """Drop the tracks that have ended, and keep this frame for the next."""
        tracks, options = self._tracks, self.options
        person = np.full(len(tracks), -1, np.intp)
        people = (track_of >= 0).nonzero()[0]
        person[track_of[people]] = people
        kept = (tracks.hidden == 0) | (
            (tracks.ids > 0) & (tracks.hidden <= max(options.max_hidden + 1, options.max_away))
        )
        if not kept.all():
            self._tracks, person = tracks.kept(kept), person[kept]
        self._seen, self._people = seen, person
