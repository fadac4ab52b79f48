"""Prediction is exact in the image's own pixels: whatever its size, its scales, its mirror image, its file."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fake_networks import FakeNetwork, OnePerson, SceneNetwork, Spot, bright_left, spots, turned_jpeg

import personlab
from personlab import DecodeOptions, Predictor, visualize
from personlab.data.synthetic import make_scene
from personlab.io.resize import input_size

EXACT = DecodeOptions.posenet(0.3)  # whose seeds lie between lattice points
SEVERAL = {"scales": (0.75, 1.0, 1.5), "flip": True}


@pytest.fixture(scope="module")
def points():
    return np.random.default_rng(3).uniform(0.1, 0.9, (17, 2)).astype(np.float32)


@pytest.mark.parametrize("size", [(120, 200), (97, 61), (161, 161), (700, 430), (33, 1000)])
@pytest.mark.parametrize("more", [{}, {"scales": (0.6,)}, {"flip": True}, SEVERAL], ids=str)
def test_keypoints_and_masks_are_in_the_images_own_pixels(points, size, more):
    predictor = Predictor(OnePerson(points, stride=8), long_edge=161, options=EXACT, **more)
    found = predictor(bright_left(size))
    h, w = size
    assert found.image_size == (w, h)
    assert np.abs(found.poses.keypoints - points * (w - 1, h - 1)).max() < 0.02 * max(1, max(size) / 161)
    assert found.masks.shape == (1, h, w)
    assert found.masks.dtype == np.bool_
    middle = (w - 1) / 2
    x = np.arange(w)
    clear = np.abs(x - middle) > 3 * w / 161
    assert np.array_equal(found.masks[0][:, clear], np.broadcast_to((x > middle)[clear], (h, clear.sum())))


@pytest.mark.parametrize("size", [(120, 200), (310, 197), (640, 999)])
@pytest.mark.parametrize("more", [{}, {"flip": True}, SEVERAL], ids=str)
def test_resizing_moves_nothing(size, more):
    centre = (0.31 * size[1], 0.62 * size[0])
    image = spots(size, [centre, None, None], spread=0.05 * size[0])
    found = Predictor(Spot(stride=8), long_edge=161, options=EXACT, **more)(image)
    assert np.abs(found.poses.keypoints - centre).max() < 0.1


def test_scales_and_mirror_images_agree_with_one_view():
    scene = make_scene(4, size=(241, 321), people=3)
    network = SceneNetwork(scene, stride=8)
    options = DecodeOptions(disk_radius=32, min_score=0.25)  # a double of one free keypoint scores 0.24 at most
    plain = Predictor(network, long_edge=321, options=options)(scene.image)
    assert len(plain.poses) == 3
    for more in ({"flip": True}, {"scales": (1.0, 1.25)}, {"scales": (0.75, 1.0, 1.5), "flip": True}):
        merged = Predictor(network, long_edge=321, options=options, **more)(scene.image)
        assert len(merged.poses) == 3
        for pose, mask in zip(plain.poses.keypoints, plain.masks, strict=True):
            distances = np.hypot(*(merged.poses.keypoints - pose).transpose(2, 0, 1))
            other = distances.mean(axis=1).argmin()
            assert np.median(distances[other]) < 1.5
            assert (merged.masks[other] & mask).sum() / (merged.masks[other] | mask).sum() > 0.85


class FirstView(FakeNetwork):
    """Is sure of images that are brighter on the left, and says other offsets of those that are not."""

    def see(self, image):
        rows, columns = ((side - 1) // self.config.stride + 1 for side in image.shape[1:])
        near = bool(image[0, 0, 0] > image[0, 0, -1])
        logit, offset = (6.0, 8.0) if near else (-6.0, 4.0)
        return SimpleNamespace(
            heatmaps=np.full((17, rows, columns), logit, np.float32),
            short_offsets=np.full((17, 2, rows, columns), offset, np.float32),
            mid_offsets=np.full((32, 2, rows, columns), offset, np.float32),
        )


def test_the_mirrored_view_weighs_by_what_it_sees():
    network = FirstView(masks=False)
    fields = Predictor(network, long_edge=49, flip=True, keep_fields=True)(bright_left((33, 49))).fields
    assert [size for count, *size in network.shapes for _ in range(count)] == [[3, 33, 49]] * 2
    p, q = 1 / (1 + np.exp(-6.0)) + 1e-4, 1 / (1 + np.exp(6.0)) + 1e-4
    np.testing.assert_allclose(fields.heatmaps, np.zeros((17, 3, 4)), atol=1e-4)
    np.testing.assert_allclose(fields.short_offsets[:, 1], np.full((17, 3, 4), (8 * p + 4 * q) / (p + q)), rtol=1e-5)
    np.testing.assert_allclose(fields.mid_offsets[:, 0], np.full((32, 3, 4), (8 * p - 4 * q) / (p + q)), rtol=1e-5)


def test_colours_are_red_green_blue_unless_told_otherwise(tmp_path):
    red, blue = (30.0, 40.0), (120.0, 70.0)
    image = spots((121, 161), [red, None, blue])
    visualize.write_image(tmp_path / "p.png", image)
    for bgr, array in ((False, image), (True, image[..., ::-1])):
        predictor = Predictor(Spot(channel=0, stride=8), long_edge=161, options=EXACT, bgr=bgr)
        for source in (array, torch.from_numpy(array.copy()), tmp_path / "p.png", str(tmp_path / "p.png")):
            assert np.abs(predictor(source).poses.keypoints - red).max() < 0.1
    alpha = np.concatenate([image, np.full((121, 161, 1), 7, np.uint8)], axis=2)
    predictor = Predictor(Spot(channel=2, stride=8), long_edge=161, options=EXACT)
    assert np.abs(predictor(alpha).poses.keypoints - blue).max() < 0.1
    for grey in (image[..., 2], image[..., 2:]):
        assert np.abs(predictor(grey).poses.keypoints - blue).max() < 0.1


# Orientation -> how the stored pixels become the image (EXIF 2.3, tag 0x0112).
TURNS = {
    1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2), 6: lambda a: np.rot90(a, -1), 7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
    8: np.rot90,
}  # fmt: skip


@pytest.mark.parametrize("orientation", TURNS)
def test_exif_orientation_is_followed(tmp_path, orientation):
    stored = spots((90, 140), [(35.0, 60.0), None, None])
    turned = TURNS[orientation](stored)
    path = tmp_path / "turned.jpg"
    path.write_bytes(turned_jpeg(stored, orientation))
    predictor = Predictor(Spot(stride=8), long_edge=161, options=EXACT)
    expected = predictor(np.ascontiguousarray(turned))
    found = predictor(path)
    assert found.image_size == turned.shape[1::-1]
    assert np.abs(found.poses.keypoints - expected.poses.keypoints).max() < 0.1
    pil = pytest.importorskip("PIL.Image")
    with pil.open(path) as image:
        assert np.abs(predictor(image).poses.keypoints - expected.poses.keypoints).max() < 0.1


@pytest.mark.parametrize(
    ("image", "error", "text"),
    [
        (np.zeros((4, 5, 3), np.float32), TypeError, "image: expected uint8 from 0 to 255, got float32"),
        (np.zeros((3, 4, 5), np.uint8), ValueError, r"got \(3, 4, 5\)"),
        (np.zeros((2, 4, 5, 3), np.uint8), ValueError, r"got \(2, 4, 5, 3\)"),
        (np.zeros((0, 5, 3), np.uint8), ValueError, "at least one pixel"),
        (3, TypeError, "image: expected a path, a PIL image or a uint8 array, got int"),
        ("none.png", FileNotFoundError, "none.png"),
    ],
)
def test_what_is_no_image_is_refused(image, error, text):
    with pytest.raises(error, match=text):
        Predictor(Spot(), long_edge=65)(image)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"long_edge": 0}, ValueError, "long_edge"),
        ({"long_edge": 2**15}, ValueError, "long_edge"),
        ({"scales": ()}, ValueError, "scales: expected at least one"),
        ({"scales": (0,)}, ValueError, "scales"),
        ({"batch_size": 0}, ValueError, "batch_size"),
        ({"threads": 0}, ValueError, "threads"),
        ({"options": 3}, TypeError, "options: expected DecodeOptions"),
        ({"device": "abacus"}, ValueError, "device"),
    ],
)
def test_wrong_arguments_are_refused(arguments, error, text):
    with pytest.raises(error, match=text):
        Predictor(Spot(), **arguments)
    with pytest.raises(TypeError, match="weights: expected a path, a name or a network with a config, got int"):
        Predictor(3)


def test_input_sizes_follow_the_rule():
    def size(*arguments, **more):
        return input_size(*arguments, **{"stride": 16, "long_edge": 641, "max_pixels": 10**8, **more})

    assert size((640, 480)) == ((641, 481), False)
    assert size((427, 640)) == ((433, 641), False)  # 427 * 641 / 640 = 427.7: 27 * 16 + 1 is nearer than 26 * 16 + 1
    assert size((10, 4000)) == ((17, 641), False)
    assert size((1, 1), long_edge=4) == ((17, 17), False)
    assert size((640, 480), stride=8, long_edge=961.5) == ((961, 721), False)
    (width, height), capped = size((640, 480), max_pixels=100_000)
    assert capped
    assert 70_000 < width * height <= 100_000
    assert (width - 1) % 16 == (height - 1) % 16 == 0
    assert size((640, 480), max_pixels=1) == ((17, 17), True)


def test_huge_inputs_are_capped_with_a_warning(points):
    predictor = Predictor(OnePerson(points, stride=8), long_edge=641, max_pixels=20_000, options=EXACT)
    with pytest.warns(RuntimeWarning, match="image: a network input with a longest side of 641 pixels is made"):
        found = predictor(bright_left((300, 400)))
    (_, _, height, width), = predictor.network.shapes  # fmt: skip
    assert height * width <= 20_000
    assert np.abs(found.poses.keypoints - points * (399, 299)).max() < 0.2


def test_masks_too_large_for_memory_are_made_smaller_with_a_warning(points):
    predictor = Predictor(OnePerson(points, stride=8), long_edge=65, max_pixels=8000, options=EXACT)
    with pytest.warns(RuntimeWarning, match="1 masks of 1500 x 1000 pixels are made"):
        found = predictor(bright_left((1000, 1500)))
    assert found.masks[0].size <= 128 * 8000
    result = found.masks_to_coco(1)[0]
    assert result["segmentation"]["size"] == [1000, 1500]
    assert found.draw(bright_left((1000, 1500))).shape == (1000, 1500, 3)


def test_predictions_tell_times_and_keep_what_is_asked_for(points):
    image = bright_left((90, 120))
    found = Predictor(OnePerson(points), long_edge=161)(image)
    assert list(found.times) == ["read", "resize", "network", "decode", "masks"]
    assert all(value >= 0 for value in found.times.values())
    assert found.fields is None
    with pytest.raises(ValueError, match="does not keep it"):
        found.draw()
    kept = Predictor(OnePerson(points), long_edge=161, keep_fields=True, keep_image=True)(image)
    assert kept.fields.image_size == (120, 90)
    assert np.array_equal(kept.image, image)
    assert np.array_equal(kept.draw(), visualize.overlay(image, kept.poses, kept.masks))
    assert json.loads(json.dumps(kept.to_coco(9))) == kept.poses.to_coco(9)
    bare = Predictor(OnePerson(points, masks=False), long_edge=161)(image)
    assert bare.masks is None
    with pytest.raises(ValueError, match="expected a prediction with masks"):
        bare.masks_to_coco(1)


def test_nobody_is_an_answer_and_a_pixel_a_image(points):
    network = OnePerson(points, stride=8)
    network.sure = -10.0
    for size in ((1, 1), (1, 300), (90, 120)):
        for more in ({}, SEVERAL):
            found = Predictor(network, long_edge=65, keep_image=True, **more)(bright_left(size))
            assert found.poses.keypoints.shape == (0, 17, 2)
            assert found.masks.shape == (0, *size)
            assert found.to_coco(1) == found.masks_to_coco(1) == []
            assert found.draw().shape == (*size, 3)


def test_another_skeleton_is_followed_throughout():
    people = personlab.Skeleton(names=("a", "b", "c"), edges=((0, 1), (0, 2)), sigmas=(0.1,) * 3, flip=(0, 2, 1))
    points = [(0.5, 0.2), (0.3, 0.7), (0.8, 0.6)]
    found = Predictor(OnePerson(points, skeleton=people), long_edge=161, options=EXACT, **SEVERAL)(
        bright_left((90, 120))
    )
    assert np.abs(found.poses.keypoints - np.array(points) * (119, 89)).max() < 0.05
    lopsided = replace(people, edges=((0, 1),))
    with pytest.raises(ValueError, match="mirror image"):
        Predictor(OnePerson(points, skeleton=lopsided), flip=True)


@pytest.mark.parametrize(
    ("weights", "masks"),
    [("posenet-mobilenet-075/model-stride16.json", False), ("bodypix-mobilenet-050-stride8.onnx", True)],
)
def test_published_networks_find_the_people(data, weights, masks):
    pytest.importorskip("onnx")
    predictor = Predictor(data / "weights" / weights)
    couple, soccer = predictor([data / "images" / "couple.jpg", data / "images" / "soccer.jpg"])
    assert couple.image_size == (1280, 852)
    assert len(couple.poses) == 2
    assert len(soccer.poses) == 2
    noses = couple.poses.keypoints[:, 0]
    assert np.allclose(noses[noses[:, 0].argsort()], [[546, 237], [685, 255]], atol=15)
    assert (couple.masks is not None) == masks
    if masks:
        for mask, box in zip(couple.masks, couple.poses.boxes, strict=True):
            rows, columns = np.nonzero(mask)
            assert np.allclose([columns.mean(), rows.mean()], (box[:2] + box[2:]) / 2, atol=60)
    merged = Predictor(predictor.network, **SEVERAL)(data / "images" / "couple.jpg")
    assert (
        np.abs(merged.poses[:2].keypoints[:, :11].mean(axis=1) - couple.poses.keypoints[:, :11].mean(axis=1)).max() < 12
    )


def test_printing_a_prediction_tells_what_it_holds():
    scene = make_scene(1, size=(97, 129), people=1)
    predictor = Predictor(SceneNetwork(scene, stride=8), long_edge=129, keep_image=True, keep_fields=True)
    prediction = predictor(scene.image)
    score = f"{prediction.poses.scores[0]:.3f}"
    assert str(prediction) == (
        f"Prediction(Poses(1 of 17 keypoints, scores {score} to {score}), masks (1, 97, 129), image_size (129, 97), "
        "fields, image)"
    )
