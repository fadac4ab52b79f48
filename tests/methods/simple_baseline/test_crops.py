"""Boxes, affine maps and crops: by hand, the core against the reference, and both against the originals' own."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personlab import COCO_PERSON, MPII_PERSON, POSETRACK_PERSON
from personlab.methods.simple_baseline.boxes import (
    CropView,
    box_fault,
    crop_affines,
    grow_boxes,
    map_points,
    random_view,
)
from personlab.methods.simple_baseline.crops import crop_people
from personlab.methods.simple_baseline.options import CropOptions

BACKENDS = ("cpu", "reference")
SETS = {"coco": COCO_PERSON, "mpii": MPII_PERSON, "posetrack": POSETRACK_PERSON}
ORIGINAL = CropOptions.original()
SMALL = CropOptions(size=(2, 3))
IMAGE = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)  # pixel (x, y) is 15 y + 3 x + channel
SHIFT = np.array([[[1.0, 0, 0], [0, 1, 0]]])


@pytest.fixture(scope="module")
def load(data):
    def read(name):
        return np.load(data / "top_down" / name)

    return read


def shifted(x, y):
    return SHIFT + np.array([[0, 0, -x], [0, 0, -y]])


# --- by hand ----------------------------------------------------------------------------------------------------------


def test_a_box_grows_to_the_shape_of_a_crop_about_its_centre():
    options = CropOptions(size=(256, 192), padding=1.25)
    grown = grow_boxes(np.array([[10, 20, 30, 80], [10, 20, 60, 8]]), options=options)
    np.testing.assert_array_equal(grown, [[25, 60, 75, 100], [40, 24, 75, 100]])


def test_the_centre_of_a_box_is_the_centre_of_its_crop_and_its_sides_are_those_of_the_crop():
    (affine,) = crop_affines(np.array([[10, 20, 30, 40]]), options=CropOptions(size=(256, 192), padding=1.0))
    points = map_points(np.array([[25, 40], [10, 20], [40, 60]]), affine)
    np.testing.assert_allclose(points, [[96, 128], [0, 0], [192, 256]])


def test_a_view_scales_turns_and_mirrors():
    box, options = np.array([[10, 20, 30, 40]]), CropOptions(size=(256, 192), padding=1.0)
    (large,) = crop_affines(box, [CropView(scale=2)], options=options)
    np.testing.assert_allclose(map_points(np.array([40, 60]), large), [144, 192])
    (turned,) = crop_affines(box, [CropView(degree=90)], options=options)
    np.testing.assert_allclose(map_points(np.array([25, 50]), turned), [160, 128])  # below turns to the right
    (mirrored,) = crop_affines(box, [CropView(flip=True)], image_width=100, options=options)
    np.testing.assert_allclose(map_points(np.array([[25, 40], [10, 20]]), mirrored), [[96, 128], [192, 0]])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("options", [SMALL, dataclasses.replace(SMALL, rules="original")])
def test_a_crop_reads_pixels_where_the_map_leads(backend, options):
    (crop,) = crop_people(IMAGE, shifted(1, 2), options=options, backend=backend)
    np.testing.assert_array_equal(crop, IMAGE[2:4, 1:4])
    (between,) = crop_people(IMAGE, shifted(0.5, 1.25), layout="planes", options=options, backend=backend)
    np.testing.assert_array_equal(between[:, 0], np.array([20.25, 23.25, 26.25]) + np.arange(3)[:, None])
    assert between.shape == (3, 2, 3)
    assert between.dtype == np.float32


@pytest.mark.parametrize("backend", BACKENDS)
def test_outside_of_the_image_is_black(backend):
    (crop,) = crop_people(IMAGE, shifted(-0.5, -1), layout="planes", options=SMALL, backend=backend)
    np.testing.assert_array_equal(crop[:, 0], 0)
    np.testing.assert_array_equal(crop[:, 1], [[0, 1.5, 4.5], [0.5, 2.5, 5.5], [1, 3.5, 6.5]])  # half a pixel at x = 0
    (corner,) = crop_people(IMAGE, shifted(3.5, 2.5), layout="planes", options=SMALL, backend=backend)
    np.testing.assert_array_equal(corner[0], [[(39 + 42 + 54 + 57) / 4, (42 + 57) / 4, 0], [(54 + 57) / 4, 57 / 4, 0]])
    assert not crop_people(IMAGE, shifted(1e8, -1e8), options=SMALL, backend=backend).any()


@pytest.mark.parametrize("backend", BACKENDS)
def test_values_are_rounded(backend):
    image = np.array([[[0, 10, 255]], [[1, 11, 255]]], np.uint8)
    options = CropOptions(size=(1, 1))
    for y, expected in ((0.25, [0, 10, 255]), (0.5, [1, 11, 255]), (0.75, [1, 11, 255])):
        np.testing.assert_array_equal(crop_people(image, shifted(0, y), options=options, backend=backend)[0, 0, 0],
                                      expected)  # fmt: skip


# --- the core ---------------------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 2**32 - 1), original=st.booleans())
@settings(max_examples=15, deadline=None)
def test_the_core_equals_the_reference(seed, original):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (*rng.integers(1, 40, 2), 3), dtype=np.uint8)
    size = tuple(rng.integers(1, 20, 2).tolist())
    affines = rng.normal(0, 1, (3, 2, 3)) * [1, 1, 10]
    options = CropOptions(size=size, threads=2, rules="original" if original else "default")
    for layout, tolerance in (("planes", 1e-3), ("bytes", 1)):
        made, expected = (
            crop_people(image, affines, layout=layout, options=options, backend=backend) for backend in BACKENDS
        )
        np.testing.assert_allclose(made.astype(float), expected.astype(float), rtol=0, atol=tolerance)
        if original:  # values are 1024ths, which float32 holds
            np.testing.assert_array_equal(made, expected)


def test_bytes_are_the_rounded_planes_and_the_same_for_any_number_of_threads():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (300, 401, 3), dtype=np.uint8)
    boxes = np.concatenate([rng.uniform(-50, 350, (7, 2)), rng.uniform(1, 300, (7, 2))], axis=1)
    views = [CropView(degree=float(turn)) for turn in rng.uniform(-80, 80, 7)]
    affines = crop_affines(boxes, views)
    planes = crop_people(image, affines, layout="planes")
    pixels = crop_people(image, affines)
    np.testing.assert_array_equal(pixels, (planes.transpose(0, 2, 3, 1) + np.float32(0.5)).astype(np.uint8))
    for threads in (2, 5):
        options = CropOptions(threads=threads)
        np.testing.assert_array_equal(crop_people(image, affines, options=options), pixels)
        np.testing.assert_array_equal(crop_people(image, affines, layout="planes", options=options), planes)


def test_an_image_may_be_a_part_of_another_and_any_array_of_bytes():
    rng = np.random.default_rng(0)
    whole = rng.integers(0, 256, (30, 41, 3), dtype=np.uint8)
    affines, options = crop_affines(np.array([[-3, 4, 10, 12], [5, 5, 40, 20]])), CropOptions(size=(32, 24))
    for view in (whole[3:20, 5:31], whole[::-1], whole[:, ::-1], whole[..., ::-1], whole[::2], whole.swapaxes(0, 1)):
        expected = crop_people(np.ascontiguousarray(view), affines, options=options)
        frozen = view.view()
        frozen.flags.writeable = False
        np.testing.assert_array_equal(crop_people(frozen, affines, options=options), expected)


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_is_an_answer(backend):
    assert crop_people(IMAGE, np.zeros((0, 2, 3)), backend=backend).shape == (0, 256, 192, 3)
    for shape in ((0, 5, 3), (4, 0, 3), (1, 1, 3)):
        crop = crop_people(np.zeros(shape, np.uint8), SHIFT, layout="planes", options=SMALL, backend=backend)
        np.testing.assert_array_equal(crop, np.zeros((1, 3, 2, 3)))
    assert crop_affines(np.zeros((0, 4))).shape == (0, 2, 3)


def test_crops_may_be_written_into_memory_of_the_caller():
    affines = crop_affines(np.array([[0, 0, 5, 4], [1, 1, 2, 2]]), options=SMALL)
    for layout, made in (("bytes", np.empty((2, 2, 3, 3), np.uint8)), ("planes", np.empty((2, 3, 2, 3), np.float32))):
        for backend in BACKENDS:
            made[:] = 7
            assert crop_people(IMAGE, affines, layout=layout, options=SMALL, backend=backend, out=made) is made
            np.testing.assert_array_equal(made, crop_people(IMAGE, affines, layout=layout, options=SMALL))
    for wrong in (made[:1], made.astype(float), made[..., ::-1], "memory"):
        with pytest.raises((TypeError, ValueError), match=r"out: expected (float32 \(2, 3, 2, 3\)|an array)"):
            crop_people(IMAGE, affines, layout="planes", options=SMALL, out=wrong)


# --- faults -----------------------------------------------------------------------------------------------------------


def test_boxes_that_show_nobody_are_named():
    assert box_fault([1, 2, 3, 4], (10, 20)) is None
    assert box_fault([1, 2, 0, 4]) is None  # grows to the shape of a crop
    assert box_fault([1, 2, 0, 0]) == box_fault([1, 2, -1, 5]) == "has no size"
    assert box_fault([1, float("nan"), 3, 4]) == box_fault([1, 2, 1e300, 4]) == "is not finite"
    outside = "lies outside of the image"
    assert [box_fault(box, (10, 20)) for box in ([20, 0, 5, 5], [-5, 0, 5, 5], [0, 10, 5, 5], [0, -9, 5, 5])] == [
        outside, outside, outside, outside,
    ]  # fmt: skip
    with pytest.raises(ValueError, match=r"boxes\[1\]: expected x, y, w, h of a box with a size, got \[5\.0, 5\.0, 0"):
        crop_affines(np.array([[0, 0, 5, 5], [5, 5, 0, 0]]))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"image": IMAGE.astype(np.float32)}, TypeError, "image: expected uint8, got float32"),
        ({"image": IMAGE[..., :2]}, ValueError, r"image: expected shape \(H, W, 3\)"),
        ({"affines": np.zeros((2, 3))}, ValueError, r"affines: expected shape \(N, 2, 3\)"),
        ({"affines": np.zeros((1, 2, 3))}, ValueError, r"affines\[0\]: expected a finite map with an inverse"),
        ({"affines": SHIFT * np.nan}, ValueError, r"affines\[0\]: expected a finite map with an inverse"),
        ({"layout": "chw"}, ValueError, "layout: expected one of bytes, planes, got 'chw'"),
        ({"backend": "cuda"}, ValueError, "backend: expected one of cpu, reference, got 'cuda'"),
        ({"options": None}, TypeError, "options: expected CropOptions, got NoneType"),
    ],
)
def test_wrong_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        crop_people(**{"image": IMAGE, "affines": SHIFT, **arguments})


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"size": (0, 5)}, ValueError, r"size\[0\]: expected an integer from 1"),
        ({"size": 256}, TypeError, r"size: expected \(H, W\)"),
        ({"padding": 0}, ValueError, "padding: expected a finite number >= 0.01"),
        ({"rules": "ms"}, ValueError, "rules: expected one of default, original, got 'ms'"),
        ({"scale": 1}, TypeError, "scale"),
    ],
)
def test_wrong_options_are_named(changes, error, message):
    with pytest.raises(error, match=message):
        CropOptions(**changes)


def test_views_fit_the_boxes():
    with pytest.raises(ValueError, match="views: expected 1, one for each box, got 2"):
        crop_affines(np.array([[0, 0, 5, 5]]), [CropView(), CropView()])
    with pytest.raises(ValueError, match="image_width: expected the width of the image"):
        crop_affines(np.array([[0, 0, 5, 5]]), [CropView(flip=True)])


def test_views_are_drawn_as_the_originals_draw_them():
    views = [random_view(np.random.default_rng(n)) for n in range(400)]
    scales, degrees, flips = map(np.array, zip(*views, strict=True))
    assert scales.min() == 0.7
    assert scales.max() == 1.3
    assert abs(degrees).max() <= 80
    assert (degrees == 0).mean() == pytest.approx(0.4, abs=0.08)
    assert flips.mean() == pytest.approx(0.5, abs=0.08)
    rng, twin = np.random.default_rng(0), np.random.default_rng(0)
    normal, uniform = twin.standard_normal(), twin.random()
    turned = uniform <= 0.6
    degree = np.clip(40 * twin.standard_normal(), -80, 80) if turned else 0
    assert random_view(rng) == (np.clip(1 + 0.3 * normal, 0.7, 1.3), degree, twin.random() <= 0.5)


# --- golden -----------------------------------------------------------------------------------------------------------

# The originals go through three points in float32, which moves pixels of the crop by up to 2.4e-4.
THREE_POINTS = 3e-4
CORNERS = np.array([[0, 0], [191, 0], [0, 255], [191, 255]])  # of a crop


@pytest.mark.parametrize("name", SETS)
def test_golden_boxes_and_affines(load, name):
    file = load(f"crop_target_{name}.npz")
    grown = grow_boxes(file["test_boxes_xywh"], options=ORIGINAL)
    corners = np.concatenate([grown[:, :2] - grown[:, 2:] / 2, grown[:, :2] + grown[:, 2:] / 2], axis=1)
    np.testing.assert_allclose(corners, file["test_crop_info"], rtol=0, atol=5e-6)
    affines = crop_affines(file["test_boxes_xywh"], options=ORIGINAL)
    np.testing.assert_allclose(affines, file["test_affine"], rtol=0, atol=6e-6)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", SETS)
def test_golden_crops(load, backend, name):
    file = load(f"crop_target_{name}.npz")
    affines = crop_affines(file["test_boxes_xywh"][[0, 2]], options=ORIGINAL)
    expected = [file["test_crop_0_u8"], file["test_crop_2_u8"]]
    np.testing.assert_array_equal(crop_people(file["image"], affines, options=ORIGINAL, backend=backend), expected)


@pytest.mark.parametrize("name", SETS)
def test_golden_training_views(load, name):
    file = load(f"crop_target_{name}.npz")
    width = file["image"].shape[1]
    views = [CropView(scale, degree, bool(flip)) for scale, degree, flip in file["train_scale_rotation_flip"]]
    affines = crop_affines(file["train_boxes_xywh"], views, image_width=width, options=ORIGINAL)
    flip = list(SETS[name].flip)
    if name == "posetrack":
        flip[3:5] = 3, 4  # the original exchanges all but the ears
    for view, affine, own, joints, points, valid in zip(
        views, file["train_affine"], affines, file["train_joints"], file["train_coord"], file["train_valid"],
        strict=True,
    ):  # fmt: skip
        mirror = np.array([[-1, 0, width - 1], [0, 1, 0], [0, 0, 1]]) if view.flip else np.eye(3)
        back = np.linalg.inv(np.vstack([affine @ mirror, [0, 0, 1]]))[:2]
        np.testing.assert_allclose(map_points(map_points(CORNERS, back), own), CORNERS, rtol=0, atol=THREE_POINTS)
        shown = joints[flip] if view.flip else joints
        found = map_points(shown[:, :2], own)
        np.testing.assert_allclose(found[valid], points[valid], rtol=0, atol=THREE_POINTS)
        inside = (found >= 0).all(axis=1) & (found < [192, 256]).all(axis=1)
        np.testing.assert_array_equal(inside & (shown[:, 2] > 0), valid)


def test_golden_affines_of_the_pytorch_original(load):
    file = load("ms_topdown.npz")
    grown = grow_boxes(file["ms_boxes"], options=ORIGINAL)
    np.testing.assert_allclose(grown / [1, 1, 200, 200], file["ms_box2cs"], rtol=0, atol=2e-5)
    for x, y, side_x, _, degree, is_inverse, *expected in file["ms_affine_c_s_rot_inv_m"]:
        box = np.array([[x - 100 * side_x, y, 200 * side_x, 0]])  # grows to the shape of a crop about y
        (affine,) = crop_affines(box, [CropView(degree=degree)], options=CropOptions(padding=1.0))
        if is_inverse:
            affine = np.linalg.inv(np.vstack([affine, [0, 0, 1]]))[:2]
        np.testing.assert_allclose(affine.ravel(), expected, rtol=0, atol=THREE_POINTS)
