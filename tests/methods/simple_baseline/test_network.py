"""The network of Simple Baselines: the published one number for number, under its names, and small ones."""

from __future__ import annotations

import json
import zlib

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from personlab import Skeleton  # noqa: E402
from personlab.methods.simple_baseline.config import SimpleBaselineConfig  # noqa: E402
from personlab.methods.simple_baseline.network import SimpleBaseline  # noqa: E402

pytestmark = pytest.mark.torch
SIXTEEN = Skeleton(names=tuple(f"k{k}" for k in range(16)), edges=((0, 1),), sigmas=(0.1,) * 16, flip=tuple(range(16)))
CASES = {
    "r50_pytorch": SimpleBaselineConfig(),
    "r50_caffe": SimpleBaselineConfig(style="caffe"),
    "r18_pytorch": SimpleBaselineConfig(backbone="resnet18", skeleton=SIXTEEN),
}


def by_rule(shapes):
    """Weights that the golden file was made with: of a random generator for each name."""
    state = {}
    for name, shape in shapes.items():
        if name.endswith("num_batches_tracked"):
            state[name] = torch.zeros((), dtype=torch.int64)
            continue
        n = np.random.default_rng(zlib.crc32(f"a:{name}".encode())).standard_normal(shape)
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
    return json.loads((data / "top_down" / "network_names.json").read_text())


@pytest.mark.parametrize("case", CASES)
def test_the_published_names_and_shapes(names, case):
    with torch.device("meta"):
        network = SimpleBaseline(CASES[case])
    shapes = {name: list(value.shape) for name, value in network.state_dict().items()}
    assert list(shapes.items()) == list(names[case].items())
    if case == "r50_pytorch":
        assert sum(parameter.numel() for parameter in network.parameters()) == pytest.approx(34.0e6, rel=2e-3)


def test_the_published_networks_number_for_number(data, names):
    golden = np.load(data / "top_down" / "network.npz")
    pixels = np.random.default_rng(zlib.crc32(b"a:input")).standard_normal((1, 3, 96, 64)).astype(np.float32)
    states = {"r18_pytorch": by_rule(names["r18_pytorch"]), "r50_pytorch": by_rule(names["r50_pytorch"])}
    states["r50_caffe"] = states["r50_pytorch"]  # the styles have the same names and shapes
    for case, config in CASES.items():
        with torch.device("meta"):
            network = SimpleBaseline(config)
        network.load_state_dict(states[case], assign=True)
        with torch.inference_mode():
            maps = network.eval().maps(torch.from_numpy(pixels))
        np.testing.assert_allclose(maps, golden[f"out_{case}"], rtol=0, atol=2e-6)


def small(**more):
    torch.manual_seed(0)
    return SimpleBaseline(SimpleBaselineConfig(**{"backbone": "resnet18", "channels": 16, **more}))


@pytest.mark.parametrize("backbone", ["resnet18", "mobilenet_v1"])
def test_small_networks(backbone):
    network = small(backbone=backbone, input_size=(128, 96))
    images = torch.randint(0, 256, (2, 3, 128, 96), dtype=torch.uint8)
    maps = network(images).heatmaps
    assert maps.shape == (2, 17, 32, 24)
    assert maps.abs().max() < 0.2  # training starts from maps of about 0
    maps.sum().backward()
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []
    other = network.eval().at_stride(4)
    assert other.final_layer.weight is network.final_layer.weight
    with pytest.raises(ValueError, match="stride: expected 4, got 8"):
        network.at_stride(8)
    with pytest.raises(ValueError, match=r"images: expected shape \(N, 3, H, W\), got \(3, 128, 96\)"):
        network(images[0, :, :, :].squeeze(0))


def test_pixels_are_normalised_in_the_order_of_the_network():
    rgb = torch.tensor([255.0, 0.0, 127.5])[None, :, None, None].expand(1, 3, 32, 32)
    seen = []
    for order in ("rgb", "bgr"):
        network = small(order=order).eval()
        network.maps = lambda pixels: seen.append(pixels[0, :, 0, 0].tolist()) or pixels
        network(rgb)
    mean, deviation = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
    for values, own in zip(((255, 0, 127.5), (127.5, 0, 255)), seen, strict=True):
        expected = [(v - m) / d for v, m, d in zip(values, mean, deviation, strict=True)]
        np.testing.assert_allclose(own, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"backbone": "resnet20"}, "backbone: expected one of mobilenet_v1, resnet18"),
        ({"backbone": "resnet18", "style": "caffe"}, "style: expected pytorch for resnet18"),
        ({"style": "torch"}, "style: expected one of pytorch, caffe"),
        ({"stride": 8}, "stride: expected 4, got 8"),
        ({"input_size": (256, 190)}, "input_size: expected multiples of 32 up to 4096, got"),
        ({"input_size": (0, 0)}, r"input_size\[0\]: expected an integer from 32"),
        ({"width": 0.5}, "width: expected 1.0 for resnet50"),
        ({"channels": 0}, "channels: expected"),
        ({"order": "gbr"}, "order: expected one of rgb, bgr"),
    ],
)
def test_what_no_network_has_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        SimpleBaselineConfig(**values)


def test_a_configuration_survives_json():
    config = SimpleBaselineConfig(style="caffe", input_size=(384, 288), order="bgr", skeleton=SIXTEEN)
    assert SimpleBaselineConfig.from_json(config.to_json()) == config
    with pytest.raises(ValueError, match=r"config: expected the names .*, got depth"):
        SimpleBaselineConfig.from_json('{"depth": 50}')
