"""Seeded videos of drawn people who keep their identities, for tests and comparisons of trackers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.arrays.numbers import as_integer, as_size
from personlab.data.synthetic.figure import Shape
from personlab.data.synthetic.paths import KINDS, Paths, VideoKind, draw_paths
from personlab.data.synthetic.scenes import clip, draw_background, paint, silhouette, trace_shape
from personlab.data.synthetic.walking import Walker, bones, covered
from personlab.skeleton import COCO_PERSON

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from personlab.data.synthetic.walking import Floats

RATE = 25
"""frames a second"""

_MAX_PEOPLE, _MAX_FRAMES = 100, 100_000
_MIN_SIDE = 64  # pixels


@dataclass(frozen=True, eq=False)
class FramePeople:
    """The people of a frame of whom something is inside the image, in the order of their ids."""

    ids: NDArray[np.int64]  # (P,) from 1
    keypoints: NDArray[np.float32]  # (P, K, 3) x, y, v: 2 visible, 1 hidden, 0 (x = y = 0) outside the image
    boxes: NDArray[np.float32]  # (P, 4) x0, y0, x1, y1 of the keypoints inside the image, pixels
    visible: Floats  # (P,) share of the K keypoints that are visible
    points: Floats  # (P, K, 2) where all keypoints are, outside the image too, pixels

    def __len__(self) -> int:
        return len(self.ids)

    def kept(self, rows: Any) -> FramePeople:
        """Return the people that an index array or flags select."""
        return FramePeople(
            self.ids[rows], self.keypoints[rows], self.boxes[rows], self.visible[rows], self.points[rows]
        )


class DrawnVideo:
    """A video of drawn people; equal arguments give equal frames, in any order of the calls.

    Args:
        seed: non-negative.
        kind: what happens, see `draw_paths`.
        people: number of people, 1 to 100.
        frames: number of frames.
        size: (H, W), pixels.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: an argument out of range.
    """

    def __init__(
        self,
        seed: int,
        kind: VideoKind = "crowd",
        *,
        people: int = 5,
        frames: int = 200,
        size: tuple[int, int] = (540, 960),
    ) -> None:
        if kind not in KINDS:
            raise ValueError(f"kind: expected one of {', '.join(KINDS)}, got {kind!r}")
        self.seed, self.kind, self.size = as_integer(seed, "seed", 0), kind, as_size(size, "size", minimum=_MIN_SIDE)
        self.people = as_integer(people, "people", 1, _MAX_PEOPLE)
        self.frames = as_integer(frames, "frames", 2, _MAX_FRAMES)
        key = (self.seed, KINDS.index(kind), self.people)
        self.paths: Paths = draw_paths(np.random.default_rng(key), kind, self.people, self.frames, self.size)
        self._key = key
        self._walkers = [Walker.drawn((*key, j)) for j in range(self.people)]
        self._background: NDArray[np.floating[Any]] | None = None
        self._truths: dict[int, FramePeople] = {}

    def __len__(self) -> int:
        return self.frames

    def truth(self, frame: int) -> FramePeople:
        """Return the people of a frame.

        Raises:
            IndexError: no such frame.
        """
        if frame not in self._truths:
            self._truths[frame] = self._truth(frame)
        return self._truths[frame]

    def _truth(self, frame: int) -> FramePeople:
        bodies = self._bodies(frame)
        height, width = self.size
        count, k = self.people, COCO_PERSON.n_keypoints
        points = np.array([[joints[name] for name in COCO_PERSON.names] for joints, _ in bodies])
        inside = np.logical_and.reduce((points >= 0) & (points <= (width - 1, height - 1)), axis=2)
        hidden = np.zeros((count, k), bool)
        for x0, x1 in self.paths.boards:
            hidden |= (points[..., 0] >= x0) & (points[..., 0] <= x1)
        limits = points.min(axis=1), points.max(axis=1)
        for j, (joints, tall) in enumerate(bodies):
            margin = 0.12 * tall
            behind = [
                i
                for i in range(count)
                if self._depth(frame, i) > self._depth(frame, j)
                and (limits[0][i] <= limits[1][j] + margin).all()
                and (limits[1][i] >= limits[0][j] - margin).all()
            ]
            if behind:
                segments, radii = bones(joints, tall)
                over = covered(points[behind].reshape(-1, 2), segments, radii)
                hidden[behind] |= over.reshape(-1, k)
        rows = np.flatnonzero(np.logical_or.reduce(inside, axis=1))
        points, inside, hidden = points[rows], inside[rows], hidden[rows]
        keypoints = np.zeros((len(rows), k, 3), np.float32)
        keypoints[inside] = np.concatenate([points, np.where(hidden, 1, 2)[..., None]], axis=2)[inside]
        low = np.where(inside[..., None], points, np.inf).min(axis=1).reshape(-1, 2)
        high = np.where(inside[..., None], points, -np.inf).max(axis=1).reshape(-1, 2)
        boxes = np.concatenate([low, high], axis=1).astype(np.float32)
        visible = (inside & ~hidden).mean(axis=1)
        return FramePeople(rows.astype(np.int64) + 1, keypoints, boxes, visible, points)

    def image(self, frame: int) -> NDArray[np.uint8]:
        """Return a frame, (H, W, 3) uint8 RGB.

        Raises:
            IndexError: no such frame.
        """
        return self.draw(frame)[0]

    def draw(self, frame: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Return a frame (H, W, 3), uint8 RGB, and the visible pixels (P, H, W) of each of its people.

        Raises:
            IndexError: no such frame.
        """
        bodies = self._bodies(frame)
        height, width = self.size
        if self._background is None:
            self._background = draw_background(np.random.default_rng((*self._key, 1000)), height, width)
        image = self._background.copy()
        masks = np.zeros((self.people, height, width), bool)
        for j in sorted(range(self.people), key=lambda i: self._depth(frame, i), reverse=True):
            joints, tall = bodies[j]
            traces = [trace_shape(shape) for shape in self._walkers[j].figure(joints, tall).shapes]
            for trace in traces:
                paint(image, trace, 0.0)
            body, left, top = silhouette(traces)
            rows, columns = clip(top, body.shape[0], height), clip(left, body.shape[1], width)
            own = body[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
            masks[:, rows, columns] &= ~own
            masks[j, rows, columns] = own
        for n, (x0, x1) in enumerate(self.paths.boards):
            corners = np.array([[x0, -20.0], [x1, -20.0], [x1, height + 20.0], [x0, height + 20.0]])
            paint(image, trace_shape(Shape(corners, (1.0, 1.0), np.array([110.0, 90.0 + 20 * n, 70.0]))), 0.0)
            masks[:, :, max(math.ceil(x0), 0) : max(math.floor(x1) + 1, 0)] = False
        pixels = np.clip(np.rint(image), 0, 255).astype(np.uint8).transpose(1, 2, 0)
        return np.ascontiguousarray(pixels), masks[self.truth(frame).ids - 1]

    def _depth(self, frame: int, person: int) -> tuple[float, int]:
        """Return the order of the people from the nearest."""
        return -float(self.paths.heights[frame, person]), person

    def _bodies(self, frame: int) -> list[tuple[dict[str, Floats], float]]:
        """Return the joints of each person, pixels of the image, and the height of each."""
        if not 0 <= frame < self.frames:
            raise IndexError(f"frame: expected a number from 0 to {self.frames - 1}, got {frame}")
        paths, bodies = self.paths, []
        for j, walker in enumerate(self._walkers):
            tall = float(paths.heights[frame, j])
            joints = walker.joints(paths.phases[frame, j], paths.headings[frame, j], tall)
            pelvis = np.array([paths.x[frame, j], paths.y[frame, j]])
            bodies.append(({name: point + pelvis for name, point in joints.items()}, tall))
        return bodies
