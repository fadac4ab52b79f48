"""Drawings of the assembly: connections are replayed as they were taken, and each is drawn where it lies."""

from __future__ import annotations

import numpy as np
import pytest
from pose_maps import perfect_maps, random_maps

from personlab import SimplePoseOptions, decode_simple_pose
from personlab.data.synthetic import make_scene
from personlab.methods.simple_pose.draw.assembly import draw_bodies, draw_body, draw_order, explain_assembly
from personlab.methods.simple_pose.draw.gallery import fields_gallery
from personlab.methods.simple_pose.fields import SimplePoseFields
from personlab.methods.simple_pose.grid import MapGrid
from personlab.methods.simple_pose.parts import COCO_PARTS

PRESETS = [SimplePoseOptions(), SimplePoseOptions.original(), SimplePoseOptions.original("A")]


@pytest.fixture(scope="module")
def scene():
    return make_scene(3, size=(192, 256), people=2)


@pytest.fixture(scope="module")
def fields(scene):
    keypoints, limbs, grid = perfect_maps(scene.keypoints, (192, 256), height=384)
    return SimplePoseFields(keypoints=keypoints, limbs=limbs, grid=grid)


@pytest.mark.parametrize("options", PRESETS, ids=["default", "original", "original_a"])
def test_bodies_are_those_of_the_people(fields, options):
    assembly = explain_assembly(fields, COCO_PARTS, options)
    maps, where = fields.arguments
    people = decode_simple_pose(*maps, **where, options=options)
    assert len(assembly.bodies) == len(people) == 2
    for body, keypoints, scores in zip(assembly.bodies, people.keypoints, people.keypoint_scores, strict=True):
        for k in np.flatnonzero(scores):
            peak, _ = body.slots[COCO_PARTS.keypoints[k]]
            np.testing.assert_allclose(assembly.places[peak], keypoints[k], atol=0.01)


@pytest.mark.parametrize("options", PRESETS, ids=["default", "original", "original_a"])
def test_a_body_of_n_keypoints_takes_n_minus_1_connections(fields, options):
    assembly = explain_assembly(fields, COCO_PARTS, options)
    for number, body in enumerate(assembly.bodies):
        own = [
            one for one, owner, joins in zip(assembly.connections, assembly.owners, assembly.joins, strict=True)
            if owner == number and joins
        ]  # fmt: skip
        assert len(own) == len(body.slots) - 1
        ends = {peak for one in own for peak in (one.a, one.b)}
        assert ends == {peak for peak, _ in body.slots.values()}


def test_connections_are_best_first(fields):
    ranks = [one.rank for one in explain_assembly(fields, COCO_PARTS, SimplePoseOptions()).connections]
    assert ranks == sorted(ranks, reverse=True)
    limbs = [one.limb for one in explain_assembly(fields, COCO_PARTS, SimplePoseOptions.original()).connections]
    assert limbs == sorted(limbs)


def test_drawings_of_the_assembly(fields, scene):
    assembly = explain_assembly(fields, COCO_PARTS, SimplePoseOptions())
    image, scale = np.zeros((384, 512, 3), np.uint8), (2, 2)  # twice as large as the image
    order, bodies = draw_order(image, assembly, scale), draw_bodies(image, assembly, scale)
    colours = []
    for n in (0, len(assembly.connections) - 1):
        one = assembly.connections[n]
        x, y = (assembly.places[one.a] + assembly.places[one.b]).round().astype(int)
        colours.append(order[y - 1 : y + 2, x - 1 : x + 2].reshape(-1, 3).max(axis=0))
    assert (colours[0][:2] > 180).all()  # yellow
    for k in (9, 10, 15, 16):
        x, y = (scene.keypoints[0, k, :2] * 2 + 0.5).round().astype(int)
        if scene.keypoints[0, k, 2] > 0:
            assert (order[y - 1 : y + 2, x - 1 : x + 2].min(axis=2) > 200).any()  # a white disc
            assert bodies[y - 6 : y + 7, x - 6 : x + 7].any()
    assert not image.any()
    close = draw_body(image, assembly, 1, scale)
    assert close.shape[1] > close.shape[0] * 0.5
    assert close.any()


def test_noise_is_drawn_with_what_came_into_no_body():
    keypoints, limbs = random_maps(1, COCO_PARTS, 20, 24)
    fields = SimplePoseFields(
        keypoints=keypoints, limbs=limbs, grid=MapGrid(stride=4, input_size=(80, 96), size=(160, 192))
    )
    options = SimplePoseOptions(max_poses=5)
    assembly = explain_assembly(fields, COCO_PARTS, options)
    assert len(assembly.bodies) == 5
    assert (assembly.owners < 0).sum() > len(assembly.connections) / 2
    drawn = fields_gallery(fields, options=options, bodies=1, longest_side=100)
    assert [name for name in drawn if name.startswith("body_")] == ["body_1"]
    assert drawn["order"].shape == drawn["people"].shape == (83, 100, 3)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 0.0])
def test_any_values_are_drawn(value):
    keypoints, limbs = np.zeros((18, 3, 4), np.float32), np.zeros((30, 3, 4), np.float32)
    keypoints[2, 1, 1], limbs[0, 1] = value, value
    fields = SimplePoseFields(
        keypoints=keypoints, limbs=limbs, grid=MapGrid(stride=8, input_size=(24, 32), size=(24, 32))
    )
    assert all(image.shape[2] == 3 for image in fields_gallery(fields).values())


def test_no_image_is_drawn():
    maps = np.zeros((18, 0, 4), np.float32), np.zeros((30, 0, 4), np.float32)
    fields = SimplePoseFields(
        keypoints=maps[0], limbs=maps[1], grid=MapGrid(stride=4, input_size=(0, 16), size=(0, 16))
    )
    assert all(image.size == 0 for image in fields_gallery(fields).values())
