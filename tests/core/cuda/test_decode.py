"""Poses decoded on a GPU are those of the core, for both decoders, any skeleton, batch and element type."""

import numpy as np
import pytest
from agreement import assert_same_bytes, assert_same_poses
from cuda_device import Produced, make_gpu, rounded
from scenes import (
    BY_SEED,
    GRIDS,
    OFF,
    PAIR,
    SKELETONS,
    decode_options,
    paper_options,
    pose_fields,
    random_fields,
    skeleton,
    sprinkled,
)

import personlab
from personlab import DecodeOptions, Fields, Skeleton, decode_poses
from personlab.methods.personlab.backends.cuda import poses as device_poses
from personlab.methods.personlab.backends.cuda import views

PIXELS, SCORE = 1e-3, 1e-4  # of the contract between the backends
DECODERS = {
    "paper": decode_options(hough_stride=2),
    "default": decode_options(hough_stride=2, **BY_SEED),
    "fine": decode_options(hough_stride=1, scoring="heatmap"),
    "posenet": DecodeOptions.posenet(0.3, nms_radius=8.0, refine_steps=2, max_poses=50),
}
EACH_DECODER = [
    pytest.param(options, id=name, marks=pytest.mark.slow_sanitized if name == "fine" else [])
    for name, options in DECODERS.items()
]


def put(gpu, arrays, element=None):
    return [gpu.put(array, element) for array in arrays]


def assert_agrees(gpu, arrays, **how):
    """Decoded on the GPU and by the core: the same number of poses for each image, and the same poses.

    Keypoints are the same to the last bit before they are sharpened.
    """
    found = decode_poses(*put(gpu, arrays), **how)
    expected = decode_poses(*arrays, **how)
    if not isinstance(expected, list):
        found, expected = [found], [expected]
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert_same_poses(one, other, pixels=PIXELS, score=SCORE)
        if how.get("options", DecodeOptions()).sharpen == 0:
            np.testing.assert_array_equal(one.keypoints, other.keypoints)
    return expected


@pytest.mark.parametrize(
    "options",
    [*(DecodeOptions(hough_stride=g) for g in (1, 2, 4)), paper_options(hough_stride=2), DecodeOptions.posenet()],
    ids=["g1", "g2", "g4", "paper", "posenet"],
)
def test_real_fields(gpu, fields, options):
    assert len(assert_agrees(gpu, pose_fields(fields), stride=fields.stride, options=options)[0])


@pytest.mark.parametrize(
    "grid", [pytest.param(grid, marks=pytest.mark.slow_sanitized if grid == (9, 4, 16) else []) for grid in GRIDS]
)
@pytest.mark.parametrize("people", SKELETONS.values(), ids=SKELETONS)
@pytest.mark.parametrize("options", EACH_DECODER)
def test_random_scenes(gpu, people, options, grid):
    h, w, stride = grid
    fields = random_fields(h * w + stride, people, h, w, stride)
    assert_agrees(gpu, pose_fields(fields), stride=stride, skeleton=people, options=options)


def batch_of(n, people=SKELETONS["tree"], h=5, w=7):
    scenes = [random_fields(seed, people, h, w, 8) for seed in range(n)]
    return [np.stack(arrays) for arrays in zip(*map(pose_fields, scenes), strict=True)]


@pytest.mark.parametrize("n", [0, 1, 2, pytest.param(7, marks=pytest.mark.slow_sanitized)])
@pytest.mark.parametrize("options", EACH_DECODER)
def test_batches(gpu, n, options):
    arrays = batch_of(n) if n else [array[:0] for array in batch_of(1)]
    assert_agrees(gpu, arrays, stride=8, skeleton=SKELETONS["tree"], options=options)


@pytest.mark.parametrize("options", EACH_DECODER)
def test_nobody_is_an_answer(gpu, options):
    fields = random_fields(1, PAIR, 5, 8, 8)
    empty = np.full_like(fields.heatmaps, OFF)
    poses = decode_poses(
        *put(gpu, (empty, fields.short_offsets, fields.mid_offsets)), stride=8, skeleton=PAIR, options=options
    )
    assert [a.shape for a in (poses.keypoints, poses.keypoint_scores, poses.scores)] == [(0, 2, 2), (0, 2), (0,)]


@pytest.mark.parametrize("shape", [(0, 6), (4, 0)])
@pytest.mark.parametrize("options", EACH_DECODER)
def test_grids_without_cells_hold_nobody(gpu, options, shape):
    arrays = put(gpu, [np.zeros((2, *axes, *shape), np.float32) for axes in ((), (2,), (2,))])
    assert len(decode_poses(*arrays, stride=8, skeleton=PAIR, options=options)) == 0


@pytest.mark.parametrize("options", EACH_DECODER)
@pytest.mark.parametrize("people", [SKELETONS["tree"], SKELETONS["cycle"]], ids=["tree", "cycle"])
def test_what_is_not_finite_does_no_harm(gpu, people, options):
    rng = np.random.default_rng(2)
    arrays = [sprinkled(array, rng) for array in pose_fields(random_fields(9, people, 7, 9, 8))]
    assert_agrees(gpu, arrays, stride=8, skeleton=people, options=options)


@pytest.mark.torch
@pytest.mark.parametrize("options", EACH_DECODER)
@pytest.mark.parametrize("element", ["float16", "bfloat16"])
def test_halves_decode_as_float32(gpu, element, options):
    arrays = pose_fields(random_fields(4, PAIR, 6, 9, 8))
    wide = [rounded(array, element) for array in arrays]
    found = decode_poses(*put(gpu, arrays, element), stride=8, skeleton=PAIR, options=options)
    expected = decode_poses(*wide, stride=8, skeleton=PAIR, options=options)
    assert len(expected)
    assert_same_poses(found, expected, pixels=PIXELS, score=SCORE)


@pytest.mark.parametrize("max_poses", [0, 1, 3])
@pytest.mark.parametrize("options", [{}, {"decoder": "posenet", "scoring": "heatmap"}], ids=["paper", "posenet"])
def test_no_more_poses_than_asked_for(gpu, max_poses, options):
    arrays = pose_fields(random_fields(6, PAIR, 6, 9, 8))
    how = decode_options(max_poses=max_poses, **options)
    assert len(assert_agrees(gpu, arrays, stride=8, skeleton=PAIR, options=how)[0]) == max_poses


def chain(count, extra=()):
    """A skeleton longer than a warp is wide, or than a machine word."""
    return Skeleton(
        names=tuple(f"k{i}" for i in range(count)),
        edges=(*((i, i + 1) for i in range(count - 1)), *extra),
        sigmas=(0.05,) * count,
        flip=tuple(range(count)),
    )


STAR = Skeleton(
    names=tuple(f"k{i}" for i in range(70)),
    edges=tuple((0, i) for i in range(1, 70)),
    sigmas=(0.05,) * 70,
    flip=tuple(range(70)),
)
TWICE = skeleton(3, [(0, 1), (1, 0), (1, 2)])  # two edges between the same two


@pytest.mark.parametrize(
    "people", [chain(40), chain(40, [(0, 39), (3, 21)]), STAR, TWICE], ids=["long", "ring", "star", "twice"]
)
@pytest.mark.parametrize("options", [DECODERS["paper"], DECODERS["posenet"]], ids=["paper", "posenet"])
def test_large_and_odd_skeletons(gpu, people, options):
    rng = np.random.default_rng(people.n_keypoints)
    k, e2 = people.n_keypoints, 2 * people.n_edges
    heatmaps = rng.normal(-4.0 if k > 3 else 0.0, 3.0, (k, 3, 4)).astype(np.float32)
    arrays = (
        heatmaps,
        rng.normal(0, 6, (k, 2, 3, 4)).astype(np.float32),
        rng.normal(0, 9, (e2, 2, 3, 4)).astype(np.float32),
    )
    options = decode_options(hough_stride=4, peak_threshold=0.3) if options.decoder == "personlab" else options
    assert_agrees(gpu, arrays, stride=8, skeleton=people, options=options)


def test_more_keypoints_than_a_gpu_takes_are_named(gpu):
    people = chain(257)
    arrays = put(gpu, [np.zeros((n, *axes, 2, 3), np.float32) for n, axes in ((257, ()), (257, (2,)), (512, (2,)))])
    with pytest.raises(ValueError, match="skeleton: expected at most 256 keypoints on a GPU, got 257"):
        decode_poses(*arrays, stride=8, skeleton=people)


def test_wrong_arguments_are_named(gpu):
    arrays = pose_fields(random_fields(1, PAIR, 4, 6, 8))
    heatmaps, short_offsets, mid_offsets = put(gpu, arrays)
    with pytest.raises(ValueError, match=r"mid_offsets: expected shape"):
        decode_poses(heatmaps, short_offsets, gpu.put(arrays[2][:1]), stride=8, skeleton=PAIR)
    with pytest.raises(ValueError, match=r"heatmaps: expected shape .* with K = 17, got \(2, 4, 6\)"):
        decode_poses(heatmaps, short_offsets, mid_offsets, stride=8)
    with pytest.raises(TypeError, match="mid_offsets: expected device memory, as heatmaps is, got host memory"):
        decode_poses(heatmaps, short_offsets, arrays[2], stride=8, skeleton=PAIR)
    with pytest.raises(ValueError, match="stride: expected an integer from 1 to 4096, got 0"):
        decode_poses(heatmaps, short_offsets, mid_offsets, stride=0, skeleton=PAIR)
    with pytest.raises(TypeError, match="heatmaps: expected device memory, got host memory"):
        personlab.cuda.decode_poses(*arrays, stride=8, skeleton=PAIR)


def on_device(gpu, arrays, **how):
    return personlab.cuda.decode_poses(
        *put(gpu, arrays), **{"stride": 8, "skeleton": SKELETONS["tree"], "options": DECODERS["paper"], **how}
    )


def test_poses_can_stay_on_the_device(gpu):
    arrays = batch_of(3)
    found = on_device(gpu, arrays)
    expected = decode_poses(*arrays, stride=8, skeleton=SKELETONS["tree"], options=DECODERS["paper"])
    counts, keypoints, scores = (gpu.get(array) for array in (found.counts, found.keypoints, found.scores))
    assert counts.tolist() == [len(one) for one in expected]
    for i, one in enumerate(expected):
        np.testing.assert_array_equal(keypoints[i, : counts[i]], one.keypoints)
        assert not keypoints[i, counts[i] :].any()
        assert not scores[i, counts[i] :].any()
    for read, one in zip(found.read(), expected, strict=True):
        assert_same_poses(read, one, pixels=PIXELS, score=SCORE)


@pytest.mark.slow_sanitized
def test_too_many_candidates_are_never_a_silent_loss(gpu):
    arrays = batch_of(3)
    roomy = on_device(gpu, arrays)
    candidates = gpu.get(roomy.candidates)
    exact = on_device(gpu, arrays, capacity=int(candidates.max()))
    for one, other in zip(exact.read(), roomy.read(), strict=True):
        assert_same_bytes(one, other)
    full = on_device(gpu, arrays, capacity=int(candidates.max()) - 1)
    np.testing.assert_array_equal(gpu.get(full.candidates), candidates)
    overflowed = candidates == candidates.max()
    assert not gpu.get(full.counts)[overflowed].any()
    assert (gpu.get(full.counts)[~overflowed] == gpu.get(roomy.counts)[~overflowed]).all()
    with pytest.raises(RuntimeError, match=rf"capacity: image \d has {candidates.max()} candidates"):
        full.read()


@pytest.mark.parametrize("options", EACH_DECODER)
def test_decoding_makes_room_where_there_was_too_little(gpu, options, monkeypatch):
    monkeypatch.setattr(views, "CAPACITY", 2)
    assert_agrees(gpu, batch_of(2), stride=8, skeleton=SKELETONS["tree"], options=options)


@pytest.mark.parametrize("options", EACH_DECODER)
def test_what_no_gpu_has_room_for_is_decoded_on_the_host(gpu, options, monkeypatch):
    monkeypatch.setattr(views, "CAPACITY", 2)
    monkeypatch.setattr(device_poses, "MAX_CAPACITY", 3)
    assert_agrees(gpu, batch_of(2), stride=8, skeleton=SKELETONS["tree"], options=options)


@pytest.mark.slow_sanitized
def test_poses_can_be_decoded_into_what_is_there(gpu):
    found = on_device(gpu, batch_of(3))
    before = [poses.keypoints for poses in found.read()]
    other = [array[::-1].copy() for array in batch_of(3)]
    assert on_device(gpu, other, out=found) is found
    for one, keypoints in zip(found.read(), reversed(before), strict=True):
        np.testing.assert_array_equal(one.keypoints, keypoints)
    for changes, message in (
        ({"capacity": 8}, "out: expected room for"),
        ({"options": decode_options(max_poses=5)}, "out: expected room for"),
        ({"options": decode_options(hough_stride=1)}, "bytes of scratch"),
    ):
        with pytest.raises(ValueError, match=message):
            on_device(gpu, other, out=found, **changes)
    with pytest.raises(ValueError, match="out: expected poses of the same skeleton"):
        on_device(gpu, batch_of(3, SKELETONS["cycle"]), skeleton=SKELETONS["cycle"], out=found)
    with pytest.raises(TypeError, match="out: expected DevicePoses, got list"):
        on_device(gpu, other, out=[])


@pytest.mark.slow_sanitized
@pytest.mark.cuda_host
@pytest.mark.parametrize("people", [SKELETONS["tree"], SKELETONS["cycle"]], ids=["tree", "cycle"])
@pytest.mark.parametrize("options", EACH_DECODER)
def test_the_order_of_blocks_and_threads_changes_nothing(people, options, monkeypatch):
    gpu = make_gpu("host", monkeypatch)
    arrays = put(gpu, batch_of(2, people))
    how = {"stride": 8, "skeleton": people, "options": options}
    expected = decode_poses(*arrays, **how)
    for order in ("1", "5"):
        monkeypatch.setenv("PERSONLAB_CUDA_HOST_ORDER", order)
        for one, other in zip(decode_poses(*arrays, **how), expected, strict=True):
            assert_same_bytes(one, other)


@pytest.mark.slow_sanitized
def test_many_images_share_the_scratch(gpu):
    # Lists for half a million candidates: two images to a round.
    arrays = batch_of(5)
    roomy = on_device(gpu, arrays, capacity=2**19)
    for one, other in zip(roomy.read(), on_device(gpu, arrays).read(), strict=True):
        assert_same_bytes(one, other)


@pytest.mark.cuda
def test_random_scenes_by_the_thousand():
    gpu = make_gpu("cuda", None)
    for seed in range(1000):
        people = list(SKELETONS.values())[seed % len(SKELETONS)]
        options = list(DECODERS.values())[seed % len(DECODERS)]
        h, w, stride = GRIDS[seed % len(GRIDS)]
        assert_agrees(
            gpu, pose_fields(random_fields(seed, people, h, w, stride)), stride=stride, skeleton=people, options=options
        )


@pytest.mark.cuda
def test_a_batch_of_64_real_images(load_fields):
    gpu, fields = make_gpu("cuda", None), load_fields("couple_641_s8")
    arrays = [np.repeat(array[None], 64, axis=0) for array in pose_fields(fields)]
    assert_agrees(gpu, arrays, stride=fields.stride, options=DecodeOptions())


@pytest.mark.cuda
def test_decoding_waits_for_the_producer_on_its_stream(load_fields):
    import torch

    fields = load_fields("couple_641_s8")
    arrays = [torch.from_numpy(np.array(array)).cuda() for array in pose_fields(fields)]
    expected = decode_poses(*arrays, stride=fields.stride)
    torch.cuda.synchronize()
    with torch.cuda.stream(torch.cuda.Stream()):
        late = [torch.full_like(array, -50.0) for array in arrays]
        torch.cuda._sleep(100_000_000)
        for to, array in zip(late, arrays, strict=True):
            to.copy_(array)
        found = decode_poses(*late, stride=fields.stride)
    assert_same_bytes(found, expected)


@pytest.mark.cuda
def test_decoding_can_be_captured_in_a_graph_and_replayed(load_fields):
    import torch

    fields = load_fields("couple_641_s8")
    arrays = [torch.from_numpy(np.array(array)).cuda() for array in pose_fields(fields)]
    expected = decode_poses(*arrays, stride=fields.stride)
    mirrored = [array.flip(-1).contiguous() for array in arrays]
    other = decode_poses(*mirrored, stride=fields.stride)
    static = [array.clone() for array in arrays]
    out = personlab.cuda.decode_poses(*static, stride=fields.stride)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        personlab.cuda.decode_poses(*static, stride=fields.stride, out=out)
    for source, poses in ((mirrored, other), (arrays, expected), (mirrored, other)):
        for to, array in zip(static, source, strict=True):
            to.copy_(array)
        graph.replay()
        assert_same_bytes(out.read()[0], poses)


@pytest.mark.cuda
def test_results_are_the_same_bytes_every_time(load_fields):
    import torch

    fields = load_fields("office_group_801_s8")
    arrays = [torch.from_numpy(np.array(array)).cuda() for array in pose_fields(fields)]
    first = decode_poses(*arrays, stride=fields.stride)
    for _ in range(20):
        assert_same_bytes(decode_poses(*arrays, stride=fields.stride), first)


@pytest.mark.cuda
def test_dlpack_producers_are_decoded(load_fields):
    import torch

    fields = load_fields("couple_641_s8")
    arrays = [torch.from_numpy(np.array(array)).cuda() for array in pose_fields(fields)]
    found = decode_poses(*map(Produced, arrays), stride=fields.stride)
    assert_same_bytes(found, decode_poses(*arrays, stride=fields.stride))


def test_fields_of_the_library_decode_on_either_side(gpu):
    fields = random_fields(8, PAIR, 6, 9, 8)
    assert isinstance(fields, Fields)
    assert_agrees(gpu, pose_fields(fields), stride=8, skeleton=PAIR, options=decode_options())
