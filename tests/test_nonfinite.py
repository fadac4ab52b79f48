"""Non-finite and huge values anywhere in any field: no crash, none of them in the output, core equal to reference."""

import numpy as np
import pytest
from agreement import assert_same_masks, assert_same_poses, core_poses, reference_poses
from scenes import BY_SEED, GRIDS, SKELETONS, array, decode_options, mask_options, offsets, random_fields, sprinkled

from personlab import DecodeOptions, Fields, Poses, decode_masks, decode_poses, stages

NAMES = ("heatmaps", "short_offsets", "mid_offsets", "segmentation", "long_offsets")
PEOPLE = SKELETONS["tree"]
MODES = {
    "personlab": decode_options(hough_stride=2),
    "seed": decode_options(hough_stride=2, **BY_SEED),
    "heatmap": decode_options(hough_stride=1, scoring="heatmap"),
    "posenet": DecodeOptions.posenet(0.3, 4.0, 3, 50),
}
ALL = (np.nan, np.inf, -np.inf)


def spoiled(seed, grid, values, names=NAMES, share=0.1):
    h, w, stride = grid
    rng = np.random.default_rng(seed)
    fields = random_fields(seed, PEOPLE, h, w, stride)
    return Fields(
        **{name: sprinkled(getattr(fields, name), rng, share if name in names else 0, values) for name in NAMES},
        stride=stride,
    )


def assert_finite(poses):
    for name in ("keypoints", "keypoint_scores", "keypoint_probabilities", "scores"):
        assert np.isfinite(getattr(poses, name)).all(), name


def masks_of(poses, fields, size, options, backend):
    return stages.associate_pixels(
        poses, fields.segmentation, fields.long_offsets, fields.short_offsets,
        stride=fields.stride, size=size, options=options, backend=backend,
    )  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("names", [*((name,) for name in NAMES[:3]), NAMES], ids="+".join)
@pytest.mark.parametrize("values", [(np.nan,), (np.inf,), (-np.inf,), ALL, (1e38,), (-1e38,)], ids=str)
def test_core_equals_reference(values, names, mode):
    for seed, grid in enumerate(GRIDS):
        fields = spoiled(50 + seed, grid, values, names)
        poses = core_poses(fields, MODES[mode], PEOPLE)
        assert_finite(poses)
        assert_same_poses(poses, reference_poses(fields, MODES[mode], PEOPLE))


@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize("values", [(np.nan,), (np.inf,), (-np.inf,), ALL, (1e38,), (-1e38,)], ids=str)
def test_masks_of_core_equal_reference(values, exclusive):
    options = mask_options(distance_threshold=1.0, exclusive=exclusive)
    size = 24, 32
    for seed, grid in enumerate(GRIDS):
        fields = spoiled(60 + seed, grid, values, NAMES[1:])
        poses = core_poses(random_fields(60 + seed, PEOPLE, *grid), MODES["personlab"], PEOPLE)
        core, reference = (masks_of(poses, fields, size, options, backend) for backend in ("cpu", "reference"))
        assert_same_masks(
            core, reference, poses, fields, size=size, options=options, short_offsets=fields.short_offsets
        )


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("share", [0.02, 0.5, 1.0])
def test_values_of_all_kinds_together_never_reach_the_output(share, mode):
    for seed, grid in enumerate(GRIDS):
        fields = spoiled(70 + seed, grid, (*ALL, 1e38, -1e38, 3.4e38, -3.4e38, 1e-45), share=share)
        poses = core_poses(fields, MODES[mode], PEOPLE)
        assert_finite(poses)
        assert poses.keypoints.min(initial=0) >= 0
        assert (poses.keypoints.max(axis=(0, 1), initial=0) <= np.array(fields.input_size) - 1).all()
        assert poses.keypoint_probabilities.max(initial=0) <= 1
        assert masks_of(poses, fields, (23, 31), mask_options(), "cpu").shape == (len(poses), 23, 31)


@pytest.mark.parametrize("value", [np.nan, -np.inf])
@pytest.mark.parametrize("mode", MODES)
def test_heatmaps_without_a_number_have_nobody(mode, value):
    fields = random_fields(80, PEOPLE, 5, 7, 8)
    heatmaps = np.full_like(fields.heatmaps, value)
    poses = decode_poses(
        heatmaps, fields.short_offsets, fields.mid_offsets, stride=8, skeleton=PEOPLE, options=MODES[mode]
    )
    assert len(poses) == 0


def test_one_value_does_not_spoil_what_lies_apart(load_fields):
    # A NaN in each channel at the far corner from anybody changes no byte of the answer.
    fields = load_fields("couple_641_s16")
    options = decode_options(hough_stride=2, disk_radius=32.0, min_score=0.2)
    spoilt = {name: getattr(fields, name).copy() for name in NAMES}
    for name, value in zip(NAMES, (np.nan, np.inf, -np.inf, np.nan, np.nan), strict=True):
        spoilt[name][..., 0, 0] = value
    before, after = core_poses(fields, options), core_poses(Fields(**spoilt, stride=16), options)
    assert len(before) > 0
    assert before.keypoints.tobytes() == after.keypoints.tobytes()
    assert before.scores.tobytes() == after.scores.tobytes()


def test_poses_that_are_not_finite_own_nothing():
    poses = Poses(array([[[np.nan, 0]], [[np.inf, 0]], [[2, 0]]]), array([[1]] * 3), array([1, 1, 1]))
    masks = decode_masks(
        poses, np.zeros((1, 1, 5), np.float32), offsets(1, 5, (0, 0)), stride=1, size=(1, 5),
        options=mask_options(distance_threshold=1.0, long_refine_steps=0),
    )  # fmt: skip
    assert masks.sum(axis=(1, 2)).tolist() == [0, 0, 3]
