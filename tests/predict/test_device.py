"""A predictor whose fields stay where the network leaves them says what one says that copies them."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from agreement import assert_same_poses
from fake_networks import SceneNetwork

from personlab import DecodeOptions, Predictor
from personlab.arrays import cuda_module
from personlab.data.synthetic import make_scene
from personlab.methods.personlab.device_fields import can_decode_on

OPTIONS = {"long_edge": 321, "options": DecodeOptions(disk_radius=32, hough_stride=4)}


def assert_same_predictions(actual, expected):
    assert_same_poses(actual.poses, expected.poses, pixels=1e-2, score=1e-3)
    assert isinstance(actual.masks, np.ndarray)
    assert actual.masks.dtype == np.bool_
    assert actual.masks.shape == expected.masks.shape
    assert (actual.masks != expected.masks).mean() < 1e-3
    assert actual.masks.any()


@pytest.mark.parametrize("more", [{}, {"flip": True}, {"scales": (1.0, 1.25)}], ids=str)
def test_fields_that_stay_in_tensors_decode_alike(more):
    scene = make_scene(4, size=(241, 321), people=3)
    network = SceneNetwork(scene, stride=8)
    expected = Predictor(network, keep_fields=True, **OPTIONS, **more)(scene.image)
    staying = Predictor(network, keep_fields=True, **OPTIONS, **more)
    staying._stays_on_device = True
    for found in (staying(scene.image), *staying([scene.image, scene.image])):
        assert_same_predictions(found, expected)
        assert len(found.poses) == 3
        for name in ("heatmaps", "long_offsets"):  # merged by NumPy on the host, by torch where tensors stay
            np.testing.assert_allclose(getattr(found.fields, name), getattr(expected.fields, name), rtol=0, atol=1e-5)
        assert found.fields.image_size == expected.fields.image_size
    staying.keep_fields = False
    assert staying(scene.image).fields is None
    staying.masks = False
    assert staying(scene.image).masks is None


def test_fields_stay_on_gpus_alone_where_there_is_a_module(monkeypatch):
    monkeypatch.setattr(cuda_module, "native", lambda: SimpleNamespace(max_keypoints=256))
    assert can_decode_on(torch.device("cuda:1"))
    assert not can_decode_on(torch.device("cuda:1"), 257)
    assert not can_decode_on(torch.device("cpu"))

    def native():
        raise RuntimeError("CUDA: no")

    monkeypatch.setattr(cuda_module, "native", native)
    assert not can_decode_on(torch.device("cuda:1"))


@pytest.mark.cuda
@pytest.mark.parametrize("more", [{}, {"flip": True}, {"scales": (1.0, 1.25)}], ids=str)
def test_a_predictor_on_a_gpu_says_what_one_on_the_host_says(more):
    scene = make_scene(4, size=(241, 321), people=3)
    names = ("heatmaps", "short_offsets", "mid_offsets", "segmentation", "long_offsets")
    kept = Predictor("drawn-mobilenet-050", device="cuda", keep_fields=True, long_edge=321, **more)
    assert kept._stays_on_device
    found = kept(scene.image)
    kept._stays_on_device = False  # the same network's fields, decoded on the host
    expected = kept(scene.image)
    for name in names:
        np.testing.assert_allclose(
            getattr(found.fields, name), getattr(expected.fields, name), rtol=1e-3, atol=1e-4
        )  # merged by torch where tensors stay, by NumPy on the host
    assert_same_predictions(found, expected)
    assert len(found.poses) >= 2
