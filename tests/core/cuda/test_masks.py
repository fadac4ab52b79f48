"""Masks on a GPU: the core's, but for pixels next to a threshold; whole batches; poses that are there already."""

import numpy as np
import pytest
from agreement import assert_same_masks, core_poses
from cuda_device import make_gpu, rounded
from scenes import (
    GRIDS,
    PAIR,
    SKELETONS,
    array,
    mask_options,
    paper_options,
    people_keypoints,
    random_fields,
    skeleton,
    sprinkled,
)

from personlab import COCO_PERSON, Fields, Poses, cuda, decode_masks, encode_targets, stages

SIZE = 31, 47
TREE = SKELETONS["tree"]


def random_poses(rng, fields, count=6):
    """Poses all over the image, of keypoints that weigh different amounts."""
    k, (width, height) = len(fields.heatmaps), fields.input_size
    keypoints = array(rng.uniform(-0.1, 1.1, (count, k, 2)) * [max(width, 20), max(height, 20)])
    weights = array(rng.random((count, k)))
    return Poses(keypoints, weights, weights.mean(axis=1), weights)


def on_gpu(gpu, poses, fields, size, options, *, short=True, element=None):
    segmentation, long_offsets, short_offsets = (
        gpu.put(a, element) for a in (fields.segmentation, fields.long_offsets, fields.short_offsets)
    )
    return decode_masks(
        poses, segmentation, long_offsets, short_offsets=short_offsets if short else None,
        stride=fields.stride, size=size, options=options,
    )  # fmt: skip


def assert_as_the_core(gpu, poses, fields, size, options, *, short=True):
    masks = gpu.get(on_gpu(gpu, poses, fields, size, options, short=short))
    short_offsets = fields.short_offsets if short else None
    for backend in ("cpu", "reference"):
        expected = stages.associate_pixels(
            poses, fields.segmentation, fields.long_offsets, short_offsets,
            stride=fields.stride, size=size, options=options, backend=backend,
        )  # fmt: skip
        assert_same_masks(masks, expected, poses, fields, size=size, options=options, short_offsets=short_offsets)
    return masks


@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize("short", [False, True])
@pytest.mark.parametrize("size", [SIZE, (1, 20), (64, 9), (1, 1)], ids=str)
@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_masks_of_noise_are_the_cores(gpu, grid, size, short, exclusive):
    fields = random_fields(13, TREE, *grid)
    poses = random_poses(np.random.default_rng(14), fields)
    options = mask_options(distance_threshold=1.0, exclusive=exclusive)
    assert_as_the_core(gpu, poses, fields, size, options, short=short)


@pytest.mark.parametrize("exclusive", [False, True])
def test_masks_of_real_fields_are_the_cores(gpu, fields, exclusive):
    poses = core_poses(fields, paper_options(hough_stride=2, min_score=0.05, max_poses=12))
    size = fields.image_size[1] // 4, fields.image_size[0] // 4
    masks = assert_as_the_core(gpu, poses, fields, size, mask_options(exclusive=exclusive))
    assert masks.any()
    if exclusive:
        everything = assert_as_the_core(gpu, poses, fields, size, mask_options())
        assert (masks <= everything).all()


@pytest.mark.slow_sanitized
def test_masks_at_the_size_of_the_image_are_the_cores(gpu, load_fields):
    fields = load_fields("coco_000000114907_641_s8")
    poses = core_poses(fields, paper_options(hough_stride=2, min_score=0.1))
    size, options = fields.image_size[::-1], mask_options()
    masks = gpu.get(on_gpu(gpu, poses, fields, size, options))
    expected = decode_masks(
        poses, fields.segmentation, fields.long_offsets, short_offsets=fields.short_offsets,
        stride=fields.stride, size=size, options=options,
    )  # fmt: skip
    assert_same_masks(masks, expected, poses, fields, size=size, options=options, short_offsets=fields.short_offsets)
    assert masks.any()


@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize("count", [7, 8, 9, 40])  # eight are summed up at a time
@pytest.mark.parametrize("keypoints", [1, 2, 5])
def test_any_number_of_poses(gpu, count, keypoints, exclusive):
    fields = random_fields(17, skeleton(keypoints), 5, 8, 8)
    poses = random_poses(np.random.default_rng(18), fields, count)
    options = mask_options(distance_threshold=30.0, exclusive=exclusive)
    assert assert_as_the_core(gpu, poses, fields, SIZE, options)[-1].any() or exclusive


@pytest.mark.parametrize("keypoints", [17, 18, 19, 40])  # eighteen are remembered from pose to pose
def test_any_number_of_keypoints(gpu, keypoints):
    names = tuple(f"k{i}" for i in range(keypoints))
    people = type(COCO_PERSON)(names=names, edges=(), sigmas=(0.05,) * keypoints, flip=tuple(range(keypoints)))
    fields = random_fields(19, people, 5, 8, 8)
    poses = random_poses(np.random.default_rng(20), fields, 20)
    masks = assert_as_the_core(gpu, poses, fields, SIZE, mask_options(distance_threshold=2.0))
    assert masks[-1].any()
    assert not masks.all()


@pytest.mark.parametrize(
    "values", [(np.nan,), (np.inf,), (np.nan, np.inf, -np.inf), (1e38,), (-1e38,), (3.4e38,)], ids=str
)
@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_offsets_that_are_not_finite_count_as_none(gpu, grid, values):
    rng = np.random.default_rng(15)
    clean = random_fields(16, TREE, *grid)
    fields = Fields(
        heatmaps=clean.heatmaps,
        short_offsets=sprinkled(clean.short_offsets, rng, values=values),
        mid_offsets=clean.mid_offsets,
        segmentation=sprinkled(clean.segmentation, rng, values=values),
        long_offsets=sprinkled(clean.long_offsets, rng, values=values),
        stride=clean.stride,
    )
    assert_as_the_core(gpu, random_poses(rng, fields), fields, (24, 32), mask_options(distance_threshold=1.0))


def test_background_no_poses_no_pixels_no_cells(gpu):
    fields = random_fields(25, TREE, 5, 8, 8)
    poses = random_poses(np.random.default_rng(26), fields)
    options = mask_options(distance_threshold=1e6)
    empty = Fields(
        heatmaps=fields.heatmaps, short_offsets=fields.short_offsets, mid_offsets=fields.mid_offsets,
        segmentation=np.full_like(fields.segmentation, -50), long_offsets=fields.long_offsets, stride=8,
    )  # fmt: skip
    assert not gpu.get(on_gpu(gpu, poses, empty, SIZE, options)).any()
    assert gpu.get(on_gpu(gpu, poses[:0], fields, SIZE, options)).shape == (0, *SIZE)
    for size in ((0, 5), (5, 0), (0, 0)):
        assert gpu.get(on_gpu(gpu, poses, fields, size, options)).shape == (6, *size)
    for h, w in ((0, 5), (3, 0)):
        masks = decode_masks(
            poses, gpu.put(np.zeros((1, h, w), np.float32)), gpu.put(np.zeros((4, 2, h, w), np.float32)),
            stride=8, size=SIZE, options=options,
        )  # fmt: skip
        masks = gpu.get(masks)
        assert masks.shape == (6, *SIZE)
        assert not masks.any()


@pytest.mark.torch
@pytest.mark.parametrize("element", ["float16", "bfloat16"])
def test_halves_are_read_as_float32(gpu, element):
    fields = random_fields(27, TREE, 5, 8, 8)
    poses, options = random_poses(np.random.default_rng(28), fields), mask_options(distance_threshold=1.0)
    wide = Fields(
        **{
            name: rounded(getattr(fields, name), element)
            for name in ("heatmaps", "short_offsets", "mid_offsets", "segmentation", "long_offsets")
        },
        stride=8,
    )
    masks = gpu.get(on_gpu(gpu, poses, fields, SIZE, options, element=element))
    np.testing.assert_array_equal(masks, gpu.get(on_gpu(gpu, poses, wide, SIZE, options)))
    assert masks.any()


def batch_of(gpu, images, *names):
    return [gpu.put(np.stack([getattr(fields, name) for fields in images])) for name in names]


@pytest.mark.parametrize("counts", [(3,), (2, 0), (0, 0), (5, 1, 0, 12, 2, 9, 1)], ids=str)
@pytest.mark.parametrize("short", [False, True])
def test_a_batch_is_its_images(gpu, counts, short):
    images = [random_fields(30 + i, TREE, 5, 8, 8) for i in range(len(counts))]
    rng, options = np.random.default_rng(29), mask_options(distance_threshold=1.0)
    poses = [random_poses(rng, fields, count) for fields, count in zip(images, counts, strict=True)]
    segmentation, long_offsets, short_offsets = batch_of(gpu, images, "segmentation", "long_offsets", "short_offsets")
    masks = decode_masks(
        poses, segmentation, long_offsets, short_offsets=short_offsets if short else None,
        stride=8, size=SIZE, options=options,
    )  # fmt: skip
    assert len(masks) == len(counts)
    for mask, one, fields in zip(masks, poses, images, strict=True):
        np.testing.assert_array_equal(gpu.get(mask), gpu.get(on_gpu(gpu, one, fields, SIZE, options, short=short)))
        assert gpu.get(mask).any() == (len(one) > 0)


def test_a_batch_of_no_images(gpu):
    fields = random_fields(31, TREE, 5, 8, 8)
    nothing = [gpu.put(np.stack([a])[:0]) for a in (fields.segmentation, fields.long_offsets)]
    assert decode_masks([], *nothing, stride=8, size=SIZE) == []


@pytest.mark.slow_sanitized
def test_a_batch_larger_than_the_memory_for_its_offsets_goes_in_lots(gpu):
    # 800 x 801 cells of 17 keypoints are 83 MiB of offsets; those of two images are not made at once.
    h, w, k = 800, 801, 17
    segmentation, long_offsets = np.zeros((2, 1, h, w), np.float32), np.zeros((2, k, 2, h, w), np.float32)
    long_offsets[1, :, 0] = 2.0
    keypoints = array([[[2, 0]] * k])  # where the first pixel of the second image points, alone
    weights = np.ones((1, k), np.float32)
    poses = Poses(keypoints, weights, weights[:, 0], weights)
    options = mask_options(distance_threshold=1.0, long_refine_steps=0)
    masks = decode_masks(
        [poses, poses], gpu.put(segmentation), gpu.put(long_offsets), stride=1, size=(9, 11), options=options
    )
    for mask, fields in zip(masks, long_offsets, strict=True):
        expected = decode_masks(poses, segmentation[0], fields, stride=1, size=(9, 11), options=options)
        np.testing.assert_array_equal(gpu.get(mask), expected)
    assert [gpu.get(mask).sum() for mask in masks] == [0, 1]


def drawn(seed, centres):
    """Fields of people who stand around these places, each on a square of pixels."""
    size = 97, 145
    keypoints = people_keypoints(centres, PAIR, np.random.default_rng(seed), size=20)
    masks = np.zeros((len(centres), *size), bool)
    for mask, (x, y) in zip(masks, centres, strict=True):
        mask[y - 24 : y + 24, x - 24 : x + 24] = True
    return encode_targets(keypoints, masks, size=size, stride=8, skeleton=PAIR).to_fields()


def test_masks_of_poses_on_the_device(gpu):
    images = [drawn(40, [(40, 48), (104, 48)]), drawn(41, [(72, 48)])]
    options, size = paper_options(hough_stride=4, scoring="heatmap", min_score=0.1, max_poses=6), (50, 83)
    heatmaps, short_offsets, mid_offsets, segmentation, long_offsets = batch_of(
        gpu, images, "heatmaps", "short_offsets", "mid_offsets", "segmentation", "long_offsets"
    )
    there = cuda.decode_poses(heatmaps, short_offsets, mid_offsets, stride=8, skeleton=PAIR, options=options)
    found = there.read()
    assert [len(poses) for poses in found] == [len(core_poses(each, options, PAIR)) for each in images]
    assert 1 <= len(found[1]) < 6
    more = {"short_offsets": short_offsets, "stride": 8, "size": size, "options": mask_options()}
    masks = gpu.get(cuda.decode_masks(there, segmentation, long_offsets, **more))
    assert masks.shape == (2, 6, *size)
    expected = decode_masks(found, segmentation, long_offsets, **more)
    for mask, want, poses in zip(masks, expected, found, strict=True):
        np.testing.assert_array_equal(mask[: len(poses)], gpu.get(want))
        assert mask.any()
        assert not mask[len(poses) :].any()

    one = images[0]
    there = cuda.decode_poses(
        gpu.put(one.heatmaps), gpu.put(one.short_offsets), gpu.put(one.mid_offsets),
        stride=8, skeleton=PAIR, options=options,
    )  # fmt: skip
    more["short_offsets"] = gpu.put(one.short_offsets)
    alone = cuda.decode_masks(there, gpu.put(one.segmentation), gpu.put(one.long_offsets), **more)
    np.testing.assert_array_equal(gpu.get(alone), masks[:1])
    with pytest.raises(ValueError, match=r"segmentation: expected shape \(N, 1, h, w\)"):
        cuda.decode_masks(there, segmentation, gpu.put(one.long_offsets), **more)
    with pytest.raises(TypeError, match="segmentation: expected device memory, got host memory"):
        cuda.decode_masks(there, one.segmentation, one.long_offsets, stride=8, size=size)


def test_what_is_wrong_is_named(gpu):
    fields = random_fields(32, TREE, 5, 8, 8)
    poses = random_poses(np.random.default_rng(33), fields)
    segmentation, long_offsets = gpu.put(fields.segmentation), gpu.put(fields.long_offsets)
    with pytest.raises(TypeError, match="long_offsets: expected device memory, as segmentation is, got host memory"):
        decode_masks(poses, segmentation, fields.long_offsets, stride=8, size=SIZE)
    with pytest.raises(ValueError, match=r"long_offsets: expected shape \(K, 2, h, w\)"):
        decode_masks(poses, segmentation, gpu.put(fields.long_offsets[:3]), stride=8, size=SIZE)
    with pytest.raises(ValueError, match=r"segmentation: expected shape \(N, 1, h, w\)"):
        decode_masks([poses], segmentation, long_offsets, stride=8, size=SIZE)
    with pytest.raises(TypeError, match="poses: expected Poses or a sequence of them, got int"):
        decode_masks(3, segmentation, long_offsets, stride=8, size=SIZE)
    with pytest.raises(TypeError, match="stride: expected an integer"):
        decode_masks(poses, segmentation, long_offsets, stride=8.5, size=SIZE)
    for backend in ("cpu", "reference"):
        with pytest.raises(TypeError, match=f"segmentation: expected host memory for backend '{backend}'"):
            stages.associate_pixels(poses, segmentation, long_offsets, stride=8, size=SIZE, backend=backend)
    with pytest.raises(TypeError, match="segmentation: expected device memory for backend 'cuda'"):
        stages.associate_pixels(poses, fields.segmentation, fields.long_offsets, stride=8, size=SIZE, backend="cuda")


def test_the_stage_is_the_same(gpu):
    fields = random_fields(34, TREE, 5, 8, 8)
    poses, options = random_poses(np.random.default_rng(35), fields), mask_options(distance_threshold=1.0)
    arrays = gpu.put(fields.segmentation), gpu.put(fields.long_offsets), gpu.put(fields.short_offsets)
    for backend in (None, "cuda"):
        masks = stages.associate_pixels(poses, *arrays, stride=8, size=SIZE, options=options, backend=backend)
        np.testing.assert_array_equal(gpu.get(masks), gpu.get(on_gpu(gpu, poses, fields, SIZE, options)))


@pytest.mark.slow_sanitized
@pytest.mark.cuda_host
@pytest.mark.parametrize("exclusive", [False, True])
def test_the_order_of_blocks_and_threads_changes_nothing(monkeypatch, exclusive):
    host = make_gpu("host", monkeypatch)
    fields = random_fields(36, TREE, 5, 8, 8)
    poses = random_poses(np.random.default_rng(37), fields, 20)
    options = mask_options(distance_threshold=1.0, exclusive=exclusive)
    expected = host.get(on_gpu(host, poses, fields, SIZE, options))
    assert expected.any()
    for order in ("1", "2", "77"):
        monkeypatch.setenv("PERSONLAB_CUDA_HOST_ORDER", order)
        np.testing.assert_array_equal(host.get(on_gpu(host, poses, fields, SIZE, options)), expected)


@pytest.mark.cuda
def test_masks_of_torch_tensors_are_torchs_and_can_be_captured(load_fields):
    import torch

    fields = load_fields("couple_641_s16")
    names = ("heatmaps", "short_offsets", "mid_offsets", "segmentation", "long_offsets")
    arrays = {name: torch.from_numpy(np.array(getattr(fields, name))).cuda() for name in names}
    poses = core_poses(fields, paper_options(hough_stride=2))
    more = {"short_offsets": arrays["short_offsets"], "stride": 16, "size": (120, 200)}
    masks = decode_masks(poses, arrays["segmentation"], arrays["long_offsets"], **more)
    assert masks.is_cuda
    assert masks.dtype == torch.bool

    pose_arrays = [arrays[name] for name in names[:3]]
    there = cuda.decode_poses(*pose_arrays, stride=16)
    expected = cuda.decode_masks(there, arrays["segmentation"], arrays["long_offsets"], **more).clone()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        cuda.decode_poses(*pose_arrays, stride=16, out=there)
        captured = cuda.decode_masks(there, arrays["segmentation"], arrays["long_offsets"], **more)
    for _ in range(2):
        captured.zero_()
        graph.replay()
        torch.cuda.synchronize()
        assert expected.any()
        assert torch.equal(captured, expected)
