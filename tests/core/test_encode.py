"""Training targets: by hand, then the core against the reference, then back through the decoder."""

import numpy as np
import pytest
from backends import Backend
from scenes import PAIR, SKELETONS, array, decode_options, people_keypoints, skeleton

from personlab import COCO_PERSON, decode_masks, decode_poses, encode_targets
from personlab.options import MaskOptions

ONE = skeleton(1)


def encode(keypoints, masks, backend, *, size, stride=1, people=ONE, disk_radius=2.5, **more):
    how = {"size": size, "stride": stride, "skeleton": people, "disk_radius": disk_radius, **more}
    return backend.run("encode_targets", array(keypoints), masks, **how)


# a at (3.5, 2), b at (7, 2); cells at x = 0, 2, 4, 6, 8 and y = 0, 2, 4. R = 2.5.
TWO_KEYPOINTS = [[[3.5, 2, 2], [7, 2, 1]]]


def test_discs_short_and_mid_offsets(backend):
    targets = encode(TWO_KEYPOINTS, None, backend, size=(5, 9), stride=2, people=PAIR)
    # (2, 0) and (6, 2) lie exactly 2.5 from a.
    disc_a = array([[0, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 1, 1, 0, 0]])
    disc_b = array([[0, 0, 0, 1, 1]] * 3)
    np.testing.assert_array_equal(targets.heatmaps, [disc_a, disc_b])
    np.testing.assert_array_equal(targets.short_valid, [disc_a, disc_b])
    np.testing.assert_array_equal(targets.mid_valid, [disc_a, disc_b])
    np.testing.assert_allclose(targets.short_offsets[0, :, 1, 1], [1.5, 0])
    np.testing.assert_allclose(targets.short_offsets[0, :, 0, 2], [-0.5, 2])
    np.testing.assert_allclose(targets.short_offsets[1, :, 2, 4], [-1, -2])
    np.testing.assert_allclose(targets.mid_offsets[0, :, 1, 1], [5, 0])  # from (2, 2) to b
    np.testing.assert_allclose(targets.mid_offsets[0, :, 0, 2], [3, 2])
    np.testing.assert_allclose(targets.mid_offsets[1, :, 1, 3], [-2.5, 0])  # from (6, 2) to a
    assert targets.heatmap_valid.all()
    assert not targets.segmentation_valid.any()
    assert not targets.long_valid.any()
    assert targets.stride == 2


def test_the_nearest_keypoint_owns_a_pixel(backend):
    # |x - 1| against |x - 6|, R = 4: the first owns up to x = 3.
    targets = encode([[[1, 0, 2]], [[6, 0, 2]]], None, backend, size=(1, 8), disk_radius=4.0)
    np.testing.assert_array_equal(targets.heatmaps, [[[1] * 8]])
    np.testing.assert_allclose(targets.short_offsets[0, 0, 0], [1, 0, -1, -2, 2, 1, 0, -1])


@pytest.mark.parametrize(("order", "dx"), [([1, 5], -2), ([5, 1], 2)])
def test_the_first_person_owns_a_pixel_midway(backend, order, dx):
    targets = encode([[[x, 0, 2]] for x in order], None, backend, size=(1, 8), disk_radius=4.0)
    assert targets.short_offsets[0, 0, 0, 3] == dx


def test_mid_offsets_lead_to_the_owner_s_own_keypoint(backend):
    people = [[[1, 0, 2], [0, 0, 2]], [[6, 0, 2], [9, 0, 2]]]
    targets = encode(people, None, backend, size=(1, 10), people=PAIR, disk_radius=4.0)
    np.testing.assert_allclose(targets.mid_offsets[0, 0, 0, 2:6], [-2, -3, 5, 4])


def test_a_keypoint_without_label_is_not_there(backend):
    targets = encode([[[3.5, 2, 0], [7, 2, 1]]], None, backend, size=(5, 9), stride=2, people=PAIR)
    assert not targets.heatmaps[0].any()
    assert not targets.short_valid[0].any()
    assert not targets.mid_valid.any()  # one end alone
    assert targets.heatmaps[1].any()
    assert targets.short_valid[1].any()


def test_coordinates_of_a_keypoint_without_label_may_be_anything(backend):
    keypoints = [[[np.nan, np.inf, 0], [7, 2, 1]]]
    targets = encode(keypoints, np.ones((1, 5, 9), bool), backend, size=(5, 9), stride=2, people=PAIR)
    for field in ("heatmaps", "short_offsets", "mid_offsets", "long_offsets"):
        assert np.isfinite(getattr(targets, field)).all(), field


def test_masks_and_long_offsets(backend):
    mask = np.zeros((1, 5, 9), bool)
    mask[0, :3, :5] = True  # cells x = 0, 2, 4 of y = 0, 2
    targets = encode(TWO_KEYPOINTS, mask, backend, size=(5, 9), stride=2, people=PAIR)
    inside = array([[1, 1, 1, 0, 0]] * 2 + [[0] * 5])
    np.testing.assert_array_equal(targets.segmentation, [inside])
    np.testing.assert_array_equal(targets.long_valid, [inside, inside])
    np.testing.assert_allclose(targets.long_offsets[0, :, 1, 0], [3.5, 0])
    np.testing.assert_allclose(targets.long_offsets[1, :, 0, 2], [3, 2])
    assert targets.segmentation_valid.all()


def test_long_offsets_are_defined_on_one_person_s_mask_and_where_labelled(backend):
    masks = np.zeros((2, 1, 6), np.uint8)
    masks[0, 0, :4] = masks[1, 0, 2:] = 1
    keypoints = [[[0, 0, 2], [1, 0, 2]], [[5, 0, 2], [0, 0, 0]]]
    targets = encode(keypoints, masks, backend, size=(1, 6), people=PAIR)
    np.testing.assert_array_equal(targets.segmentation, [[[1] * 6]])
    np.testing.assert_array_equal(targets.long_valid[:, 0], [[1, 1, 0, 0, 1, 1], [1, 1, 0, 0, 0, 0]])
    np.testing.assert_allclose(targets.long_offsets[0, 0, 0], [0, -1, 0, 0, 1, 0])


def test_a_person_without_labels_masks_out_the_heatmaps(backend):
    masks = np.zeros((2, 1, 6), bool)
    masks[0, 0, :2] = masks[1, 0, 3:5] = True
    targets = encode([[[0, 0, 2]], [[4, 0, 0]]], masks, backend, size=(1, 6))
    np.testing.assert_array_equal(targets.heatmap_valid, [[[1, 1, 1, 0, 0, 1]]])
    np.testing.assert_array_equal(targets.segmentation, [[[1, 1, 0, 1, 1, 0]]])
    np.testing.assert_array_equal(targets.long_valid, [[[1, 1, 0, 0, 0, 0]]])
    assert targets.segmentation_valid.all()


def test_nothing_counts_on_a_crowd(backend):
    crowd = np.zeros((5, 9), bool)
    crowd[:, 4:] = True
    targets = encode(TWO_KEYPOINTS, np.ones((1, 5, 9), bool), backend, size=(5, 9), stride=2, people=PAIR, crowd=crowd)
    for name in ("heatmap_valid", "short_valid", "mid_valid", "segmentation_valid", "long_valid"):
        valid = getattr(targets, name)
        assert not valid[..., 2:].any(), name
    for name in ("heatmap_valid", "segmentation_valid", "long_valid"):
        assert getattr(targets, name)[..., :2].all(), name
    np.testing.assert_array_equal(targets.short_valid[0, :, :2], [[0, 1]] * 3)


def test_nobody(backend):
    targets = encode(np.zeros((0, 2, 3)), np.zeros((0, 5, 9), bool), backend, size=(5, 9), stride=2, people=PAIR)
    assert targets.heatmaps.shape == (2, 3, 5)
    assert targets.mid_offsets.shape == (2, 2, 3, 5)
    for name in ("heatmaps", "short_offsets", "mid_offsets", "segmentation", "long_offsets"):
        assert not getattr(targets, name).any(), name
    assert targets.heatmap_valid.all()
    assert targets.segmentation_valid.all()


def test_fields_are_sure_of_themselves():
    targets = encode_targets(array(TWO_KEYPOINTS), np.ones((1, 5, 9), bool), size=(5, 9), stride=2, skeleton=PAIR)
    fields = targets.to_fields(logit=3.0)
    np.testing.assert_array_equal(fields.heatmaps, np.where(targets.heatmaps == 1, 3, -3))
    np.testing.assert_array_equal(fields.segmentation, np.full((1, 3, 5), 3))
    assert fields.stride == 2
    assert fields.input_size == (9, 5)


def assert_equals_reference(backend, keypoints, masks, **more):
    targets, expected = (encode(keypoints, masks, one, **more) for one in (backend, Backend("reference")))
    for name in (
        "heatmaps",
        "segmentation",
        "heatmap_valid",
        "short_valid",
        "mid_valid",
        "segmentation_valid",
        "long_valid",
    ):
        np.testing.assert_array_equal(getattr(targets, name), getattr(expected, name), err_msg=name)
    for name in ("short_offsets", "mid_offsets", "long_offsets"):
        np.testing.assert_allclose(getattr(targets, name), getattr(expected, name), rtol=0, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("with_masks", [False, True])
@pytest.mark.parametrize(
    ("size", "stride"),
    [((33, 49), 8), ((17, 33), 16), ((30, 41), 1), ((37, 28), 3), ((1, 41), 8), ((33, 1), 8), ((1, 1), 8)],
)
@pytest.mark.parametrize("name", SKELETONS)
def test_equals_reference_on_random_people(compiled, name, size, stride, with_masks):
    people, rng = SKELETONS[name], np.random.default_rng(22)
    keypoints = np.empty((5, people.n_keypoints, 3))
    keypoints[..., :2] = rng.uniform(-0.3, 1.3, (5, people.n_keypoints, 2)) * size[::-1]
    keypoints[..., 2] = rng.choice([0, 1, 2], (5, people.n_keypoints), p=[0.4, 0.3, 0.3])
    keypoints[4, :, 2] = 0
    masks = rng.random((5, *size)) < 0.3 if with_masks else None
    crowd = rng.random(size) < 0.1 if with_masks else None
    assert_equals_reference(
        compiled, keypoints, masks, size=size, stride=stride, people=people, disk_radius=8.0, crowd=crowd
    )


def test_the_way_past_an_unlabelled_keypoint_is_encoded():
    # a - b - c with b unlabelled: from a the edges still lead to c.
    people = skeleton(3, [(0, 1), (1, 2)], sigma=0.1)
    keypoints = array([[[40.25, 60.5, 2], [0, 0, 0], [150.75, 90, 2]]])
    fields = encode_targets(keypoints, None, size=(129, 193), stride=8, skeleton=people).to_fields()
    options = decode_options(hough_stride=1, disk_radius=32.0, vote_threshold=0.1, nms_radius=10.0, min_score=0.1)
    poses = decode_poses(
        fields.heatmaps, fields.short_offsets, fields.mid_offsets, stride=8, skeleton=people, options=options
    )
    assert len(poses) == 1
    np.testing.assert_allclose(poses.keypoints[0, [0, 2]], keypoints[0, [0, 2], :2], atol=1)


def test_encoded_people_come_back_with_their_masks():
    rng = np.random.default_rng(23)
    size = 193, 385
    keypoints = people_keypoints([(100, 96), (290, 96)], COCO_PERSON, rng, size=40)
    masks = np.zeros((2, *size), bool)
    masks[0, 30:170, 40:160] = masks[1, 30:170, 230:350] = True
    fields = encode_targets(keypoints, masks, size=size, stride=8).to_fields()
    options = decode_options(hough_stride=1, disk_radius=32.0, vote_threshold=0.1, nms_radius=10.0)
    poses = decode_poses(fields.heatmaps, fields.short_offsets, fields.mid_offsets, stride=8, options=options)
    assert len(poses) == 2
    found = decode_masks(
        poses, fields.segmentation, fields.long_offsets, stride=8, size=size,
        options=MaskOptions(mask_threshold=0.5, distance_threshold=0.25, long_refine_steps=0),
    )  # fmt: skip
    order = np.argsort(poses.boxes[:, 0])
    for person, mask in zip(order, masks, strict=True):
        overlap = (found[person] & mask).sum() / (found[person] | mask).sum()
        assert overlap > 0.9, overlap
    assert not (found[0] & found[1]).any()
