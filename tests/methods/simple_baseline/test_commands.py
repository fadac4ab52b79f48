"""The commands that reach Simple Baselines by its record: boxes of every kind, ceiling, demo and training."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import personlab.commands.demo  # noqa: E402
from personlab import load_model  # noqa: E402
from personlab.cli import main  # noqa: E402
from personlab.methods.base import Demo  # noqa: E402
from personlab.methods.simple_baseline.config import SimpleBaselineConfig  # noqa: E402
from personlab.methods.simple_baseline.fields import SimpleBaselineFields  # noqa: E402
from personlab.methods.simple_baseline.method import METHOD  # noqa: E402
from personlab.methods.simple_baseline.network import SimpleBaseline  # noqa: E402
from personlab.settings import DRAWN, Settings  # noqa: E402
from personlab.weights import save_model  # noqa: E402

pytestmark = pytest.mark.torch
_USUAL = ("personlab: scoring with", "personlab: exporting", "personlab: wrote")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A network that says something of each keypoint, for its last layer has a bias."""
    torch.manual_seed(0)
    config = SimpleBaselineConfig(backbone="mobilenet_v1", width=0.5, channels=8, input_size=(96, 64))
    network = SimpleBaseline(config)
    torch.nn.init.constant_(network.final_layer.bias, 0.5)
    network.settings = Settings(domain=DRAWN)
    path = tmp_path_factory.mktemp("network") / "weights.safetensors"
    save_model(network.eval(), path)
    return str(path)


@pytest.fixture
def scenes(tmp_path, monkeypatch):
    """Two scenes of two people each."""
    monkeypatch.chdir(tmp_path)
    flags = ["--count", "2", "--size", "97", "129", "--people", "2", "2"]
    assert main(["scenes", "--output", "s", *flags]) == 0
    return ["--annotations", "s/person_keypoints.json", "--images", "s/images"]


def lines(captured):
    return [line for line in captured.err.splitlines() if not line.startswith(_USUAL)]


def write(path, content):
    path.write_text(json.dumps(content))
    return str(path)


def test_boxes_of_annotations_and_of_personlab(weights, scenes, capsys):
    scenes += ["--engine", "torch", "--long-edge", "129"]
    for boxes in ("true", "personlab"):
        assert main(["evaluate", *scenes, "--weights", weights, "--boxes", boxes]) == 0
        assert "keypoint AP" in capsys.readouterr().out
    assert main(["evaluate", *scenes, "--weights", weights]) == 2
    assert "--boxes: expected a file of detections, personlab or a network that finds people" in capsys.readouterr().err
    assert main(["predict", "s/images", "--weights", weights, "--boxes", "true"]) == 2
    assert "--boxes: expected a file or a network, for only `evaluate` has annotations" in capsys.readouterr().err
    assert main(["evaluate", *scenes, "--weights", "drawn-mobilenet-050", "--boxes", "true"]) == 2
    assert "--boxes: has no effect on a network of personlab" in capsys.readouterr().err


@pytest.mark.usefixtures("scenes")
def test_a_file_of_boxes_loses_no_person(weights, tmp_path, capsys):
    """A box without size and one outside of the image are a line each; those of other images are none."""
    good = [10, 10, 50, 80]
    rows = [{"image_id": n, "bbox": box, "score": 0.5} for n, box in ((1, good), (1, [5, 5, 0, 0]), (7, good))]
    rows.append({"image_id": 2, "bbox": [500, 5, 9, 9], "score": 0.5})
    boxes = ["--boxes", write(tmp_path / "boxes.json", rows)]
    out = ["--output", "out", "--fields", "--json", "r.json", "--flip"]
    capsys.readouterr()
    assert main(["predict", "s/images", "--weights", weights, "--engine", "torch", *boxes, *out]) == 0
    left_out = [line for line in lines(capsys.readouterr()) if "left out" in line]
    assert [line.partition("0000000000")[2] for line in left_out] == [
        "01.png: box 1 with x, y, w, h = 5, 5, 0, 0 is left out: it has no size",
        "02.png: box 0 with x, y, w, h = 500, 5, 9, 9 is left out: it lies outside of the image",
    ]
    (row,) = json.loads((tmp_path / "r.json").read_text())
    assert row["image_id"] == 1
    folder = tmp_path / "out" / "000000000001-fields"
    fields = SimpleBaselineFields.load(folder / "fields.npz")
    assert fields.mirrored.shape == fields.heatmaps.shape == (1, 17, 24, 16)
    assert {path.stem for path in folder.glob("*.png")} >= {"people", "crops", "crop_1"}
    assert main(["decode", str(folder / "fields.npz"), "--method", "simple_baseline", "--json", "d.json"]) == 0
    assert json.loads((tmp_path / "d.json").read_text())[0]["keypoints"] == row["keypoints"]
    assert main(["predict", "s/images", "--weights", weights, "--engine", "torch", "--boxes", "none.json"]) == 1
    assert lines(capsys.readouterr())[-1] == "personlab: error: none.json: No such file or directory"
    for others, got in ((rows[2:3], "image ids 7 to 7"), ([{**rows[0], "category_id": 3}], "none of a person")):
        boxes = ["--boxes", write(tmp_path / "boxes.json", others)]
        assert main(["predict", "s/images", "--weights", weights, "--engine", "torch", *boxes]) == 0
        (line,) = [line for line in lines(capsys.readouterr()) if "has no box of an input" in line]
        assert line.endswith(f"boxes.json has no box of an input: expected image ids 1 to 2, got {got}")


def test_annotations_without_box(weights, scenes, capsys, tmp_path):
    """The first gets one around its outline; the second has nothing and is a line."""
    content = json.loads((tmp_path / "s" / "person_keypoints.json").read_text())
    first, second = content["annotations"][:2]
    del first["bbox"], second["bbox"], second["segmentation"]
    second["keypoints"], second["num_keypoints"] = [0] * 51, 0
    write(tmp_path / "s" / "person_keypoints.json", content)
    capsys.readouterr()
    assert (
        main(["evaluate", *scenes, "--weights", weights, "--engine", "torch", "--boxes", "true", "--json", "r.json"])
        == 0
    )
    (line,) = lines(capsys.readouterr())
    assert line.endswith("left out 1 annotations without box, outline and labelled keypoints: annotation 2")
    assert len(json.loads((tmp_path / "r.json").read_text())) == 3


@pytest.mark.parametrize(
    ("flags", "precision"),
    [
        ([], (0.985, 1)),
        (["--preset", "tensorflow_coco", "--decode.rescoring", "box"], (0.9615, 0.9625)),
        (["--preset", "pytorch_coco", "--decode.rescoring", "box"], (0.9615, 0.9625)),
        (["--decode.position", "quarter", "--decode.rescoring", "box"], (0.9775, 0.9785)),
    ],
)
def test_perfect_maps_of_coco_mini(data, capsys, flags, precision):
    """As the golden data tells for the originals, where people are ranked by the score of their box, which is 1."""
    annotations = str(data / "coco-mini" / "annotations" / "person_keypoints.json")
    assert main(["evaluate", "--ceiling", "--method", "simple_baseline", "--annotations", annotations, *flags]) == 0
    (line,) = (one for one in capsys.readouterr().out.splitlines() if one.startswith("keypoint AP "))
    assert precision[0] <= float(line.split()[-1]) <= precision[1]


def test_a_flag_that_methods_share_has_the_choices_of_each(data, capsys):
    annotations = str(data / "coco-mini" / "annotations" / "person_keypoints.json")
    asked = ["evaluate", "--ceiling", "--annotations", annotations, "--method"]
    assert main([*asked, "simple_pose", "--decode.rules", "pytorch"]) == 2
    assert "rules: expected one of default, part_b, demo, part_a, got 'pytorch'" in capsys.readouterr().err
    assert main([*asked, "simple_baseline", "--decode.rules", "part_b"]) == 2
    assert "rules: expected one of default, tensorflow, pytorch, got 'part_b'" in capsys.readouterr().err
    assert main([*asked, "simple_baseline", "--decode.rules", "other"]) == 2
    assert "--decode.rules" in capsys.readouterr().err


def test_a_demo_takes_the_boxes_of_its_scene(weights, monkeypatch, tmp_path, capsys):
    shown = replace(METHOD, demo=Demo(weights=weights, size=(97, 129)))
    monkeypatch.setattr(personlab.commands.demo, "get_method", lambda _: shown)
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "--method", "simple_baseline", "--people", "2", "--output", "demo.png", "--fields", "f"]) == 0
    out = capsys.readouterr().out
    assert "of 2 people found by" in out
    assert [line.split()[0] for line in out.split("\n\n")[1].splitlines()[1:]] == ["network", "decode_simple_baseline"]
    assert (tmp_path / "f" / "crops.png").exists()


def test_a_backbone_of_another_method(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    flags = ["--method", "simple_baseline", "--steps", "1", "--batch-size", "2", "--data.crop", "96", "64"]
    flags += ["--data.scene_size", "97", "129", "--data.workers", "0", "--evaluation.scenes", "1"]
    flags += ["--network.channels", "8"]
    flags += ["--optimizer.rate", "1e-9", "--network.backbone", "mobilenet_v1", "--network.backbone_weights"]
    flags += ["drawn-mobilenet-050", "--network.width"]
    assert main(["train", "--output", "run", *flags, "0.5"]) == 0
    own, theirs = load_model("run/weights.safetensors"), load_model("drawn-mobilenet-050")
    for name, value in theirs.backbone.named_parameters():
        np.testing.assert_allclose(own.backbone.get_parameter(name).detach(), value.detach(), atol=1e-7)
    capsys.readouterr()
    assert main(["train", "--output", "other", *flags, "1.0"]) == 1
    assert "network.backbone_weights: expected mobilenet_v1 of the same width, got drawn" in capsys.readouterr().err
    assert main(["train", "--output", "other", *flags, "0.5", "--network.weights", "run/weights.safetensors"]) == 1
    assert "network: expected either weights or backbone_weights, got both" in capsys.readouterr().err
