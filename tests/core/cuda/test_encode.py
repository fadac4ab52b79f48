"""Training targets on a GPU: the core's to the last bit."""

import dataclasses

import numpy as np
import pytest
from cuda_device import OnDevice, make_gpu
from scenes import SKELETONS, array, people_keypoints

from personlab import COCO_PERSON, encode_targets, stages

TREE = SKELETONS["tree"]
SIZES = (((33, 49), 8), ((17, 33), 16), ((30, 41), 1), ((37, 28), 3), ((1, 41), 8), ((33, 1), 8), ((1, 1), 8))


def random_people(people, size, count=5, seed=22):
    """Keypoints, some without a label, masks and a crowd; the last person has no label at all."""
    rng = np.random.default_rng(seed)
    keypoints = np.empty((count, people.n_keypoints, 3), np.float32)
    keypoints[..., :2] = rng.uniform(-0.3, 1.3, (count, people.n_keypoints, 2)) * size[::-1]
    keypoints[..., 2] = rng.choice([0, 1, 2], (count, people.n_keypoints), p=[0.4, 0.3, 0.3])
    keypoints[-1:, :, 2] = 0
    return keypoints, rng.random((count, *size)) < 0.3, rng.random(size) < 0.1


def put(gpu, value):
    return None if value is None else gpu.put(value)


def assert_as_the_core(gpu, keypoints, masks, crowd=None, **more):
    targets = encode_targets(put(gpu, keypoints), put(gpu, masks), crowd=put(gpu, crowd), **more)
    expected = encode_targets(keypoints, masks, crowd=crowd, **more)
    assert targets.stride == expected.stride
    for field in dataclasses.fields(expected):
        if field.name == "stride":
            continue
        actual, wanted = gpu.get(getattr(targets, field.name)), getattr(expected, field.name)
        assert actual.dtype == wanted.dtype, field.name
        np.testing.assert_array_equal(actual, wanted, err_msg=field.name)
    return targets


@pytest.mark.parametrize("with_masks", [False, True])
@pytest.mark.parametrize(("size", "stride"), SIZES)
@pytest.mark.parametrize("name", SKELETONS)
def test_targets_are_the_cores(gpu, name, size, stride, with_masks):
    people = SKELETONS[name]
    keypoints, masks, crowd = random_people(people, size)
    more = {"size": size, "stride": stride, "skeleton": people, "disk_radius": 8.0}
    assert_as_the_core(gpu, keypoints, masks if with_masks else None, crowd if with_masks else None, **more)


@pytest.mark.parametrize("radius", [1.0, 2.5, 8.0, 32.0])
def test_targets_of_keypoints_on_the_rim_of_discs_are_the_cores(gpu, radius):
    # Whole, half and third pixels: many cells lie exactly on a rim, or midway between people.
    rng = np.random.default_rng(23)
    keypoints = np.ones((12, 17, 3), np.float32)
    keypoints[..., :2] = rng.integers(0, 96, (12, 17, 2)) / rng.choice([1, 2, 3], (12, 17, 1))
    keypoints[..., 2] = rng.random((12, 17)) < 0.7
    masks = rng.random((12, 65, 97)) < 0.1
    assert_as_the_core(gpu, keypoints, masks, size=(65, 97), stride=1, disk_radius=radius)


def test_targets_of_people_are_the_cores(gpu):
    size = 321, 481
    keypoints = people_keypoints([(100, 96), (290, 196), (300, 200)], COCO_PERSON, np.random.default_rng(24))
    masks = np.zeros((3, *size), np.uint8)
    masks[0, 30:170, 40:160] = masks[1, 30:300, 230:350] = masks[2, 60:310, 250:380] = 7
    targets = assert_as_the_core(gpu, keypoints, masks, masks[0], size=size, stride=8)
    for name in ("heatmaps", "mid_offsets", "long_valid", "mid_valid"):
        assert gpu.get(getattr(targets, name)).any(), name


def test_nobody(gpu):
    for masks in (None, np.zeros((0, 33, 49), bool)):
        assert_as_the_core(gpu, np.zeros((0, 4, 3), np.float32), masks, size=(33, 49), stride=8, skeleton=TREE)


@pytest.mark.cuda_host
def test_no_masks_at_no_address_are_masks(monkeypatch):  # torch's tensors without elements lie nowhere
    host, keypoints = make_gpu("host", monkeypatch), np.zeros((0, 4, 3), np.float32)
    masks = OnDevice(np.zeros((0, 33, 49), bool), data=(0, False))
    targets = encode_targets(host.put(keypoints), masks, size=(33, 49), stride=8, skeleton=TREE)
    assert host.get(targets.segmentation_valid).all()
    unknown = encode_targets(host.put(keypoints), None, size=(33, 49), stride=8, skeleton=TREE)
    assert not host.get(unknown.segmentation_valid).any()


def test_a_keypoint_that_is_not_finite_counts_as_not_labelled(gpu):
    keypoints, masks, crowd = random_people(TREE, (33, 49))
    keypoints[..., 2] = 1
    broken = keypoints.copy()
    for i, value in enumerate((np.nan, np.inf, -np.inf)):
        broken[i, 1, i], keypoints[i, 1, 2] = value, 0
    keypoints[:3, 1, :2] = broken[:3, 1, :2] = 5, 7
    broken[0, 1, 0], broken[1, 1, 1] = np.nan, np.inf
    more = {"size": (33, 49), "stride": 8, "skeleton": TREE}
    targets = encode_targets(gpu.put(broken), gpu.put(masks), crowd=gpu.put(crowd), **more)
    expected = encode_targets(keypoints, masks, crowd=crowd, **more)
    for field in dataclasses.fields(expected):
        if field.name != "stride":
            np.testing.assert_array_equal(gpu.get(getattr(targets, field.name)), getattr(expected, field.name))


def test_what_is_wrong_is_named(gpu):
    keypoints, masks, crowd = random_people(TREE, (33, 49))
    more = {"size": (33, 49), "stride": 8, "skeleton": TREE}
    there = gpu.put(keypoints)
    with pytest.raises(TypeError, match="masks: expected device memory, as keypoints is, got host memory"):
        encode_targets(there, masks, **more)
    with pytest.raises(ValueError, match=r"masks: expected shape \(P, H, W\) = \(5, 33, 49\)"):
        encode_targets(there, gpu.put(masks[:2]), **more)
    with pytest.raises(ValueError, match=r"crowd: expected shape \(H, W\) = \(33, 49\)"):
        encode_targets(there, None, crowd=gpu.put(crowd[:5]), **more)
    with pytest.raises(ValueError, match=r"keypoints: expected shape \(P, K, 3\)"):
        encode_targets(gpu.put(keypoints[:, :2]), None, **more)
    with pytest.raises(TypeError, match="masks: expected bool or uint8, got float32"):
        encode_targets(there, gpu.put(masks.astype(np.float32)), **more)
    with pytest.raises(ValueError, match="size: expected a multiple of the stride 8 plus 1"):
        encode_targets(there, None, **{**more, "size": (32, 49)})
    for backend in ("cpu", "reference"):
        with pytest.raises(TypeError, match=f"keypoints: expected host memory for backend '{backend}'"):
            stages.encode_targets(there, None, backend=backend, **more)
    with pytest.raises(TypeError, match="keypoints: expected device memory for backend 'cuda'"):
        stages.encode_targets(keypoints, None, backend="cuda", **more)


def test_the_stage_is_the_same(gpu):
    keypoints, masks, _ = random_people(TREE, (33, 49))
    more = {"size": (33, 49), "stride": 8, "skeleton": TREE}
    for backend in (None, "cuda"):
        targets = stages.encode_targets(gpu.put(keypoints), gpu.put(masks), backend=backend, **more)
        expected = encode_targets(keypoints, masks, **more)
        np.testing.assert_array_equal(gpu.get(targets.mid_offsets), expected.mid_offsets)


@pytest.mark.slow_sanitized
@pytest.mark.cuda_host
def test_the_order_of_blocks_and_threads_changes_nothing(monkeypatch):
    host = make_gpu("host", monkeypatch)
    keypoints, masks, crowd = random_people(TREE, (33, 49))
    for order in ("1", "2", "77"):
        monkeypatch.setenv("PERSONLAB_CUDA_HOST_ORDER", order)
        assert_as_the_core(host, keypoints, masks, crowd, size=(33, 49), stride=8, skeleton=TREE)


@pytest.mark.cuda_host
def test_other_numbers_than_float32_are_named_where_nobody_can_convert_them(monkeypatch):
    host = make_gpu("host", monkeypatch)
    with pytest.raises(TypeError, match="keypoints: expected float32 on a device, got float64"):
        encode_targets(host.put(np.zeros((1, 4, 3))), None, size=(33, 49), stride=8, skeleton=TREE)


@pytest.mark.cuda
def test_torch_converts_numbers_and_gives_tensors():
    import torch

    keypoints = [[[20, 16, 2], [30, 8, 1], [0, 0, 0], [5, 9, 1]]]
    more = {"size": (33, 49), "stride": 8, "skeleton": TREE}
    expected = encode_targets(array(keypoints), None, **more)
    for kind in (torch.float64, torch.float16, torch.int64):
        targets = encode_targets(torch.tensor(keypoints, dtype=kind, device="cuda"), None, **more)
        assert targets.heatmaps.is_cuda
        assert targets.short_valid.dtype == torch.bool
        np.testing.assert_array_equal(targets.mid_offsets.cpu().numpy(), expected.mid_offsets)
