"""PCKh by hand, and as MPII's tool and poseval print it; PCK of heatmaps."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("scipy")
from personlab.data.posetrack_2017 import read_2017
from personlab.metrics.heatmap_pck import heatmap_pck
from personlab.metrics.pckh import match_people, mpii_figures, pckh, pckh_by_place


def test_by_hand():
    """Head sizes 10 and 20: 5 and 10 pixels are half of them."""
    truth = np.zeros((2, 3, 2))
    points = np.array([[[5, 0], [5.1, 0], [0, 0]], [[0, 10], [6, 8], [np.nan, np.nan]]], float)
    labelled = np.array([[1, 1, 0], [1, 1, 1]], bool)
    shares = pckh(points, truth, labelled, [10, 20])
    assert shares.right.tolist() == [2, 1, 0]
    assert shares.labelled.tolist() == [2, 2, 1]
    assert shares.percent.tolist() == [100, 50, 0]
    assert np.isnan(pckh(points, truth, labelled & False, [10, 20]).percent).all()
    assert pckh(points[:0], truth[:0], labelled[:0], []).right.tolist() == [0, 0, 0]


@pytest.mark.parametrize("original", [True, False])
def test_figures_of_mpii(data, original):
    arrays = np.load(data / "top_down" / "ms_topdown.npz")
    low, high = arrays["pckh_head_boxes"]
    figures = mpii_figures(
        arrays["pckh_pred_0based"][..., :2],
        arrays["pckh_gt"].transpose(2, 0, 1) - 1,
        arrays["pckh_missing"].T == 0,
        0.6 * np.linalg.norm(high - low, axis=0),
        original=original,
    )
    assert list(figures) == arrays["pckh_names"].tolist()
    expected = arrays["pckh_values"].copy()
    if not original:
        expected[-1] = arrays["pckh_mean_at_01_true"]
    np.testing.assert_allclose(list(figures.values()), expected, rtol=0, atol=1e-9)


def test_single_people_of_poseval(data):
    content = json.loads((data / "top_down" / "poseval_pckh.json").read_text())
    frames = [read_2017(content[kind], kind) for kind in ("ground_truth", "predictions")]
    figures = pckh_by_place(*frames)
    np.testing.assert_allclose(list(figures.values()), content["pckh"], rtol=0, atol=1e-9)
    assert list(figures)[-1] == "total"
    with pytest.raises(ValueError, match="predictions: expected 3 frames, got 2"):
        pckh_by_place(frames[0], frames[1][:2])


def test_poses_are_matched_with_people():
    people = np.array([[[0, 0], [0, 10]], [[100, 0], [100, 10]], [[500, 0], [500, 10]]], float)
    labelled = np.array([[1, 1], [1, 0], [1, 1]], bool)
    poses = people[[1, 0]] + 1
    poses[0, 1] = 999  # where nothing is labelled
    chosen = match_people(poses, people, labelled, np.full(3, 10.0))
    assert chosen[0].tolist() == poses[1].tolist()
    assert chosen[1].tolist() == poses[0].tolist()
    assert np.isnan(chosen[2]).all()
    assert np.isnan(match_people(poses[:0], people, labelled, np.full(3, 10.0))).all()


def test_wrong_arrays_are_named():
    truth, labelled = np.zeros((2, 16, 2)), np.ones((2, 16), bool)
    for arguments, message in (
        ((truth[:1], truth, labelled, [1, 1]), r"points: expected shape \(2, 16, 2\), got \(1, 16, 2\)"),
        ((truth, truth, labelled[:, :3], [1, 1]), r"labelled: expected shape \(2, 16\), got \(2, 3\)"),
        ((truth, truth, labelled, [1, 0]), "heads: expected sizes above 0, got 0"),
        ((truth, truth, labelled, [1, np.nan]), "heads: expected sizes above 0, got nan"),
        ((truth, truth[0], labelled, [1, 1]), r"truth: expected shape \(N, K, 2\), got \(16, 2\)"),
    ):
        with pytest.raises(ValueError, match=message):
            pckh(*arguments)
    with pytest.raises(ValueError, match="expected MPII's 16 joints, got 3"):
        mpii_figures(truth[:, :3], truth[:, :3], labelled[:, :3], [1, 1])


def maps(*cells, size=(20, 40)):
    """Heatmaps (1, K, h, w) with one cell (x, y) each; None: an empty one."""
    made = np.zeros((1, len(cells), *size))
    for k, cell in enumerate(cells):
        if cell:
            made[0, k, cell[1], cell[0]] = 1
    return made


def test_heatmaps_by_hand():
    """Tenths of 40 x 20 cells: 4 and 2; half of that is 2 in x and 1 in y, not reached."""
    targets = maps((10, 10), (10, 10), (10, 10), None, (0, 1))
    outputs = maps((11, 10), (12, 10), (10, 11), (3, 3), (0, 1))
    shares = heatmap_pck(outputs, targets)
    assert shares[1:].tolist()[:3] == [1, 0, 0]
    assert np.isnan(shares[4])
    assert shares[5] == 1
    assert shares[0] == 0.5
    # the original's tenths are 2 in x and 4 in y, and it leaves out cells at 0 and 1
    assert heatmap_pck(outputs, targets, original=True).tolist() == [1 / 3, 0, 0, 1, -1, -1]
    assert heatmap_pck(maps(None), maps(None), original=True).tolist() == [0, -1]
    with pytest.raises(ValueError, match=r"expected one shape \(N, K, h, w\)"):
        heatmap_pck(outputs, targets[:, :1])


def test_heatmaps_of_the_original(data):
    arrays = np.load(data / "top_down" / "ms_topdown.npz")
    heatmaps = arrays["ms_heatmaps_f16"].astype(np.float32)
    figures = heatmap_pck(heatmaps * 0.9, heatmaps, original=True)  # the same maxima
    np.testing.assert_array_equal(figures, arrays["ms_accuracy_per_joint"])
    assert heatmap_pck(heatmaps, np.roll(heatmaps, 6, axis=3), original=True)[0] < 0.5
