"""Mask scores: by hand on a few pixels, then core against reference, and where results carry them."""

import numpy as np
import pytest
from agreement import SCORE, core_poses
from scenes import GRIDS, OFF, SKELETONS, array, decode_options, mask_options, paper_options, random_fields, sprinkled

from personlab import MaskOptions, Poses, decode_masks, stages
from personlab.arrays.array import BFLOAT16

LOG3 = float(np.log(3))  # the logit of 3/4


def scores_of(masks, segmentation, scores, backend, *, stride=1, power=1.0, threads=1):
    """Mask scores of masks (P, H, W) given as strings, a row of pixels each."""
    marks = np.array([[[pixel == "#" for pixel in row] for row in mask] for mask in masks])
    found = backend.run(
        "score_masks", marks, array([segmentation]), array(scores), stride=stride,
        options=mask_options(score_power=power, threads=threads),
    )  # fmt: skip
    assert found.shape == (len(masks),)
    return found.tolist()


@pytest.mark.parametrize(("power", "expected"), [(0, 0.8), (1, 0.4), (2, 0.2), (3, 0.1)])
def test_a_score_is_multiplied_by_the_mean_probability_to_a_power(backend, power, expected):
    # Probabilities 1/4 and 3/4 under the mask: mean 1/2. An empty mask beside it has score 0.
    found = scores_of([["##."], ["..."]], [[-LOG3, LOG3, 9]], [0.8, 0.8], backend, power=power)
    assert found == pytest.approx([expected, 0], abs=1e-6)


def test_the_mean_is_over_the_pixels_of_the_mask_alone(backend):
    segmentation = [[LOG3, -LOG3, LOG3], [0, 0, OFF]]
    masks = [["#.#", "..."], ["...", "#.."], ["###", "##."], ["...", "..#"], ["...", "..."]]
    found = scores_of(masks, segmentation, [1, 1, 1, 1, 1], backend)
    assert found == pytest.approx([0.75, 0.5, (0.75 + 0.25 + 0.75 + 0.5 + 0.5) / 5, 0, 0], abs=1e-6)


@pytest.mark.parametrize("power", [0, 3])
def test_an_empty_mask_has_score_0(backend, power):
    assert scores_of([["..."], ["#.."]], [[9, 9, 9]], [0.8, 0.8], backend, power=power)[0] == 0


def test_a_mask_where_nobody_is_has_the_score_of_its_pose_at_power_0(backend):
    assert scores_of([["#"]], [[OFF]], [0.5], backend, power=0) == [0.5]


def test_the_segmentation_is_stretched_over_the_image(backend):
    # Two cells four pixels apart; five pixels at logits -2, -1, 0, 1, 2.
    probability = 1 / (1 + np.exp(-np.arange(-2.0, 3.0)))
    for mask in ("#####", "#...#", ".#...", "..###"):
        marked = np.array([pixel == "#" for pixel in mask])
        expected = probability[marked].mean()
        assert scores_of([[mask]], [[-2, 2]], [1], backend, stride=4) == pytest.approx([expected], abs=1e-6)


def test_values_that_are_not_finite(backend):
    segmentation = [[np.nan, np.inf, -np.inf, LOG3]]
    assert scores_of([["#..."], [".#.."], ["..#."], ["##.#"]], segmentation, [1, 1, 1, 1], backend) == pytest.approx(
        [0, 1, 0, 1.75 / 3], abs=1e-6
    )
    assert scores_of([["...#"]] * 4, segmentation, [np.nan, np.inf, -np.inf, -1], backend) == pytest.approx(
        [0, 0, 0, -0.75]
    )


@pytest.mark.parametrize("grid", [(2, 3), (0, 3), (2, 0)], ids=str)
@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 0, 4), (2, 3, 0)])
def test_no_masks_no_pixels_no_cells(backend, shape, grid):
    found = backend.run(
        "score_masks", np.ones(shape, bool), np.zeros((1, *grid), np.float32), np.ones(shape[0], np.float32), stride=8
    )
    assert found.tolist() == [0] * shape[0]


def test_no_cells(backend):
    found = backend.run(
        "score_masks", np.ones((2, 3, 4), bool), np.zeros((1, 0, 3), np.float32), array([1, 1]), stride=8
    )
    assert found.tolist() == [0, 0]


def test_what_is_wrong_is_named(backend):
    masks, segmentation, scores = np.ones((2, 3, 4), bool), np.zeros((1, 2, 3), np.float32), array([1, 1])

    def call(*arguments, **more):
        return backend.run("score_masks", *arguments, **{"stride": 8, **more})

    for arguments, error, message in (
        ((masks.astype(np.uint8), segmentation, scores), TypeError, "masks: expected bool"),
        ((masks[0], segmentation, scores), ValueError, r"masks: expected shape \(P, H, W\)"),
        ((masks, segmentation[0], scores), ValueError, "segmentation: expected shape"),
        ((masks, segmentation, scores[:1]), ValueError, r"scores: expected shape \(P,\)"),
        ((masks, segmentation, ["a", "b"]), TypeError, "scores"),
    ):
        with pytest.raises(error, match=message):
            call(*arguments)
    if backend != "cuda":  # broadcast over what would be 2 TiB as a copy
        with pytest.raises(ValueError, match="masks: expected an array with memory of its own"):
            call(np.broadcast_to(True, (2, 2**20, 2**20)), segmentation, scores)
    with pytest.raises(ValueError, match="stride"):
        call(masks, segmentation, scores, stride=0)
    with pytest.raises(TypeError, match="options: expected MaskOptions"):
        call(masks, segmentation, scores, options=decode_options())


def test_whether_scores_are_wanted_is_a_bool():
    poses = Poses(np.zeros((0, 1, 2), np.float32), np.zeros((0, 1), np.float32), np.zeros(0, np.float32))
    segmentation, long_offsets = np.zeros((1, 2, 3), np.float32), np.zeros((1, 2, 2, 3), np.float32)
    with pytest.raises(TypeError, match="return_scores: expected bool, got int"):
        decode_masks(poses, segmentation, long_offsets, stride=8, size=(3, 4), return_scores=1)
    masks, scores = decode_masks(poses, segmentation, long_offsets, stride=8, size=(3, 4), return_scores=True)
    assert masks.shape == (0, 3, 4)
    assert scores.shape == (0,)


def masks_of(poses, fields, size, options):
    return decode_masks(
        poses, fields.segmentation, fields.long_offsets, short_offsets=fields.short_offsets,
        stride=fields.stride, size=size, options=options, return_scores=True,
    )  # fmt: skip


def assert_scores_are_those_of_the_masks(poses, fields, size, options):
    """With and without scores the same masks; scores those of `score_masks` to the last bit, near the reference's."""
    masks, scores = masks_of(poses, fields, size, options)
    alone = decode_masks(
        poses, fields.segmentation, fields.long_offsets, short_offsets=fields.short_offsets,
        stride=fields.stride, size=size, options=options,
    )  # fmt: skip
    np.testing.assert_array_equal(masks, alone)
    assert scores.dtype == np.float32
    arguments = masks, fields.segmentation, poses.scores
    again = stages.score_masks(*arguments, stride=fields.stride, options=options, backend="cpu")
    assert scores.tobytes() == again.tobytes()
    reference = stages.score_masks(*arguments, stride=fields.stride, options=options, backend="reference")
    assert np.abs(scores - reference).max(initial=0) <= SCORE
    assert (scores[~masks.any(axis=(1, 2))] == 0).all()
    return masks, scores


@pytest.mark.parametrize("spoilt", [False, True])
@pytest.mark.parametrize("size", [(31, 47), (1, 20), (64, 9), (1, 1), (150, 3)], ids=str)
@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_noise(grid, size, spoilt):
    people, (h, w, stride) = SKELETONS["tree"], grid
    rng = np.random.default_rng(21)
    fields = random_fields(22, people, h, w, stride)
    if spoilt:
        fields.segmentation[:] = sprinkled(fields.segmentation, rng, 0.2)
    width, height = fields.input_size
    keypoints = array(rng.uniform(-0.1, 1.1, (7, people.n_keypoints, 2)) * [max(width, 20), max(height, 20)])
    weights = array(rng.random((7, people.n_keypoints)))
    poses = Poses(keypoints, weights, array(rng.uniform(0, 1, 7)), weights)
    for exclusive in (False, True):
        options = mask_options(distance_threshold=1.0, exclusive=exclusive, score_power=2.5, threads=2)
        assert_scores_are_those_of_the_masks(poses, fields, size, options)


def test_real_fields(fields):
    poses = core_poses(fields, paper_options(hough_stride=2, min_score=0.05, max_poses=12))
    size = fields.image_size[1] // 2, fields.image_size[0] // 2
    masks, scores = assert_scores_are_those_of_the_masks(poses, fields, size, MaskOptions())
    assert masks.any()
    assert (scores <= poses.scores).all()
    assert scores.max() > 0
    for threads in (2, 5):
        assert masks_of(poses, fields, size, MaskOptions(threads=threads))[1].tobytes() == scores.tobytes()


@pytest.mark.parametrize("dtype", [np.float16, BFLOAT16], ids=["float16", "bfloat16"])
def test_fields_of_16_bits(load_fields, dtype):
    fields = load_fields("couple_641_s16")
    poses = core_poses(fields, paper_options(hough_stride=2))
    if dtype == BFLOAT16:
        halves = [(a.view(np.uint32) >> 16).astype(np.uint16).view(BFLOAT16)
                  for a in (fields.segmentation, fields.long_offsets)]  # fmt: skip
        wide = [(a.view(np.uint16).astype(np.uint32) << 16).view(np.float32) for a in halves]
    else:
        halves = [a.astype(dtype) for a in (fields.segmentation, fields.long_offsets)]
        wide = [a.astype(np.float32) for a in halves]
    sizes = {"stride": fields.stride, "size": (100, 150), "return_scores": True}
    (masks, scores), (expected, expected_scores) = (decode_masks(poses, *each, **sizes) for each in (halves, wide))
    np.testing.assert_array_equal(masks, expected)
    assert scores.tobytes() == expected_scores.tobytes()
    assert scores.any()


def test_a_batch(load_fields):
    names = "couple_641_s16", "soccer_641_s16"
    images = [load_fields(name) for name in names]
    h, w = (min(p.heatmaps.shape[axis] for p in images) for axis in (1, 2))
    poses = [core_poses(fields, paper_options(hough_stride=2)) for fields in images]
    segmentation, long_offsets = (
        np.stack([getattr(p, name)[..., :h, :w] for p in images]) for name in ("segmentation", "long_offsets")
    )
    more = {"stride": 16, "size": (91, 117), "return_scores": True}
    masks, scores = decode_masks(poses, segmentation, long_offsets, **more)
    assert len(masks) == len(scores) == 2
    for i, one in enumerate(poses):
        expected, expected_scores = decode_masks(one, segmentation[i], long_offsets[i], **more)
        np.testing.assert_array_equal(masks[i], expected)
        assert scores[i].tobytes() == expected_scores.tobytes()
    assert decode_masks([], segmentation[:0], long_offsets[:0], **more) == ([], [])


def test_scores_on_a_gpu_lie_there_and_are_the_cores(gpu):
    people = SKELETONS["tree"]
    fields = random_fields(23, people, 6, 9, 8)
    keypoints = array(np.random.default_rng(24).uniform(0, 60, (5, people.n_keypoints, 2)))
    poses = Poses(keypoints, array(np.full((5, people.n_keypoints), 0.5)), array([0.9, 0.8, 0.7, 0.6, 0.5]))
    options = mask_options(distance_threshold=1.0, score_power=2.0)
    arrays = [gpu.put(a) for a in (fields.segmentation, fields.long_offsets)]
    more = {"stride": 8, "size": (31, 47), "options": options, "return_scores": True}
    masks, scores = decode_masks(poses, *arrays, **more)
    expected = stages.score_masks(
        gpu.get(masks), fields.segmentation, poses.scores, stride=8, options=options, backend="cpu"
    )
    assert expected.max() > 0
    np.testing.assert_allclose(gpu.get(scores), expected, rtol=0, atol=1e-6)
    stage = stages.score_masks(masks, arrays[0], gpu.put(poses.scores), stride=8, options=options, backend="cuda")
    np.testing.assert_allclose(gpu.get(stage), expected, rtol=0, atol=1e-6)
    batch = [gpu.put(np.stack([a] * 2)) for a in (fields.segmentation, fields.long_offsets)]
    for one in decode_masks([poses, poses], *batch, **more)[1]:
        np.testing.assert_allclose(gpu.get(one), expected, rtol=0, atol=1e-6)
