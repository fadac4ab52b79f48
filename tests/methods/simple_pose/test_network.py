"""The network of Simple Pose: the published one number for number, and small ones."""

from __future__ import annotations

import json
import zlib

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from scenes import PAIR  # noqa: E402

from personlab import COCO_PERSON  # noqa: E402
from personlab.methods.simple_pose.config import SimplePoseConfig  # noqa: E402
from personlab.methods.simple_pose.hourglass import StackedHourglass  # noqa: E402
from personlab.methods.simple_pose.network import Outputs, SimplePose  # noqa: E402

pytestmark = pytest.mark.torch


def by_rule(tag, shapes):
    """Weights that the golden file was made with: of a random generator for each name."""
    state = {}
    for name, shape in shapes.items():
        if name.endswith("num_batches_tracked"):
            state[name] = torch.zeros((), dtype=torch.int64)
            continue
        n = np.random.default_rng(zlib.crc32((tag + name).encode())).standard_normal(shape)
        if len(shape) > 1:
            values = n / np.sqrt(np.prod(shape[1:]))
        elif name.endswith("running_var"):
            values = np.exp(0.2 * n)
        else:
            values = 0.1 * n if name.endswith(("running_mean", "bias")) else 1 + 0.1 * n
        state[name] = torch.from_numpy(values.astype(np.float32))
    return state


@pytest.fixture(scope="module")
def names(data):
    return json.loads((data / "simple_pose" / "network_names.json").read_text())


@pytest.fixture(scope="module")
def two_stacks(names):
    """State dict of two stacks, under the published names."""
    return {f"posenet.{name}": value for name, value in by_rule("a:", names["two_stacks_256_128"]).items()}


def picture():
    return np.random.default_rng(zlib.crc32(b"a:input")).random((1, 128, 64, 3)).astype(np.float32)  # BGR


def test_the_published_names_and_shapes(names):
    with torch.device("meta"):
        network = SimplePose(SimplePoseConfig(backbone="hourglass"))
    shapes = {name: list(value.shape) for name, value in network.state_dict().items()}
    assert list(shapes.items()) == list(names["full_4_stacks_256_128"].items())
    assert sum(parameter.numel() for parameter in network.parameters()) == pytest.approx(129.0e6, rel=1e-3)


def test_the_published_network_number_for_number(data, names):
    network = StackedHourglass(stacks=2, channels=256, increase=128, maps=50)
    network.load_state_dict(by_rule("a:", names["two_stacks_256_128"]))
    with torch.inference_mode():
        stacks = network.eval()(torch.from_numpy(picture()).permute(0, 3, 1, 2), every_scale=True)
    golden = np.load(data / "simple_pose" / "network.npz")
    for s, maps in enumerate(stacks):
        for j, one in enumerate(maps):
            np.testing.assert_allclose(one, golden[f"out_{s}_{j}"], rtol=0, atol=1e-5)


def small(**more):
    torch.manual_seed(0)
    return SimplePose(SimplePoseConfig(**{"width": 0.5, **more}))


def tiny_hourglass():
    return small(backbone="hourglass", width=1.0, stacks=2, channels=32, increase=8)


def test_the_hourglass_takes_rgb_and_returns_the_last_maps(data, two_stacks):
    network = SimplePose(SimplePoseConfig(backbone="hourglass", stacks=2))
    network.load_state_dict(two_stacks)
    rgb = torch.from_numpy(np.ascontiguousarray(picture()[..., ::-1])).permute(0, 3, 1, 2) * 255
    with torch.inference_mode():
        outputs = network.eval()(rgb)
    golden = np.load(data / "simple_pose" / "network.npz")["out_1_0"]
    np.testing.assert_allclose(outputs.limbs, golden[:, :30], atol=1e-5)
    np.testing.assert_allclose(outputs.keypoints, golden[:, 30:48], atol=1e-5)
    assert outputs.stacks is None


def test_all_stacks_and_scales_in_training():
    network = tiny_hourglass()
    outputs = network(torch.zeros(2, 3, 64, 128))
    assert [[tuple(maps.shape) for maps in stack] for stack in outputs.stacks] == [
        [(2, 50, 16, 32), (2, 50, 8, 16), (2, 50, 4, 8), (2, 50, 2, 4), (2, 50, 1, 2)]
    ] * 2
    torch.testing.assert_close(outputs.stacks[-1][0][:, 30:48], outputs.keypoints)
    sum(maps.sum() for stack in outputs.stacks for maps in stack).backward()
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize("backbone", ["mobilenet_v1", "resnet50"])
@pytest.mark.parametrize(("stride", "features"), [(4, 8), (4, 16), (8, 8), (8, 16), (16, 16)])
def test_small_networks(backbone, stride, features):
    network = small(backbone=backbone, width=1.0, stride=stride, features=features)
    images = torch.randint(0, 256, (2, 3, 48, 64), dtype=torch.uint8)
    outputs = network(images)
    assert isinstance(outputs, Outputs)
    assert outputs.limbs.shape == (2, 30, 48 // stride, 64 // stride)
    assert outputs.keypoints.shape == (2, 18, 48 // stride, 64 // stride)
    assert len(outputs.stacks) == len(outputs.stacks[0]) == 1
    assert outputs.keypoints.abs().max() < 0.2  # training starts from maps of about 0
    other = network.eval().at_stride(12 - stride if stride != 16 else 8)
    assert other.config.stride == other.settings.stride == (12 - stride if stride != 16 else 8)
    assert other.head.maps.weight is network.head.maps.weight
    assert network.config.stride == stride
    again = other.at_stride(stride)
    torch.testing.assert_close(again(images).limbs, network(images).limbs)


@pytest.mark.parametrize("features", [8, 16])
def test_features_are_the_same_at_another_stride(features):
    """A backbone at another stride would see the image elsewhere."""
    network = small(stride=8, features=features).eval()
    images = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        expected, got = (model.backbone(images)[0] for model in (network, network.at_stride(4)))
    assert torch.equal(got, expected)
    assert expected.shape[-2:] == (64 // features, 96 // features)


def test_a_network_has_no_stride_beyond_that_of_its_features():
    with pytest.raises(ValueError, match="stride: expected at most that of the features, 8, got 16"):
        small(stride=8).at_stride(16)


def test_maps_of_another_skeleton():
    network = small(skeleton=PAIR).eval()
    outputs = network(torch.zeros(1, 3, 32, 48))
    assert outputs.limbs.shape == (1, 1, 4, 6)
    assert outputs.keypoints.shape == (1, 2, 4, 6)


def test_maps_are_computed_in_float32_under_autocast():
    network = small().eval()
    with torch.autocast("cpu", torch.bfloat16):
        outputs = network(torch.zeros(1, 3, 32, 48))
    assert outputs.keypoints.dtype == torch.float32


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"backbone": "vgg"}, ValueError, "backbone: expected one of hourglass, mobilenet_v1"),
        ({"stride": 32}, ValueError, "stride: expected one of 4, 8, 16, got 32"),
        ({"features": 4}, ValueError, "features: expected one of 8, 16, got 4"),
        ({"stride": 16, "features": 8}, ValueError, "stride: expected at most that of the features, 8, got 16"),
        ({"backbone": "hourglass", "features": 8}, ValueError, "features: expected 0 for the hourglass, got 8"),
        ({"width": 0.3}, ValueError, "width: expected one of"),
        ({"backbone": "hourglass", "stride": 8}, ValueError, "stride: expected 4 for the hourglass, got 8"),
        ({"backbone": "hourglass", "width": 0.5}, ValueError, "width: expected 1.0 for the hourglass"),
        ({"backbone": "hourglass", "channels": 100}, ValueError, "channels: expected a multiple of 32, got 100"),
        ({"stacks": 0}, ValueError, "stacks: expected an integer from 1"),
        ({"skeleton": 3}, TypeError, "skeleton: expected Skeleton"),
        ({"stride": "8"}, TypeError, "stride: expected an integer"),
    ],
)
def test_wrong_configurations(values, error, message):
    with pytest.raises(error, match=message):
        SimplePoseConfig(**values)


def test_a_configuration_as_json():
    config = SimplePoseConfig(backbone="hourglass", stacks=2)
    assert (config.stride, config.input_step, config.n_maps) == (4, 64, 50)
    assert SimplePoseConfig.from_json(config.to_json()) == config
    other = SimplePoseConfig(skeleton=PAIR)
    assert (other.stride, other.input_step, other.n_maps) == (8, 16, 5)
    assert SimplePoseConfig.from_json(other.to_json()) == other
    assert SimplePoseConfig.from_json("{}").skeleton == COCO_PERSON
    with pytest.raises(ValueError, match="stride: expected 4 for the hourglass"):
        tiny_hourglass().at_stride(8)
    with pytest.raises(ValueError, match=r"images: expected shape \(N, 3, H, W\)"):
        small()(torch.zeros(3, 32, 48))
