"""The published networks say in PyTorch what they say in ONNX Runtime, and find the people."""

import subprocess
import sys

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from personlab import Fields, decode_poses, load_model
from personlab.cli import main
from personlab.methods.personlab.convert.onnx import read_onnx
from personlab.methods.personlab.network import to_fields
from personlab.metrics.oks import similarity
from personlab.weights import convert, load_checkpoint

FIELDS = ("heatmaps", "short_offsets", "mid_offsets", "segmentation", "long_offsets")
OUTPUTS = ("heatmaps", "short_offsets", "displacement_fwd", "displacement_bwd", "segments", "long_offsets")


@pytest.fixture(scope="module")
def bodypix(data):
    """Output stride -> the ONNX file of BodyPix."""
    return {stride: data / "weights" / f"bodypix-mobilenet-050-stride{stride}.onnx" for stride in (8, 16)}


@pytest.fixture(scope="module")
def posenet(data):
    return load_model(data / "weights" / "posenet-mobilenet-075")


@pytest.fixture(scope="module")
def picture(data):
    """Name -> a photograph of the shared data, (h, w, 3) RGB."""
    return lambda name: np.ascontiguousarray(cv2.imread(str(data / "images" / f"{name}.jpg"))[:, :, ::-1])


def run(model, image):
    """The fields that one of our networks gives for an image (H, W, 3)."""
    pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None]
    with torch.inference_mode():
        return to_fields(model(pixels), stride=model.config.stride)[0]


def session(file):
    """An ONNX Runtime session; it wants the padding of dilated convolutions spelt out."""
    model = onnx.load(file)
    for node in model.graph.node:
        attributes = {attribute.name: attribute for attribute in node.attribute}
        dilation = attributes["dilations"].ints[0] if "dilations" in attributes else 1
        if node.op_type == "Conv" and dilation > 1:
            node.attribute.remove(attributes["auto_pad"])
            node.attribute.append(onnx.helper.make_attribute("pads", [dilation] * 4))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def largest_differences(fields, others):
    return {name: float(np.abs(getattr(fields, name) - getattr(others, name)).max()) for name in FIELDS}


@pytest.mark.parametrize("stride", [8, 16])
def test_bodypix_equals_onnx_runtime_at_any_size(bodypix, picture, stride):
    theirs, ours = session(bodypix[stride]), load_model(bodypix[stride])
    assert (ours.config.width, ours.config.stride, ours.config.masks) == (0.5, stride, True)
    photograph = picture("soccer")
    noise = np.random.default_rng(0)
    # Multiples of the stride plus 1, then sizes that are none: even, odd, smaller than the kernels reach.
    for h, w in [(161, 241), (257, 193), (433, 641), (160, 208), (150, 211), (99, 75), (33, 17), (1, 1)]:
        for image in (cv2.resize(photograph, (w, h)), noise.integers(0, 256, (h, w, 3), np.uint8)):
            feed = {theirs.get_inputs()[0].name: (image[None] / np.float32(127.5) - 1).astype(np.float32)}
            expected = Fields.from_tfjs(*(output[0] for output in theirs.run(OUTPUTS, feed)), stride=stride)
            differences = largest_differences(run(ours, image), expected)
            assert max(differences.values()) <= 1e-3, (h, w, differences)


def test_both_files_hold_the_same_weights(bodypix):
    by_8, by_16 = (load_model(bodypix[stride]).state_dict() for stride in (8, 16))
    for name, value in by_8.items():
        assert torch.equal(value, by_16[name]), name


@pytest.mark.parametrize("field_file", ["couple_641_s8", "soccer_641_s16", "office_group_801_s8"])
def test_fields_equal_the_stored_ones(bodypix, picture, load_fields, field_file):
    stored = load_fields(field_file)
    model = load_model(bodypix[16], stride=stored.stride)  # one file, either stride
    image = cv2.resize(picture(field_file.rsplit("_", 2)[0]), stored.input_size, interpolation=cv2.INTER_LINEAR)
    assert max(largest_differences(run(model, image), stored).values()) <= 1e-3


# At least so many are clearly there.
PEOPLE = {
    "couple": 2,
    "soccer": 2,
    "office_group": 5,
    "coco_000000081988": 5,
    "coco_000000114907": 3,  # and a crowd seen from behind
    "coco_000000147740": 3,
    "coco_000000541055": 5,
}


@pytest.mark.parametrize("name", PEOPLE)
def test_posenet_finds_the_people_of_every_picture(posenet, picture, name):
    image = picture(name)
    height, width = (round((side * 641 / max(image.shape) - 1) / 16) * 16 + 1 for side in image.shape[:2])
    fields = run(posenet, cv2.resize(image, (width, height)))
    assert fields.segmentation is None
    poses = decode_poses(fields.heatmaps, fields.short_offsets, fields.mid_offsets, stride=16)
    found = int((poses.scores >= 0.35).sum())  # root mean squares: higher than the means of the paper's scheme
    assert found >= PEOPLE[name]
    if name in ("couple", "soccer", "office_group"):
        assert found == PEOPLE[name]


@pytest.mark.parametrize(("name", "field_file"), [("couple", "couple_641_s8"), ("soccer", "soccer_641_s16")])
def test_two_published_networks_see_the_same_poses(posenet, picture, load_fields, name, field_file):
    stored = load_fields(field_file)
    width, height = 641, 433
    fields = run(posenet, cv2.resize(picture(name), (width, height)))
    ours = decode_poses(fields.heatmaps, fields.short_offsets, fields.mid_offsets, stride=16)
    theirs = decode_poses(stored.heatmaps, stored.short_offsets, stored.mid_offsets, stride=stored.stride)
    theirs = theirs.scaled((width - 1) / (stored.input_size[0] - 1), (height - 1) / (stored.input_size[1] - 1))
    for pose in ours.keypoints:
        visible = np.full((17, 1), 2, np.float32)
        assert max(similarity(other, np.hstack([pose, visible])) for other in theirs.keypoints) > 0.7


def test_onnx_files_of_other_writers(bodypix, tmp_path):
    """Clip by inputs, constants as nodes, batch norm, spelt-out padding, bias as Add: the same network."""
    model = onnx.load(bodypix[8])
    graph = model.graph
    arrays = {tensor.name: tensor for tensor in graph.initializer}
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    nodes = []
    for limit in (0.0, 6.0):
        value = numpy_helper.from_array(np.array(limit, np.float32))
        nodes.append(helper.make_node("Constant", [], [f"limit{limit:g}"], value=value))
    for number, node in enumerate(graph.node):
        nodes.append(node)
        if node.op_type == "Clip":
            del node.attribute[:]
            node.input.extend(["limit0", "limit6"])
        if node.op_type != "Conv":
            continue
        attributes = {attribute.name: attribute for attribute in node.attribute}
        side, dilation = attributes["kernel_shape"].ints[0], attributes["dilations"].ints[0]
        node.attribute.remove(attributes["auto_pad"])
        node.attribute.append(helper.make_attribute("pads", [dilation * (side // 2)] * 4))
        bias = numpy_helper.to_array(arrays[node.input.pop()])
        made, node.output[0] = node.output[0], f"{node.output[0]}/conv"
        if number % 2:
            shift = numpy_helper.from_array(bias.reshape(1, -1, 1, 1), f"shift{number}")
            graph.initializer.append(shift)
            nodes.append(helper.make_node("Add", [shift.name, node.output[0]], [made]))
            continue
        numbers = {"scale": np.full_like(bias, 2), "b": bias + 1, "mean": np.full_like(bias, 1), "var": 0 * bias + 4}
        for name, values in numbers.items():
            graph.initializer.append(numpy_helper.from_array(values, f"{name}{number}"))
        names = [f"{name}{number}" for name in numbers]
        nodes.append(helper.make_node("BatchNormalization", [node.output[0], *names], [made], epsilon=0.0))
    # batch norm: (x - mean) * scale / sqrt(var) + b = x - 1 + bias + 1
    del graph.node[:]
    graph.node.extend(nodes)
    file = tmp_path / "other.onnx"
    onnx.save(model, file)
    expected = load_model(bodypix[8]).state_dict()
    for name, value in load_model(file).state_dict().items():
        assert torch.allclose(value, expected[name], rtol=0, atol=1e-5), name


def test_reading_needs_neither_onnx_nor_torch(bodypix):
    program = (
        "import sys\n"
        "for name in ('onnx', 'torch', 'cv2'):\n    sys.modules[name] = None\n"
        "from personlab.weights import load_stored\n"
        f"stored = load_stored({str(bodypix[8])!r}, stride=16)\n"
        "print(stored.method.name, stored.weights.config.stride, len(stored.weights.state))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "personlab 16 64\n", done.stderr


def test_without_protobuf_the_error_says_what_to_install(bodypix, tmp_path, monkeypatch, capsys):
    for name in ("google.protobuf", "google.protobuf.message"):
        monkeypatch.setitem(sys.modules, name, None)
    assert main(["convert", str(bodypix[8]), str(tmp_path / "out.safetensors")]) == 1
    assert "needs google.protobuf" in capsys.readouterr().err


def changed(bodypix, tmp_path, change):
    """The message about an ONNX file after `change` edited its graph."""
    model = onnx.load(bodypix[16])
    change(model.graph)
    file = tmp_path / "model.onnx"
    onnx.save(model, file)
    with pytest.raises(ValueError, match=r"model\.onnx: ") as caught:
        read_onnx(file)
    return str(caught.value).partition(".onnx: ")[2]


def test_other_onnx_files_are_refused_with_a_reason(bodypix, tmp_path):
    def rename(graph):
        next(value for value in graph.output if value.name == "segments").name = "else"

    assert changed(bodypix, tmp_path, rename).startswith(
        "expected a PoseNet or BodyPix network, got one without segmentation"
    )

    def other_activation(graph):
        graph.node[2].op_type = "HardSwish"

    assert changed(bodypix, tmp_path, other_activation).startswith("expected a chain of convolutions, got the oper")

    def other_padding(graph):
        padding = next(a for a in graph.node[1].attribute if a.name == "auto_pad")
        padding.s = b"SAME_LOWER"

    assert "Conv with padding SAME_LOWER" in changed(bodypix, tmp_path, other_padding)

    def damaged(graph):
        del graph.node[0].attribute[:]

    assert changed(bodypix, tmp_path, damaged).startswith("expected an ONNX graph, got a damaged one (KeyError")

    def elsewhere(graph):
        graph.initializer[0].external_data.add(key="location", value="../secret")

    assert "expected all weights in the file" in changed(bodypix, tmp_path, elsewhere)

    def empty(graph):
        del graph.node[:]

    assert changed(bodypix, tmp_path, empty) == "expected an ONNX file, got one without a network"
    file = tmp_path / "cut.onnx"
    for content in (b"\xff\xd8\xff\xe0 no network", bodypix[8].read_bytes()[:-9]):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=r"cut\.onnx: expected an ONNX file, got something else or a damaged one"):
            load_model(file)


def test_convert_writes_what_load_model_reads(bodypix, tmp_path, capsys):
    file = tmp_path / "bodypix.safetensors"
    assert main(["convert", str(bodypix[8]), str(file)]) == 0
    out, err = capsys.readouterr()
    told = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert told == {
        "backbone": "mobilenet_v1", "width": "0.5", "stride": "8", "keypoints": "17",
        "heads": "heatmaps, short_offsets, mid_offsets, segmentation, long_offsets", "input": "minus_one_to_one",
        "parameters": "586,454",
    }  # fmt: skip
    assert err == f"personlab: wrote {file}\n"
    model, metadata = load_checkpoint(file)
    assert metadata == {"source": bodypix[8].name}
    for name, value in load_model(bodypix[8]).state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name
    assert convert(bodypix[8], file, stride=16).stride == 16
    assert load_model(file).config.stride == 16


def test_convert_ends_in_one_line_about_what_is_wrong(data, tmp_path, capsys):
    file = tmp_path / "out.safetensors"
    for code, argv, text in (
        (1, [data / "images", file], "images: expected the JSON of one tfjs model in this folder, got none"),
        (
            1,
            ["nothing", file],
            "nothing: no such file, nor the name of a network: people-mobilenet-075, ",
        ),
        (1, [data / "weights" / "posenet-mobilenet-075", tmp_path / "out.pt"], "expected a file name that ends in"),
        (2, [data / "weights" / "posenet-mobilenet-075", file, "--stride", "32"], "--stride: invalid choice: 32"),
        (2, [], "required: SRC"),
    ):
        assert main(["convert", *map(str, argv)]) == code
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("personlab: error: ")
        assert text in err
        assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
