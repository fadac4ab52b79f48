"""Google's tfjs graph models: every way of storing the weights, and what is no such model."""

import json

import numpy as np
import published
import pytest
import torch
from published import random_model, tfjs_of

from personlab.weights import load_model  # first: it and `convert` import each other

# isort: split
from personlab.methods.personlab.convert import tfjs
from personlab.methods.personlab.network import PersonLab
from personlab.nn.state import fill


def read_tfjs(path):
    """The network of a tfjs graph model."""
    weights = tfjs.read_tfjs(path)
    model = PersonLab(weights.config)
    fill(model, weights.state)
    return model


def differences(model, other):
    state = other.state_dict()
    assert list(state) == list(model.state_dict())
    return max(float((value - state[name]).abs().max()) for name, value in model.state_dict().items())


@pytest.mark.parametrize("stride", [8, 16])
@pytest.mark.parametrize("width", [0.5, 0.75, 1.0])
@pytest.mark.parametrize("masks", [True, False], ids=["bodypix", "posenet"])
def test_a_network_comes_back_as_it_was(tmp_path, masks, width, stride):
    model = random_model(width=width, stride=stride, masks=masks)
    read = read_tfjs(tfjs_of(model).write(tmp_path / "model"))
    assert read.config == model.config
    assert differences(model, read) == 0


@pytest.mark.parametrize(
    ("stored", "tolerance"), [("float16", 1e-3), ("uint16", 1e-4), ("uint8", 2e-2), ("float32", 0)]
)
def test_quantised_weights_in_several_shards(tmp_path, stored, tolerance):
    model = random_model()
    read = read_tfjs(tfjs_of(model, stored=stored).write(tmp_path / "model", shards=5) / "model-stride16.json")
    largest = max(float(value.abs().max()) for value in model.state_dict().values())
    assert differences(model, read) <= tolerance * largest


def test_a_quantised_value_by_hand(tmp_path):
    writer = tfjs_of(random_model(), stored="uint8")
    entry = next(e for e in writer.manifest if e["name"] == "MobilenetV1/segment_2/Conv2D_bias")
    start = sum(int(np.prod(e["shape"])) for e in writer.manifest[: writer.manifest.index(entry)])
    entry["quantization"] = {"min": -1.5, "scale": 0.25, "dtype": "uint8"}
    writer.content = writer.content[:start] + bytes([9]) + writer.content[start + 1 :]
    read = read_tfjs(writer.write(tmp_path / "model"))
    assert read.heads.segmentation.bias.item() == -1.5 + 0.25 * 9


def test_batch_norm_is_folded(tmp_path):
    model = random_model(masks=False)
    read = read_tfjs(tfjs_of(model, folded=False).write(tmp_path / "model"))
    assert differences(model, read) < 1e-6


def test_channels_of_offsets_are_told_apart_by_their_biases(tmp_path):
    model = random_model()
    with torch.no_grad():
        for name in ("short_offsets", "long_offsets", "mid_offsets"):
            head = getattr(model.heads, name)
            head.weight.zero_()
            head.bias.copy_(torch.arange(len(head.bias)))
    writer = tfjs_of(model)
    assert writer.nodes[-1]["name"] == "float_part_offsets"
    read = read_tfjs(writer.write(tmp_path / "model"))
    with torch.inference_mode():
        outputs = read(torch.zeros(1, 3, 17, 33))
    for offsets in (outputs.short_offsets, outputs.mid_offsets, outputs.long_offsets):
        expected = torch.arange(2 * offsets.shape[1]).reshape(-1, 2)[:, :, None, None].expand(offsets.shape[1:])
        assert torch.equal(offsets[0], expected.float())


def node(name):
    """The JSON of a node of the published PoseNet."""
    return lambda model: next(n for n in model["modelTopology"]["node"] if n["name"] == f"MobilenetV1/{name}")


def at(find, *keys, to):
    """Puts `to` at the path `keys` in what `find` gives of a model's JSON."""

    def change(model):
        place = find(model)
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = to

    return change


def group(model):
    return model["weightsManifest"][0]


def narrow(model):
    by_name = {entry["name"]: entry for entry in group(model)["weights"]}
    by_name["MobilenetV1/heatmap_2/weights"]["shape"][3] = 16
    by_name["MobilenetV1/heatmap_2/Conv2D_bias"]["shape"] = [16]
    group(model)["weights"].append({"name": "rest", "shape": [256 + 1], "dtype": "float32"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (at(node("heatmap_2/BiasAdd"), "name", to="else"), "got one without heatmaps among its outputs"),
        (
            at(node("heatmap_2/BiasAdd"), "name", to="float_segments"),
            "got one without heatmaps and long_offsets among its outputs",
        ),
        (at(node("heatmap_2/BiasAdd"), "name", to="offset_9"), "expected one output of short_offsets, got "),
        (
            at(node("Conv2d_3_pointwise/out/Relu6"), "op", to="Elu"),
            "got the operation Elu for 'MobilenetV1/Conv2d_3_pointwise/out/Relu6'",
        ),
        (
            at(node("Conv2d_3_pointwise/out/Relu6"), "op", to="Identity"),
            "backbone.blocks.2.pointwise.conv: expected ReLU6 True as a MobileNetV1 has it, got False",
        ),
        (
            at(node("Conv2d_7_depthwise/out/conv"), "attr", "strides", "list", "i", to=["1", "2", "2", "1"]),
            "stride: expected one of 8, 16, got 32",
        ),
        (
            at(node("Conv2d_7_depthwise/out/conv"), "attr", "dilations", "list", "i", to=["2", "2", "1", "1"]),
            "backbone.blocks.6.depthwise.conv: expected dilation 1 as a MobileNetV1 has it, got 2",
        ),
        (
            at(node("Conv2d_7_depthwise/out/conv"), "attr", "padding", "s", to="VkFMSUQ="),
            "DepthwiseConv2dNative with padding other than SAME",
        ),
        (
            at(node("Conv2d_6_depthwise/out/conv"), "input", 0, to="MobilenetV1/Conv2d_4_pointwise/out/Relu6"),
            "expected the 27 convolutions of a MobileNetV1, got 25",
        ),
        (
            at(node("Conv2d_3_pointwise/out/Relu6"), "input", to=["MobilenetV1/Conv2d_9_pointwise/out/Relu6"]),
            "got a circle through",
        ),
        (
            at(node("heatmap_2/BiasAdd/conv"), "input", 0, to="MobilenetV1/Conv2d_9_pointwise/out/Relu6"),
            "expected heads of one convolution each on the same backbone",
        ),
        (at(node("heatmap_2/BiasAdd/conv"), "input", 0, to="gone"), "got heads on"),
        (at(node("Conv2d_3_pointwise/out/conv"), "input", 0, to="gone"), "got the tensor 'gone' from nowhere"),
        (at(node("Conv2d_3_pointwise/out/conv"), "attr", to=None), "expected a TensorFlow graph, got a damaged one"),
        (
            lambda model: model["modelTopology"]["node"].append({"name": "other", "op": "Placeholder"}),
            "expected one input, got 2",
        ),
        (narrow, "heads.heatmaps.weight: expected shape (17, 256, 1, 1), got (16, 256, 1, 1)"),
        (lambda model: model["modelTopology"].clear(), "got one without modelTopology.node"),
        (at(group, "paths", to=["../shard.bin"]), "expected files of weights beside the model, got '../shard.bin'"),
        (at(group, "paths", to=["/etc/passwd"]), "expected files of weights beside the model, got '/etc/passwd'"),
        (at(group, "paths", to=["http://host/a"]), "expected files of weights beside the model, got 'http://host/a'"),
        (at(group, "weights", 0, to={"name": "a"}), "damaged weightsManifest (KeyError: 'shape')"),
        (at(group, "weights", 0, "dtype", to="string"), "expected one of float32, int32"),
        (at(group, "weights", 0, "shape", to=[-1, -1]), "expected sizes of at least 0, got (-1, -1)"),
        (at(group, "weights", 0, "quantization", to={"dtype": "int32", "min": 0, "scale": 1}), "expected one of"),
    ],
)
def test_errors_say_what_is_wrong(tmp_path, change, message):
    folder = tfjs_of(random_model(masks=False)).write(tmp_path / "model")
    file = folder / "model-stride16.json"
    model = json.loads(file.read_text())
    change(model)
    file.write_text(json.dumps(model))
    with pytest.raises(ValueError, match=r"model-stride16\.json: ") as caught:
        read_tfjs(folder)
    assert message in str(caught.value)


def test_sizes_are_checked_against_the_manifest(tmp_path):
    folder = tfjs_of(random_model()).write(tmp_path / "model", shards=2)
    shard = folder / "group1-shard2of2.bin"
    whole = sum(file.stat().st_size for file in folder.glob("*.bin"))
    shard.write_bytes(shard.read_bytes()[:-3])
    with pytest.raises(ValueError, match=rf"expected {whole} bytes of weights in .*2of2\.bin, got {whole - 3}"):
        read_tfjs(folder)
    shard.unlink()
    with pytest.raises(FileNotFoundError):
        read_tfjs(folder)


def test_a_folder_holds_one_model(tmp_path):
    with pytest.raises(ValueError, match="expected the JSON of one tfjs model in this folder, got none"):
        read_tfjs(tmp_path)
    model = random_model(masks=False)
    (tmp_path / "package.json").write_text("{}")
    for stride in (8, 16):
        tfjs_of(model.at_stride(stride)).write(tmp_path, name=f"model-stride{stride}.json")
    with pytest.raises(ValueError, match=r"got model-stride16\.json, model-stride8\.json"):
        read_tfjs(tmp_path)
    assert load_model(tmp_path / "model-stride8.json").config.stride == 8


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[]", b"{}", b'{"weightsManifest": []}'])
def test_other_json_is_refused(tmp_path, content):
    file = tmp_path / "model.json"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.json: expected the JSON of a tfjs graph model, got "):
        read_tfjs(file)


def test_the_writer_of_these_tests_names_nodes_as_google_does(data):
    theirs = json.loads((data / "weights" / "posenet-mobilenet-075" / "model-stride16.json").read_text())
    outputs = {name for name, _, _ in published.POSENET}
    assert outputs <= {node["name"] for node in theirs["modelTopology"]["node"]}
