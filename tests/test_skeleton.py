"""`Skeleton`: COCO's, any other, its mirror image, and what is no skeleton."""

import dataclasses
import json
import pickle
import re

import pytest
from scenes import skeleton

from personlab import COCO_PERSON, MPII_PERSON, POSETRACK_PERSON, Skeleton


def test_coco_person_has_coco_s_names_and_sigmas():
    from pycocotools.cocoeval import Params

    assert COCO_PERSON.n_keypoints == 17
    assert COCO_PERSON.sigmas == pytest.approx(Params("keypoints").kpt_oks_sigmas.tolist())
    assert COCO_PERSON.names == (
        "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
        "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
        "right_ankle",
    )  # fmt: skip


def test_coco_person_has_the_edges_of_the_published_networks():
    assert COCO_PERSON.edges == (
        (0, 1), (1, 3), (0, 2), (2, 4), (0, 5), (5, 7), (7, 9), (5, 11), (11, 13), (13, 15), (0, 6), (6, 8), (8, 10),
        (6, 12), (12, 14), (14, 16),
    )  # fmt: skip
    assert COCO_PERSON.n_edges == 16
    assert len(COCO_PERSON.directed_edges) == 32


def test_coco_person_s_mirror_image_exchanges_left_and_right():
    for name, mirror in zip(COCO_PERSON.names, COCO_PERSON.flip, strict=True):
        swapped = name.replace("left", "?").replace("right", "left").replace("?", "right")
        assert COCO_PERSON.names[mirror] == swapped


def test_directed_edges_run_forward_then_backward():
    assert skeleton(3, [(0, 1), (2, 1)]).directed_edges == ((0, 1), (2, 1), (1, 0), (1, 2))


def test_directed_flip_finds_the_mirror_image_of_each_edge():
    # a in the middle, b and c mirror images of each other; edges a-b, c-a, b-c.
    people = skeleton(3, [(0, 1), (2, 0), (1, 2)], flip=(0, 2, 1))
    # a>b is mirrored to a>c, which is c-a backward: 3 + 1 = 4; c>a to b>a = 3; b>c to c>b = 5; and back.
    assert people.directed_flip == (4, 3, 5, 1, 0, 2)
    assert sorted(COCO_PERSON.directed_flip) == list(range(32))
    for e, f in enumerate(COCO_PERSON.directed_flip):
        assert COCO_PERSON.directed_flip[f] == e


def test_directed_flip_needs_the_mirror_image_to_be_an_edge():
    with pytest.raises(ValueError, match=r"edges: \(0, 2\) is the mirror image of an edge but no edge itself"):
        _ = skeleton(3, [(0, 1)], flip=(0, 2, 1)).directed_flip


def test_equal_skeletons_are_equal_and_hash_alike():
    assert skeleton(3, [(0, 1)]) == skeleton(3, [[0, 1]])
    assert hash(skeleton(3, [(0, 1)])) == hash(skeleton(3, [[0, 1]]))
    assert skeleton(3, [(0, 1)]) != skeleton(3, [(1, 0)])


def test_pickling_leaves_the_core_s_copy_behind():
    assert COCO_PERSON.native is COCO_PERSON.native
    other = pickle.loads(pickle.dumps(COCO_PERSON))
    assert other == COCO_PERSON
    assert other.directed_flip == COCO_PERSON.directed_flip


def test_skeletons_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        COCO_PERSON.names = ()


GOOD = {"names": ("a", "b"), "edges": ((0, 1),), "sigmas": (0.1, 0.2), "flip": (1, 0)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"names": ()}, "names: expected at least one"),
        ({"names": ("a", "a")}, "names: .*no name twice, got"),
        ({"sigmas": (0.1,)}, "sigmas: expected 2 entries, one per name, got 1"),
        ({"sigmas": (0.1, 0)}, "sigmas: expected numbers from 1e-6 to 1e6, got"),
        ({"sigmas": (0.1, float("nan"))}, "sigmas: expected numbers from 1e-6 to 1e6, got"),
        ({"flip": (0,)}, "flip: expected 2 entries, one per name, got 1"),
        ({"flip": (1, 1)}, "flip: expected each index to be its mirror's mirror, got"),
        ({"flip": (0, 2)}, "flip: expected each index to be its mirror's mirror, got"),
        ({"edges": ((0, 2),)}, r"edges: expected pairs of two different indices in 0..1, got \(0, 2\)"),
        ({"edges": ((-1, 0),)}, r"edges: expected .*, got \(-1, 0\)"),
        ({"edges": ((1, 1),)}, r"edges: expected .*, got \(1, 1\)"),
        ({"names": None}, "names: expected a list of texts, got None"),
        ({"names": "ab"}, "names: expected a list of texts, got 'ab'"),
        ({"names": (1, 2)}, "names: expected a list of texts, got"),
        ({"edges": None}, "edges: expected a list of pairs of integers, got None"),
        ({"edges": ((0,),)}, "edges: expected a list of pairs of integers, got"),
        ({"edges": ((0.5, 1),)}, "edges: expected a list of pairs of integers, got"),
        ({"edges": "x"}, "edges: expected a list of pairs of integers, got 'x'"),
        ({"sigmas": ("a", "b")}, "sigmas: expected a list of numbers, got"),
        ({"sigmas": (0.1, 10**400)}, "sigmas: expected a list of numbers, got"),
        ({"sigmas": 0.1}, "sigmas: expected a list of numbers, got 0.1"),
        ({"flip": None}, "flip: expected a list of integers, got None"),
        ({"flip": ("x", 1)}, "flip: expected a list of integers, got"),
    ],
)
def test_what_is_no_skeleton_is_named(changes, message):
    Skeleton(**GOOD)
    with pytest.raises((TypeError, ValueError), match=message):
        Skeleton(**{**GOOD, **changes})


def test_arguments_go_by_name():
    with pytest.raises(TypeError):
        Skeleton(*GOOD.values())
    with pytest.raises(TypeError, match="joints"):
        Skeleton(**GOOD, joints=())


@pytest.mark.parametrize(("skeleton", "name"), [(MPII_PERSON, "mpii"), (POSETRACK_PERSON, "posetrack")])
def test_skeletons_of_other_data_sets(data, skeleton, name):
    meta = json.loads((data / "top_down" / f"meta_{name}.json").read_text())
    short = [re.sub(r"^(l|r)_", lambda side: {"l": "left_", "r": "right_"}[side[1]], one) for one in meta["names"]]
    assert skeleton.names == tuple(one.replace("throax", "thorax") for one in short)
    pairs = {(min(pair), max(pair)) for pair in meta["symmetry"]}
    if name == "posetrack":
        pairs |= {(3, 4)}  # the original exchanges all but the ears
    assert {(k, mirror) for k, mirror in enumerate(skeleton.flip) if k < mirror} == pairs
    assert len(skeleton.edges) == skeleton.n_keypoints - 1
    assert {k for edge in skeleton.edges for k in edge} == set(range(skeleton.n_keypoints))
    assert len(skeleton.directed_flip) == 2 * len(skeleton.edges)  # a mirrored skeleton is the same
    shared = [k for k, one in enumerate(skeleton.names) if one in COCO_PERSON.names]
    assert [skeleton.sigmas[k] for k in shared] == [
        COCO_PERSON.sigmas[COCO_PERSON.names.index(skeleton.names[k])] for k in shared
    ]
