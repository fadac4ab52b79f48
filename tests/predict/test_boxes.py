"""Boxes of people from files, annotations and poses, and a method that takes them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from fake_networks import spots  # noqa: E402
from toy_method import TOY, ToyConfig, ToyFields, ToyNetwork, ToyOptions, ToyOutputs  # noqa: E402

from personlab import Poses, Predictor  # noqa: E402
from personlab.data.coco import People, make_annotations  # noqa: E402
from personlab.methods.base import Prepared  # noqa: E402
from personlab.predict import Boxed, Prediction  # noqa: E402
from personlab.predict.boxes import boxes_of, read_boxes, true_boxes  # noqa: E402
from personlab.predict.dataset import predict_dataset  # noqa: E402

pytestmark = pytest.mark.torch
SIZE = 32  # pixels of the toy's crops


def prepare(image, setup, notes, boxes):
    """Cut a square out of an image at the upper left of each box inside of it."""
    crops, kept = [np.zeros((0, SIZE, SIZE, 3), np.uint8)], []
    for (x, y, _, _), score in zip(boxes.boxes.astype(int), boxes.scores, strict=True):
        crop = image[y : y + SIZE, x : x + SIZE]
        if crop.shape[:2] == (SIZE, SIZE):
            crops.append(crop[None])
            kept.append((x, y, score))
        else:
            notes.append(f"box at {x}, {y}: left out")
    return Prepared((np.concatenate(crops),), kept)


def merge(outputs, ways, setup, to_host):
    (view,) = outputs
    heat = view["heat"].sigmoid().numpy() if view else np.zeros((0, 17, 4, 4), np.float32)
    assert len(heat) == sum(map(len, ways))
    fields, first = [], 0
    for way in ways:
        fields.append((heat[first : first + len(way)], way))
        first += len(way)
    return [_Crops(own, (1, 1), way) for own, way in fields]


class _Crops(ToyFields):
    image_scale = (1.0, 1.0)

    def __init__(self, heat, image_size, way):
        object.__setattr__(self, "heat", heat)
        object.__setattr__(self, "image_size", image_size)
        object.__setattr__(self, "way", way)


def decode(fields, setup):
    count = len(fields.heat)
    y, x = np.divmod(fields.heat.reshape(count, 17, (SIZE // 8) ** 2).argmax(2), fields.heat.shape[3])
    corners = np.array([(x, y) for x, y, _ in fields.way], np.float32).reshape(-1, 1, 2)
    scores = np.array([score for *_, score in fields.way], np.float32)
    points = np.stack([x, y], 2).astype(np.float32) * 8 + corners
    return Poses(points, np.ones((count, 17), np.float32), scores)


class BoxedConfig(ToyConfig):
    pass


BOXED = replace(TOY, name="boxed", config=BoxedConfig, takes_boxes=True, prepare=prepare, merge=merge, decode=decode)
BoxedConfig.method = BOXED


class Brightest(ToyNetwork):
    """Finds every keypoint at the brightest cell, and counts the rows of its runs."""

    runs: list

    def forward(self, images):
        self.runs = [*getattr(self, "runs", []), len(images)]
        light = images.float().mean(1, keepdim=True)[..., ::8, ::8] / 25.5 - 5
        return ToyOutputs(light.expand(-1, 17, -1, -1))


def boxed(**more):
    return Predictor(Brightest(BoxedConfig()), **more)


def scene():
    """An image with three spots, and boxes around them."""
    centres = [(24, 40), (104, 16), (56, 72)]
    image = np.max([spots((97, 129), [(float(x), float(y))] * 3) for x, y in centres], axis=0)
    return image, np.array([(x - 16, y - 16, 20, 20) for x, y in centres], float), centres


def test_each_box_becomes_a_row():
    image, boxes, centres = scene()
    predictor = boxed()
    poses = predictor(image, boxes).poses
    np.testing.assert_array_equal(poses.keypoints[:, 0], centres)
    np.testing.assert_array_equal(poses.scores, 1)
    assert predictor.network.runs == [3]
    scored = predictor(Boxed(image, boxes[:2], [0.25, 0.5])).poses
    np.testing.assert_array_equal(scored.scores, [0.25, 0.5])


def test_images_share_runs_and_many_rows_are_divided():
    image, boxes, centres = scene()
    predictor = boxed(batch_size=3)
    several = [Boxed(image, boxes[:2]), Boxed(image, []), Boxed(image, np.tile(boxes, (12, 1)))]
    first, second, third = predictor(several)
    np.testing.assert_array_equal(first.poses.keypoints[:, 3], centres[:2])
    assert second.poses.keypoints.shape == (0, 17, 2)
    np.testing.assert_array_equal(third.poses.keypoints[:, 3], centres * 12)
    assert max(predictor.network.runs) <= 32
    assert sum(predictor.network.runs) == 38


def test_an_image_without_people_runs_nothing():
    predictor = boxed()
    assert len(predictor(scene()[0], np.zeros((0, 4))).poses) == 0
    assert not hasattr(predictor.network, "runs")


def test_boxes_that_are_left_out_are_said():
    image, boxes, centres = scene()
    with pytest.warns(RuntimeWarning, match="image: box at 500, 0: left out"):
        poses = boxed()(image, [[500, 0, 9, 9], *boxes.tolist()]).poses
    np.testing.assert_array_equal(poses.keypoints[:, 0], centres)


def test_boxes_are_missing_or_wrong():
    image, boxes, _ = scene()
    with pytest.raises(ValueError, match="boxes: expected the boxes of people, which boxed takes, got none"):
        boxed()(image)
    with pytest.raises(ValueError, match=r"boxes: expected shape \(P, 4\), got \(3, 3\)"):
        boxed()(image, boxes[:, :3])
    with pytest.raises(TypeError, match="boxes: expected"):
        boxed()(image, [["a", "b", "c", "d"]])
    with pytest.raises(ValueError, match=r"scores: expected shape \(3,\), one for each box, got \(2,\)"):
        Boxed(image, boxes, [1, 2])
    with pytest.raises(ValueError, match="scales: expected 1, for boxed shows each person at one size"):
        boxed(scales=(0.5, 1.0))


def test_another_network_finds_the_boxes():
    image = spots((97, 129), [(56.0, 40.0)] * 3)
    finder = Predictor(Brightest(ToyConfig()), long_edge=129)
    predictor = boxed(finder=finder)
    np.testing.assert_array_equal(predictor(image).poses.keypoints, np.tile((56, 40), (1, 17, 1)))
    one, two = predictor([image, Boxed(image, scene()[1])])
    assert (len(one.poses), len(two.poses)) == (1, 3)  # an image's own boxes go before
    with pytest.raises(ValueError, match="finder: expected None, for toy finds people itself"):
        Predictor(Brightest(ToyConfig()), finder=finder)
    with pytest.raises(ValueError, match="finder: expected a network that finds people, got one of boxed"):
        boxed(finder=boxed())
    with pytest.raises(TypeError, match="finder: expected Predictor, got str"):
        boxed(finder="weights")


def test_a_data_set_with_its_own_boxes():
    image, _, centres = scene()
    keypoints = np.array([np.tile((x, y, 2), (17, 1)) for x, y in centres], np.float32)
    keypoints[:, ::2, :2] -= 16  # so that boxes begin at the squares that the toy cuts out
    people = People(keypoints, np.zeros((3, 97, 129), bool), np.zeros((97, 129), bool))
    for mask, (x, y) in zip(people.masks, centres, strict=True):
        mask[y - 16 : y + 4, x - 16 : x + 4] = True
    annotations = make_annotations({7: people, 8: people._replace(keypoints=keypoints * 0)})
    boxes = true_boxes(annotations)
    np.testing.assert_array_equal(boxes[7].boxes, [(x - 16, y - 16, 20, 20) for x, y in centres])
    assert len(boxes[8].boxes) == 0  # without labels they teach and score nothing
    results = predict_dataset(
        Predictor(Brightest(BoxedConfig()), options=ToyOptions()), annotations, {7: image, 8: image}, boxes=boxes
    )
    assert not results.problems
    assert [row["image_id"] for row in results.keypoints] == [7, 7, 7]


def test_boxes_of_poses_hold_keypoints_with_a_margin_and_masks():
    keypoints = np.zeros((3, 17, 2), np.float32)
    keypoints[0, 0], keypoints[0, 1:] = (10, 20), (20, 40)
    keypoints[0, 16] = 500, 500  # not probable
    keypoints[1] = 7, 9  # a box of a pixel
    keypoints[2] = keypoints[0]
    probabilities = np.ones((3, 17), np.float32)
    probabilities[0, 16] = 0.05
    probabilities[1] = 0  # none is: all count
    probabilities[2, 1:] = 0  # one is: all count, too
    poses = Poses(keypoints, probabilities, np.array([0.5, 0.25, 0.125], np.float32))
    plain = boxes_of(Prediction(poses=poses, masks=None, image_size=(60, 50)))
    np.testing.assert_allclose(plain.boxes, [[9, 18, 12, 24], [7, 9, 1, 1], [-39, -28, 588, 576]], atol=1e-3)
    np.testing.assert_array_equal(plain.scores, [0.5, 0.25, 0.125])
    masks = np.zeros((3, 25, 30), bool)  # at half the size
    masks[0, 6:22, 3:8] = True
    shown = boxes_of(Prediction(poses=poses, masks=masks, image_size=(60, 50)))
    np.testing.assert_allclose(shown.boxes, [[6, 12, 14, 32], *plain.boxes[1:]], atol=1e-5)


def written(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_a_file_of_detections(tmp_path):
    rows = [
        {"image_id": 2, "category_id": 1, "bbox": [1, 2, 3, 4.5], "score": 0.5},
        {"image_id": 9, "category_id": 18, "bbox": [1, 2, 3, 4], "score": 0.9},  # a dog
        {"image_id": 2, "bbox": [5, 6, 0, 8]},
    ]
    boxes = read_boxes(written(tmp_path / "boxes.json", rows))
    assert list(boxes) == [2]
    np.testing.assert_array_equal(boxes[2].boxes, [[1, 2, 3, 4.5], [5, 6, 0, 8]])
    np.testing.assert_array_equal(boxes[2].scores, [0.5, 1])
    assert read_boxes(written(tmp_path / "boxes.json", [])) == {}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "expected a list of detections in COCO's format, got an object of 0"),
        ("{", "expected a list of detections in COCO's format, got no JSON"),
        ("[" * 100_000, "expected detections in COCO's format, got deeply nested JSON"),
        ([3], "entry 0: expected an object with image_id and bbox, got 3"),
        ([{"image_id": 1}], "entry 0: bbox: expected 4 numbers x, y, w, h, got none"),
        ([{"bbox": [1, 2, 3, 4]}], "entry 0: image_id: expected an integer, got none"),
        ([{"image_id": 1, "category_id": "1"}], 'entry 0: category_id: expected an integer, got "1"'),
        ([{"image_id": 1, "category_id": None}], "entry 0: category_id: expected an integer, got none"),
        ([{"image_id": 1, "bbox": [1, 2, 3]}], "entry 0: bbox: expected 4 numbers of at most 1048576 pixels, got 3"),
        ([{"image_id": 1, "bbox": [1, 2, 3, "x"]}], 'entry 0: bbox: expected 4 numbers x, y, w, h, got "x" among'),
        ('[{"image_id": 1, "bbox": [1, 2, 3, NaN]}]', "entry 0: bbox: expected 4 numbers of at most 1048576 pixels"),
        ([{"image_id": 1, "bbox": [1, 2, 3, 4e30]}], "entry 0: bbox: expected 4 numbers of at most 1048576 pixels"),
        ([{"image_id": 1, "bbox": [1, 2, 3, 4], "score": None}], "entry 0: score: expected a number, got none"),
        ('[{"image_id": 1, "bbox": [1, 2, 3, 4], "score": Infinity}]', "entry 0: score: expected a finite number"),
    ],
)
def test_a_file_that_is_none_is_one_line(tmp_path, content, message):
    with pytest.raises(ValueError, match=message) as error:
        read_boxes(written(tmp_path / "boxes.json", content))
    assert str(error.value).startswith(str(tmp_path / "boxes.json"))
    assert "\n" not in str(error.value)


def test_a_file_that_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match="none\\.json"):
        read_boxes(tmp_path / "none.json")
