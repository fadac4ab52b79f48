"""A drawn person who walks: the joints at each moment of the gait, always of one body and in one dress."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from personlab.data.synthetic.figure import SIDES, Figure, direction, draw_head, dress

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_DEGREE = math.pi / 180
_SIDEWAYS = 65.0 * _DEGREE  # yaw of a person who walks across the image
_LIMBS = (("hip", "knee", 0.055), ("knee", "ankle", 0.035), ("shoulder", "elbow", 0.036), ("elbow", "wrist", 0.027))
BONES = len(_LIMBS) * 2 + 2
"""tapered limbs, torso and head, by which a person hides what is behind"""


@dataclass(frozen=True)
class Walker:
    """A person: a body, a dress and a manner of walking, drawn once."""

    seed: tuple[int, ...]  # of head and dress
    lean: float  # radians
    legs: float  # radians, of a thigh's swing
    arms: float  # radians, of an upper arm's swing
    bend: float  # radians, of a knee's swing
    elbows: float  # radians
    limbs: float  # factor on the length of arms and legs

    @classmethod
    def drawn(cls, seed: tuple[int, ...]) -> Walker:
        """Draw a person."""
        rng = np.random.default_rng(seed)
        return cls(
            seed=seed,
            lean=rng.normal(0.0, 3.0) * _DEGREE,
            legs=rng.uniform(20.0, 30.0) * _DEGREE,
            arms=rng.uniform(10.0, 30.0) * _DEGREE,
            bend=rng.uniform(35.0, 60.0) * _DEGREE,
            elbows=rng.uniform(10.0, 50.0) * _DEGREE,
            limbs=rng.uniform(0.94, 1.06),
        )

    def joints(self, phase: float, heading: float, height: float) -> dict[str, Floats]:
        """Return the joints, pixels, with the pelvis at (0, 0).

        Args:
            phase: of the gait, radians; a period is two steps.
            heading: 1 to the right, -1 to the left, 0 towards the viewer.
            height: pixels, when upright.
        """
        yaw = _SIDEWAYS * heading
        side_view, width = math.sin(yaw), math.cos(yaw)
        lean = self.lean + 3.0 * _DEGREE * heading
        across, down = np.array([math.cos(lean), -math.sin(lean)]), direction(lean)
        joints = {"pelvis": np.zeros(2), "neck": -0.30 * down}
        for side, sign in SIDES:
            swing = math.sin(phase if sign > 0 else phase + math.pi)
            lifted = max(math.cos(phase if sign > 0 else phase + math.pi), 0.0)
            thigh = self.legs * swing * side_view
            shin = thigh - self.bend * lifted * side_view
            upper = -self.arms * swing * side_view + 6.0 * _DEGREE * sign * width
            fore = upper + self.elbows * side_view
            joints[f"{side}_shoulder"] = joints["neck"] + sign * 0.105 * width * across
            joints[f"{side}_hip"] = sign * 0.065 * width * across
            for limb, start, angle, length in (
                ("elbow", "shoulder", upper, 0.165),
                ("wrist", "elbow", fore, 0.15),
                ("knee", "hip", thigh, 0.245),
                ("ankle", "knee", shin, 0.225),
            ):
                joints[f"{side}_{limb}"] = joints[f"{side}_{start}"] + self.limbs * length * direction(lean + angle)
        joints |= draw_head(np.random.default_rng((*self.seed, 1)), joints["neck"], lean, yaw)
        return {name: height * point for name, point in joints.items()}

    def figure(self, joints: dict[str, Floats], height: float) -> Figure:
        """Return the drawn person with these joints, pixels."""
        return dress(np.random.default_rng((*self.seed, 2)), joints, height)


def bones(joints: dict[str, Floats], height: float) -> tuple[Floats, Floats]:
    """Return segments (B, 2, 2) and their radii (B,), pixels: the outline of a person, nearly."""
    pairs = [
        (joints[f"{side}_{start}"], joints[f"{side}_{end}"], radius)
        for side, _ in SIDES
        for start, end, radius in _LIMBS
    ]
    pairs += [(joints["neck"], joints["pelvis"], 0.10), (joints["head"], joints["chin"], 0.05)]
    return np.array([pair[:2] for pair in pairs]), height * np.array([pair[2] for pair in pairs])


def covered(points: Floats, segments: Floats, radii: Floats) -> NDArray[np.bool_]:
    """Return which points (M, 2) lie within the radius of a segment (B, 2, 2)."""
    start, along = segments[:, 0], segments[:, 1] - segments[:, 0]
    offset = points[:, None] - start
    length = np.maximum((along**2).sum(axis=1), 1e-12)
    share = np.clip((offset * along).sum(axis=2) / length, 0.0, 1.0)
    squared = ((offset - share[..., None] * along) ** 2).sum(axis=2)
    hidden: NDArray[np.bool_] = (squared <= radii**2).any(axis=1)
    return hidden
