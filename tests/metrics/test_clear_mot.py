"""CLEAR MOT on tiny sequences counted by hand, and against the definition, by trying every assignment."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

pytest.importorskip("scipy")
from personlab.metrics.clear_mot import ClearMot, Counts, assign

NAN = float("nan")


def run(*frames):
    """The counts of frames (objects, hypotheses, distances)."""
    tracker = ClearMot()
    for objects, hypotheses, distances in frames:
        tracker.update(objects, hypotheses, np.array(distances, float))
    return tracker.counts


def test_perfect():
    counts = run(([1, 2], [7, 8], [[0.1, NAN], [NAN, 0.3]]), ([1, 2], [8, 7], [[NAN, 0.2], [0.0, NAN]]))
    assert (counts.objects, counts.matches, counts.misses, counts.false_positives, counts.switches) == (4, 4, 0, 0, 0)
    assert counts.distance == pytest.approx(0.6)
    assert (counts.mota, counts.precision, counts.recall) == (1, 1, 1)
    assert counts.motp == pytest.approx(1 - 0.6 / 4)


def test_misses_and_false_positives():
    counts = run(([1, 2], [7], [[0.1], [NAN]]), ([], [7], np.zeros((0, 1))), ([1], [], np.zeros((1, 0))))
    assert (counts.objects, counts.matches, counts.misses, counts.false_positives) == (3, 1, 2, 1)
    assert counts.mota == pytest.approx(1 - 3 / 3)
    assert counts.recall == pytest.approx(1 / 3)
    assert counts.precision == pytest.approx(1 / 2)


def test_an_earlier_pair_stays_where_another_is_nearer():
    counts = run(([1], [7], [[0.1]]), ([1], [7, 8], [[0.4, 0.0]]))
    assert (counts.switches, counts.false_positives) == (0, 1)
    assert counts.distance == pytest.approx(0.5)


def test_a_switch_is_counted_once_and_after_a_gap():
    frames = [([1], [7], [[0.1]]), ([1], [8], [[NAN]]), ([1], [8], [[0.2]]), ([1], [8], [[0.3]])]
    counts = run(*frames)
    assert (counts.switches, counts.matches, counts.misses, counts.false_positives) == (1, 3, 1, 1)
    assert counts.mota == pytest.approx(1 - 3 / 4)


def test_as_many_matches_as_possible_come_before_small_distances():
    assert sorted(assign(np.array([[0.0, 0.5], [0.5, NAN]]))) == [(0, 1), (1, 0)]
    assert assign(np.full((2, 3), NAN)) == []
    assert assign(np.zeros((0, 3))) == []


def test_the_log_of_motmetrics_lists_distances_of_switches_and_transfers_again():
    # raw 0.1 + match 0.1; then the pairs cross: raw 0.2 twice, and of each: ascend no (seen), transfer, switch
    counts = run(
        ([1, 2], [7, 8], [[0.1, NAN], [NAN, 0.1]]),
        ([1, 2], [7, 8], [[NAN, 0.2], [0.2, NAN]]),
    )
    assert counts.switches == 2
    assert counts.distance == pytest.approx(0.6)
    assert counts.logged_distance == pytest.approx(4 * 0.1 + 2 * 0.2 + 4 * 0.2)
    # a hypothesis seen for the first time: raw, ascend, switch; of an object seen for the first time: migrate, transfer
    counts = run(([1], [7], [[0.1]]), ([1], [9], [[0.2]]), ([5], [9], [[0.3]]))
    assert counts.switches == 1
    assert counts.logged_distance == pytest.approx(2 * 0.1 + 3 * 0.2 + 4 * 0.3)


def test_nothing_is_nan():
    assert np.isnan([Counts().mota, Counts().motp, Counts().precision, Counts().recall]).all()
    assert Counts(1, 1) + Counts(2, 0, 5) == Counts(3, 1, 5)


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(0, 4), st.integers(0, 4)).flatmap(
        lambda size: arrays.arrays(
            float, size, elements=st.one_of(st.just(NAN), st.integers(0, 8).map(lambda n: n / 8))
        )
    )
)
def test_assignment_is_the_best_of_all(costs):
    wide = costs if costs.shape[0] <= costs.shape[1] else costs.T
    n, m = wide.shape
    tried = ([(i, j) for i, j in enumerate(order) if np.isfinite(wide[i, j])] for order in permutations(range(m), n))
    best = min((-len(pairs), sum(wide[i, j] for i, j in pairs)) for pairs in tried) if n else (0, 0)
    pairs = assign(costs)
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)
    assert (-len(pairs), sum(costs[i, j] for i, j in pairs)) == pytest.approx(best)
