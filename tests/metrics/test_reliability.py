"""What poses of a score are worth: the person that fits best, those nobody can judge, and bins by hand."""

from __future__ import annotations

import numpy as np
import pytest

from personlab.data.coco import People, make_annotations
from personlab.metrics.reliability import ScoredPoses, bin_poses, judge_poses

SIZE = (100, 160)


def person(x, labelled=True):
    keypoints = np.zeros((17, 3), np.float32)
    keypoints[:, 0], keypoints[:, 1], keypoints[:, 2] = x, np.linspace(10, 50, 17), 2 * labelled
    mask = np.zeros(SIZE, bool)
    mask[10:50, x : x + 10] = True
    return keypoints, mask


def annotations(*people, crowd=None):
    area = np.zeros(SIZE, bool)
    if crowd is not None:
        area[10:50, crowd : crowd + 10] = True
    keypoints = np.array([k for k, _ in people], np.float32).reshape(-1, 17, 3)
    masks = np.array([m for _, m in people], bool).reshape(-1, *SIZE)
    return make_annotations({1: People(keypoints, masks, area), 2: People(keypoints[:0], masks[:0], area & False)})


def result(x, score, image_id=1, dx=0.0):
    keypoints = person(x)[0]
    keypoints[:, 0] += dx
    return {"image_id": image_id, "category_id": 1, "keypoints": keypoints.ravel().tolist(), "score": score}


def test_a_pose_is_worth_its_oks_with_the_person_that_fits_best():
    truth = annotations(person(20), person(120))
    found = judge_poses(truth, [result(20, 0.9), result(120, 0.5, dx=1.0), result(70, 0.3)])
    assert found.scores.tolist() == [0.9, 0.5, 0.3]
    sigmas = np.array([26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89]) / 1000
    near = np.exp(-1 / (2 * 400 * (2 * sigmas) ** 2)).mean()
    assert found.oks[:2] == pytest.approx([1, near])
    assert found.oks[2] < 0.01


def test_doubles_are_worth_little():
    found = judge_poses(annotations(person(20)), [result(20, 0.4), result(20, 0.9, dx=0.5), result(20, 0.3)])
    assert found.scores.tolist() == [0.9, 0.4, 0.3]
    assert 0.9 < found.oks[0] < 1
    assert found.oks[1:].tolist() == [0, 0]
    assert found.nearest[1:].tolist() == [1, 1]


def test_a_pose_that_fits_badly_leaves_a_person_free():
    found = judge_poses(annotations(person(20)), [result(20, 0.9, dx=15), result(20, 0.4)])
    assert 0 < found.oks[0] < 0.5
    assert found.oks[1] == 1


def test_a_double_is_judged_by_who_is_left():
    found = judge_poses(annotations(person(20), person(26)), [result(20, 0.9), result(20, 0.4)])
    assert found.oks[0] == 1
    assert 0 < found.oks[1] < found.nearest[1] == 1


def test_nobody_there():
    found = judge_poses(annotations(person(20)), [result(20, 0.9, image_id=2)])
    assert (found.scores.tolist(), found.oks.tolist()) == ([0.9], [0.0])
    assert len(judge_poses(annotations(person(20)), []).scores) == 0


@pytest.mark.parametrize(
    "truth", [annotations(person(120, labelled=False), person(20)), annotations(person(20), crowd=120)]
)
def test_poses_on_those_without_labels_are_left_out(truth):
    found = judge_poses(truth, [result(20, 0.9), result(122, 0.5), result(70, 0.3)])
    assert found.scores.tolist() == [0.9, 0.3]


def test_more_poses_than_coco_looks_at():
    found = judge_poses(annotations(person(20)), [result(20, (n + 1) / 100) for n in range(50)])
    assert len(found.scores) == 50


def test_bins_by_hand():
    poses = ScoredPoses(np.array([0.0, 0.05, 0.1, 1.0, 0.95]), np.array([0.2, 0.4, 0.5, 1.0, 0.8]), np.ones(5))
    bins = bin_poses(poses)
    assert [b.poses for b in bins] == [2, 1, 0, 0, 0, 0, 0, 0, 0, 2]
    assert bins[0][3:] == pytest.approx((0.025, 0.3))
    assert bins[9][3:] == pytest.approx((0.975, 0.9))
    assert np.isnan(bins[4].oks)
    assert [b.poses for b in bin_poses(poses, (0, 0.5, 1))] == [3, 2]
