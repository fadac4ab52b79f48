"""`personlab info WEIGHTS`: what a weights file says of its network."""

from __future__ import annotations

import json

import pytest
from published import random_model

from personlab import Skeleton
from personlab.cli import main
from personlab.nn import ModelConfig, PersonLab
from personlab.settings import Settings
from personlab.train import TrainConfig
from personlab.weights import save_model

PAIR = Skeleton(names=("head", "tail\x1b[31m"), edges=((0, 1),), sigmas=(0.1, 0.1), flip=(0, 1))


@pytest.fixture
def info(capfd):
    def call(*argv):
        capfd.readouterr()
        code = main(["info", *map(str, argv)])
        out, err = capfd.readouterr()
        facts = dict(line.split("  ", 1) for line in out.splitlines())
        return code, {name: value.strip() for name, value in facts.items()}, err

    return call


def test_what_a_network_is_and_was_scored_with(info, tmp_path):
    file = tmp_path / "rats.safetensors"
    model = PersonLab(ModelConfig(width=0.5, masks=False, skeleton=PAIR, refine_steps=2, intermediate=True))
    model.settings = Settings(long_edge=241, stride=8, disk_radius=12, category="rat", domain="photographs")
    metadata = {
        "command": "personlab train --config rats.yaml",
        "steps": 7,
        "scores": {"keypoint_ap": 0.64, "mask_ap": 1 / 3},
        "train": {"steps": 7, "seed": 0, "optimizer": {"rate": 0.5, "gone": 1}},
        "calibration": {"method": "isotonic", "scores": [0.1] * 5000, "deep": {"a": None, "b": True}},
        "note": "two\nlines \x1b[2J",
    }
    save_model(model, file, metadata)
    code, facts, err = info(file)
    assert (code, err) == (0, "")
    assert facts["backbone"] == "mobilenet_v1, width 0.5, norm batch"
    assert facts["stride"] == "16"
    assert facts["keypoints"] == "2: head, tail [31m"
    assert facts["edges"] == "1: head-tail [31m"
    assert facts["heads"] == "heatmaps, short offsets, mid offsets, intermediate ones"
    assert facts["refinement"] == "2 steps inside the network"
    assert facts["normalisation"] == "minus_one_to_one of pixels 0..255"
    assert facts["scored with"] == "long edge 241, stride 8, disk radius 12, category rat"
    assert facts["trained on"] == "photographs"
    assert facts["scores"] == "keypoint AP 0.64, mask AP 0.333333"
    assert facts["command"] == "personlab train --config rats.yaml"
    assert facts["calibration"] == (
        "deep a null, b true, method isotonic, scores [0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 4992 more]"
    )
    assert facts["note"] == "two lines  [2J"
    trained = {name: value for name, value in facts.items() if name.startswith("train ")}
    assert trained == {"train steps": "7", "train optimizer.rate": "0.5", "train optimizer.gone": "1"}  # no defaults


def test_defaults_of_earlier_versions_are_defaults(info, tmp_path):
    train = json.loads(TrainConfig(seed=3).to_json())
    train["augmentation"]["centre"] = "picture"  # what version 0.1 called "image"
    save_model(random_model(), tmp_path / "old.safetensors", {"train": train})
    code, facts, _ = info(tmp_path / "old.safetensors")
    assert code == 0
    assert {name: value for name, value in facts.items() if name.startswith("train ")} == {"train seed": "3"}


def test_a_network_that_says_little(info, tmp_path):
    file = tmp_path / "plain.safetensors"
    save_model(random_model(stride=8), file, {"scores": 3, "train": "elsewhere"})
    _, facts, _ = info(file)
    assert facts["scored with"] == facts["trained on"] == "unknown"
    assert (facts["scores"], facts["train"]) == ("3", "elsewhere")


def test_names_and_no_weights(info, tmp_path):
    _, facts, _ = info("drawn-mobilenet-050-stride16")
    assert facts["stride"] == "16"
    assert facts["scored with"] == "long edge 641, stride 16, disk radius 32, category person"
    assert facts["trained on"] == "drawn scenes"
    (tmp_path / "x.safetensors").write_bytes(b"x" * 20)
    for name in ("none.safetensors", tmp_path / "x.safetensors"):
        code, facts, err = info(name)
        assert (code, facts) == (1, {})
        assert str(name) in err
        assert err.count("\n") == 1
    assert info()[1]["version"]
