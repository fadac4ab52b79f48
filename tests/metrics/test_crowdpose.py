"""CrowdPose's figures: COCO's on the images of each degree of crowding."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("pycocotools")
from personlab.data.coco import index_dataset
from personlab.metrics.coco import summary
from personlab.metrics.crowdpose import SIGMAS, crowd_figures, read_crowd_indices

NAMES = [f"k{k}" for k in range(14)]
CROWDING = {1: 0.05, 2: 0.15, 3: 0.5, 4: 0.9, 5: 0.8}


def make_case(noise):
    """Two people in each of five images, and poses that are off by `noise[image]` pixels."""
    rng = np.random.default_rng(0)
    entries, results = [], []
    for image in CROWDING:
        for _ in range(2):
            points = np.column_stack([rng.uniform(0, 100, (14, 2)), np.full(14, 2)])
            (x, y), (right, bottom) = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
            box = [x, y, right - x, bottom - y]
            entry = {"id": len(entries) + 1, "image_id": image, "category_id": 1, "iscrowd": 0, "bbox": box}
            keypoints = {"keypoints": points.ravel().tolist(), "num_keypoints": 14}
            entries.append({**entry, **keypoints, "area": 0.53 * box[2] * box[3]})
            moved = points + np.array([noise.get(image, 0), 0, 0])
            pose = {"image_id": image, "category_id": 1, "score": float(rng.random())}
            results.append({**pose, "keypoints": moved.ravel().tolist()})
    images = [{"id": n, "height": 100, "width": 100} for n in CROWDING]
    categories = [{"id": 1, "name": "person", "keypoints": NAMES}]
    return index_dataset({"images": images, "annotations": entries, "categories": categories}), results


def test_levels():
    annotations, results = make_case({3: 500, 4: 500})  # of medium and hard images, one is wrong
    figures = crowd_figures(annotations, results, CROWDING)
    assert list(figures) == ["AP", "AP50", "AP75", "AR", "AR50", "AR75", "AP easy", "AP medium", "AP hard"]
    assert figures["AP easy"] == 1
    assert [figures["AR"], figures["AR50"]] == pytest.approx([0.6, 0.6])
    assert 0.3 < figures["AP medium"] < 0.7
    assert 0.3 < figures["AP hard"] < 0.7
    original = crowd_figures(annotations, results, CROWDING, original=True)
    assert (original["AP easy"], original["AP medium"]) == (1, 0)  # image 2, of index 0.15, is easy there


def test_the_first_figures_are_those_of_coco():
    annotations, results = make_case({2: 3, 3: 6, 4: 9})
    figures = crowd_figures(annotations, results, CROWDING)
    expected = summary(annotations, results, "keypoints", sigmas=SIGMAS)
    assert [figures[name] for name in ("AP", "AP50", "AP75", "AR", "AR50", "AR75")] == pytest.approx(
        expected[[0, 1, 2, 5, 6, 7]]
    )
    assert 0.1 < figures["AP"] < 0.95
    assert crowd_figures(annotations, results, CROWDING, original=True)["AP"] == pytest.approx(figures["AP"])


def test_the_original_takes_areas_of_boxes():
    annotations, results = make_case(dict.fromkeys(CROWDING, 6))
    small = [{**entry, "area": entry["area"] / 9} for entry in annotations.dataset["annotations"]]
    smaller = index_dataset({**annotations.dataset, "annotations": small})
    right = crowd_figures(annotations, results, CROWDING)["AP"]
    assert crowd_figures(smaller, results, CROWDING)["AP"] < right
    assert crowd_figures(smaller, results, CROWDING, original=True)["AP"] == pytest.approx(right)


def test_nothing():
    annotations, results = make_case({})
    figures = crowd_figures(annotations, [], CROWDING)
    assert set(figures.values()) == {0.0}
    nobody = index_dataset({**annotations.dataset, "annotations": []})
    assert set(crowd_figures(nobody, results, CROWDING).values()) == {-1.0}
    assert crowd_figures(annotations, results, dict.fromkeys(CROWDING, 1.0))["AP easy"] == -1


def test_indices_are_read_and_checked(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"images": [{"id": 3, "crowdIndex": 0.25}, {"id": 4, "crowdIndex": 1}]}))
    assert read_crowd_indices(path) == {3: 0.25, 4: 1.0}
    for value, got in ((None, "none"), (1.5, "1.5"), ("a", '"a"'), (float("nan"), "NaN"), (True, "true")):
        path.write_text(json.dumps({"images": [{"id": 3, "crowdIndex": value}]}))
        with pytest.raises(ValueError, match=rf"images\[0\]: crowdIndex: expected a number from 0 to 1, got {got}"):
            read_crowd_indices(path)
    annotations, results = make_case({})
    with pytest.raises(ValueError, match="image 2: expected a crowdIndex, got none"):
        crowd_figures(annotations, results, {1: 0.5})
