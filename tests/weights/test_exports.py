"""Exported files predict as the checkpoint does, in whatever precision; the command says in a line what is wrong."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
import torch

from personlab import Predictor
from personlab.calibration import Calibration
from personlab.cli import main
from personlab.data.synthetic import make_scene
from personlab.nn import ModelConfig, PersonLab, export_onnx
from personlab.predict.engines import ENGINES
from personlab.predict.load import load_network
from personlab.settings import Settings
from personlab.weights import load_model, save_model
from personlab.weights.quantize import to_float16, to_int8

pytestmark = pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec.` is deprecated:FutureWarning")
DRAWN = "drawn-mobilenet-050"


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """A folder of drawn images with annotations, as `personlab scenes` writes it."""
    folder = tmp_path_factory.mktemp("scenes")
    assert main(["scenes", "--output", str(folder), "--count", "4", "--size", "225", "289", "--seed", "3"]) == 0
    return folder


@pytest.fixture(scope="module")
def exported(scenes, tmp_path_factory):
    """Precision -> the file that `personlab export` writes of the package's network."""
    folder = tmp_path_factory.mktemp("exported")
    for precision, flags in (
        ("float32", []),
        ("float16", ["--precision", "float16"]),
        ("int8", ["--precision", "int8", "--calibrate", str(scenes / "images"), "--long-edge", "289"]),
    ):
        assert main(["export", DRAWN, str(folder / f"{precision}.onnx"), *flags]) == 0
    return {precision: folder / f"{precision}.onnx" for precision in ("float32", "float16", "int8")}


def test_a_file_predicts_as_its_checkpoint(tmp_path, exported):
    scene = make_scene(2, size=(257, 321), people=2)
    model = load_model(DRAWN, stride=8)
    knots = Calibration(scores=(0.2, 0.6), expected_oks=(0.3, 0.5), scheme="hough expected_oks seed rms")
    model.settings = Settings(long_edge=321, stride=8, disk_radius=24.0, category="person", calibration=knots)
    save_model(model, tmp_path / "own.safetensors")
    assert main(["export", str(tmp_path / "own.safetensors"), str(tmp_path / "own.onnx")]) == 0
    export_onnx(model, tmp_path / "torch.onnx")
    known = Predictor(tmp_path / "own.safetensors", engine="torch", precision="float32")
    expected = known(scene.image)
    assert len(expected.poses) >= 2
    for name in ("own.onnx", "torch.onnx"):
        predictor = Predictor(tmp_path / name, engine="onnxruntime")
        assert predictor.settings == model.settings
        assert (predictor.stride, predictor.long_edge, predictor.options.disk_radius) == (8, 321, 24.0)
        got = predictor(scene.image)
        np.testing.assert_allclose(got.poses.keypoints, expected.poses.keypoints, atol=1e-2)
        np.testing.assert_allclose(got.poses.scores, expected.poses.scores, atol=1e-3)
    assert Predictor(exported["float32"]).stride == 8  # the stride that the network was scored at


def test_lower_precision_finds_the_same_people(exported):
    scene = make_scene(2, size=(257, 321), people=2)
    expected = Predictor(exported["float32"], engine="onnxruntime", long_edge=321)(scene.image).poses
    for precision, pixels in (("float16", 1.0), ("int8", 10.0)):
        poses = Predictor(exported[precision], engine="onnxruntime", long_edge=321)(scene.image).poses
        for points in expected.keypoints[:2]:
            nearest = min(np.median(np.linalg.norm(points - other, axis=1)) for other in poses.keypoints)
            assert nearest < pixels, precision
    sizes = {precision: path.stat().st_size for precision, path in exported.items()}
    assert sizes["float16"] < 0.6 * sizes["float32"]
    assert sizes["int8"] < 0.45 * sizes["float32"]


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_heads_and_interface_stay_float32(exported, precision):
    model, before = onnx.load(exported[precision]), onnx.load(exported["float32"])
    onnx.checker.check_model(model, full_check=True)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    for tensor in before.graph.initializer:
        if tensor.name.split(".")[0] in ("heatmaps", "short_offsets", "mid_offsets", "segmentation", "long_offsets"):
            assert weights[tensor.name].raw_data == tensor.raw_data, tensor.name
    assert [(one.name, one.type) for one in (*model.graph.input, *model.graph.output)] == [
        (one.name, one.type) for one in (*before.graph.input, *before.graph.output)
    ]
    kinds = {node.op_type for node in model.graph.node}
    assert ("QuantizeLinear" in kinds) == (precision == "int8")
    assert [node.op_type for node in model.graph.node].count("Cast") == 2 * (precision == "float16")
    network = load_network(exported[precision], engine="onnxruntime").engine
    (offsets,) = network.run(np.full((1, 65, 97, 3), 200, np.uint8), ["long_offsets"]).values()
    assert (offsets != offsets.astype(np.float16)).mean() > 0.9
    assert {e.key: e.value for e in model.metadata_props} == {e.key: e.value for e in before.metadata_props}


def test_quantised_files_compute_the_rest_in_float32(exported):
    pytest.importorskip("openvino")
    whole = load_network(exported["float32"], engine="openvino").engine
    assert whole.precision == ENGINES["openvino"].load().precisions("cpu")[0]
    assert load_network(exported["int8"], engine="openvino").engine.precision == "float32"
    native = whole.precision
    assert load_network(exported["int8"], engine="openvino", precision=native).engine.precision == native


def test_networks_that_only_torch_exports_are_reduced_too(tmp_path):
    torch.manual_seed(0)
    model = PersonLab(ModelConfig(width=0.5, refine_steps=1, masks=False)).eval()
    export_onnx(model, tmp_path / "n.onnx", size=(65, 49))
    content = (tmp_path / "n.onnx").read_bytes()
    images = [np.random.default_rng(0).integers(0, 256, (1, 49, 65, 3), np.uint8)]
    for made in (to_float16(content), to_int8(content, images)):
        onnx.checker.check_model(onnx.load_model_from_string(made))
        (tmp_path / "r.onnx").write_bytes(made)
        assert len(made) < 0.7 * len(content)
    with pytest.raises(ValueError, match="images: expected at least one for calibration, got none"):
        to_int8(content, [])
    with pytest.raises(ValueError, match="expected an ONNX file, got something else or a damaged one"):
        to_float16(b"\xff\xd8\xff\xe0 no network")


def test_precision_before_and_after_is_printed(scenes, tmp_path, capsys):
    flags = ["--annotations", str(scenes / "person_keypoints.json"), "--images", str(scenes / "images")]
    capsys.readouterr()
    assert main(["export", DRAWN, str(tmp_path / "a.onnx"), "--precision", "float16", *flags]) == 0
    out, err = capsys.readouterr()
    table = [line.split() for line in out.splitlines()]
    assert table[0] == ["float32", "float16"]
    figures = {" ".join(row[:-2]): tuple(map(float, row[-2:])) for row in table[1:]}
    assert set(figures) == {f"{kind} {name}" for kind in ("keypoint", "mask") for name in ("AP", "AP50", "AP75", "AR")}
    assert figures["keypoint AP"][0] > 0.3
    assert abs(figures["keypoint AP"][1] - figures["keypoint AP"][0]) < 0.05
    assert "wrote" in err


def test_a_program_of_torch_export_loads_without_this_package(tmp_path):
    assert main(["export", DRAWN, str(tmp_path / "p.pt2"), "--size", "65", "97"]) == 0
    files = {"personlab.config": "", "personlab.settings": ""}
    program = torch.export.load(tmp_path / "p.pt2", extra_files=files).module()
    assert json.loads(files["personlab.settings"])["long_edge"] == 641
    images = torch.rand(1, 3, 65, 97) * 255
    outputs = program(images)
    with torch.no_grad():
        expected = load_model(DRAWN, stride=8)(images)
    for name, tensor in outputs.items():
        torch.testing.assert_close(tensor, getattr(expected, name), atol=1e-4, rtol=1e-4)


def test_wrong_usage_is_one_line_and_writes_nothing(tmp_path, capsys, scenes, exported):
    out = tmp_path / "out.onnx"
    (tmp_path / "broken.onnx").write_bytes(exported["float32"].read_bytes()[:-9])
    (tmp_path / "empty").mkdir()
    for code, argv, text in (
        (2, [DRAWN, tmp_path / "out.pt"], "DST: expected a file name that ends in .onnx or .pt2"),
        (2, [DRAWN, tmp_path / "out.pt2", "--precision", "float16"], "--precision: expected float32 for a .pt2 file"),
        (
            2,
            [DRAWN, out, "--precision", "int8"],
            "--calibrate: expected the folder of --calibrate with",
        ),
        (2, [DRAWN, out, "--calibrate", scenes], "--calibrate: expected the folder of --calibrate with"),
        (2, [DRAWN, out, "--precision", "int4"], "--precision: invalid choice"),
        (2, [DRAWN, out, "--images", scenes], "--annotations and --images: expected both or neither"),
        (2, [DRAWN, out, "--size", "65"], "--size: expected 2 arguments"),
        (
            2,
            [DRAWN, out, "--size", "100000", "100001"],
            "--size: expected at most 16777216 pixels, got 100000 x 100001",
        ),
        (1, [DRAWN, out, "--precision", "int8", "--calibrate", tmp_path / "no"], "no: no such folder"),
        (1, [DRAWN, out, "--precision", "int8", "--calibrate", tmp_path / "empty"], "expected at least one"),
        (1, [DRAWN, tmp_path / "no" / "out.onnx"], "no such folder"),
        (1, [DRAWN, out, "--stride", "12"], "stride: expected one of 8, 16, got 12"),
        (1, [exported["float32"], out], "expected weights, got an exported file"),
        (1, [tmp_path / "broken.onnx", out], "expected an ONNX file, got something else or a damaged one"),
        (1, ["nothing", out], "nothing: no such file, nor the name of a network"),
    ):
        assert main(["export", *map(str, argv)]) == code, argv
        err = capsys.readouterr().err
        last = err.splitlines()[-1]
        assert last.startswith("personlab: error: "), err
        assert text in last
        assert not out.exists()
