"""Training targets of Simple Pose: by hand, the core against the reference, and both against the originals' own."""

from __future__ import annotations

import dataclasses
import math
import pickle

import numpy as np
import pytest
from scenes import PAIR, SKELETONS, array

from personlab import COCO_PERSON
from personlab.methods.simple_pose.parts import BODY, BODY_A, COCO_PARTS, BodyParts
from personlab.methods.simple_pose.people import map_keypoints, parts_of
from personlab.methods.simple_pose.target_options import TargetOptions
from personlab.methods.simple_pose.targets import encode_targets

BACKENDS = ("cpu", "reference")
CASES = (
    "1_single_plain", "2_people_none", "3_crowd_mask", "4_unlabelled_mask", "5_many_flip", "6_many_512",
)  # fmt: skip
NARROW = {"keypoint_sigma": 2.0, "limb_sigma": 1.0, "threshold": 0.1}
MAPS = ("limbs", "keypoints", "person", "brightest", "weights", "person_weights")


def encode(backend, keypoints, people=None, counted=None, *, size=(4, 8), stride=1, parts=PAIR, **options):
    more = {**NARROW, **options}
    return encode_targets(
        array(keypoints), people, counted, size=size, stride=stride, parts=BodyParts.of(parts), backend=backend,
        options=TargetOptions(**more),
    )  # fmt: skip


def labelled(joints):
    """The originals' third column, 2 where absent, as v > 0 where labelled."""
    return np.concatenate([joints[..., :2], joints[..., 2:] < 2], axis=-1)


# --- by hand ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_keypoint_is_a_gaussian_around_it(backend):
    targets = encode(backend, [[[3, 1, 2], [0, 0, 0]]])
    y, x = np.mgrid[:4, :8]
    expected = np.exp(-((x - 3.0) ** 2 + (y - 1.0) ** 2) / 8)
    expected[expected < 0.1] = 0
    assert targets.keypoints.dtype == np.float32
    np.testing.assert_allclose(targets.keypoints[0], expected, atol=1e-7)
    assert not targets.keypoints[1].any()
    assert not targets.limbs.any()  # one end alone
    np.testing.assert_array_equal(targets.brightest, targets.keypoints.max(axis=0, keepdims=True))


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_centre_of_a_cell_is_that_of_its_pixels(backend):
    # cells of 4 x 4 pixels: cell 1 is centred at pixel 5.5
    targets = encode(backend, [[[5.5, 1.5, 1], [0, 0, 0]]], size=(8, 12), stride=4)
    assert targets.keypoints.shape == (2, 2, 3)
    assert targets.keypoints[0, 0, 1] == 1
    np.testing.assert_allclose(targets.keypoints[0, 0], [np.exp(-2), 1, np.exp(-2)], rtol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_limb_is_a_gaussian_around_the_segment(backend):
    targets = encode(backend, [[[2, 1, 2], [5, 1, 1]]])
    across, beyond = np.exp(-0.5), np.exp(-2.0)
    row = [beyond, across, 1, 1, 1, 1, across, beyond]
    np.testing.assert_allclose(targets.limbs[0, 1], row, rtol=1e-6)
    np.testing.assert_allclose(targets.limbs[0, 0, 2:6], [across] * 4, rtol=1e-6)
    np.testing.assert_allclose(targets.limbs[0, 0, 1], np.exp(-1), rtol=1e-6)  # round at the ends
    assert targets.limbs[0, 0, 0] == 0  # exp(-2.5) is under the threshold
    np.testing.assert_allclose(targets.limbs[0, 3, 2:6], [beyond] * 4, rtol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_limb_without_length_is_a_disc(backend):
    targets = encode(backend, [[[2, 1, 2], [2, 1, 1]]])
    y, x = np.mgrid[:4, :8]
    expected = np.exp(-((x - 2.0) ** 2 + (y - 1.0) ** 2) / 2)
    np.testing.assert_allclose(targets.limbs[0], np.where(expected > 0.1, expected, 0), atol=1e-7)


@pytest.mark.parametrize("backend", BACKENDS)
def test_where_limbs_overlap(backend):
    people = [[[2, 1, 2], [5, 1, 2]], [[2, 2, 2], [5, 2, 2]], [[2, 60, 2], [5, 60, 2]]]
    highest = encode(backend, people, overlap="max")
    mean = encode(backend, people, overlap="mean")
    np.testing.assert_allclose(highest.limbs[0, :, 3], [np.exp(-0.5), 1, 1, np.exp(-0.5)], rtol=1e-6)
    half = (1 + np.exp(-0.5)) / 2
    both = (np.exp(-0.5) + np.exp(-2)) / 2
    np.testing.assert_allclose(mean.limbs[0, :, 3], [both, half, half, both], rtol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_masks_are_shares_of_cells(backend):
    people, counted = np.zeros((4, 8), bool), np.ones((4, 8), bool)
    people[:, :5] = True
    counted[0, 0] = False
    targets = encode(backend, np.zeros((0, 2, 3)), people, counted, stride=2)
    np.testing.assert_array_equal(targets.person, [[[1, 0.5, 0, 0]] * 2])  # the min over 3 x 3 cells
    np.testing.assert_array_equal(targets.weights, [[[0.75, 1, 1, 1], [1, 1, 1, 1]]])
    np.testing.assert_array_equal(targets.person_weights, targets.weights)
    soft = encode(backend, np.zeros((0, 2, 3)), people.view(np.uint8) * np.uint8(51), counted, stride=2)
    np.testing.assert_allclose(soft.person, targets.person * 0.2, rtol=1e-6)
    bare = encode(backend, np.zeros((0, 2, 3)), stride=2)
    assert not bare.person.any()
    assert (bare.weights == 1).all()
    assert not bare.person_weights.any()  # no masks: nothing is known of persons


def test_a_region_of_unknown_masks_counts_for_keypoints_alone():
    targets = encode("cpu", [[[2, 1, 2], [5, 1, 1]]], np.ones((4, 8), bool), stride=2)
    region = np.zeros((4, 8), bool)
    region[0, 3] = True
    left = targets.without_masks(region)
    np.testing.assert_array_equal(left.person_weights, [[[1, 0, 1, 1], [1, 1, 1, 1]]])
    assert (left.weights == 1).all()
    assert not targets.without_masks(None).person_weights.any()
    with pytest.raises(ValueError, match="region: expected shape"):
        targets.without_masks(region[:2])


@pytest.mark.parametrize("backend", BACKENDS)
def test_nobody(backend):
    targets = encode(backend, np.zeros((0, 2, 3)))
    for name in ("limbs", "keypoints", "person", "brightest"):
        assert not getattr(targets, name).any(), name
    assert targets.limbs.shape == (1, 4, 8)
    assert targets.weights.all()


# --- the neck ---------------------------------------------------------------------------------------------------------


def test_the_neck_is_the_middle_of_both_shoulders():
    people = np.zeros((3, 17, 3))
    people[:, 5], people[:, 6] = (10, 20, 2), (30, 50, 1)
    people[1, 5, 2] = people[2, 6, 2] = 0
    people[0, 0] = 7, 8, 2
    shown = map_keypoints(people, COCO_PARTS)
    assert shown.shape == (3, 18, 3)
    np.testing.assert_array_equal(shown[:, 1], [[20, 35, 1], [0, 0, 0], [0, 0, 0]])
    np.testing.assert_array_equal(shown[0, 0], [7, 8, 2])
    np.testing.assert_array_equal(shown[0, 2], people[0, 6])  # the right one first
    np.testing.assert_array_equal(map_keypoints(shown, BodyParts.of(BODY)), shown)


def test_maps_of_a_skeleton():
    assert parts_of(COCO_PERSON) is COCO_PARTS
    other = parts_of(PAIR)
    assert (other.skeleton, other.person, other.keypoints) == (PAIR, PAIR, (0, 1))


def test_keypoints_of_people_and_of_maps_are_taken():
    people = np.zeros((2, 17, 3), np.float32)
    people[..., :2] = np.random.default_rng(3).uniform(0, 64, (2, 17, 2))
    people[..., 2] = 1
    ours = encode_targets(people, size=(64, 96), stride=4)
    theirs = encode_targets(map_keypoints(people, COCO_PARTS), size=(64, 96), stride=4)
    for name in MAPS:
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))


# --- the core and the reference ---------------------------------------------------------------------------------------


def scattered(skeleton, size, seed=5, count=5):
    rng = np.random.default_rng(seed)
    keypoints = np.empty((count, skeleton.n_keypoints, 3), np.float32)
    keypoints[..., :2] = rng.uniform(-0.5, 1.5, (count, skeleton.n_keypoints, 2)) * size[::-1]
    keypoints[..., 2] = rng.choice([0, 1, 2], (count, skeleton.n_keypoints))
    masks = rng.integers(0, 256, (2, *size)).astype(np.uint8)
    return keypoints, *masks


@pytest.mark.parametrize(
    "options",
    [
        TargetOptions(), TargetOptions(overlap="mean"), TargetOptions(keypoint_sigma=1, limb_sigma=20, threshold=0.3),
        TargetOptions.original(), TargetOptions.original("A"),
    ],
)  # fmt: skip
@pytest.mark.parametrize(("size", "stride"), [((32, 48), 8), ((36, 20), 4), ((30, 41), 1), ((3, 9), 3), ((7, 70), 7)])
@pytest.mark.parametrize("name", ["single", "pair", "cycle", "loose", "unjoined"])
def test_equals_reference_on_random_people(name, size, stride, options):
    keypoints, *masks = scattered(SKELETONS[name], size)
    more = {"size": size, "stride": stride, "parts": BodyParts.of(SKELETONS[name]), "options": options}
    ours, expected = (encode_targets(keypoints, *masks, **more, backend=backend) for backend in BACKENDS)
    for field in MAPS:
        np.testing.assert_allclose(getattr(ours, field), getattr(expected, field), atol=1e-6, err_msg=field)


def test_threads_do_not_change_a_byte():
    keypoints, *masks = scattered(BODY, (96, 128), count=9)
    made = [
        encode_targets(keypoints, *masks, size=(96, 128), stride=4, options=TargetOptions(threads=threads))
        for threads in (1, 2, 3, 7, 64)
    ]
    for other in made[1:]:
        for field in MAPS:
            assert getattr(made[0], field).tobytes() == getattr(other, field).tobytes(), field


def test_views_that_are_not_contiguous():
    keypoints, *masks = scattered(BODY, (96, 128))
    expected = encode_targets(keypoints, *masks, size=(96, 128), stride=4)
    wide = np.zeros((5, 18, 6), np.float64)
    wide[..., ::2] = keypoints
    turned = [np.asfortranarray(mask) for mask in masks]
    for one in (wide, *turned):
        one.flags.writeable = False
    made = encode_targets(wide[..., ::2], *turned, size=(96, 128), stride=4)
    for field in MAPS:
        np.testing.assert_array_equal(getattr(made, field), getattr(expected, field))


@pytest.mark.parametrize("far", [1e30, -1e30, 3e9, -5e5])
@pytest.mark.parametrize("options", [TargetOptions(), TargetOptions.original(), TargetOptions.original("A")])
def test_keypoints_far_outside(far, options):
    keypoints = np.zeros((1, 18, 3), np.float32)
    keypoints[..., 2] = 2
    keypoints[0, ::2, :2] = far
    parts = BodyParts.of(BODY)
    ours, expected = (
        encode_targets(keypoints, size=(16, 24), stride=4, parts=parts, options=options, backend=backend)
        for backend in BACKENDS
    )
    for field in MAPS:
        assert np.isfinite(getattr(ours, field)).all()
        np.testing.assert_allclose(getattr(ours, field), getattr(expected, field), atol=1e-6)


# --- arguments --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"keypoints": np.zeros((1, 16, 3))}, ValueError, r"keypoints: expected shape \(P, K, 3\) with K = 17 or 18"),
        ({"keypoints": np.zeros((17, 3))}, ValueError, "keypoints: expected shape"),
        ({"keypoints": np.full((1, 17, 3), np.nan)}, ValueError, "keypoints: expected finite coordinates where v > 0"),
        ({"keypoints": [[["a"] * 3] * 17]}, TypeError, "keypoints: expected"),
        ({"people": np.zeros((64, 63), bool)}, ValueError, r"people: expected shape \(H, W\) = \(64, 64\)"),
        ({"counted": np.zeros((64, 64), np.float32)}, TypeError, "counted: expected bool or uint8"),
        ({"size": (64, 66)}, ValueError, "size: expected multiples of the stride 4"),
        ({"size": (0, 64)}, ValueError, r"size\[0\]"),
        ({"size": 64}, TypeError, "size: expected"),
        ({"stride": 0}, ValueError, "stride: expected an integer from 1"),
        ({"stride": 4.0}, TypeError, "stride: expected an integer"),
        ({"parts": BODY}, TypeError, "parts: expected BodyParts"),
        ({"options": 3}, TypeError, "options: expected TargetOptions"),
        ({"backend": "cuda"}, ValueError, "backend: expected cpu or reference"),
    ],
)
def test_wrong_arguments(change, error, message):
    given = {"keypoints": np.zeros((1, 17, 3)), "size": (64, 64), "stride": 4}
    with pytest.raises(error, match=message):
        encode_targets(**{**given, **change})


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"keypoint_sigma": 0}, ValueError, "keypoint_sigma: expected"),
        ({"limb_sigma": math.nan}, ValueError, "limb_sigma: expected"),
        ({"threshold": 0}, ValueError, "threshold: expected"),
        ({"threads": 0}, ValueError, "threads: expected"),
        ({"overlap": "sum"}, ValueError, "overlap: expected one of max, mean, got 'sum'"),
        ({"rules": "part_c"}, ValueError, "rules: expected one of default, part_b, part_a"),
        ({"rules": "part_b"}, ValueError, "overlap: expected mean under the rules of part_b"),
        ({"sigma": 3}, TypeError, "sigma"),
    ],
)
def test_wrong_options(values, error, message):
    with pytest.raises(error, match=message):
        TargetOptions(**values)
    with pytest.raises(ValueError, match="part: expected B or A"):
        TargetOptions.original("C")


def test_options_are_pickled_without_the_core_s_copy():
    options = TargetOptions.original(keypoint_sigma=7)
    _ = options.native
    again = pickle.loads(pickle.dumps(options))
    assert again == options
    assert set(vars(again)) == {field.name for field in dataclasses.fields(options)}


# --- the originals ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("case", CASES)
def test_part_b_number_for_number(data, case, backend):
    golden = np.load(data / "simple_pose" / f"target_{case}.npz")
    labels = golden["labels"].astype(np.float64)  # computed in float32; case 6 is stored in float16
    within = 2e-6 if golden["labels"].dtype == np.float32 else 2.5e-4
    size = tuple(4 * side for side in labels.shape[1:])
    covers = [
        np.rint(golden[name].astype(np.float64) * 255).astype(np.uint8).repeat(4, axis=0).repeat(4, axis=1)
        for name in ("mask_all", "mask_miss")
    ]
    targets = encode_targets(
        labelled(golden["joints"]), *covers, size=size, stride=4, options=TargetOptions.original(), backend=backend
    )
    ours = np.concatenate([targets.limbs, targets.keypoints, targets.person, targets.brightest])
    np.testing.assert_allclose(ours, labels, rtol=0, atol=within)
    np.testing.assert_array_equal(targets.weights[0], golden["mask_miss"])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("case", [0, 1])
def test_part_a_number_for_number(data, case, backend):
    golden = np.load(data / "simple_pose" / "parta_targets.npz")
    labels, mask = golden[f"case{case}_labels_hwc"].transpose(2, 0, 1), golden[f"case{case}_mask_hw"]
    targets = encode_targets(
        labelled(golden[f"case{case}_joints"]), size=(368, 368), stride=8, parts=BodyParts.of(BODY_A),
        options=TargetOptions.original("A"), backend=backend,
    )  # fmt: skip
    ours = np.concatenate([targets.limbs, targets.keypoints, 1 - targets.brightest]) * mask
    np.testing.assert_allclose(ours, labels, rtol=0, atol=1e-5 if backend == "cpu" else 1e-6)  # stored in float32


def test_a_crossing_person_halves_a_limb_in_the_original_alone():
    a = [[100, 20, 2], [100, 100, 2]]
    b = [[20, 60, 2], [180, 60, 2]]
    c = [[70, 22, 2], [180, 98, 2]]  # whose box covers this place on a, and whose own limb is elsewhere
    for options, shares in ((TargetOptions.original(), (1, 0.51)), (TargetOptions(), (1, 1))):
        alone, *others = (
            encode_targets(array(people), size=(120, 200), stride=4, parts=BodyParts.of(PAIR), options=options)
            for people in ([a], [a, b], [a, c])
        )
        for other, share in zip(others, shares, strict=True):
            assert other.limbs[0, 21, 24] / alone.limbs[0, 21, 24] == pytest.approx(share, abs=0.01)
