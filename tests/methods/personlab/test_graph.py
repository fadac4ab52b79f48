"""ONNX files made of configuration and weights alone say what the network says in PyTorch."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from personlab import Skeleton
from personlab.methods.base import Weights
from personlab.methods.personlab.graph import write_graph
from personlab.nn import ModelConfig, PersonLab

SMALL = Skeleton(names=("a", "b", "c"), edges=((0, 1), (1, 2)), sigmas=(0.1, 0.1, 0.1), flip=(0, 2, 1))
CONFIGS = [
    ModelConfig(width=0.5, stride=8),
    ModelConfig(width=0.75, stride=16, norm="none", masks=False, normalization="imagenet"),
    ModelConfig(width=1.0, stride=8, skeleton=SMALL, intermediate=True),
    ModelConfig(width=1.0, stride=16, norm="none"),
]


def network(config):
    """A network whose statistics and biases are none that an error would hide behind."""
    torch.manual_seed(0)
    model = PersonLab(config).eval()
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if name.endswith(("running_mean", "bias")):
                value.normal_(std=0.3)
            elif name.endswith(("running_var", "norm.weight")):
                value.uniform_(0.5, 2)
            elif name.startswith("heads"):
                value.normal_(std=0.2)
    return model


def weights_of(model):
    return Weights(model.config, {name: value.numpy() for name, value in model.state_dict().items()})


def session(content):
    return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])


def expected(model, images):
    """Outputs of a network for images (N, H, W, 3)."""
    with torch.no_grad():
        return [f for f in model(torch.from_numpy(images).permute(0, 3, 1, 2)) if isinstance(f, torch.Tensor)]


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("pixels", [True, False])
def test_it_says_what_pytorch_says(config, pixels):
    model, rng = network(config), np.random.default_rng(0)
    content = write_graph(weights_of(model), {"key": "value"}, pixels=pixels)
    onnx.checker.check_model(onnx.load_model_from_string(content), full_check=True)
    ours = session(content)
    assert ours.get_modelmeta().custom_metadata_map == {"key": "value"}
    names = ["heatmaps", "short_offsets", "mid_offsets", *["segmentation", "long_offsets"] * config.masks]
    assert [output.name for output in ours.get_outputs()] == names
    for n, h, w in ((1, 65, 97), (3, 64, 50), (1, 10, 33), (2, 1, 1), (1, 17, 16)):
        images = rng.integers(0, 256, (n, h, w, 3), np.uint8)
        fed = images if pixels else images.transpose(0, 3, 1, 2).astype(np.float32)
        for got, wanted in zip(ours.run(None, {"images": fed}), expected(model, images), strict=True):
            assert got.shape == wanted.shape
            np.testing.assert_allclose(got, wanted, atol=1e-3 * max(1, float(wanted.abs().max()) / 100))


def test_of_one_size():
    model = network(CONFIGS[0])
    ours = session(write_graph(weights_of(model), {}, size=(50, 33)))
    assert ours.get_inputs()[0].shape == [1, 3, 33, 50]
    assert {output.name: output.shape for output in ours.get_outputs()}["mid_offsets"] == [1, 32, 2, 5, 7]
    images = np.random.default_rng(1).integers(0, 256, (1, 33, 50, 3), np.uint8)
    got = ours.run(None, {"images": images.transpose(0, 3, 1, 2).astype(np.float32)})
    for one, wanted in zip(got, expected(model, images), strict=True):
        assert one.shape == wanted.shape
        np.testing.assert_allclose(one, wanted, atol=1e-3)


@pytest.mark.parametrize(
    "config",
    [
        ModelConfig(backbone="resnet50"),
        ModelConfig(width=0.5, refine_steps=1),
        ModelConfig(width=0.5, skeleton=Skeleton(names=("a",), edges=(), sigmas=(0.1,), flip=(0,))),
    ],
)
def test_other_networks_are_left_to_torch(config):
    assert write_graph(Weights(config, {}), {}) is None


def test_weights_are_checked():
    config = ModelConfig(width=0.5)
    state = dict(weights_of(network(config)).state)
    for change, message in (
        (lambda s: s.pop("heads.heatmaps.bias"), r"weights missing: heads\.heatmaps\.bias"),
        (lambda s: s.update(other=np.zeros(3)), "weights not of this network: other"),
        (lambda s: s.update({"heads.heatmaps.bias": np.zeros(3)}), r"heads\.heatmaps\.bias: expected shape \(17,\)"),
        (lambda s: s.update({"heads.heatmaps.bias": np.full(17, np.nan)}), r"heads\.heatmaps\.bias: expected finite"),
    ):
        wrong = dict(state)
        change(wrong)
        with pytest.raises(ValueError, match=message):
            write_graph(Weights(config, wrong), {})
