"""`Poses`: what it holds, how it is indexed, scaled, pickled, and written as COCO results."""

import copy
import json
import pickle

import numpy as np
import pytest
import torch
from agreement import assert_same_bytes
from scenes import array

from personlab import Poses

KEYPOINTS = array([[[1, 2], [5, 4]], [[3, 8], [0, 6]], [[7, 7], [7, 7]]])
KEYPOINT_SCORES = array([[0.5, 0.25], [0.125, 0.5], [0.25, 0]])
SCORES = array([0.375, 0.3125, 0.125])
PROBABILITIES = array([[0.75, 0.5], [0.25, 1], [0.5, 0.125]])


@pytest.fixture
def poses():
    return Poses(KEYPOINTS, KEYPOINT_SCORES, SCORES, PROBABILITIES)


def test_boxes_are_tight(poses):
    assert poses.boxes.tolist() == [[1, 2, 5, 4], [0, 6, 3, 8], [7, 7, 7, 7]]
    assert poses.boxes.dtype == np.float32


def test_length_and_iteration(poses):
    assert len(poses) == 3
    each = list(poses)
    assert [len(pose) for pose in each] == [1, 1, 1]
    assert [pose.scores.tolist() for pose in each] == [[0.375], [0.3125], [0.125]]


@pytest.mark.parametrize(
    ("index", "chosen"),
    [
        (0, [0]),
        (-1, [2]),
        (np.int64(1), [1]),
        (slice(1, None), [1, 2]),
        (slice(None, None, -1), [2, 1, 0]),
        ([2, 0], [2, 0]),
        (np.array([1, 1]), [1, 1]),
        (np.array([True, False, True]), [0, 2]),
        (slice(0, 0), []),
        (np.zeros(0, int), []),
    ],
    ids=str,
)
def test_an_index_selects_poses(poses, index, chosen):
    some = poses[index]
    assert isinstance(some, Poses)
    assert some.keypoints.tolist() == KEYPOINTS[chosen].tolist()
    assert some.keypoint_scores.tolist() == KEYPOINT_SCORES[chosen].tolist()
    assert some.scores.tolist() == SCORES[chosen].tolist()
    assert some.keypoint_probabilities.tolist() == PROBABILITIES[chosen].tolist()
    assert some.keypoints.shape == (len(chosen), 2, 2)


@pytest.mark.parametrize("index", [3, -4])
def test_an_index_out_of_range(poses, index):
    with pytest.raises(IndexError, match=f"index {index} is out of range for 3 poses"):
        poses[index]


def test_scaled(poses):
    scaled = poses.scaled(2, 0.5)
    assert scaled.keypoints.tolist() == [[[2, 1], [10, 2]], [[6, 4], [0, 3]], [[14, 3.5], [14, 3.5]]]
    assert scaled.keypoint_scores.tolist() == KEYPOINT_SCORES.tolist()
    assert scaled.keypoint_probabilities.tolist() == PROBABILITIES.tolist()
    assert scaled.scores.tolist() == SCORES.tolist()
    assert poses.keypoints.tolist() == KEYPOINTS.tolist()


def test_scores_stand_in_for_probabilities():
    assert Poses(KEYPOINTS, KEYPOINT_SCORES, SCORES).keypoint_probabilities.tolist() == KEYPOINT_SCORES.tolist()


def test_tensors_are_taken():
    poses = Poses(torch.tensor(KEYPOINTS), torch.tensor(KEYPOINT_SCORES), torch.tensor(SCORES))
    assert isinstance(poses.keypoints, np.ndarray)
    assert poses.scores.tolist() == SCORES.tolist()


def test_poses_are_frozen(poses):
    with pytest.raises(AttributeError):
        poses.scores = SCORES


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickling(poses, protocol):
    assert_same_bytes(pickle.loads(pickle.dumps(poses, protocol)), poses)


def test_copying(poses):
    other = copy.deepcopy(poses)
    assert_same_bytes(other, poses)
    assert not np.shares_memory(other.keypoints, poses.keypoints)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"keypoints": array([[1, 2]])}, ValueError, r"keypoints: expected shape \(P, K, 2\).*, got \(1, 2\)"),
        ({"keypoints": np.zeros((3, 2, 3), np.float32)}, ValueError, r"keypoints: expected .*, got \(3, 2, 3\)"),
        ({"keypoint_scores": array([[1, 2]])}, ValueError, r"keypoint_scores: expected .*\(3, 2\), got \(1, 2\)"),
        ({"scores": array([1, 2])}, ValueError, r"scores: expected shape \(P,\) = \(3\), got \(2,\)"),
        ({"keypoint_probabilities": array([1])}, ValueError, r"keypoint_probabilities: expected .*, got \(1,\)"),
        ({"keypoints": KEYPOINTS.tolist()}, TypeError, "keypoints: expected an array or tensor, got list"),
        ({"scores": SCORES.astype(float)}, TypeError, "scores: expected float32.*, got float64"),
    ],
)
def test_wrong_arrays_are_named(changes, error, message):
    arrays = {"keypoints": KEYPOINTS, "keypoint_scores": KEYPOINT_SCORES, "scores": SCORES, **changes}
    with pytest.raises(error, match=message):
        Poses(**arrays)


def test_coco_results(poses):
    assert poses.to_coco(42) == [
        {"image_id": 42, "category_id": 1, "keypoints": [1, 2, 0.5, 5, 4, 0.25], "score": 0.375},
        {"image_id": 42, "category_id": 1, "keypoints": [3, 8, 0.125, 0, 6, 0.5], "score": 0.3125},
        {"image_id": 42, "category_id": 1, "keypoints": [7, 7, 0.25, 7, 7, 0], "score": 0.125},
    ]
    assert json.loads(json.dumps(poses.to_coco(42))) == poses.to_coco(42)


def test_coco_results_of_a_numpy_image_id_are_json(poses):
    assert json.loads(json.dumps(poses.to_coco(np.int64(42))))[0]["image_id"] == 42


@pytest.mark.parametrize("image_id", [4.0, "42", None, True, np.array([42])])
def test_an_image_id_that_is_no_integer_is_named(poses, image_id):
    with pytest.raises(TypeError, match="image_id: expected an integer, got "):
        poses.to_coco(image_id)


def test_nobody():
    poses = Poses(np.zeros((0, 17, 2), np.float32), np.zeros((0, 17), np.float32), np.zeros(0, np.float32))
    assert len(poses) == 0
    assert list(poses) == []
    assert poses.boxes.shape == (0, 4)
    assert poses.to_coco(1) == []
    assert poses.scaled(2, 2).keypoints.shape == (0, 17, 2)
    assert poses[:0].keypoints.shape == (0, 17, 2)


def test_pycocotools_takes_the_results(capsys):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    rng = np.random.default_rng(95)
    keypoints = rng.uniform(10, 90, (2, 17, 2)).astype(np.float32)
    truth = COCO()
    truth.dataset = {
        "images": [{"id": 7, "width": 120, "height": 100}],
        "categories": [{"id": 1, "name": "person", "keypoints": [], "skeleton": []}],
        "annotations": [
            {
                "id": j + 1, "image_id": 7, "category_id": 1, "iscrowd": 0, "area": 6400.0, "bbox": [10, 10, 80, 80],
                "num_keypoints": 17, "keypoints": np.append(person, np.full((17, 1), 2), axis=1).ravel().tolist(),
            }
            for j, person in enumerate(keypoints)
        ],
    }  # fmt: skip
    truth.createIndex()
    poses = Poses(keypoints, np.ones((2, 17), np.float32), array([0.9, 0.8]))
    results = truth.loadRes(poses.to_coco(7))
    assert len(results.anns) == 2
    evaluation = COCOeval(truth, results, "keypoints")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1.0)
    capsys.readouterr()


def test_printing_poses_tells_their_number_and_scores():
    scores = np.array([0.9, 0.4], np.float32)
    poses = Poses(np.zeros((2, 17, 2), np.float32), np.zeros((2, 17), np.float32), scores)
    assert str(poses) == repr(poses) == "Poses(2 of 17 keypoints, scores 0.900 to 0.400)"
    assert repr(poses[:0]) == "Poses(0 of 17 keypoints)"
