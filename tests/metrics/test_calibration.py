"""Calibration of scores: isotonic regression by hand, maps that rise, and maps that are fitted to poses."""

from __future__ import annotations

import json

import numpy as np
import pytest

from personlab import DecodeOptions
from personlab.calibration import Calibration, scheme_of
from personlab.metrics.calibration import fit_calibration, fit_isotonic

OPTIONS = DecodeOptions()
MAP = Calibration(scores=(0.2, 0.6), expected_oks=(0.4, 0.8), scheme=scheme_of(OPTIONS))


@pytest.mark.parametrize(
    ("values", "weights", "expected"),
    [
        ([], [], []),
        ([3], [1], [3]),
        ([1, 2, 4], [1, 1, 1], [1, 2, 4]),
        ([2, 1], [1, 1], [1.5, 1.5]),
        ([2, 1], [3, 1], [1.75, 1.75]),
        ([1, 5, 3, 4, 2, 6], [1] * 6, [1, 3.5, 3.5, 3.5, 3.5, 6]),
        ([4, 3, 2, 1], [1, 1, 1, 1], [2.5] * 4),
    ],
)
def test_isotonic_regression_by_hand(values, weights, expected):
    assert fit_isotonic(values, weights).tolist() == expected


def test_a_map_by_hand():
    scores = np.array([0, 0.1, 0.2, 0.4, 0.6, 0.8, 1], np.float32)
    found = MAP(scores)
    assert found.dtype == np.float32
    assert found == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 0.9, 1])
    assert MAP(np.zeros((0,), np.float32)).shape == (0,)


def test_order_stays():
    scores = np.random.default_rng(0).random(1000).astype(np.float32)
    assert np.array_equal(np.argsort(scores, kind="stable"), np.argsort(MAP(scores), kind="stable"))


def test_what_is_fitted_to_poses_says_what_they_reach():
    random = np.random.default_rng(1)
    scores = random.beta(0.4, 2, 6000)  # most poses are weak
    truth = np.sqrt(scores)
    found = fit_calibration(scores, np.clip(truth + random.normal(0, 0.1, 6000), 0, 1), options=OPTIONS)
    assert len(found.scores) <= 12
    fresh = random.random(500) * 0.8
    assert np.abs(found(fresh) - np.sqrt(fresh)).max() < 0.06
    assert np.abs(found(fresh) - np.sqrt(fresh)).mean() < 0.02


def test_a_few_lucky_poses_at_an_end_do_not_decide():
    scores = np.concatenate([np.linspace(0, 0.5, 200), np.linspace(0.9, 0.95, 3)])
    oks = np.concatenate([np.linspace(0, 0.5, 200), np.ones(3)])
    assert fit_calibration(scores, oks, options=OPTIONS).expected_oks[-1] < 0.6


def test_equal_scores_are_one():
    scores = np.repeat([0.1, 0.5], 50)
    oks = np.concatenate([np.tile([0.1, 0.3], 25), np.tile([0.5, 0.7], 25)])
    found = fit_calibration(scores, oks, options=OPTIONS)
    assert found(np.array([0.1, 0.5])) == pytest.approx([0.2, 0.6], abs=1e-6)


def test_scores_of_nothing_and_of_one():
    scores, oks = np.repeat([0.0, 0.5, 1.0], 50), np.repeat([0.0, 0.6, 1.0], 50)
    found = fit_calibration(scores, oks, options=OPTIONS)
    assert found(np.array([0, 0.5, 1])) == pytest.approx([0, 0.6, 1], abs=2e-3)


def test_few_knots_where_a_line_will_do():
    scores = np.linspace(0.01, 0.99, 500)
    assert len(fit_calibration(scores, 0.2 + 0.6 * scores, options=OPTIONS).scores) < 6
    assert len(fit_calibration(scores, np.sqrt(scores), options=OPTIONS, knots=4).scores) == 4


def test_what_cannot_be_fitted():
    with pytest.raises(ValueError, match="scores: expected at least 60 poses to calibrate with, got 3"):
        fit_calibration([0.1, 0.2, 0.3], [0, 0, 1], options=OPTIONS)
    with pytest.raises(ValueError, match="oks: expected poses of a higher score to be better"):
        fit_calibration(np.linspace(0, 1, 200), np.linspace(1, 0, 200), options=OPTIONS)


def test_a_map_is_for_scores_of_its_own_kind():
    assert MAP.suits(DecodeOptions(min_score=0.5, hough_stride=1))
    assert not MAP.suits(DecodeOptions.paper())
    assert not MAP.suits(DecodeOptions.posenet())
    assert not MAP.suits(DecodeOptions(scoring="heatmap"))


def test_json_holds_it():
    assert Calibration.from_dict(json.loads(json.dumps(MAP.to_dict()))) == MAP


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scores": (0.6, 0.2)}, "scores: expected rising numbers between 0 and 1"),
        ({"scores": (0.2, 0.2)}, "scores: expected rising"),
        ({"scores": (0.0, 0.2)}, "scores: expected rising"),
        ({"expected_oks": (0.2, 1.0)}, "expected_oks: expected rising"),
        ({"expected_oks": (0.2, float("nan"))}, "expected_oks: expected rising"),
        ({"expected_oks": (0.2,)}, "expected_oks: expected 2 numbers"),
        ({"scores": 3}, "scores: expected numbers, got 3"),
        ({"scores": ["a", "b"]}, "scores: expected numbers"),
        ({"scores": ["0.2", "0.6"]}, "scores: expected numbers"),
        ({"scores": {"0.2": 1, "0.6": 2}}, "scores: expected numbers"),
        ({"scores": [False, 0.6]}, "scores: expected numbers"),
        ({"scores": [0.2, 10**400]}, "scores: expected numbers"),
        ({"scheme": 3}, "scheme: expected a text, got 3"),
    ],
)
def test_damaged_maps(changes, message):
    with pytest.raises((TypeError, ValueError), match=message):
        Calibration.from_dict({**MAP.to_dict(), **changes})


def test_a_map_without_knots_of_its_own_is_the_identity():
    assert Calibration(scores=(), expected_oks=(), scheme="")(np.array([0.25])) == pytest.approx([0.25])


def test_a_part_of_a_map():
    with pytest.raises(ValueError, match="calibration: expected scores, expected_oks, scheme, got no scheme"):
        Calibration.from_dict({"scores": [], "expected_oks": []})
