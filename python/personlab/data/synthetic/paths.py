"""Where the people of a drawn video walk: four kinds of scenes that are hard for trackers in one way each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

VideoKind = Literal["crossing", "hidden", "returning", "crowd"]
KINDS: tuple[VideoKind, ...] = get_args(VideoKind)
HIDDEN_FRAMES = 10
"""for which a person of mean speed is wholly behind a board"""

_SPEED = (0.022, 0.034)  # of walking, heights of the person a frame: 1 to 1.5 m/s at 25 frames a second
_TURN = 0.0035  # max change of the speed, heights of the person a frame, each frame: 0.3 s to stand still
_HALF_WIDTH = 0.3  # of a person with arms and legs, heights
_HALF_BODY = 0.1  # of what of a person has to be seen, heights
_DISTANCE = 0.5  # of people who walk one way when they start, heights
_AWAY = (25, 75)  # frames outside the image


@dataclass(frozen=True, eq=False)
class Paths:
    """The ways of P people over F frames, and the boards in front of them."""

    x: Floats  # (F, P) of the pelvis, pixels
    y: Floats  # (F, P) of the pelvis, pixels
    heights: Floats  # (F, P) pixels; the taller is nearer
    headings: Floats  # (F, P) -1 left, 1 right
    phases: Floats  # (F, P) of the gait, radians
    boards: tuple[tuple[float, float], ...]  # x0, x1, pixels


def draw_paths(rng: np.random.Generator, kind: VideoKind, people: int, frames: int, size: tuple[int, int]) -> Paths:
    """Draw the ways of people.

    Args:
        rng: random numbers.
        kind: "crossing": all walk to and fro between the sides, at nearly one distance from the viewer; "hidden":
            likewise, behind boards; "returning": all leave the image, and come back on the same side 1 to 3 s later;
            "crowd": they stand still, walk on, turn, come nearer, go away, and a third of them leave and return.
        people: P.
        frames: F.
        size: (H, W), pixels.
    """
    height, width = size
    alike = kind in ("crossing", "hidden")
    base = height * (0.42 if people <= 6 else 0.36 if people <= 12 else 0.3)
    tall = base * (rng.uniform(0.95, 1.05, people) if alike else rng.uniform(0.65, 1.15, people))
    speed = rng.uniform(*_SPEED, people) * tall
    if alike:  # those who walk one way keep their distance, as people do who walk beside each other
        speed = rng.uniform(*_SPEED) * base * rng.uniform(0.97, 1.03, people)
    x = np.empty((frames, people))
    for j in range(people):
        leaves = kind == "returning" or (kind == "crowd" and j % 3 == 2)
        first = min((0.35 + _DISTANCE * (j // 2) + rng.uniform(0, 0.1)) * base, 0.45 * width)
        if kind == "returning":  # soon at the other side, so that all come back within 8 s
            first = rng.uniform(0.55, 0.8) * width
        starts_left = j % 2 == 0
        start = first if starts_left else width - first
        x[:, j] = _way(rng, kind, frames, width, tall[j], speed[j], start=start, starts_left=starts_left, leaves=leaves)
    heights = np.repeat(tall[None], frames, axis=0)
    if kind == "crowd":
        drift = np.cumsum(rng.normal(0.0, 1.0, (frames, people)), axis=0) / np.sqrt(frames)
        heights = tall * np.exp(0.12 * _smooth(drift, 25))
    body = rng.uniform(0.97, 1.03, people)  # people of one distance differ in height
    y = height * (0.35 if alike else 0.3) + 0.5 * heights / body
    walked = np.abs(np.diff(x, axis=0, prepend=x[:1]))
    phases = rng.uniform(0, 2 * np.pi, people) + np.cumsum(walked / heights, axis=0) * (2 * np.pi / 0.8)
    moves = np.diff(x, axis=0, append=2 * x[-1:] - x[-2:-1])
    headings = np.clip(_smooth(np.clip(moves / (0.3 * speed), -1, 1), 7), -1, 1)
    boards: tuple[tuple[float, float], ...] = ()
    if kind == "hidden":
        half = _HALF_BODY * base + HIDDEN_FRAMES * float(np.mean(speed)) / 2
        boards = tuple((c * width - half, c * width + half) for c in (0.36, 0.7))
    return Paths(x, y, heights, headings, phases, boards)


def _way(
    rng: np.random.Generator, kind: VideoKind, frames: int, width: int, tall: float, speed: float, *,
    start: float, starts_left: bool, leaves: bool,
) -> Floats:  # fmt: skip
    """Draw x of one person in each frame, pixels: the speed changes by at most `_TURN` a frame."""
    near, far = 0.35 * tall, width - 0.35 * tall
    outside = _HALF_WIDTH * tall + 10
    if kind == "crowd":
        x, wanted = rng.uniform(near, far), speed * rng.choice([-1, 1])
    else:
        x = start
        wanted = speed if starts_left else -speed
    own, wait, ways = wanted, 0, np.empty(frames)
    for t in range(frames):
        ways[t] = x
        if kind == "crowd" and wait == 0 and rng.random() < 0.02:
            wanted = speed * float(rng.choice([-1.0, 0.0, 0.5, 1.0]))
        if wait > 0:
            wait -= 1
            if wait == 0:
                wanted = speed if x < width / 2 else -speed
        elif leaves and not -outside < x < width + outside:
            wanted, own, wait = 0.0, 0.0, int(rng.integers(*_AWAY))
        elif not leaves and not near < x < far:
            wanted = speed if x < width / 2 else -speed
        own += float(np.clip(wanted - own, -_TURN * tall, _TURN * tall))
        x += own
    return ways


def _smooth(values: Floats, frames: int) -> Floats:
    """Return the moving average of values (F, P) over so many frames."""
    half = frames // 2
    padded = np.pad(values, ((half + 1, half), (0, 0)), mode="edge").cumsum(axis=0)
    averaged: Floats = (padded[2 * half + 1 :] - padded[: -2 * half - 1]) / (2 * half + 1)
    return averaged
