"""Decoding of maps as a whole: the core against the reference, any threads and instruction set, any input."""

import json
import pickle
from dataclasses import fields, replace

import numpy as np
import pytest
from agreement import assert_same_bytes, assert_same_poses
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pose_maps import crowd, perfect_maps, random_maps, small_parts
from processes import run_with_isa, runnable_isas
from scenes import skeleton

from personlab import BodyParts, Poses, SimplePoseOptions, decode_simple_pose
from personlab.methods.simple_pose.backends import reference
from personlab.methods.simple_pose.backends.reference.peaks import to_single
from personlab.methods.simple_pose.grid import MapGrid
from personlab.methods.simple_pose.parts import BODY, COCO_PARTS
from personlab.methods.simple_pose.stages import decode_steps
from personlab.metrics.coco import average_precision, load_annotations

PARTS = small_parts()
OPTIONS = {
    "default": SimplePoseOptions(min_score=0.0),
    "strict": SimplePoseOptions(min_keypoints=2, max_reach=1.5, max_peaks=9, max_samples=5, merge_ratio=0.9),
    "centroid": SimplePoseOptions(position="centroid", box_radius=2, length_ratio=2.0, max_samples=40, max_reach=1.2),
    "part_b": SimplePoseOptions.original(box_radius=1),
    "resolved": SimplePoseOptions.original(resolve_shared=True, min_support=0.5, length_ratio=3.0),
    "demo": SimplePoseOptions.original(demo=True, min_keypoints=2),
    "part_a": SimplePoseOptions.original("A", min_support=0.5, peak_threshold=0.02),
}
GRIDS = (  # h, w, stride, input size, size of the image
    (12, 17, 1, (12, 17), (12, 17)), (9, 14, 4, (33, 53), (40, 61)), (14, 9, 4, (56, 36), (31, 20)),
    (1, 9, 4, (4, 36), (4, 36)), (7, 1, 2, (14, 2), (21, 3)), (1, 1, 8, (5, 7), (5, 7)),
    (11, 13, 8, (81, 99), (50, 70)),
)  # fmt: skip
few = settings(derandomize=True, deadline=None, max_examples=25, database=None)


def reference_poses(steps, grid, options, parts=PARTS):
    keypoints, scores, probabilities, totals = reference.people_of(steps, grid=grid, parts=parts, options=options)
    return Poses(*map(to_single, (keypoints, scores, totals, probabilities)))


def core_poses(heat, limbs, grid, options, parts=PARTS):
    return decode_simple_pose(
        heat, limbs, stride=grid.stride, input_size=grid.input_size, size=grid.size, parts=parts, options=options
    )


def grid_of(case):
    h, w, stride, inner, size = case
    return h, w, MapGrid(stride=stride, input_size=inner, size=size)


def assert_same_steps(steps, expected):
    """Equal to the last bit, in float64: else what is tied or near a threshold would differ altogether."""
    for name, actual, wanted in zip(expected.peaks._fields, steps.peaks, expected.peaks, strict=True):
        np.testing.assert_array_equal(actual, wanted, err_msg=name)
    assert steps.connections == expected.connections
    assert [vars(body) for body in steps.bodies] == [vars(body) for body in expected.bodies]


def assert_agrees(heat, limbs, grid, options, parts=PARTS):
    poses = core_poses(heat, limbs, grid, options, parts)
    for name in ("keypoints", "keypoint_scores", "keypoint_probabilities", "scores"):
        assert np.isfinite(getattr(poses, name)).all(), name
    expected = reference.decode_steps([heat], [limbs], grids=[grid], parts=parts, options=options)
    where = {"stride": grid.stride, "input_size": grid.input_size, "size": grid.size}
    assert_same_steps(decode_steps(heat, limbs, **where, parts=parts, options=options), expected)
    assert_same_poses(poses, reference_poses(expected, grid, options, parts))
    return poses


# --- the core against the reference -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("case", GRIDS, ids=str)
def test_core_equals_reference_on_noise(case, name):
    h, w, grid = grid_of(case)
    for seed in range(3):
        assert_agrees(*random_maps(seed, PARTS, h, w), grid, OPTIONS[name])


@pytest.mark.parametrize("name", ["default", "strict", "centroid", "part_b"])
def test_core_equals_reference_on_people(name):
    heat, limbs, grid = perfect_maps(crowd(7, size=(60, 75), tall=45), (60, 75), height=160)
    assert len(assert_agrees(heat, limbs, grid, OPTIONS[name], COCO_PARTS)) >= 5


USUAL = np.array([0, 1, 0.1, -0.5, 3, np.nan, np.inf, -np.inf], np.float32)
NEAR = np.nextafter(np.float32(0.1), np.array([0, 1], np.float32))  # the threshold
UNUSUAL = np.array([3.4e38, -3.4e38, 1e38, 1e-45, -0.0, 0.1, *NEAR, np.nan], np.float32)


def mutated_maps(seed, h, w, smooth, values=USUAL, share=0.05, *, quarters=False):
    heat, limbs = random_maps(seed, PARTS, h, w, smooth=smooth)
    if quarters:  # many ties
        heat, limbs = np.round(heat * 4) / 4, np.round(limbs * 4) / 4
    rng = np.random.default_rng(seed)
    for maps in (heat, limbs):
        hit = rng.random(maps.shape) < share
        maps[hit] = rng.choice(values, hit.sum())
    return heat, limbs


# In the examples other people come of one operation with another rounding: of the enlargement and of Part A's filter
# where all columns are the same (so that only rounding makes a peak), and of placing samples where ends share a column.
@few
@given(st.integers(0, 2**20), st.sampled_from(sorted(OPTIONS)), st.sampled_from(GRIDS), st.floats(0.3, 3))
@example(575047, "part_a", GRIDS[4], 0.59)
@example(312920, "part_a", GRIDS[4], 2.35)
@example(526328, "part_a", GRIDS[6], 2.42)
@example(979581111, "part_b", GRIDS[4], 0.9793688826359959)
@example(1002711717, "part_b", GRIDS[4], 0.34421115865945173)
@example(2031948289, "demo", GRIDS[4], 1.6594575754802185)
@example(975813387, "resolved", GRIDS[4], 0.8273540984493524)
def test_core_equals_reference_on_mutated_maps(seed, name, case, smooth):
    h, w, grid = grid_of(case)
    assert_agrees(*mutated_maps(seed, h, w, smooth), grid, OPTIONS[name])


LOOSE = {
    "default": SimplePoseOptions(min_score=0, min_support=0.3, limb_threshold=0, peak_threshold=1e-9, max_samples=30),
    "box": SimplePoseOptions(min_score=0, position="centroid", box_radius=1, max_samples=12, merge_ratio=1),
    "part_b": SimplePoseOptions.original(min_score=0, position="parabola", peak_threshold=0.02),
    "thrown": SimplePoseOptions.original("A", min_score=0, position="centroid", box_radius=1, min_support=0.3),
}


@few
@given(
    st.integers(0, 2**20), st.sampled_from(sorted(LOOSE)), st.sampled_from(GRIDS), st.sampled_from([0.02, 0.3, 1.0]),
    st.booleans(),
)  # fmt: skip
def test_core_equals_reference_on_steps_huge_values_and_thresholds(seed, name, case, share, quarters):
    h, w, grid = grid_of(case)
    heat, limbs = mutated_maps(seed, h, w, 1.2, UNUSUAL, share, quarters=quarters)
    with np.errstate(over="ignore"):  # of differences between the largest numbers
        assert_agrees(heat, limbs, grid, LOOSE[name])


def test_many_pairs_are_told_as_few_are():
    """With many pairs of peaks, a look at which cells are occupied comes first: the same limbs."""
    parts = BodyParts.of(skeleton(2, [(0, 1)]))
    for seed in range(3):
        heat, limbs = random_maps(seed, parts, 40, 67, smooth=0.8)
        limbs -= 0.35
        grid = MapGrid.of(heat, "heat", 4)
        steps = [
            decode_steps(heat, limbs, parts=parts, options=SimplePoseOptions(min_score=0), backend=backend)
            for backend in ("cpu", "reference")
        ]
        assert (steps[0].peaks.keypoints == 0).sum() * (steps[0].peaks.keypoints == 1).sum() > 1024
        assert [one[:3] for one in steps[0].connections] == [one[:3] for one in steps[1].connections]
        assert len(steps[0].connections) > 20
        assert_agrees(heat, limbs, grid, SimplePoseOptions(min_score=0), parts)


def test_strictly_more_than_all_samples_support_no_limb():
    """The demo script wants more than the share: with a share of 1, no limb is one."""
    heat, limbs, grid = perfect_maps(crowd(2, size=(60, 75), tall=45), (60, 75), height=160)
    where = {"stride": grid.stride, "input_size": grid.input_size, "size": grid.size, "parts": COCO_PARTS}
    for own in ({}, {"demo": True}):
        options = SimplePoseOptions.original(min_support=1, limb_threshold=0, **own)
        steps, expected = (
            decode_steps(heat, limbs, **where, options=options, backend=backend) for backend in ("cpu", "reference")
        )
        assert_same_steps(steps, expected)
        assert (len(steps.connections) == 0) == bool(own)


def test_several_scales_equal_their_mean(host_backend):
    options = SimplePoseOptions.original(box_radius=1)
    grids = [MapGrid(stride=4, input_size=inner, size=(40, 61)) for inner in ((33, 53), (48, 73))]
    maps = [random_maps(5, PARTS, 9, 14), random_maps(6, PARTS, 13, 19)]
    whole = [
        np.mean([reference.enlarge(one[n].astype(float), grid) for one, grid in zip(maps, grids, strict=True)], 0)
        for n in (0, 1)
    ]
    expected = decode_steps(
        *(maps.astype(np.float32) for maps in whole), stride=1, parts=PARTS, options=options, backend="reference"
    )
    steps = decode_steps(
        [one[0] for one in maps], [one[1] for one in maps], stride=4, size=(40, 61), parts=PARTS, options=options,
        input_size=[grid.input_size for grid in grids], backend=host_backend,
    )  # fmt: skip
    assert len(steps.peaks.scores) > 5
    np.testing.assert_array_equal(steps.peaks.anchors, expected.peaks.anchors)
    np.testing.assert_allclose(steps.peaks.positions, expected.peaks.positions, atol=1e-5)


# --- threads, batches, instruction sets -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPTIONS)
def test_same_bytes_for_any_number_of_threads(name):
    heat, limbs = random_maps(3, PARTS, 26, 41)
    grid = MapGrid.of(heat, "heat", 4)
    one = core_poses(heat, limbs, grid, OPTIONS[name])
    batch = np.stack([heat, heat[:, ::-1].copy(), heat]), np.stack([limbs, limbs[:, ::-1].copy(), limbs])
    for threads in (2, 3, 5, 13):
        options = replace(OPTIONS[name], threads=threads)
        assert_same_bytes(core_poses(heat, limbs, grid, options), one)
        several = decode_simple_pose(*batch, stride=4, parts=PARTS, options=options)
        assert len(several) == 3
        assert_same_bytes(several[0], one)
        assert_same_bytes(several[2], one)


DIGEST = """
import hashlib, sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from personlab import SimplePoseOptions, decode_simple_pose
from pose_maps import random_maps, small_parts

digest, parts = hashlib.sha256(), small_parts()
for seed in range(4):
    heat, limbs = random_maps(seed, parts, 23, 37)
    heat[np.random.default_rng(seed).random(heat.shape) < 0.02] = np.nan
    for dtype in (np.float32, np.float16):
        for options in (SimplePoseOptions(min_score=0), SimplePoseOptions.original()):
            poses = decode_simple_pose(heat.astype(dtype), limbs.astype(dtype), parts=parts, options=options)
            assert len(poses)
            for array in (poses.keypoints, poses.keypoint_scores, poses.keypoint_probabilities, poses.scores):
                digest.update(array.tobytes())
print(digest.hexdigest())
"""


def test_same_bytes_from_every_instruction_set():
    from processes import SUPPORT

    results = [run_with_isa(DIGEST, name, str(SUPPORT)) for name in runnable_isas()]
    assert all(result.returncode == 0 for result in results), results
    assert len({result.stdout for result in results}) == 1


# --- element types, containers, values --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["default", "part_b"])
def test_16_bits_decode_as_the_same_numbers_in_32(name):
    torch = pytest.importorskip("torch")
    maps = [torch.from_numpy(array) for array in random_maps(4, PARTS, 20, 31)]
    for dtype in (torch.float16, torch.bfloat16):
        small = [array.to(dtype) for array in maps]
        wide = [array.float().numpy() for array in small]
        poses = decode_simple_pose(*small, parts=PARTS, options=OPTIONS[name])
        assert len(poses) > 3
        assert_same_bytes(poses, decode_simple_pose(*wide, parts=PARTS, options=OPTIONS[name]))
        mixed = decode_simple_pose(small[0], wide[1], parts=PARTS, options=OPTIONS[name])
        assert_same_bytes(mixed, poses)


def test_strided_and_read_only_arrays():
    heat, limbs = random_maps(4, PARTS, 20, 31)
    expected = decode_simple_pose(heat, limbs, parts=PARTS)
    wide = np.zeros((*heat.shape[:2], 62), np.float32)
    wide[..., ::2] = heat
    heat.flags.writeable = limbs.flags.writeable = False
    for one in (heat, wide[..., ::2], np.asfortranarray(heat)):
        assert_same_bytes(decode_simple_pose(one, limbs, parts=PARTS), expected)
    with pytest.raises(TypeError, match="keypoint_maps: expected float32, float16 or bfloat16, got >f4"):
        decode_simple_pose(heat.astype(">f4"), limbs, parts=PARTS)


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize(
    "values", [(np.nan,), (np.inf, -np.inf), (3.4e38, -3.4e38), (1e38, np.nan, -1e38, 1e-45)], ids=str
)
def test_no_value_reaches_the_output(values, name):
    for seed, case in enumerate(GRIDS):
        h, w, grid = grid_of(case)
        for share in (0.1, 1.0):
            rng = np.random.default_rng(seed)
            heat, limbs = random_maps(seed, PARTS, h, w)
            for maps in (heat, limbs):
                hit = rng.random(maps.shape) < share
                maps[hit] = rng.choice(np.array(values, np.float32), hit.sum())
            poses = core_poses(heat, limbs, grid, OPTIONS[name])
            for field in ("keypoints", "keypoint_scores", "keypoint_probabilities", "scores"):
                assert np.isfinite(getattr(poses, field)).all(), field
            if name in ("default", "strict", "centroid"):
                assert poses.keypoints.min(initial=0) >= 0
                assert (poses.keypoints.max(axis=(0, 1), initial=0) <= np.array(grid.size[::-1]) - 1).all()
                assert 0 <= poses.scores.min(initial=0) <= poses.scores.max(initial=0) <= 1


@pytest.mark.parametrize("rules", ["default", "part_b", "part_a"])
@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (4, 0), (3, 5)])
def test_nobody(shape, rules):
    heat, limbs = np.zeros((18, *shape), np.float32), np.zeros((30, *shape), np.float32)
    poses = decode_simple_pose(heat, limbs, options=OPTIONS[rules])
    assert poses.keypoints.shape == (0, 17, 2)
    assert poses.keypoint_scores.shape == (0, 17)
    assert poses.scores.shape == (0,)
    assert decode_simple_pose(heat[None][:0], limbs[None][:0], options=OPTIONS[rules]) == []


def test_no_limbs_at_all():
    parts = BodyParts.of(skeleton(1))
    heat = np.zeros((1, 3, 5), np.float32)
    heat[0, 1, 2] = 1
    poses = decode_simple_pose(heat, np.zeros((0, 3, 5), np.float32), stride=1, parts=parts)
    assert poses.keypoints.tolist() == [[[2, 1]]]


HEAT, LIMBS = np.zeros((18, 4, 5), np.float32), np.zeros((30, 4, 5), np.float32)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"keypoint_maps": HEAT[:17]}, ValueError, r"keypoint_maps: expected shape \(K, h, w\) or .* K = 18, got"),
        ({"limb_maps": LIMBS[:, :3]}, ValueError, r"limb_maps: expected shape .*\(30, 4, 5\), got \(30, 3, 5\)"),
        ({"limb_maps": LIMBS[None]}, ValueError, "limb_maps: expected shape"),
        ({"keypoint_maps": HEAT.astype(int)}, TypeError, "keypoint_maps: expected float32, float16 or bfloat16, got"),
        ({"keypoint_maps": "maps"}, TypeError, "keypoint_maps: expected an array or tensor, got str"),
        ({"stride": 0}, ValueError, "stride: expected an integer from 1"),
        ({"stride": 2.5}, TypeError, "stride: expected an integer, got 2.5"),
        ({"input_size": (17, 20)}, ValueError, r"input_size: expected at most the \(16, 20\) pixels of keypoint_maps"),
        ({"input_size": 16}, TypeError, r"input_size: expected \(H, W\), got 16"),
        ({"size": (0, 5)}, ValueError, "size: expected an image"),
        ({"size": (1 << 20, 1 << 20)}, ValueError, "size: expected at most 268435456 pixels"),
        ({"parts": BODY}, TypeError, "parts: expected BodyParts, got Skeleton"),
        ({"options": None}, TypeError, "options: expected SimplePoseOptions, got NoneType"),
        ({"keypoint_maps": [HEAT], "limb_maps": [LIMBS]}, ValueError, "keypoint_maps: expected one array for rules"),
        ({"keypoint_maps": []}, ValueError, "keypoint_maps: expected at least one scale, got none"),
        ({"keypoint_maps": [HEAT], "limb_maps": LIMBS}, ValueError, "limb_maps: expected 1 arrays, one for each scale"),
    ],
)  # fmt: skip
def test_errors(change, error, message):
    arguments = {"keypoint_maps": HEAT, "limb_maps": LIMBS, **change}
    with pytest.raises(error, match=message):
        decode_simple_pose(arguments.pop("keypoint_maps"), arguments.pop("limb_maps"), **arguments)


def test_steps_are_those_of_one_image():
    with pytest.raises(ValueError, match="keypoint_maps: expected shape"):
        decode_steps(HEAT[None], LIMBS[None])
    with pytest.raises(ValueError, match="backend: expected one of cpu, reference, got 'cuda'"):
        decode_steps(HEAT, LIMBS, backend="cuda")


# --- options and parts ------------------------------------------------------------------------------------------------


def test_defaults_are_those_of_the_core():
    from personlab import _core

    native, options = _core.SimplePoseOptions(), SimplePoseOptions()
    for name in (field.name for field in fields(options)):
        if name not in ("position", "rules"):
            assert getattr(native, name) == getattr(options, name) == getattr(options.native, name), name


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"min_support": 1.5}, ValueError), ({"max_samples": 1}, ValueError), ({"rules": "mine"}, ValueError),
        ({"position": 3}, ValueError), ({"resolve_shared": 1}, TypeError), ({"threads": 0}, ValueError),
        ({"peak_threshold": 0}, ValueError), ({"max_reach": 0.5}, ValueError), ({"unknown": 1}, TypeError),
    ],
)  # fmt: skip
def test_options_are_checked(change, error):
    with pytest.raises(error, match=next(iter(change))):
        SimplePoseOptions(**change)
    with pytest.raises(error, match=next(iter(change))):
        SimplePoseOptions.original(**change)


def test_parts_of_the_originals():
    with pytest.raises(ValueError, match="part: expected B or A"):
        SimplePoseOptions.original("C")
    with pytest.raises(ValueError, match="part: expected B or A"):
        SimplePoseOptions.original("A", demo=True)


def test_pickles():
    options, parts = OPTIONS["part_b"], PARTS
    assert options.native is not None
    assert parts.native is not None
    assert pickle.loads(pickle.dumps(options)) == options
    assert pickle.loads(pickle.dumps(parts)) == parts


def test_body_parts():
    assert [BODY.names[k] for k in COCO_PARTS.keypoints] == list(COCO_PARTS.person.names)
    with pytest.raises(ValueError, match=r"keypoints: expected 17 integers in 0\.\.17"):
        BodyParts(skeleton=BODY, person=COCO_PARTS.person, keypoints=(18,) * 17)
    with pytest.raises(TypeError, match="skeleton: expected Skeleton"):
        BodyParts(skeleton=None, person=BODY, keypoints=())


# --- how good it can be -----------------------------------------------------------------------------------------------


def test_ceiling_on_photographs(data):
    """Perfect maps of real people: the default decodes them better than the original."""
    path = data / "coco-mini" / "annotations" / "person_keypoints.json"
    content = json.loads(path.read_text())
    sizes = {image["id"]: (image["height"], image["width"]) for image in content["images"]}
    people = {}
    for one in content["annotations"]:
        if one.get("num_keypoints", 0) > 0 and not one.get("iscrowd"):
            people.setdefault(one["image_id"], []).append(np.reshape(one["keypoints"], (17, 3)))
    annotations, results = load_annotations(str(path)), {"default": [], "original": []}
    for image, keypoints in people.items():
        heat, limbs, grid = perfect_maps(keypoints, sizes[image])
        for name, options in (("default", SimplePoseOptions()), ("original", SimplePoseOptions.original())):
            results[name] += core_poses(heat, limbs, grid, options, COCO_PARTS).to_coco(image)
    ap = {name: average_precision(annotations, own, "keypoints").ap for name, own in results.items()}
    assert ap["default"] >= 0.91, ap
    assert ap["original"] <= ap["default"] - 0.05, ap


def test_ceiling_on_drawn_scenes():
    """Perfect maps of drawn people whose joints are all labelled."""
    from ceiling import labelled_scenes

    from personlab.data.coco import make_annotations

    scenes, results = labelled_scenes(10), []
    for number, people in scenes.items():
        heat, limbs, grid = perfect_maps(people.keypoints, people.crowd.shape)
        results += core_poses(heat, limbs, grid, SimplePoseOptions(), COCO_PARTS).to_coco(number)
    assert average_precision(make_annotations(scenes), results, "keypoints").ap >= 0.99


def test_people_apart_are_all_told():
    keypoints = crowd(12, size=(320, 480), tall=80)
    heat, limbs, grid = perfect_maps(keypoints, (320, 480))
    poses = core_poses(heat, limbs, grid, SimplePoseOptions(), COCO_PARTS)
    assert len(poses) == 12
    nearest = [np.abs(poses.keypoints - one[:, :2]).max(axis=(1, 2)).min() for one in keypoints]
    assert max(nearest) < 0.02
    assert (poses.keypoint_scores > 0.8).all()
