"""Masks that exclude each other, and scores of masks, on a GPU: the core's; whole batches; poses on the device."""

import numpy as np
import pytest
from agreement import assert_same_masks
from cuda_device import make_gpu, rounded
from scenes import BY_SEED, GRIDS, SKELETONS, array, decode_options, mask_options, random_fields, sprinkled

from personlab import Fields, Poses, cuda, decode_masks, stages

SIZE = 31, 47
TREE = SKELETONS["tree"]


def random_poses(rng, fields, count=6, scores=None):
    k, (width, height) = len(fields.heatmaps), fields.input_size
    keypoints = array(rng.uniform(-0.1, 1.1, (count, k, 2)) * [max(width, 20), max(height, 20)])
    weights = array(rng.random((count, k)))
    return Poses(keypoints, weights, array(rng.permutation(count) / 7 if scores is None else scores), weights)


def put(gpu, fields, element=None):
    return [gpu.put(array, element) for array in (fields.segmentation, fields.long_offsets, fields.short_offsets)]


def masks_of(gpu, poses, fields, size=SIZE, *, element=None, **options):
    """Masks and their scores on the GPU; the scores are checked against the core's and the reference's."""
    options = mask_options(**{"distance_threshold": 1.0, **options})
    segmentation, long_offsets, short_offsets = put(gpu, fields, element)
    how = {"short_offsets": short_offsets, "stride": fields.stride, "size": size, "options": options}
    masks, scores = decode_masks(poses, segmentation, long_offsets, **how, return_scores=True)
    alone = decode_masks(poses, segmentation, long_offsets, **how)
    masks, scores = gpu.get(masks), gpu.get(scores)
    np.testing.assert_array_equal(gpu.get(alone), masks)
    assert scores.shape == (len(poses),)
    for backend in ("cpu", "reference"):
        expected = stages.score_masks(
            masks, fields.segmentation, poses.scores, stride=fields.stride, options=options, backend=backend
        )
        np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-6)
    return masks, scores


@pytest.mark.parametrize("count", [7, 8, 9, 40])  # eight are summed up at a time
@pytest.mark.parametrize("ties", [False, True])
def test_exclusive_masks_in_any_order_of_scores(gpu, count, ties):
    fields, rng = random_fields(1, TREE, 5, 8, 8), np.random.default_rng(2)
    poses = random_poses(rng, fields, count, array(rng.integers(0, 3, count)) if ties else None)
    masks, _ = masks_of(gpu, poses, fields, exclusive=True)
    everything, _ = masks_of(gpu, poses, fields)
    assert (masks <= everything).all()
    assert (masks < everything).any()
    options = mask_options(distance_threshold=1.0, exclusive=True)
    for backend in ("cpu", "reference"):
        expected = stages.associate_pixels(
            poses, fields.segmentation, fields.long_offsets, fields.short_offsets, stride=8, size=SIZE,
            options=options, backend=backend,
        )  # fmt: skip
        assert_same_masks(
            masks, expected, poses, fields, size=SIZE, options=options, short_offsets=fields.short_offsets
        )


def test_wrong_masks_are_named(gpu):
    masks, segmentation = np.ones((2, 3, 4), bool), gpu.put(np.zeros((1, 2, 3), np.float32))
    scores = gpu.put(array([1, 1]))
    with pytest.raises(TypeError, match="masks: expected"):
        stages.score_masks(gpu.put(masks.astype(np.uint8)), segmentation, scores, stride=8)
    with pytest.raises(ValueError, match=r"scores: expected shape \(P,\)"):
        stages.score_masks(gpu.put(masks), segmentation, gpu.put(array([1])), stride=8)
    with pytest.raises(TypeError, match="expected device memory"):
        stages.score_masks(masks, segmentation, scores, stride=8)


@pytest.mark.parametrize("spoilt", [False, True])
@pytest.mark.parametrize("size", [SIZE, (1, 20), (64, 9), (1, 1), (0, 5)], ids=str)
@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_scores_of_noise_are_the_cores(gpu, grid, size, spoilt):
    clean, rng = random_fields(3, TREE, *grid), np.random.default_rng(4)
    spoil = dict.fromkeys(("segmentation",), sprinkled(clean.segmentation, rng, 0.2)) if spoilt else {}
    names = ("heatmaps", "short_offsets", "mid_offsets", "segmentation", "long_offsets")
    fields = Fields(**{**{name: getattr(clean, name) for name in names}, **spoil}, stride=clean.stride)
    masks, scores = masks_of(gpu, random_poses(rng, fields), fields, size)
    assert (scores[~masks.any(axis=(1, 2))] == 0).all()


def test_scores_of_no_poses(gpu):
    fields = random_fields(5, TREE, 5, 8, 8)
    poses = random_poses(np.random.default_rng(6), fields)
    masks, scores = masks_of(gpu, poses[:0], fields)
    assert masks.shape == (0, *SIZE)
    assert scores.shape == (0,)


@pytest.mark.torch
@pytest.mark.parametrize("element", ["float16", "bfloat16"])
def test_halves_are_read_as_float32(gpu, element):
    logits, marks = random_fields(7, TREE, 5, 8, 8).segmentation, np.ones((1, *SIZE), bool)
    found = stages.score_masks(gpu.put(marks), gpu.put(logits, element), gpu.put(array([1])), stride=8)
    expected = stages.score_masks(marks, rounded(logits, element), array([1]), stride=8)
    np.testing.assert_allclose(gpu.get(found), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("counts", [(3,), (2, 0), (0, 0), (5, 1, 0, 12, 2)], ids=str)
@pytest.mark.parametrize("exclusive", [False, True])
def test_a_batch_is_its_images(gpu, counts, exclusive):
    images = [random_fields(20 + i, TREE, 5, 8, 8) for i in range(len(counts))]
    rng, options = np.random.default_rng(8), mask_options(distance_threshold=1.0, exclusive=exclusive)
    poses = [random_poses(rng, fields, count) for fields, count in zip(images, counts, strict=True)]
    segmentation, long_offsets, short_offsets = (
        gpu.put(np.stack([getattr(fields, name) for fields in images]))
        for name in ("segmentation", "long_offsets", "short_offsets")
    )
    masks, scores = decode_masks(
        poses, segmentation, long_offsets, short_offsets=short_offsets, stride=8, size=SIZE, options=options,
        return_scores=True,
    )  # fmt: skip
    assert len(masks) == len(scores) == len(counts)
    for mask, score, one, fields in zip(masks, scores, poses, images, strict=True):
        alone, expected = masks_of(gpu, one, fields, exclusive=exclusive)
        np.testing.assert_array_equal(gpu.get(mask), alone)
        np.testing.assert_array_equal(gpu.get(score), expected)


@pytest.mark.parametrize("exclusive", [False, True])
def test_poses_that_are_on_the_device(gpu, exclusive):
    images = [random_fields(seed, TREE, 7, 9, 8) for seed in (30, 31)]
    names = ("heatmaps", "short_offsets", "mid_offsets", "segmentation", "long_offsets")
    arrays = {name: gpu.put(np.stack([getattr(fields, name) for fields in images])) for name in names}
    options = decode_options(hough_stride=2, min_score=0.3, max_poses=60, **BY_SEED)
    there = cuda.decode_poses(*(arrays[name] for name in names[:3]), stride=8, skeleton=TREE, options=options)
    more = {"stride": 8, "size": SIZE, "short_offsets": arrays["short_offsets"]}
    more["options"] = mask_options(distance_threshold=1.0, exclusive=exclusive)
    fields = arrays["segmentation"], arrays["long_offsets"]
    masks, scores = map(gpu.get, cuda.decode_masks(there, *fields, **more, return_scores=True))
    assert scores.shape == (2, 60)
    found = there.read()
    expected, expected_scores = decode_masks(found, *fields, **more, return_scores=True)
    for i, poses in enumerate(found):
        n = len(poses)
        assert 1 <= n < 60
        np.testing.assert_array_equal(masks[i, :n], gpu.get(expected[i]))
        np.testing.assert_array_equal(scores[i, :n], gpu.get(expected_scores[i]))
        assert scores[i, :n].any()
        assert not scores[i, n:].any()
    nowhere = cuda.decode_masks(there, *fields, **{**more, "size": (0, 7)}, return_scores=True)
    assert [gpu.get(part).shape for part in nowhere] == [(2, 60, 0, 7), (2, 60)]
    assert not gpu.get(nowhere[1]).any()


@pytest.mark.cuda_host
@pytest.mark.slow_sanitized
@pytest.mark.parametrize("exclusive", [False, True])
def test_the_order_of_blocks_and_threads_changes_nothing(monkeypatch, exclusive):
    host = make_gpu("host", monkeypatch)
    fields = random_fields(9, TREE, 5, 8, 8)
    poses = random_poses(np.random.default_rng(10), fields, 20)
    expected = masks_of(host, poses, fields, exclusive=exclusive)
    for order in ("1", "77"):
        monkeypatch.setenv("PERSONLAB_CUDA_HOST_ORDER", order)
        for one, other in zip(masks_of(host, poses, fields, exclusive=exclusive), expected, strict=True):
            np.testing.assert_array_equal(one, other)
