"""Backbones: names and channels that published weights need, TensorFlow's padding, atrous convolution."""

import numpy as np
import pytest
import torch

from personlab.nn import ModelConfig, PersonLab, load_imagenet
from personlab.nn.backbones.mobilenet import ConvUnit, same_padding


def on_meta(**config) -> PersonLab:
    """A network of shapes alone."""
    with torch.device("meta"):
        return PersonLab(ModelConfig(**config))


def of_backbone(model, prefix=""):
    return {name: tuple(value.shape) for name, value in model.backbone.state_dict(prefix=prefix).items()}


# --- MobileNetV1 ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "dilation", "expected"),
    [
        (5, 3, 1, 1, (1, 1)),
        (5, 3, 1, 2, (2, 2)),
        (1, 3, 1, 4, (4, 4)),
        (7, 1, 1, 1, (0, 0)),
        (5, 3, 2, 1, (1, 1)),  # outputs at 0, 2, 4
        (4, 3, 2, 1, (0, 1)),  # outputs at 1, 3: the published networks' odd cell, after the end
        (1, 3, 2, 1, (1, 1)),
        (2, 3, 2, 1, (0, 1)),
        (6, 5, 2, 1, (1, 2)),
        (224, 7, 2, 1, (2, 3)),
        (9, 3, 2, 2, (2, 2)),
        (8, 3, 2, 2, (1, 2)),
    ],
)
def test_padding_by_hand(size, kernel, stride, dilation, expected):
    assert same_padding(size, kernel=kernel, stride=stride, dilation=dilation) == expected


@pytest.mark.parametrize(("size", "outputs"), [(5, [3, 9, 9]), (4, [6, 7])])
def test_a_strided_unit_starts_where_tensorflow_does(size, outputs):
    # Ones as weights, 1..size as a row: sums over (0 1 2), (2 3 4), (4 5 0), and over (1 2 3), (3 4 0).
    unit = ConvUnit(1, 1, 3, norm="none", stride=2)
    torch.nn.init.constant_(unit.conv.weight, 0)
    torch.nn.init.constant_(unit.conv.weight[:, :, 1], 1)
    unit.conv.weight.data /= 2  # ReLU6 cuts at 6
    row = torch.arange(1.0, size + 1).expand(1, 1, 1, size)
    np.testing.assert_allclose(unit(row).detach().numpy().ravel(), np.minimum(np.array(outputs) / 2, 6))


def test_published_names_and_channels():
    narrow = of_backbone(on_meta(width=0.75, norm="none"), "backbone.")
    assert narrow["backbone.stem.conv.weight"] == (24, 3, 3, 3)
    assert narrow["backbone.stem.conv.bias"] == (24,)
    assert narrow["backbone.blocks.0.depthwise.conv.weight"] == (24, 1, 3, 3)
    assert narrow["backbone.blocks.5.pointwise.conv.weight"] == (384, 192, 1, 1)
    assert narrow["backbone.blocks.12.pointwise.conv.weight"] == (384, 384, 1, 1)
    assert len(narrow) == 2 * 27
    wide = of_backbone(on_meta(width=1.0))
    assert wide["blocks.11.pointwise.conv.weight"] == (1024, 512, 1, 1)
    assert wide["blocks.12.depthwise.norm.running_var"] == (1024,)
    assert "stem.conv.bias" not in wide
    assert len(wide) == 6 * 27


def steps_and_dilations(model):
    convs = [block.depthwise.conv for block in model.backbone.blocks]
    return [conv.stride[0] for conv in convs], [conv.dilation[0] for conv in convs]


def test_atrous_blocks_of_the_published_networks():
    narrow = on_meta(width=0.5)
    assert steps_and_dilations(narrow) == ([1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 1, 1], [1] * 13)
    assert steps_and_dilations(narrow.at_stride(8)) == ([1, 2, 1, 2] + [1] * 9, [1] * 6 + [2] * 7)
    # The classifier that width 1 comes from has a last stride of 2 in block 11.
    wide = on_meta(width=1.0)
    assert steps_and_dilations(wide) == ([1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 1, 1], [1] * 12 + [2])
    assert steps_and_dilations(wide.at_stride(8)) == ([1, 2, 1, 2] + [1] * 9, [1] * 6 + [2] * 6 + [4])


# --- ResNet -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "parameters", "entries"),  # of torchvision's networks without their classifier
    [("resnet50", 23_508_032, 318), ("resnet101", 42_500_160, 624), ("resnet152", 58_143_808, 930)],
)
def test_torchvision_layout(name, parameters, entries):
    model = on_meta(backbone=name)
    assert sum(p.numel() for p in model.backbone.parameters()) == parameters
    shapes = of_backbone(model)
    assert len(shapes) == entries
    assert shapes["conv1.weight"] == (64, 3, 7, 7)
    assert shapes["layer2.0.downsample.0.weight"] == (512, 256, 1, 1)
    assert shapes["layer2.0.downsample.1.num_batches_tracked"] == ()
    assert shapes["layer4.2.bn3.running_mean"] == (2048,)
    outputs = model.at_stride(8).eval()(torch.zeros(1, 3, 33, 49, device="meta"))
    assert outputs.long_offsets.shape == (1, 17, 2, 5, 7)


def test_atrous_layers():
    def conv2(model):
        return [
            [(b.conv2.stride[0], b.conv2.dilation[0]) for b in layer][:2]
            for layer in (model.backbone.layer2, model.backbone.layer3, model.backbone.layer4)
        ]

    model = on_meta(backbone="resnet50")
    assert conv2(model) == [[(2, 1), (1, 1)], [(2, 1), (1, 1)], [(1, 1), (1, 2)]]
    finer = model.at_stride(8)
    assert conv2(finer) == [[(2, 1), (1, 1)], [(1, 1), (1, 2)], [(1, 2), (1, 4)]]
    assert finer.backbone.layer4[0].downsample[0].stride == (1, 1)
    assert conv2(model)[1] == [(2, 1), (1, 1)]  # the first one is left as it was


def test_a_resnet_without_norm_has_biases():
    shapes = of_backbone(on_meta(backbone="resnet50", norm="none"))
    assert shapes["layer1.0.downsample.0.bias"] == (256,)
    assert len(shapes) == 2 * 53


@pytest.fixture(scope="module")
def resnet():
    return PersonLab(ModelConfig(backbone="resnet50"))


@pytest.fixture(scope="module")
def imagenet(resnet):
    generator = torch.Generator().manual_seed(1)
    state = {
        name: torch.rand(value.shape, generator=generator).to(value.dtype)
        for name, value in resnet.backbone.state_dict().items()
    }
    return state | {"fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.zeros(1000)}


def test_imagenet_weights_from_a_state_dict(resnet, imagenet):
    heads = resnet.heads.heatmaps.weight.clone()
    finer = resnet.at_stride(8)
    load_imagenet(resnet, imagenet)
    for name, value in finer.backbone.state_dict().items():
        assert torch.equal(value, imagenet[name]), name
    assert torch.equal(resnet.heads.heatmaps.weight, heads)
    load_imagenet(resnet, {n: v for n, v in imagenet.items() if not n.endswith("num_batches_tracked")})


def test_imagenet_weights_from_a_file(resnet, imagenet, tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    safetensors.save_file(imagenet, tmp_path / "resnet50.safetensors")
    torch.nn.init.zeros_(resnet.backbone.conv1.weight)
    load_imagenet(resnet, tmp_path / "resnet50.safetensors")
    assert torch.equal(resnet.backbone.conv1.weight, imagenet["conv1.weight"])


def test_imagenet_weights_that_do_not_fit(resnet, imagenet, tmp_path):
    before = resnet.backbone.conv1.weight.clone()
    first = {"conv1.weight": torch.zeros(64, 3, 7, 7)}
    with pytest.raises(ValueError, match=r"resnet50: 1 missing .bn1.bias first., 1 unknown .head.weight first."):
        load_imagenet(
            resnet, {n: v for n, v in imagenet.items() if n != "bn1.bias"} | first | {"head.weight": torch.zeros(1)}
        )
    with pytest.raises(ValueError, match=r"layer4.2.conv3.weight of shape \(2048, 512, 1, 1\), got \(3,\)"):
        load_imagenet(resnet, imagenet | first | {"layer4.2.conv3.weight": torch.zeros(3)})
    assert torch.equal(resnet.backbone.conv1.weight, before)
    with pytest.raises(ValueError, match="expected a ResNet with batch norm, got mobilenet_v1 with norm batch"):
        load_imagenet(on_meta(width=0.5), imagenet)
    with pytest.raises(FileNotFoundError, match=r"none.safetensors: no such file"):
        load_imagenet(resnet, tmp_path / "none.safetensors")
    with pytest.raises(TypeError, match="state: expected a state dict or the path of a safetensors file, got list"):
        load_imagenet(resnet, [])


def test_a_pickle_is_refused(resnet, tmp_path):
    pytest.importorskip("safetensors.torch")
    torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7)}, tmp_path / "resnet50.pth")
    with pytest.raises(ValueError, match=r"not a safetensors file .*pickles are not read"):
        load_imagenet(resnet, tmp_path / "resnet50.pth")
