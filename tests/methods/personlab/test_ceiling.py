"""What encoding and decoding lose by themselves: average precision of a network that repeats the annotations."""

from __future__ import annotations

import numpy as np
import pytest

from personlab.data.coco import People, load_people, make_annotations
from personlab.data.synthetic import make_scene
from personlab.metrics.coco import average_precision, load_annotations
from personlab.predict.ceiling import evaluate_ceiling


@pytest.fixture(scope="module")
def coco_mini(data):
    annotations = load_annotations(str(data / "coco-mini" / "annotations" / "person_keypoints.json"))
    return annotations, {image_id: load_people(annotations, image_id) for image_id in annotations.imgs}


@pytest.fixture(scope="module")
def scenes():
    """Ten scenes of four people, all of whose keypoints lie inside the image."""
    images = {}
    for seed in range(100):
        scene = make_scene(seed, size=(401, 561), people=4)
        if (scene.keypoints[..., 2] > 0).all():
            images[seed] = People(scene.keypoints, scene.masks, np.zeros(scene.masks.shape[1:], bool))
        if len(images) == 10:
            return images
    pytest.fail("a hundred seeds gave fewer than ten such scenes")


def test_coco_people_come_back(coco_mini):
    annotations, images = coco_mini
    results = evaluate_ceiling("personlab", images, stride=8)
    assert average_precision(annotations, results.keypoints, "keypoints").ap >= 0.95
    # Half of the people have no labelled keypoint to be found by, so that no more than about half can have a mask.
    assert average_precision(annotations, results.masks, "segm").ap >= 0.24


def test_masks_gain_from_a_finer_grid(coco_mini):
    annotations, images = coco_mini
    precision = {
        stride: average_precision(annotations, evaluate_ceiling("personlab", images, stride=stride).masks, "segm").ap
        for stride in (16, 8, 4)
    }
    assert precision[16] < precision[8] < precision[4]


def test_fully_labelled_people_come_back(scenes):
    results = evaluate_ceiling("personlab", scenes, stride=8)
    annotations = make_annotations(scenes)
    assert average_precision(annotations, results.keypoints, "keypoints").ap >= 0.97
    assert average_precision(annotations, results.masks, "segm").ap50 >= 0.9


def test_annotations_made_from_arrays_are_read_back(scenes):
    annotations = make_annotations(scenes)
    for image_id, people in scenes.items():
        loaded = load_people(annotations, image_id)
        np.testing.assert_array_equal(loaded.masks, people.masks)
        np.testing.assert_array_equal(loaded.keypoints, people.keypoints)
        assert not loaded.crowd.any()
