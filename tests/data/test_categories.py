"""Which category is meant, whose keypoints they are, and what joins and mirrors them."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
from annotation_files import NAMES, PERSON, good, write

pytest.importorskip("cv2")
pytest.importorskip("pycocotools")

from personlab import COCO_PERSON, CROWDPOSE_PERSON, MPII_PERSON, POSETRACK_PERSON, Skeleton
from personlab.data.annotations import read_annotations
from personlab.data.category import check_joined, choose_category, keypoint_order, skeleton_of
from personlab.data.images import CocoImages
from personlab.data.sides import find_flip, unpaired_sides
from personlab.metrics.coco import average_precision, load_annotations


def entry(number, name, *, keypoints=True):
    return {"id": number, "name": name, **({"keypoints": NAMES} if keypoints else {})}


@pytest.mark.parametrize(
    ("categories", "counts", "name", "number"),
    [
        ([entry(1, "person")], {1: 5}, "person", 1),
        ([entry(1, "person")], {}, "person", 1),
        ([entry(0, "person", keypoints=False), entry(1, "person")], {1: 5}, "person", 1),
        ([entry(1, "person"), entry(0, "person", keypoints=False)], {1: 5, 0: 9}, "person", 1),
        ([entry(1, "person"), entry(2, "person")], {2: 5}, "person", 2),
        ([entry(1, "person", keypoints=False), entry(2, "person", keypoints=False)], {2: 5}, "person", 2),
        ([entry(1, "person", keypoints=False), entry(2, "dog")], {1: 5, 2: 5}, "person", 1),
        ([entry(1, "person", keypoints=False), entry(2, "dog")], {1: 5, 2: 5}, "dog", 2),
        ([entry(1, "person"), entry(2, "person")], {1: 5, 2: 5}, "2", 2),
        ([entry(7, "dog"), entry(8, "boat", keypoints=False)], {7: 1, 8: 9}, "person", 7),
        ([entry(7, "dog"), entry(8, "cat")], {8: 1}, "person", 8),
        ([entry(7, "dog")], {}, "person", 7),
        ([entry(7, "8"), entry(8, "cat")], {7: 1, 8: 1}, "8", 7),
    ],
)
def test_one_category_has_the_name_keypoints_and_annotations(categories, counts, name, number):
    assert choose_category(categories, counts, name)["id"] == number


@pytest.mark.parametrize(
    ("categories", "counts", "message"),
    [
        (
            [entry(1, "person"), entry(2, "person")], {1: 5, 2: 5},
            "expected one category 'person', got 'person' (number 1), 'person' (number 2): --category, or --data.cat",
        ),
        (
            [entry(7, "dog"), entry(8, "cat")], {7: 1, 8: 1},
            "expected one category 'person', got 'dog' (number 7), 'cat' (number 8): --category, or --data.category in",
        ),
        ([entry(7, "dog"), entry(8, "cat")], {}, "expected one category 'person', got 'dog' (number 7), 'cat'"),
        ([entry(8, "boat", keypoints=False)], {8: 3}, "expected a category 'person', got boat, without keypoints"),
        ([], {}, "expected a category 'person', got none, without keypoints"),
    ],
)  # fmt: skip
def test_no_category_or_several_are_told_of(categories, counts, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        choose_category(categories, counts, "person")


def test_training_and_evaluation_take_the_same_category(tmp_path):
    content = good()
    content["categories"] = [{"id": 0, "name": "person", "supercategory": "none"}, PERSON, {"id": 9, "name": "boat"}]
    path, images = write(tmp_path, content)
    assert CocoImages(path, images).skeleton.names == tuple(NAMES)
    assert read_annotations(path).category["id"] == 1
    index = load_annotations(str(path))
    result = {"image_id": 3, "category_id": 1, "keypoints": content["annotations"][0]["keypoints"], "score": 1.0}
    assert average_precision(index, [result], "keypoints", sigmas=[0.05] * 3).recall == 0.5


@pytest.mark.parametrize(
    ("categories", "message"),
    [
        ([{"name": "person"}], "categories[0]: id: expected an integer, got none"),
        ([{"id": 1}], "categories[0]: name: expected text, got none"),
        ([{"id": 1, "name": 5}], "categories[0]: name: expected text, got 5"),
        ([PERSON, {"id": 1, "name": "dog"}], "categories[1]: id: expected a number that comes once, got 1 again"),
        ([{**PERSON, "keypoints": "nose"}], "category 'person': keypoints: expected a list of names, got \"nose\""),
        ([{**PERSON, "keypoints": [1, 2, 3]}], "category 'person': keypoints: expected a list of names, got a list"),
        ([{**PERSON, "keypoints": ["a", "a", "b"]}], "category 'person': names: expected at least one and no name tw"),
        ([{**PERSON, "sigmas": [0.1]}], "category 'person': sigmas: expected 3 entries"),
        ([{**PERSON, "sigmas": ["0.1"] * 3}], "category 'person': expected a list of numbers as sigmas, got \"0.1\""),
        ([{**PERSON, "sigmas": [10**400] * 3}], "category 'person': expected a list of numbers as sigmas, got one of"),
    ],
)
def test_what_is_wrong_with_a_category_is_one_line(tmp_path, categories, message):
    path, images = write(tmp_path, {**good(), "categories": categories})
    with pytest.raises(ValueError, match=f"^{re.escape(f'{path}: {message}')}"):
        CocoImages(path, images)


SKELETON = "category 'person': skeleton: expected pairs of two keypoints, numbers from 1 to 3 or names, got "
PIECES = "category 'person': skeleton: expected edges, pairs of numbers from 1, that join all 3 keypoints, got "


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ([], f"{PIECES}0 that leave 3 pieces"),
        (None, f"{PIECES}0 that leave 3 pieces"),
        (
            [[1, 2]],
            f"{PIECES}1 that leave 2 pieces, each of which would be decoded as a person of its own: nose",
        ),
        ([[0, 1], [0, 2]], f"{SKELETON}0: COCO counts from 1"),
        ([[1, 2], [1, 4]], f"{SKELETON}4"),
        ([[1, 2], [2, 2]], f"{SKELETON}'left_hand' twice"),
        ([[1, 2], [1, 2, 3]], f"{SKELETON}a list of 3"),
        ([[1, 2], 3], f"{SKELETON}3"),
        ([["nose", "tail"]], f'{SKELETON}"tail"'),
        ("1 2", f'{SKELETON}"1 2"'),
        ([[1.5, 2]], f"{SKELETON}1.5"),
        ([[True, 2]], f"{SKELETON}true"),
        ([[10**400, 2]], f"{SKELETON}1000"),
    ],
)
def test_edges_that_do_not_join_are_refused(tmp_path, edges, message):
    path, images = write(tmp_path, {**good(), "categories": [{**PERSON, "skeleton": edges}]})
    for read in (lambda: CocoImages(path, images), lambda: read_annotations(path).skeleton()):
        with pytest.raises(ValueError, match=f"^{re.escape(f'{path}: {message}')}"):
            read()


def test_edges_count_once_and_may_be_named():
    skeleton = skeleton_of({**PERSON, "skeleton": [["nose", "left_hand"], [2, 1], [1, 3], [1.0, 3.0]]})
    assert sorted(skeleton.edges) == [(0, 1), (0, 2)]
    check_joined(PERSON, skeleton)


def test_one_keypoint_needs_no_edge():
    check_joined(PERSON, skeleton_of({"name": "person", "keypoints": ["head"]}))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("left_eye", "right_eye"), ("eye-left", "eye-right"), ("leftEye", "rightEye"), ("eyeLeft", "eyeRight"),
        ("LShoulder", "RShoulder"), ("LSho", "RSho"), ("EyeL", "EyeR"), ("l.eye", "r.eye"), ("eye_l", "eye_r"),
        ("1_left_eye", "1_right_eye"), ("1_left_eye", "2_right_eye"), ("01-lEye", "02-rEye"), ("eye 1 L", "eye 1 R"),
        ("LEFT_EYE", "RIGHT_EYE"), ("Left Eye", "Right Eye"), ("leftEye2", "rightEye2"), ("left", "right"), ("L", "R"),
        ("lefteye", "righteye"), ("EYELEFT", "EYERIGHT"), ("leye", "reye"), ("front_left_paw", "front_right_paw"),
        ("leftFrontPaw", "rightFrontPaw"), ("L_F_Paw", "R_F_Paw"), ("left1", "right1"), ("hand.left.3", "hand.right.3"),
        ("Left_eye", "right_Eye"), ("eye(left)", "eye(right)"), ("left/eye", "right/eye"), ("x_left", "x_right"),
    ],
)  # fmt: skip
def test_sides_are_found_however_they_are_spelled(left, right):
    names = ["nose", right, "tail", left]
    assert find_flip(names) == (0, 3, 2, 1)
    assert unpaired_sides(names, find_flip(names)) == []


def test_numbers_tell_pairs_apart():
    names = [
        "left_rib_1",
        "left_rib_2",
        "right_rib_2",
        "right_rib_1",
        "1_left_ear",
        "2_left_ear",
        "2_right_ear",
        "1_right_ear",
    ]
    assert find_flip(names) == (3, 2, 1, 0, 7, 6, 5, 4)


def test_words_that_only_look_like_sides_are_none():
    names = ["leftover", "rightmost", "lip", "rim", "rear", "leg", "upright", "cleft", "collar", "l_point", "r_mark"]
    assert find_flip(names) == tuple(range(len(names)))


def test_a_side_without_its_other_is_told():
    names = ["left_eye", "nose", "earRight", "LHip", "tail_r", "leftover", "left_paw", "right_paw"]
    flip = find_flip(names)
    assert flip == (0, 1, 2, 3, 4, 5, 7, 6)
    assert unpaired_sides(names, flip) == ["left_eye", "earRight", "LHip", "tail_r"]


@pytest.mark.parametrize("pairs", [[[1, 4], [2, 3]], [["a", "d"], ["b", "c"]], [["d", 1], [3.0, "b"]]])
def test_a_category_may_state_its_pairs(pairs):
    category = {"name": "thing", "keypoints": ["a", "b", "c", "d", "left_e", "right_e"], "flip_pairs": pairs}
    assert skeleton_of(category).flip == (3, 2, 1, 0, 4, 5)


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (
            [[0, 1]],
            "flip_pairs: expected pairs of two keypoints, numbers from 1 to 3 or names, got 0: COCO counts from 1",
        ),
        ([["nose", "tail"]], 'flip_pairs: expected pairs of two keypoints, numbers from 1 to 3 or names, got "tail"'),
        ([[1, 2], [2, 3]], "flip: expected each index to be its mirror's mirror"),
        (5, "flip_pairs: expected pairs of two keypoints, numbers from 1 to 3 or names, got 5"),
    ],
)
def test_pairs_that_are_none_are_refused(pairs, message):
    with pytest.raises(ValueError, match=re.escape(f"category 'person': {message}")):
        skeleton_of({**PERSON, "flip_pairs": pairs})


def network_of(*names):
    return Skeleton(names=names, edges=(), sigmas=(0.1,) * len(names), flip=tuple(range(len(names))))


@pytest.mark.parametrize(
    ("names", "order"),
    [
        (["nose", "left_hand", "right_hand"], [0, 1, 2]),
        (["right_hand", "nose", "left_hand"], [1, 2, 0]),
        (["Nose", "handLeft", "RHand"], [0, 1, 2]),
        (["R_hand", "nose", "L_hand"], [1, 2, 0]),
        ([], None),
    ],
)
def test_keypoints_are_matched_by_name(names, order):
    assert keypoint_order({"name": "person", "keypoints": names}, network_of(*NAMES)) == order


def test_names_that_differ_in_spelling_alone_stay_apart():
    names = ["left_eye", "eye_left", "nose"]
    assert keypoint_order({"keypoints": names[::-1]}, network_of(*names)) == [2, 1, 0]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["nose", "left_hand"], "expected the network's 3 keypoints, got 2"),
        (["nose", "left_hand", "tail"], "got 'tail' where its keypoint 3 is 'right_hand'"),
        (
            ["k0", "k1", "k2"],
            "category 'person': expected the network's keypoints in any order, got 'k0' where its keypoi",
        ),
        (["nose", "left_hand", "left_hand"], "got 'left_hand' where its keypoint 3 is 'right_hand'"),
        (["left_hand", "nose", "nose"], "got 'left_hand' where its keypoint 1 is 'nose'"),
    ],
)
def test_other_keypoints_than_the_networks_are_named(names, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        keypoint_order({"name": "person", "keypoints": names}, network_of(*NAMES))


def test_annotations_come_in_the_order_of_the_network(tmp_path):
    read = read_annotations(write(tmp_path, good())[0])
    moved = read.of_skeleton(network_of("right_hand", "nose", "left_hand"))
    np.testing.assert_array_equal(moved.people[0].keypoints, read.people[0].keypoints[[2, 0, 1]])
    assert moved.category["keypoints"] == ["right_hand", "nose", "left_hand"]
    with pytest.raises(ValueError, match=r"a\.json: expected the network's 17 keypoints, got 3"):
        read.of_skeleton(COCO_PERSON)


def test_a_given_skeleton_takes_its_keypoints_by_name(tmp_path):
    path, images = write(tmp_path, good())
    given = network_of("right_hand", "nose", "left_hand")
    first, again = (CocoImages(path, images, skeleton=one).load(0).people for one in (None, given))
    np.testing.assert_array_equal(again.keypoints, first.keypoints[:, [2, 0, 1]])
    unknown = CocoImages(path, images, skeleton=network_of("a", "b", "c")).load(0).people
    np.testing.assert_array_equal(unknown.keypoints, first.keypoints)


@pytest.mark.parametrize("known", [COCO_PERSON, CROWDPOSE_PERSON, MPII_PERSON, POSETRACK_PERSON])
def test_data_sets_have_their_own_skeletons_whatever_edges_their_files_list(known):
    """Those of PoseTrack and CrowdPose list COCO's edges: without mirror image, or of keypoints that they lack."""
    coco = [[16, 14], [14, 12], [17, 15], [15, 13], [12, 13], [6, 12], [7, 13], [6, 7], [6, 8], [7, 9], [8, 10]]
    category = {"name": "person", "keypoints": list(known.names), "skeleton": coco}
    assert skeleton_of(category) is known
    sigmas = [0.1] * known.n_keypoints
    assert skeleton_of({**category, "sigmas": sigmas}) == dataclasses.replace(known, sigmas=sigmas)
    assert len(known.directed_flip) == 2 * (known.n_keypoints - 1)
    with pytest.raises(ValueError, match="expected pairs of two keypoints, numbers from 1 to 2 or names, got 16"):
        skeleton_of({"name": "person", "keypoints": ["a", "b"], "skeleton": coco})
