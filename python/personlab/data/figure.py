"""One drawn person: joints at angles a body can take, and the rounded shapes that cover them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from personlab.skeleton import COCO_PERSON

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SIDES = (("right", -1.0), ("left", 1.0))  # a person who faces the viewer has the left side at larger x


@dataclass(frozen=True, eq=False)
class Shape:
    """A rounded shape of one colour: a tapered capsule between two points, or a convex polygon with round corners."""

    corners: Floats  # (N, 2) x, y in pixels; N = 2 for a capsule, else in either sense around the polygon
    radii: tuple[float, float]  # pixels, at the first and last corner
    colour: Floats  # (3,) RGB, 0..255
    stripes: float = 0.0  # contrast of the cloth's stripes, 0..1

    @property
    def box(self) -> tuple[float, float, float, float]:
        """(x0, y0, x1, y1) that holds the shape and the pixel of blending around it."""
        margin = max(self.radii) + 1.0
        (x0, y0), (x1, y1) = self.corners.min(axis=0) - margin, self.corners.max(axis=0) + margin
        return float(x0), float(y0), float(x1), float(y1)

    def distance(self, x: Floats, y: Floats) -> Floats:
        """Signed distance of points (x, y) to the outline, pixels, negative inside."""
        if len(self.corners) == 2:
            centre_line, t = _to_segment(x, y, self.corners[0], self.corners[1])
            return centre_line - self.radii[0] - t * (self.radii[1] - self.radii[0])
        sides = list(zip(self.corners, np.roll(self.corners, -1, axis=0), strict=True))
        away: Floats = np.min([_to_segment(x, y, start, end)[0] for start, end in sides], axis=0)
        turns = [(ex - sx) * (y - sy) - (ey - sy) * (x - sx) for (sx, sy), (ex, ey) in sides]
        inside = (np.min(turns, axis=0) >= 0) | (np.max(turns, axis=0) <= 0)
        return away * np.where(inside, -1.0, 1.0) - self.radii[0]


def _to_segment(x: Floats, y: Floats, start: Floats, end: Floats) -> tuple[Floats, Floats]:
    """Distance of points to a segment, and where on it, 0 at `start` to 1 at `end`, the nearest point lies."""
    dx, dy = end - start
    t = np.clip(((x - start[0]) * dx + (y - start[1]) * dy) / max(dx * dx + dy * dy, 1e-9), 0.0, 1.0)
    return np.hypot(x - start[0] - t * dx, y - start[1] - t * dy), t


@dataclass(frozen=True, eq=False)
class Figure:
    """A person before drawing: where the joints are, and what covers them, farthest first."""

    keypoints: Floats  # (K, 2) x, y in pixels, in the order of `COCO_PERSON`
    shapes: tuple[Shape, ...]

    def moved(self, shift: Floats) -> Figure:
        """The same person, `shift` (dx, dy) pixels away."""
        shapes = tuple(Shape(s.corners + shift, s.radii, s.colour, s.stripes) for s in self.shapes)
        return Figure(self.keypoints + shift, shapes)


def _direction(angle: float) -> Floats:
    """The unit vector `angle` radians from straight down, towards larger x."""
    return np.array([np.sin(angle), np.cos(angle)])


def _joints(rng: np.random.Generator) -> dict[str, Floats]:
    """Joints of a body of height 1 whose pelvis is at (0, 0)."""
    degree = np.pi / 180
    lean, yaw = rng.normal(0.0, 8.0) * degree, rng.uniform(-50.0, 50.0) * degree
    across, down = np.array([np.cos(lean), -np.sin(lean)]), _direction(lean)
    joints = {"pelvis": np.zeros(2), "neck": -0.30 * down}
    for side, sign in SIDES:
        joints[f"{side}_shoulder"] = joints["neck"] + sign * 0.105 * np.cos(yaw) * across
        joints[f"{side}_hip"] = sign * 0.065 * np.cos(yaw) * across
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
            seen = length * rng.uniform(0.75, 1.0)  # the rest is foreshortening
            joints[f"{side}_{limb}"] = joints[f"{side}_{start}"] + seen * _direction(lean + angle * degree)
    return joints | _head(rng, joints["neck"], lean, yaw)


def _head(rng: np.random.Generator, neck: Floats, lean: float, yaw: float) -> dict[str, Floats]:
    tilt = lean + rng.normal(0.0, 8.0) * np.pi / 180
    across, down = np.array([np.cos(tilt), -np.sin(tilt)]), _direction(tilt)
    centre, turn = neck - 0.095 * down, np.sin(yaw)
    head = {"head": centre, "chin": centre + 0.045 * down, "nose": centre + 0.03 * turn * across + 0.008 * down}
    for side, sign in SIDES:
        head[f"{side}_eye"] = centre + (0.022 * turn + sign * 0.02 * np.cos(yaw)) * across - 0.012 * down
        head[f"{side}_ear"] = centre + (sign * 0.047 - 0.012 * turn) * across
    return head


def _shapes(rng: np.random.Generator, joints: Mapping[str, Floats], height: float) -> Iterator[Shape]:
    """What covers the joints, farthest first; `height` is the person's, pixels."""
    skin = np.array([236.0, 196.0, 170.0]) * rng.uniform(0.35, 1.0) * rng.uniform(0.95, 1.05, 3)
    hair, shirt, trousers, shoes = rng.uniform(10, 110, 3), *rng.uniform(25, 235, (2, 3)), rng.uniform(10, 90, 3)
    shirt_stripes, trouser_stripes = rng.uniform(0.0, 0.45), rng.uniform(0.0, 0.2)
    sleeve, leg = (shirt if rng.random() < 0.5 else skin), (trousers if rng.random() < 0.7 else skin)

    def capsule(start: Floats, end: Floats, radii: tuple[float, float], colour: Floats, stripes: float = 0.0) -> Shape:
        thick = (max(radii[0] * height, 0.7), max(radii[1] * height, 0.7))
        return Shape(np.stack([start, end]), thick, np.clip(colour, 0, 255), stripes)

    for side, sign in SIDES:
        hip, knee, ankle = (joints[f"{side}_{name}"] for name in ("hip", "knee", "ankle"))
        toes = ankle + np.array([sign * 0.035, 0.022]) * height
        yield capsule(ankle, toes, (0.024, 0.02), shoes)
        yield capsule(knee, ankle, (0.035, 0.024), leg, trouser_stripes if leg is trousers else 0.0)
        yield capsule(hip, knee, (0.055, 0.038), trousers, trouser_stripes)
    yield capsule(joints["neck"], joints["head"], (0.032, 0.03), skin * 0.85)
    corners = np.stack([joints[name] for name in ("right_shoulder", "left_shoulder", "left_hip", "right_hip")])
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
    """A person of random pose and colours, `height` pixels tall when upright, with the pelvis at (0, 0)."""
    joints = {name: height * point for name, point in _joints(rng).items()}
    keypoints = np.stack([joints[name] for name in COCO_PERSON.names])
    return Figure(keypoints, tuple(_shapes(rng, joints, height)))
