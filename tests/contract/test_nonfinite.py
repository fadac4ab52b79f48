"""Non-finite and huge values anywhere in any field: no crash, none of them in the output, core equal to reference."""

import numpy as np
import pytest
from agreement import assert_same_masks, assert_same_poses, core_poses, reference_poses
from hypothesis import given, settings
from hypothesis import strategies as st
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
MOST = float(np.finfo(np.float32).max)
HUGE = (3.4e38, -3.4e38, MOST, -MOST, 1e35, -1e33)

few = settings(derandomize=True, deadline=None, max_examples=30, database=None)
magnitudes = st.sampled_from([1e2, 1e19, 1e33, 1e35, 3.4e38, MOST])


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
@pytest.mark.parametrize(
    "values",
    [
        (np.nan,),
        *(pytest.param((value,), marks=pytest.mark.slow_sanitized) for value in (np.inf, -np.inf, -1e38)),
        ALL,
        (1e38,),
    ],
    ids=str,
)
def test_core_equals_reference(values, names, mode):
    for seed, grid in enumerate(GRIDS):
        fields = spoiled(50 + seed, grid, values, names)
        poses = core_poses(fields, MODES[mode], PEOPLE)
        assert_finite(poses)
        assert_same_poses(poses, reference_poses(fields, MODES[mode], PEOPLE))


@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize("values", [(np.nan,), (np.inf,), (-np.inf,), ALL, (1e38,), (-1e38,), HUGE], ids=str)
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


def refined(offsets, by, steps, backend):
    return backend.run("refine_offsets", array(offsets), array(by), [0], stride=1, steps=steps)[0].tolist()


@pytest.mark.parametrize(
    ("offset", "by", "steps", "expected"),
    [
        ((3.4e38, 1), (1, 2), 1, (3.4e38, 3)),
        ((3.4e38, 1), (3.4e38, 2), 1, (0, 0)),  # the sum is too large
        ((-3.4e38, 1), (-3.4e38, 2), 2, (0, 0)),
        ((1, MOST), (2, MOST), 1, (0, 0)),
        ((3.4e38, 1), (3.4e38, 2), 0, (3.4e38, 1)),
        ((np.inf, 1), (1, 2), 1, (1, 2)),
        ((1, 2), (np.nan, 5), 1, (1, 2)),
    ],
)
def test_refined_offsets_that_overflow_count_as_none(backend, offset, by, steps, expected):
    fields = [np.array(pair)[None, :, None, None].repeat(3, axis=3) for pair in (offset, by)]
    x, y = refined(*fields, steps, backend)
    assert x == [pytest.approx([expected[0]] * 3)]
    assert y == [pytest.approx([expected[1]] * 3)]


def test_one_offset_that_overflows_spoils_no_other(backend):
    fields = [[[[1, 3.4e38, 1, 1]], [[0, 0, 0, 0]]]], [[[[0, 0, 0, 3.4e38]], [[0, 0, 0, 0]]]]
    x, y = refined(*fields, 1, backend)
    assert x == [pytest.approx([1, 0, 3.4e38, 3.4e38])]
    assert y == [[0, 0, 0, 0]]


def wild(rng, magnitude, *shape):
    return array(rng.uniform(-1, 1, shape) * rng.choice([1, magnitude / 10, magnitude], shape))


@few
@given(seed=st.integers(0, 2**32 - 1), magnitude=magnitudes, steps=st.integers(0, 4))
def test_refinement_of_any_magnitude_is_finite_and_the_references(seed, magnitude, steps):
    rng = np.random.default_rng(seed)
    fields = wild(rng, magnitude, 3, 2, 4, 6), wild(rng, magnitude, 2, 2, 4, 6)
    core, reference = (
        stages.refine_offsets(*fields, [0, 1, 1], stride=8, steps=steps, backend=backend)
        for backend in ("cpu", "reference")
    )
    assert np.isfinite(core).all()
    assert np.isfinite(array(reference)).all()
    np.testing.assert_allclose(core, reference, rtol=1e-5, atol=max(1e-4, 1e-6 * magnitude))


@few
@given(seed=st.integers(0, 2**32 - 1), magnitude=magnitudes, exclusive=st.booleans())
def test_masks_of_any_magnitude_are_the_references(seed, magnitude, exclusive):
    rng = np.random.default_rng(seed)
    h, w, stride = 5, 8, 8
    noise = random_fields(seed, PEOPLE, h, w, stride)
    fields = Fields(
        heatmaps=noise.heatmaps, mid_offsets=noise.mid_offsets, segmentation=wild(rng, magnitude, 1, h, w),
        short_offsets=wild(rng, magnitude, 4, 2, h, w), long_offsets=wild(rng, magnitude, 4, 2, h, w), stride=stride,
    )  # fmt: skip
    keypoints = rng.uniform(-5, 65, (5, 4, 2)) * rng.choice([1, 1, 1, magnitude / 65], (5, 1, 1))
    weights = array(rng.random((5, 4)) * rng.choice([1, magnitude], (5, 1)))
    poses = Poses(array(keypoints), weights, array(rng.random(5)), weights)
    options, size = mask_options(distance_threshold=1.0, exclusive=exclusive), (24, 32)
    core, reference = (masks_of(poses, fields, size, options, backend) for backend in ("cpu", "reference"))
    assert_same_masks(core, reference, poses, fields, size=size, options=options, short_offsets=fields.short_offsets)
    _, scores = decode_masks(
        poses, fields.segmentation, fields.long_offsets, stride=stride, size=size, options=options, return_scores=True
    )
    assert np.isfinite(scores).all()


def test_a_step_that_would_lead_too_far_is_not_taken(backend):
    # 3.4e38 once, not twice, and back to 0: all pixels end up at the keypoint.
    poses = Poses(array([[[0, 0]]]), array([[1]]), array([1]))
    masks = backend.run(
        "associate_pixels",
        poses, np.zeros((1, 1, 5), np.float32), offsets(1, 5, (3.4e38, 0)), offsets(1, 5, (-3.4e38, 0)),
        stride=1, size=(1, 5),
        options=mask_options(distance_threshold=0.5, long_refine_steps=1, short_refine_steps=1),
    )  # fmt: skip
    assert masks.all()


@pytest.mark.parametrize("scale", [1e-44, 1e-30, 1e-7, 1e3, 1e30, 1e38])
def test_the_scale_of_weights_does_not_matter(backend, scale):
    def masks_by(weights):
        poses = Poses(array([[[0, 0], [4, 0]]]), array(weights), array([0.5]), array(weights))
        return backend.run(
            "associate_pixels",
            poses, np.zeros((1, 1, 5), np.float32), offsets(1, 5, (0, 0), (0, 0)), stride=1, size=(1, 5),
            options=mask_options(distance_threshold=1.3, long_refine_steps=0),
        )  # fmt: skip

    # lambda = 1: D = 0.75 x + 0.25 (4 - x) = 1 + x / 2.
    assert masks_by(np.array([[0.75, 0.25]]) * scale).ravel().tolist() == [True, False, False, False, False]


@pytest.mark.parametrize("value", [3.4e38, -3.4e38, MOST, -MOST, 1e20])
def test_targets_of_keypoints_anywhere_are_finite(backend, value):
    keypoints = np.ones((2, PEOPLE.n_keypoints, 3), np.float32)
    keypoints[..., :2] = 20
    keypoints[0, 1, 0] = keypoints[1, 2, 1] = value
    targets = backend.run(
        "encode_targets",
        keypoints, np.ones((2, 41, 57), bool) * (np.arange(57) < 30), size=(41, 57), stride=8, skeleton=PEOPLE,
    )  # fmt: skip
    for name in NAMES:
        assert np.isfinite(getattr(targets, name)).all(), name
    assert np.abs(targets.mid_offsets).max() > 1e19
