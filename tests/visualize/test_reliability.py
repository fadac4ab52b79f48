"""The reliability image: curves where the numbers are, counts below, and nothing to draw."""

from __future__ import annotations

import numpy as np
import pytest

from personlab.metrics.reliability import Bin, ScoredPoses, bin_poses
from personlab.visualize import marks
from personlab.visualize.reliability import draw_reliability

LEFT, TOP, SIDE = 70, 40, 480  # of the square
BLUE, ORANGE = marks.PALETTE[6], marks.PALETTE[2]


def near(image, x, y, colour):
    """Whether a pixel within 2 of (x, y) has the colour."""
    return (image[y - 2 : y + 3, x - 2 : x + 3] == colour).all(axis=2).any()


@pytest.fixture
def bins():
    scores, oks = np.repeat([0.05, 0.65], (1000, 10)), np.repeat([0.2, 0.9], (1000, 10))
    return bin_poses(ScoredPoses(scores, oks, oks))


def test_dots_stand_at_mean_score_and_mean_oks(bins):
    image = draw_reliability({"as decoded": bins})
    assert image.dtype == np.uint8
    assert image.shape[0] != image.shape[1]
    for score, oks in ((0.05, 0.2), (0.65, 0.9)):
        assert near(image, round(LEFT + score * SIDE), round(TOP + (1 - oks) * SIDE), BLUE)
    assert not near(image, round(LEFT + 0.35 * SIDE), round(TOP + 0.2 * SIDE), BLUE)


def test_bars_grow_with_the_count(bins):
    image = draw_reliability({"as decoded": bins})
    below = (image[TOP + SIDE + 5 :] == BLUE).all(axis=2)
    heights = [below[:, LEFT + round(middle * SIDE)].sum() for middle in (0.05, 0.35, 0.65)]
    assert heights[0] == 110
    assert heights[1] == 0
    assert 20 < heights[2] < 60


def test_curves_have_colours_and_names_of_their_own(bins):
    one = draw_reliability({"as decoded": bins}, title="PoseNet")
    two = draw_reliability({"as decoded": bins, "calibrated": [Bin(0.0, 0.5, 3, 0.2, 0.2)]}, title="PoseNet")
    assert not (one == ORANGE).all(axis=2).any()
    assert near(two, round(LEFT + 0.2 * SIDE), round(TOP + 0.8 * SIDE), ORANGE)


def test_nothing_to_draw():
    empty = bin_poses(ScoredPoses(np.zeros(0), np.zeros(0), np.zeros(0)))
    assert draw_reliability({}).shape == draw_reliability({"as decoded": empty}).shape
