"""One drawn person: joints at anatomically possible angles, and the rounded shapes over them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.skeleton import COCO_PERSON

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Pixels = NDArray[np.floating[Any]]

SIDES = (("right", -1.0), ("left", 1.0))  # a person who faces the viewer has the left side at larger x
_POINT = 1e-9  # pixels; shorter segments are points


@dataclass(frozen=True, eq=False)
class Shape:
    """A rounded shape of one colour: a tapered capsule between two points, or a convex polygon with round corners."""

    corners: Floats  # (N, 2) x, y in pixels; N = 2 for a capsule, else a polygon in either orientation
    radii: tuple[float, float]  # pixels, at the first and last corner
    colour: Floats  # (3,) RGB, 0..255
    stripes: float = 0.0  # contrast of the cloth's stripes, 0..1

    @property
    def box(self) -> tuple[float, float, float, float]:
        """(x0, y0, x1, y1) around the shape and the blended pixel at its border."""
        margin = max(self.radii) + 1.0
        x, y = self.corners.T.tolist()
        return min(x) - margin, min(y) - margin, max(x) + margin, max(y) + margin

    def distance(self, x: Pixels, y: Pixels) -> Pixels:
        """Return the signed distance of points (x, y) to the outline, pixels, negative inside, in their precision."""
        corners = self.corners.tolist()
        if len(corners) == 2:
            squared, nearest, _ = _to_segment(x, y, corners[0], corners[1])
            nearest *= (self.radii[1] - self.radii[0]) / max(math.dist(*corners), _POINT)
            nearest += self.radii[0]  # the radius at the nearest point
            return np.subtract(np.sqrt(squared, out=squared), nearest, out=squared)
        following = [*corners[1:], corners[0]]
        if sum(sx * ey - sy * ex for (sx, sy), (ex, ey) in zip(corners, following, strict=True)) < 0:
            corners, following = following, corners  # reverse the orientation: the inside is to the right
        squared, _, outward = _to_segment(x, y, corners[0], following[0])
        for start, end in zip(corners[1:], following[1:], strict=True):
            other, _, aside = _to_segment(x, y, start, end)
            np.minimum(squared, other, out=squared)
            np.maximum(outward, aside, out=outward)
        return np.where(outward <= 0, outward, np.sqrt(squared, out=squared)) - self.radii[0]


def _to_segment(x: Pixels, y: Pixels, start: Sequence[float], end: Sequence[float]) -> tuple[Pixels, Pixels, Pixels]:
    """Measure points against a segment; y points down.

    Returns:
        The squared distance to the segment; the position of the nearest point along it, from `start`; the signed
        distance to its line, negative to the right of the direction from `start` to `end`. All in pixels.
    """
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = math.hypot(dx, dy)
    dx, dy = (dx / length, dy / length) if length > _POINT else (1.0, 0.0)
    x, y = x - start[0], y - start[1]
    along, aside = x * dx + y * dy, x * dy - y * dx
    nearest = np.minimum(np.maximum(along, 0.0), length)
    squared = np.subtract(along, nearest, out=along)
    squared *= squared
    squared += aside * aside
    return squared, nearest, aside


@dataclass(frozen=True, eq=False)
class Figure:
    """A person before drawing: keypoints, and the shapes to draw, farthest first."""

    keypoints: Floats  # (K, 2) x, y in pixels, in the order of `COCO_PERSON`
    shapes: tuple[Shape, ...]

    def moved(self, shift: Floats) -> Figure:
        """Return the same person moved by `shift` (dx, dy) pixels."""
        shapes = tuple(Shape(s.corners + shift, s.radii, s.colour, s.stripes) for s in self.shapes)
        return Figure(self.keypoints + shift, shapes)


def direction(angle: float) -> Floats:
    """Return the unit vector `angle` radians from straight down towards larger x."""
    return np.array([math.sin(angle), math.cos(angle)])


def _joints(rng: np.random.Generator) -> dict[str, Floats]:
    """Draw the joints of a body of height 1 with the pelvis at (0, 0)."""
    degree = math.pi / 180
    lean, yaw = rng.normal(0.0, 8.0) * degree, rng.uniform(-50.0, 50.0) * degree
    across, down = np.array([math.cos(lean), -math.sin(lean)]), direction(lean)
    joints = {"pelvis": np.zeros(2), "neck": -0.30 * down}
    for side, sign in SIDES:
        joints[f"{side}_shoulder"] = joints["neck"] + sign * 0.105 * math.cos(yaw) * across
        joints[f"{side}_hip"] = sign * 0.065 * math.cos(yaw) * across
        raised = rng.random() < 0.35
        upper = sign * rng.uniform(50.0, 160.0) if raised else sign * rng.uniform(-10.0, 50.0)
        fore = upper + rng.uniform(-110.0, 110.0)
        thigh = sign * rng.uniform(-5.0, 32.0)
        shin = thigh - sign * rng.uniform(-5.0, 50.0)
        for limb, start, angle, length in (
            ("elbow", "shoulder", upper, 0.165),
            ("wrist", "elbow", fore, 0.15),
            ("knee", "hip", thigh, 0.245),
            ("ankle", "knee", shin, 0.225),
        ):
            projected = length * rng.uniform(0.75, 1.0)  # foreshortened
            joints[f"{side}_{limb}"] = joints[f"{side}_{start}"] + projected * direction(lean + angle * degree)
    return joints | draw_head(rng, joints["neck"], lean, yaw)


def draw_head(rng: np.random.Generator, neck: Floats, lean: float, yaw: float) -> dict[str, Floats]:
    """Draw the joints of the head over a neck, of a body of height 1; lean and yaw in radians."""
    tilt = lean + rng.normal(0.0, 8.0) * math.pi / 180
    across, down = np.array([math.cos(tilt), -math.sin(tilt)]), direction(tilt)
    centre, turn = neck - 0.095 * down, math.sin(yaw)
    head = {"head": centre, "chin": centre + 0.045 * down, "nose": centre + 0.03 * turn * across + 0.008 * down}
    for side, sign in SIDES:
        head[f"{side}_eye"] = centre + (0.022 * turn + sign * 0.02 * math.cos(yaw)) * across - 0.012 * down
        head[f"{side}_ear"] = centre + (sign * 0.047 - 0.012 * turn) * across
    return head


def _shapes(rng: np.random.Generator, joints: Mapping[str, Floats], height: float) -> Iterator[Shape]:
    """Yield the shapes over the joints, farthest first; `height` is the person's, pixels."""
    skin = np.array([236.0, 196.0, 170.0]) * rng.uniform(0.35, 1.0) * rng.uniform(0.95, 1.05, 3)
    hair, shirt, trousers, shoes = rng.uniform(10, 110, 3), *rng.uniform(25, 235, (2, 3)), rng.uniform(10, 90, 3)
    shirt_stripes, trouser_stripes = rng.uniform(0.0, 0.45), rng.uniform(0.0, 0.2)
    sleeve, leg = (shirt if rng.random() < 0.5 else skin), (trousers if rng.random() < 0.7 else skin)

    def capsule(start: Floats, end: Floats, radii: tuple[float, float], colour: Floats, stripes: float = 0.0) -> Shape:
        thick = (max(radii[0] * height, 0.7), max(radii[1] * height, 0.7))
        return Shape(np.array([start, end]), thick, colour, stripes)

    for side, sign in SIDES:
        hip, knee, ankle = (joints[f"{side}_{name}"] for name in ("hip", "knee", "ankle"))
        toes = ankle + np.array([sign * 0.035, 0.022]) * height
        yield capsule(ankle, toes, (0.024, 0.02), shoes)
        yield capsule(knee, ankle, (0.035, 0.024), leg, trouser_stripes if leg is trousers else 0.0)
        yield capsule(hip, knee, (0.055, 0.038), trousers, trouser_stripes)
    yield capsule(joints["neck"], joints["head"], (0.032, 0.03), skin * 0.85)
    corners = np.array([joints[name] for name in ("right_shoulder", "left_shoulder", "left_hip", "right_hip")])
    yield Shape(corners, (0.035 * height, 0.035 * height), shirt, shirt_stripes)
    yield capsule(joints["right_hip"], joints["left_hip"], (0.048, 0.048), trousers, trouser_stripes)

    top = joints["head"] - 0.35 * (joints["chin"] - joints["head"])
    yield capsule(top, joints["head"], (0.055, 0.052), hair)
    for side, _ in SIDES:
        yield capsule(joints[f"{side}_ear"], joints[f"{side}_ear"], (0.013, 0.013), skin * 0.9)
    yield capsule(joints["head"], joints["chin"], (0.046, 0.032), skin)
    for side, _ in SIDES:
        eye = joints[f"{side}_eye"]
        yield capsule(eye, eye, (0.010, 0.010), np.full(3, 245.0))
        yield capsule(eye, eye, (0.006, 0.006), np.full(3, 20.0))
    nose = joints["nose"]
    yield capsule(nose, nose, (0.009, 0.009), skin * 0.7)

    for side, _ in SIDES:
        shoulder, elbow, wrist = (joints[f"{side}_{name}"] for name in ("shoulder", "elbow", "wrist"))
        hand = wrist + 0.2 * (wrist - elbow)
        yield capsule(wrist, hand, (0.018, 0.02), skin)
        yield capsule(elbow, wrist, (0.027, 0.02), sleeve, shirt_stripes if sleeve is shirt else 0.0)
        yield capsule(shoulder, elbow, (0.036, 0.028), shirt, shirt_stripes)


def make_figure(rng: np.random.Generator, height: float) -> Figure:
    """Draw a person of random pose and colours, `height` pixels tall when upright, with the pelvis at (0, 0)."""
    return dress(rng, {name: height * point for name, point in _joints(rng).items()}, height)


def dress(rng: np.random.Generator, joints: Mapping[str, Floats], height: float) -> Figure:
    """Draw the colours of a person with these joints, pixels, `height` pixels tall when upright."""
    keypoints = np.array([joints[name] for name in COCO_PERSON.names])
    return Figure(keypoints, tuple(_shapes(rng, joints, height)))
