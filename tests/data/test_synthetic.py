"""Drawn scenes are reproducible and their annotations true."""

from __future__ import annotations

import numpy as np
import pytest

from personlab import COCO_PERSON, DecodeOptions, decode_poses, encode_targets
from personlab.data.synthetic import make_scene, numbered_scene
from personlab.data.synthetic import scenes as synthetic
from personlab.data.synthetic.figure import Shape, make_figure

SIZE = (121, 161)


def same(a, b):
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ("image", "keypoints", "masks"))


def distance_to(mask, x, y):
    """Pixels from (x, y) to the nearest pixel of the mask."""
    rows, columns = np.nonzero(mask)
    return np.hypot(columns - x, rows - y).min()


@pytest.fixture(scope="module")
def scenes():
    return [make_scene(seed, size=(241, 321), people=4) for seed in range(5)]


def test_a_scene_has_the_shapes_and_types_it_says(scenes):
    for scene in scenes:
        assert scene.image.shape == (241, 321, 3)
        assert scene.image.dtype == np.uint8
        assert scene.keypoints.shape == (4, COCO_PERSON.n_keypoints, 3)
        assert scene.keypoints.dtype == np.float32
        assert scene.masks.shape == (4, 241, 321)
        assert scene.masks.dtype == np.bool_


def test_the_same_seed_gives_the_same_bytes_and_another_another_scene():
    first = make_scene(7, size=SIZE, people=3)
    assert same(first, make_scene(7, size=SIZE, people=3))
    assert not same(first, make_scene(8, size=SIZE, people=3))
    assert same(make_scene([1, 2], size=SIZE), make_scene([1, 2], size=SIZE))


def test_a_scene_leaves_the_global_random_state_alone():
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - the legacy state is what must not change
    make_scene(1, size=SIZE)
    assert np.array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_keypoints_lie_between_pixels(scenes):
    points = np.concatenate([scene.keypoints[scene.keypoints[..., 2] > 0] for scene in scenes])[:, :2]
    assert (points % 1 != 0).mean() > 0.99


def test_visible_keypoints_lie_on_the_mask_of_their_person(scenes):
    for scene in scenes:
        for person, mask in zip(scene.keypoints, scene.masks, strict=True):
            for x, y, _ in person[person[:, 2] == 2]:
                assert distance_to(mask, x, y) <= 1.0


def test_occluded_keypoints_lie_on_the_mask_of_a_nearer_person(scenes):
    occluded = 0
    for scene in scenes:
        for j, person in enumerate(scene.keypoints):
            for x, y, _ in person[person[:, 2] == 1]:
                assert scene.masks[:j, round(float(y)), round(float(x))].any()
                occluded += 1
    assert occluded > 0


def test_keypoints_outside_the_image_are_unlabelled():
    scenes = [make_scene(seed, size=(61, 61), people=3) for seed in range(10)]
    keypoints = np.concatenate([scene.keypoints for scene in scenes])
    outside, labelled = keypoints[keypoints[..., 2] == 0], keypoints[keypoints[..., 2] > 0]
    assert len(outside) > 0
    assert not outside.any()
    assert labelled[:, :2].min() >= 0
    assert labelled[:, :2].max() <= 60


def test_no_pixel_belongs_to_two_people(scenes):
    assert all(scene.masks.sum(axis=0).max() == 1 for scene in scenes)


def test_people_differ_from_the_background_and_each_other(scenes):
    for scene in scenes:
        colours = [scene.image[mask].mean(axis=0) for mask in scene.masks]
        assert min(np.abs(a - b).max() for i, a in enumerate(colours) for b in colours[:i]) > 1.0


@pytest.mark.parametrize("people", [0, 1, 12])
def test_any_number_of_people(people):
    scene = make_scene(3, size=SIZE, people=people)
    assert len(scene.keypoints) == len(scene.masks) == people


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (9, 5), (0, 7), (300, 40)])
def test_any_size(size):
    scene = make_scene(0, size=size, people=2)
    assert scene.image.shape == (*size, 3)
    assert scene.masks.shape == (2, *size)


@pytest.mark.parametrize(
    ("arguments", "error", "named"),
    [
        ({"people": -1}, ValueError, "people"),
        ({"people": 1.5}, TypeError, "people"),
        ({"size": 5}, TypeError, "size"),
        ({"size": (5, -1)}, ValueError, r"size\[1\]"),
    ],
)
def test_wrong_arguments_are_named(arguments, error, named):
    with pytest.raises(error, match=named):
        make_scene(0, **arguments)


def test_masks_are_the_pixels_whose_centre_lies_in_a_shape():
    rng = np.random.default_rng(2)
    figure = make_figure(rng, 60.0).moved(np.array([40.25, 44.75]))
    x, y = np.meshgrid(np.arange(80.0), np.arange(90.0))
    inside = np.any([shape.distance(x, y) <= 0 for shape in figure.shapes], axis=0)
    mask, left, top = synthetic.silhouette([synthetic.trace_shape(shape) for shape in figure.shapes])
    expected = np.zeros((90, 80), bool)
    expected[top : top + mask.shape[0], left : left + mask.shape[1]] = mask
    assert np.array_equal(inside, expected)


def test_grain_has_the_deviation_it_says():
    assert synthetic._NORMAL.mean() == pytest.approx(0.0, abs=1e-6)
    assert synthetic._NORMAL.std() == pytest.approx(1.0, abs=0.01)


def test_a_series_has_every_number_of_people_asked_for():
    scenes = [numbered_scene(5, number, size=SIZE, people=(1, 3)) for number in range(20)]
    assert {len(scene.masks) for scene in scenes} == {1, 2, 3}
    assert same(scenes[7], numbered_scene(5, 7, size=SIZE, people=(1, 3)))
    assert same(scenes[7], make_scene((5, 7), size=SIZE, people=len(scenes[7].masks)))
    assert not np.array_equal(scenes[7].image, numbered_scene(6, 7, size=SIZE, people=(1, 3)).image)


@pytest.mark.parametrize(
    ("arguments", "error", "named"),
    [
        ({"people": (3, 2)}, ValueError, "people"),
        ({"people": (1, 1001)}, ValueError, "people"),
        ({"people": (-1, 1)}, ValueError, r"people\[0\]"),
        ({"people": 3}, TypeError, "people"),
        ({"seed": -1}, ValueError, "seed"),
        ({"number": 0.5}, TypeError, "number"),
        ({"size": (5, -1)}, ValueError, r"size\[1\]"),
    ],
)
def test_wrong_arguments_of_a_series_are_named(arguments, error, named):
    series = {"seed": 0, "number": 0, "size": SIZE, "people": (1, 2)}
    with pytest.raises(error, match=named):
        numbered_scene(**{**series, **arguments})


def test_a_left_side_is_at_larger_x_than_its_right_side_on_average():
    names = list(COCO_PERSON.names)
    left, right = names.index("left_shoulder"), names.index("right_shoulder")
    figures = [make_figure(np.random.default_rng(seed), 100.0) for seed in range(20)]
    assert all(figure.keypoints[left, 0] > figure.keypoints[right, 0] for figure in figures)


def test_moving_a_figure_moves_joints_and_shapes():
    figure = make_figure(np.random.default_rng(0), 50.0)
    moved = figure.moved(np.array([3.0, -2.0]))
    assert np.allclose(moved.keypoints - figure.keypoints, [3.0, -2.0])
    assert all(
        np.allclose(b.corners - a.corners, [3.0, -2.0]) for a, b in zip(figure.shapes, moved.shapes, strict=True)
    )


def test_distance_to_a_capsule_by_hand():
    capsule = Shape(np.array([[0.0, 0.0], [10.0, 0.0]]), (2.0, 4.0), np.zeros(3))
    x, y = np.array([-5.0, 0.0, 5.0, 10.0, 20.0]), np.array([0.0, 5.0, 0.0, -1.0, 0.0])
    assert np.allclose(capsule.distance(x, y), [3.0, 3.0, -3.0, -3.0, 6.0])


def test_distance_to_a_round_polygon_by_hand_in_either_sense():
    square = np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 10.0], [0.0, 10.0]])
    x, y = np.array([5.0, 5.0, 13.0]), np.array([5.0, -4.0, 14.0])
    for corners in (square, square[::-1]):
        shape = Shape(corners, (1.0, 1.0), np.zeros(3))
        assert np.allclose(shape.distance(x, y), [-6.0, 3.0, 4.0])


def test_a_scene_survives_encoding_and_decoding():
    scene = make_scene(5, size=(241, 321), people=3)
    targets = encode_targets(scene.keypoints, scene.masks, size=(241, 321), stride=8)
    fields = targets.to_fields()
    poses = decode_poses(
        fields.heatmaps, fields.short_offsets, fields.mid_offsets, stride=8, options=DecodeOptions(hough_stride=1)
    )
    for person in scene.keypoints:
        labelled = person[:, 2] > 0
        errors = np.linalg.norm(poses.keypoints[:, labelled] - person[labelled, :2], axis=2).mean(axis=1)
        assert errors.min() < 2.0
