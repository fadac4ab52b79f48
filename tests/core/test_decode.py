"""Decoding as a whole: core against reference, the same bytes whatever the circumstances, and empty answers."""

import functools
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from agreement import (
    assert_same_bytes,
    assert_same_masks,
    assert_same_poses,
    core_poses,
    reference_poses,
    remembered,
)
from processes import SUPPORT
from scenes import (
    BY_SEED,
    GRIDS,
    OFF,
    SKELETONS,
    decode_options,
    mask_options,
    paper_options,
    pose_fields,
    random_fields,
)

from personlab import COCO_PERSON, DecodeOptions, Poses, decode_masks, decode_poses, stages

POSENET = DecodeOptions.posenet(0.1, 20.0, 5, 30)


SCHEMES = ({}, BY_SEED)


def options_by_seed(**changes):
    return decode_options(**{**BY_SEED, **changes})


def posenet_options(**changes):
    return DecodeOptions.posenet(**{"score_threshold": 0.3, "nms_radius": 4.0, "refine_steps": 2, **changes})


def masks_of(poses, fields, size, options):
    return decode_masks(
        poses, fields.segmentation, fields.long_offsets, short_offsets=fields.short_offsets,
        stride=fields.stride, size=size, options=options,
    )  # fmt: skip


# --- Core against reference -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def expected_poses(load_fields):
    return remembered(load_fields)


@pytest.mark.parametrize("scheme", SCHEMES, ids=["mean", "seed"])
@pytest.mark.parametrize("scoring", ["expected_oks", "heatmap"])
@pytest.mark.parametrize("g", [1, 2, 5])
def test_equals_reference_on_real_fields(compiled, field_name, load_fields, expected_poses, g, scoring, scheme):
    options = paper_options(hough_stride=g, refine_steps=3, scoring=scoring, min_score=0.02, **scheme)
    expected = expected_poses(field_name, options)
    assert len(expected) > 1
    assert_same_poses(core_poses(load_fields(field_name), options, on=compiled), expected)


def test_masks_of_the_core_s_poses_equal_those_of_the_reference_s(fields):
    options = paper_options(hough_stride=2, min_score=0.1, max_poses=8)
    size, how = (fields.image_size[1] // 3, fields.image_size[0] // 3), mask_options()
    poses = reference_poses(fields, options)
    expected = stages.associate_pixels(
        poses, fields.segmentation, fields.long_offsets, fields.short_offsets,
        stride=fields.stride, size=size, options=how, backend="reference",
    )  # fmt: skip
    actual = masks_of(core_poses(fields, options), fields, size, how)
    assert_same_masks(actual, expected, poses, fields, size=size, options=how, short_offsets=fields.short_offsets)


@functools.cache
def noise(seed, name, grid, options):
    """Random fields, and the reference's poses of them, made once for all backends."""
    fields = random_fields(seed, SKELETONS[name], *grid)
    return fields, reference_poses(fields, options, SKELETONS[name])


@pytest.mark.parametrize(
    "make", [decode_options, options_by_seed, posenet_options], ids=["personlab", "seed", "posenet"]
)
@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("name", SKELETONS)
def test_equals_reference_on_noise(compiled, name, grid, make):
    for seed in range(3):
        fields, expected = noise(100 + seed, name, grid, make())
        assert_same_poses(core_poses(fields, make(), SKELETONS[name], on=compiled), expected)


@pytest.mark.parametrize("grid", [pytest.param((40, 61, 8), marks=pytest.mark.slow_sanitized), (30, 20, 6)], ids=str)
def test_equals_reference_where_there_are_more_seeds_than_are_sorted_at_once(compiled, grid):
    options = posenet_options(nms_radius=0.5, max_poses=400)
    fields, expected = noise(110, "tree", grid, options)
    poses = core_poses(fields, options, SKELETONS["tree"], on=compiled)
    assert len(poses) > 128
    assert_same_poses(poses, expected)


def test_posenet_seeds_of_equal_logits_go_by_keypoint_then_row_then_column(compiled):
    """Zeros of both signs are equal, and every cell of a level plane is a seed."""
    heatmaps = np.zeros((2, 9, 14), np.float32)
    heatmaps[0, 4:] = -0.0
    heatmaps[1] = -0.0
    options = posenet_options(score_threshold=0.4, nms_radius=16.0, max_poses=1000)
    still = np.zeros((2, 2, 9, 14), np.float32)
    arrays = compiled.put((heatmaps, still, still))
    poses = decode_poses(*arrays, stride=8, skeleton=SKELETONS["pair"], options=options)
    # Within 2 cells of an earlier seed nobody else is; poses of equal scores stay in the order they were found in.
    free = np.ones((9, 14), bool)
    expected = []
    for y, x in np.ndindex(9, 14):
        if free[y, x]:
            expected.append((8 * x, 8 * y))
            free &= np.hypot(*np.indices(free.shape) - np.array([y, x])[:, None, None]) > 2
    np.testing.assert_array_equal(poses.keypoints[:, 0], expected)


def test_noise_has_many_poses():
    people = SKELETONS["tree"]
    for make in (decode_options, posenet_options):
        assert len(core_poses(random_fields(100, people, 9, 14, 8), make(), people)) > 5


@pytest.mark.parametrize("scheme", SCHEMES, ids=["mean", "seed"])
def test_the_whole_is_the_chain_of_its_stages(fields, backend, scheme):
    options = paper_options(hough_stride=4, min_score=0.05, max_poses=9, **scheme)
    heatmaps, short_offsets, mid_offsets = pose_fields(fields)
    hough = backend.run("hough_vote", heatmaps, short_offsets, stride=fields.stride, options=options)
    peaks = backend.run("find_peaks", hough, options=options)
    arrays = peaks, heatmaps, short_offsets, mid_offsets
    groups = backend.run("group_poses", *arrays, stride=fields.stride, options=options)
    ranked = backend.run("score_poses", groups, hough, options=options)
    sharpened = backend.run("sharpen_keypoints", groups.keypoints[ranked.kept], hough, options=options)
    arrays = sharpened, ranked.keypoint_scores, ranked.scores, groups.probabilities[ranked.kept]
    chained = Poses(*(np.asarray(a, np.float32) for a in arrays))
    assert len(chained) > 1
    # Between stages keypoints are rounded to float32: scores may move by that, no further.
    whole = reference_poses(fields, options) if backend == "reference" else core_poses(fields, options, on=backend)
    assert_same_poses(chained, whole, pixels=2e-4, score=1e-6)  # a float32 past 1024 is rounded by up to 6e-5, twice


# --- The same bytes ---------------------------------------------------------------------------------------------------


def batch_of(load_fields):
    names = ("couple_641_s16", "soccer_641_s16")
    return [load_fields(name) for name in (*names, names[0])]


@pytest.mark.parametrize("options", [paper_options(hough_stride=2), POSENET], ids=["personlab", "posenet"])
def test_a_batch_is_its_images(load_fields, options):
    images = batch_of(load_fields)
    batch = [np.stack(arrays) for arrays in zip(*map(pose_fields, images), strict=True)]
    together = decode_poses(*batch, stride=16, options=options)
    assert isinstance(together, list)
    for poses, fields in zip(together, images, strict=True):
        assert len(poses) > 0
        assert_same_bytes(poses, core_poses(fields, options))
    masks = decode_masks(
        together,
        np.stack([f.segmentation for f in images]),
        np.stack([f.long_offsets for f in images]),
        short_offsets=np.stack([f.short_offsets for f in images]),
        stride=16, size=(70, 110), options=mask_options(),
    )  # fmt: skip
    assert isinstance(masks, list)
    for mask, poses, fields in zip(masks, together, images, strict=True):
        np.testing.assert_array_equal(mask, masks_of(poses, fields, (70, 110), mask_options()))


def test_a_batch_of_one_and_of_none(load_fields):
    arrays = pose_fields(load_fields("couple_641_s16"))
    one = decode_poses(*(a[None] for a in arrays), stride=16, options=POSENET)
    assert [len(poses) for poses in one] == [2]
    assert decode_poses(*(a[None][:0] for a in arrays), stride=16, options=POSENET) == []
    masks = decode_masks([], np.zeros((0, 1, 3, 4), np.float32), np.zeros((0, 17, 2, 3, 4), np.float32),
                         stride=16, size=(5, 6))  # fmt: skip
    assert masks == []


@pytest.mark.parametrize("mode", ["personlab", "posenet"])
def test_any_number_of_threads_gives_the_same_bytes(load_fields, mode):
    images = batch_of(load_fields)
    batch = [np.stack(arrays) for arrays in zip(*map(pose_fields, images), strict=True)]
    by_threads = {}
    for threads in (1, 2, 5):
        options = (
            paper_options(hough_stride=2, threads=threads)
            if mode == "personlab"
            else DecodeOptions.posenet(0.1, 20.0, 5, 30, threads=threads)
        )
        single = decode_poses(*pose_fields(images[1]), stride=16, options=options)
        by_threads[threads] = [single, *decode_poses(*batch, stride=16, options=options)]
    for threads in (2, 5):
        for poses, expected in zip(by_threads[threads], by_threads[1], strict=True):
            assert_same_bytes(poses, expected)


def test_what_was_decoded_before_changes_nothing(load_fields):
    fields, bigger = load_fields("couple_641_s16"), load_fields("soccer_1281_s8")
    smaller = random_fields(31, COCO_PERSON, 3, 5, 16)
    dirty = random_fields(32, SKELETONS["cycle"], 40, 23, 16)
    options, masks = paper_options(hough_stride=2), mask_options()
    expected, expected_mask = core_poses(fields, options), None
    interludes = (
        lambda: core_poses(bigger, options),
        lambda: core_poses(smaller, paper_options(hough_stride=1)),
        lambda: core_poses(dirty, decode_options(hough_stride=3, threads=2), SKELETONS["cycle"]),
        lambda: core_poses(bigger, POSENET),
        lambda: masks_of(core_poses(bigger, options), bigger, (50, 40), masks),
        lambda: masks_of(core_poses(smaller, options), smaller, (500, 400), mask_options(exclusive=True, threads=2)),
        lambda: stages.hough_vote(dirty.heatmaps, dirty.short_offsets, stride=1, options=options),
    )
    for interlude in interludes:
        interlude()
        poses = core_poses(fields, options)
        assert_same_bytes(poses, expected)
        mask = masks_of(poses, fields, (143, 214), masks)
        expected_mask = mask if expected_mask is None else expected_mask
        np.testing.assert_array_equal(mask, expected_mask)


def test_calls_from_many_threads_at_once(load_fields):
    images = [load_fields(name) for name in ("couple_641_s16", "soccer_641_s16", "couple_641_s8")]
    options = paper_options(hough_stride=2, threads=2)

    def decode(fields):
        poses = core_poses(fields, options)
        return poses, masks_of(poses, fields, (90, 140), mask_options(threads=2))

    expected = [decode(fields) for fields in images]
    jobs = [0, 1, 2] * 12
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda i: decode(images[i]), jobs))
    for i, (poses, mask) in zip(jobs, results, strict=True):
        assert_same_bytes(poses, expected[i][0])
        np.testing.assert_array_equal(mask, expected[i][1])


def test_fork_after_use():
    program = """
        import os, sys
        sys.path.insert(0, sys.argv[1])
        from agreement import core_poses
        from personlab import COCO_PERSON
        from scenes import decode_options, random_fields

        fields = random_fields(33, COCO_PERSON, 20, 31, 8)
        decode = lambda: core_poses(fields, decode_options(hough_stride=2, threads=3)).keypoints.tobytes()
        expected = decode()
        assert expected
        child = os.fork()
        if child == 0:
            os._exit(0 if decode() == expected and decode() == expected else 3)
        _, status = os.waitpid(child, 0)
        assert decode() == expected
        sys.exit(os.waitstatus_to_exitcode(status))
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(SUPPORT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_inputs_are_never_written_to(load_fields):
    fields = load_fields("couple_641_s16")  # its arrays are read-only
    before = [a.tobytes() for a in (*pose_fields(fields), fields.segmentation, fields.long_offsets)]
    for options in (paper_options(hough_stride=2), POSENET):
        poses = core_poses(fields, options)
        frozen = [poses.keypoints.tobytes(), poses.keypoint_probabilities.tobytes()]
        masks_of(poses, fields, (90, 140), mask_options())
        assert frozen == [poses.keypoints.tobytes(), poses.keypoint_probabilities.tobytes()]
    assert before == [a.tobytes() for a in (*pose_fields(fields), fields.segmentation, fields.long_offsets)]


# --- Order, limits, empty answers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [paper_options, DecodeOptions.posenet], ids=["personlab", "posenet"])
def test_poses_are_best_first_and_cut(load_fields, make):
    fields = load_fields("coco_000000114907_641_s8")
    low = {"min_score": 0.05} if make is paper_options else {"score_threshold": 0.05}
    everyone = core_poses(fields, make(**low))
    assert len(everyone) > 5
    assert (np.diff(everyone.scores) <= 0).all()
    assert everyone.scores.min() >= 0.05
    assert len(core_poses(fields, make(**low, max_poses=0))) == 0
    if make is paper_options:
        assert_same_bytes(core_poses(fields, make(**low, max_poses=3)), everyone[:3])
        cut = float(everyone.scores[4:6].mean())
        assert_same_bytes(core_poses(fields, make(min_score=cut)), everyone[:5])
    else:
        assert len(core_poses(fields, make(**low, max_poses=3))) == 3


def test_every_keypoint_lies_in_the_input(fields):
    poses = core_poses(fields, paper_options(hough_stride=2))
    width, height = fields.input_size
    assert poses.keypoints.min() >= 0
    assert poses.keypoints[..., 0].max() <= width - 1
    assert poses.keypoints[..., 1].max() <= height - 1
    for scores in (poses.keypoint_scores, poses.keypoint_probabilities, poses.scores):
        assert scores.min() >= 0
        assert scores.max() <= 1


def assert_empty(poses, k=17):
    assert len(poses) == 0
    assert [a.shape for a in (poses.keypoints, poses.keypoint_scores, poses.keypoint_probabilities, poses.scores)] == [
        (0, k, 2), (0, k), (0, k), (0,),
    ]  # fmt: skip
    assert poses.boxes.shape == (0, 4)


@pytest.mark.parametrize("options", [paper_options(), POSENET], ids=["personlab", "posenet"])
@pytest.mark.parametrize("grid", [(4, 6), (0, 6), (4, 0), (0, 0)], ids=str)
@pytest.mark.parametrize("decode", [core_poses, reference_poses])
def test_nobody_is_an_answer(decode, grid, options):
    fields = random_fields(34, COCO_PERSON, *grid, 8)
    fields.heatmaps[:] = OFF
    poses = decode(fields, options)
    assert_empty(poses)
    assert masks_of(poses, fields, (9, 12), mask_options()).shape == (0, 9, 12)
    batch = decode_poses(*(np.stack([a, a]) for a in pose_fields(fields)), stride=8, options=options)
    assert len(batch) == 2
    for one in batch:
        assert_empty(one)


@pytest.mark.parametrize("grid", [(0, 6), (4, 0)], ids=str)
def test_masks_without_cells_are_empty_images(load_fields, grid):
    poses = core_poses(load_fields("couple_641_s16"), POSENET)
    fields = random_fields(35, COCO_PERSON, *grid, 8)
    masks = masks_of(poses, fields, (9, 12), mask_options())
    assert masks.shape == (2, 9, 12)
    assert not masks.any()
