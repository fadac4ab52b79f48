"""HOTA and identity switches, by hand and against the package `trackers`."""

from __future__ import annotations

import numpy as np
import pytest

from personlab.metrics.hota import ALPHAS, combine_hota, count_switches, hota

EMPTY = np.zeros(0, int), np.zeros(0, int), np.zeros((0, 0))


def test_a_perfect_track_has_1():
    frames = [(np.array([4, 9]), np.array([1, 2]), np.eye(2))] * 3
    assert hota(frames).score == 1
    assert count_switches(frames) == 0


def test_an_identity_that_changes_half_way_by_hand():
    """Two frames, one person, two ids, similarity 0.7: DetA 1, AssA 1/2 up to 0.7, and 0 above."""
    frames = [(np.array([1]), np.array([5]), np.array([[0.7]])), (np.array([1]), np.array([6]), np.array([[0.7]]))]
    result = hota(frames)
    low = ALPHAS <= 0.7
    np.testing.assert_allclose(result.detection, low)
    np.testing.assert_allclose(result.association, 0.5 * low)
    np.testing.assert_allclose(result.score, np.sqrt(0.5) * 14 / 19)
    assert count_switches(frames) == 1


def random_video(rng):
    frames = []
    for _ in range(rng.integers(1, 12)):
        truth, found = rng.permutation(8)[: rng.integers(0, 6)], rng.permutation(9)[: rng.integers(0, 6)]
        similarity = rng.random((len(truth), len(found)))
        frames.append((truth, found, similarity if rng.random() < 0.5 else np.round(similarity, 2)))
    return frames


def test_random_videos_agree_with_the_package_trackers():
    rng = np.random.default_rng(0)
    for _ in range(60):
        frames = random_video(rng)
        columns = [list(column) for column in zip(*frames, strict=True)]
        own, other = hota(frames), pytest.importorskip("trackers.eval").compute_hota_metrics(*columns)
        for name, values in {
            "HOTA": own.values, "DetA": own.detection, "AssA": own.association, "LocA": own.localization,
            "DetRe": own.detection_recall, "DetPr": own.detection_precision,
            "AssRe": own.association_recall, "AssPr": own.association_precision,
        }.items():  # fmt: skip
            assert values.mean() == pytest.approx(other[name], abs=1e-9), name
        other = pytest.importorskip("trackers.eval").compute_clear_metrics(*columns)
        assert count_switches(frames) == other["IDSW"]


def test_videos_together_weigh_by_their_matches():
    rng = np.random.default_rng(1)
    videos = [random_video(rng) for _ in range(4)]
    joined, offset = [], 0
    for frames in videos:  # other people in each video: one long video is the same but for who meets whom
        joined += [(truth + offset, found + offset, similarity) for truth, found, similarity in frames]
        offset += 100
    whole, parts = hota(joined), combine_hota([hota(frames) for frames in videos])
    for name in ("values", "detection", "association", "localization"):
        np.testing.assert_allclose(getattr(whole, name), getattr(parts, name), atol=1e-12)


@pytest.mark.parametrize("frames", [[], [EMPTY], [(np.array([1]), *EMPTY[1:2], np.zeros((1, 0)))]])
def test_nothing_found_is_0(frames):
    assert hota(frames).score == 0
    assert count_switches(frames) == 0


def test_wrong_frames_are_named():
    one = np.array([1])
    for frame, error, text in (
        ((np.array([1, 1]), one, np.zeros((2, 1))), ValueError, "true ids of frame 0"),
        ((one, np.array([0.5]), np.zeros((1, 1))), TypeError, "ids of frame 0"),
        ((one, one, np.zeros((2, 1))), ValueError, "similarity of frame 0"),
        ((one, one, np.array([[np.nan]])), ValueError, "similarity of frame 0"),
    ):
        with pytest.raises(error, match=text):
            hota([frame])
    with pytest.raises(ValueError, match="videos"):
        combine_hota([])
