"""What the steps of decoding maps come to, on every backend: peaks, connections and bodies."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class PeakArrays(NamedTuple):
    """N peaks by keypoint type, then row by row; a peak's place in these arrays is its id."""

    keypoints: NDArray[np.intp]  # (N,) keypoint type
    anchors: NDArray[np.intp]  # (N, 2) x, y of the cell
    positions: Array  # (N, 2) x, y in cells
    scores: Array  # (N,) confidence


class Connection(NamedTuple):
    """Two peaks that a limb joins."""

    limb: int
    a: int  # id of the peak at the limb's first end
    b: int
    score: float  # mean of the samples, less for a limb longer than half the image is high
    i: int  # place of a among the peaks of its type
    j: int
    length: float  # pixels of the image
    rank: float  # by which connections are ordered


@dataclass(eq=False)
class Body:
    """Peaks that belong to one person."""

    slots: dict[int, tuple[int, float]] = field(default_factory=dict)  # keypoint type -> peak, score of its limb
    total: float = 0.0  # of the peaks' and the limbs' scores
    count: int = 0
    longest: float = 0.0  # limb, pixels of the image


class Steps(NamedTuple):
    """What each step of decoding an image comes to.

    Positions of peaks are in cells; by the rules of the originals, in pixels of the image.
    """

    peaks: PeakArrays
    connections: list[Connection]  # limb after limb; by the default rules, best first
    bodies: list[Body]  # that are kept, in the order in which they began
