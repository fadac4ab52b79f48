"""The published training's samples, from COCO's annotations to targets, number for number; and what was repaired."""

from __future__ import annotations

import contextlib
import io
import json

import numpy as np
import pytest

from personlab.methods.simple_pose.parts import BODY, COCO_PARTS
from personlab.methods.simple_pose.people import map_keypoints
from personlab.methods.simple_pose.samples import (
    SampleView,
    choose_main_people,
    image_masks,
    sample_affine,
    warp_mask,
)
from personlab.methods.simple_pose.target_options import TargetOptions
from personlab.methods.simple_pose.targets import encode_targets

CASES = (
    "target_1_single_plain", "target_2_people_none", "target_3_crowd_mask", "target_4_unlabelled_mask",
    "target_5_many_flip", "target_6_many_512",
)  # fmt: skip


@pytest.fixture(scope="module")
def coco(data):
    from pycocotools.coco import COCO

    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(data / "coco-mini" / "annotations" / "person_keypoints.json"))


@pytest.mark.parametrize("case", CASES)
def test_from_annotations_to_targets(data, coco, case):
    golden = np.load(data / "simple_pose" / f"{case}.npz")
    how = json.loads((data / "simple_pose" / "target_params.json").read_text())[case]
    listed = coco.loadAnns(coco.getAnnIds(imgIds=[how["coco_image_id"]]))
    boxes, areas = np.array([one["bbox"] for one in listed]), np.array([one["area"] for one in listed])
    crowd = np.array([bool(one["iscrowd"]) for one in listed])
    counts = np.array([one["num_keypoints"] for one in listed])
    assert choose_main_people(boxes, areas, counts, original=True) == how["main_people"]
    first, size = how["main_person_index_in_annotations"], how["size"]
    view = SampleView(how["degree"], tuple(how["shift"]), how["scale"], how["flip"])
    affine = sample_affine(boxes[first], view, size=size)
    np.testing.assert_allclose(affine, golden["affine"], rtol=0, atol=1e-9)

    order = [first, *(i for i in range(len(listed)) if i != first and counts[i] and not crowd[i])]
    people = np.array([listed[i]["keypoints"] for i in order], np.float64).reshape(-1, 17, 3)
    joints = map_keypoints(people, COCO_PARTS)
    known = golden["joints_before"][..., 2] < 2
    np.testing.assert_array_equal(joints[..., 2] > 0, known)
    np.testing.assert_allclose(joints[known][:, :2], golden["joints_before"][known][:, :2], atol=1e-9)
    joints[..., :2] = joints[..., :2] @ affine[:, :2].T + affine[:, 2]
    if how["flip"]:
        joints = joints[:, list(BODY.flip)]
    known = golden["joints"][..., 2] < 2
    np.testing.assert_array_equal(joints[..., 2] > 0, known)
    np.testing.assert_allclose(joints[known][:, :2], golden["joints"][known][:, :2], rtol=0, atol=1e-9)

    shown, counted = image_masks(np.stack([coco.annToMask(one) for one in listed]) > 0, crowd, counts)
    targets = encode_targets(
        joints, warp_mask(shown, affine, size, outside=False), warp_mask(counted, affine, size, outside=True),
        size=(size, size), stride=4, options=TargetOptions.original(),
    )  # fmt: skip
    ours = np.concatenate([targets.limbs, targets.keypoints, targets.person, targets.brightest])
    within = 1e-6 if golden["labels"].dtype == np.float32 else 2.5e-4
    np.testing.assert_allclose(ours, golden["labels"], rtol=0, atol=within)
    np.testing.assert_array_equal(targets.weights[0], golden["mask_miss"])


def test_people_too_close_to_an_earlier_one_are_no_samples():
    # sides 100, 40 and 400; centres 35 apart: closer than 0.3 of 400, farther than 0.3 of 100
    boxes = np.array([[0, 0, 50, 100], [40, 10, 20, 80], [300, 0, 400, 400.0]])
    areas, labelled = np.array([5000, 1600, 90000]), np.array([17, 9, 4])
    assert choose_main_people(boxes, areas, labelled) == [0]  # 25 apart
    boxes[1, 0] = 50
    assert choose_main_people(boxes, areas, labelled) == [0, 1]  # 35 apart
    assert choose_main_people(boxes, areas, labelled, original=True) == [0]  # by the side of the last annotation
    assert choose_main_people(boxes, np.array([5000, 1023, 0]), labelled) == [0]
    assert choose_main_people(boxes[:0], areas[:0], labelled[:0]) == []
    with pytest.raises(ValueError, match=r"areas: expected shape \(n,\)"):
        choose_main_people(boxes, areas[:2], labelled)


def test_the_main_person_lies_in_the_middle_at_six_tenths_of_the_height():
    affine = sample_affine(np.array([10, 20, 30, 100.0]), size=201)
    corners = np.array([[25, 20], [25, 120], [25, 70.0]]) @ affine[:, :2].T + affine[:, 2]
    np.testing.assert_allclose(corners, [[100, 40], [100, 160], [100, 100]])
    turned = sample_affine(np.array([10, 20, 30, 100.0]), SampleView(degree=90, shift=(3, -2), flip=True), size=201)
    np.testing.assert_allclose(turned[:, :2] @ [25, 20] + turned[:, 2], [100 + 60 + 3, 100 - 2], atol=1e-9)


def test_a_crowd_and_people_without_keypoints_do_not_count():
    masks = np.zeros((4, 1, 6), bool)
    masks[0, 0, :3] = masks[1, 0, 2:5] = masks[2, 0, 3:4] = masks[3, 0, 5:] = True
    crowd, labelled = np.array([False, True, False, True]), np.array([5, 0, 3, 0])
    people, counted = image_masks(masks, crowd, labelled)
    np.testing.assert_array_equal(people, [[1, 1, 1, 1, 1, 1]])
    np.testing.assert_array_equal(counted, [[1, 1, 1, 0, 0, 0]])  # the crowd yields to people before it alone
    unlabelled = image_masks(masks, crowd, np.array([0, 0, 3, 0]))[1]
    np.testing.assert_array_equal(unlabelled, [[0, 0, 0, 0, 0, 0]])


def test_masks_are_read_between_pixels():
    mask = np.zeros((3, 5), bool)
    mask[1, 2] = True
    halved = warp_mask(mask, np.array([[1, 0, 0.5], [0, 1, 0.0]]), 5, outside=False)
    np.testing.assert_array_equal(halved[1], [0, 0, 128, 128, 0])
    np.testing.assert_array_equal(warp_mask(mask, np.eye(2, 3), 5, outside=True)[3:], np.full((2, 5), 255))
