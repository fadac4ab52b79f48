"""What a network was scored with travels with it, and is what it is used with where nothing else is asked for."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from published import random_model
from safetensors.torch import load_file, save_file
from tiny_runs import tiny

import personlab.predict.dataset
from personlab import DecodeOptions, Fields, Predictor, visualize
from personlab.cli import main
from personlab.data.coco import People, make_dataset
from personlab.data.synthetic import numbered_scene
from personlab.settings import DRAWN, Settings
from personlab.train import DataOptions, EvaluationOptions, LossOptions, NetworkOptions, OptimizerOptions, train
from personlab.weights import load_checkpoint, load_model, load_settings, save_model

RATS = Settings(long_edge=241, stride=8, disk_radius=12.0, category="rat", labelled_only=True, domain=DRAWN)
SHIPPED = "drawn-mobilenet-050"


def rats(path, settings=RATS):
    """A network of that file with those settings, trained at stride 16."""
    model = random_model(stride=16)
    model.settings = settings
    save_model(model, path)
    return path


def test_settings_are_data():
    assert Settings.from_dict(RATS.to_dict()) == RATS
    assert Settings(disk_radius=12).to_dict() == {"disk_radius": 12.0}
    assert Settings.from_dict({"long_edge": 5, "of a newer version": []}) == Settings(long_edge=5)
    assert str(RATS) == "long edge 241, stride 8, disk radius 12, category rat, labelled images only"
    assert str(Settings()) == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("long_edge", 0), ("long_edge", "241"), ("long_edge", 2.5), ("stride", -8), ("stride", True),
        ("disk_radius", 0), ("disk_radius", float("nan")), ("disk_radius", "12"), ("category", 3),
        ("labelled_only", 1), ("domain", []),
    ],
)  # fmt: skip
def test_wrong_settings_are_named(name, value):
    with pytest.raises((TypeError, ValueError), match=rf"settings\.{name}: expected"):
        Settings.from_dict({name: value})


@pytest.mark.parametrize(
    ("own", "options", "asked", "expected"),
    [
        (None, {}, None, 32.0),
        (12.0, {}, None, 12.0),
        (12.0, {"min_score": 0.5}, None, 12.0),
        (12.0, {"disk_radius": 20}, None, 20.0),
        (12.0, {"disk_radius": 20}, 24, 24.0),
        (12.0, {}, 32, 32.0),
        (None, {"disk_radius": 20}, None, 20.0),
    ],
)
def test_the_radius_is_the_networks_unless_asked_for(own, options, asked, expected):
    found = Settings(disk_radius=own).decoding(DecodeOptions(**options), disk_radius=asked)
    assert found == DecodeOptions(**{**options, "disk_radius": expected})


def test_a_checkpoint_keeps_settings(tmp_path):
    file = rats(tmp_path / "rats.safetensors")
    checkpoint = load_checkpoint(file)
    assert checkpoint.settings == checkpoint.model.settings == load_settings(file) == RATS
    assert checkpoint.metadata == {}
    model = load_model(file)
    assert (model.config.stride, model.settings.stride) == (16, 8)  # of training, and of scoring
    assert load_model(file, stride=16).settings == replace(RATS, stride=16)  # asked for
    save_model(model, tmp_path / "again.safetensors")
    assert load_checkpoint(tmp_path / "again.safetensors").settings == RATS


def test_a_checkpoint_without_settings_is_used_as_ever(tmp_path):
    file = rats(tmp_path / "old.safetensors", Settings())
    assert "settings" not in entry_of(file)
    assert load_checkpoint(file).settings == load_settings(file) == Settings()
    predictor = Predictor(file)
    assert (predictor.long_edge, predictor.stride, predictor.options) == (641, 16, DecodeOptions())


def entry_of(file):
    content = file.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return json.loads(header["__metadata__"]["personlab"])


@pytest.mark.parametrize("settings", [[], "x", {"long_edge": -1}, {"disk_radius": None, "stride": "8"}])
def test_damaged_settings_name_the_file(tmp_path, settings):
    file = rats(tmp_path / "rats.safetensors")
    entry = {**entry_of(file), "settings": settings}
    save_file(load_file(file), file, {"personlab": json.dumps(entry)})
    for load in (load_checkpoint, load_settings):
        with pytest.raises(ValueError, match=r"rats\.safetensors: settings[.:]"):
            load(file)


def test_a_stride_that_no_network_has_names_the_file(tmp_path):
    file = rats(tmp_path / "rats.safetensors", Settings(stride=7))
    with pytest.raises(ValueError, match=r"rats\.safetensors: stride: expected one of 8, 16, got 7"):
        load_checkpoint(file)


def test_names_have_the_settings_of_their_files():
    plain = load_settings(SHIPPED)
    assert plain == load_model(SHIPPED).settings == load_checkpoint(personlab.weights.download(SHIPPED)).settings
    assert plain.domain == DRAWN
    for stride in (8, 16):
        name = f"{SHIPPED}-stride{stride}"
        assert load_settings(name) == load_model(name).settings == replace(plain, stride=stride)
        assert Predictor(name).stride == stride
    assert load_settings("bodypix-mobilenet-050") == Settings()  # and nothing is fetched


def test_the_predictor_takes_them_and_arguments_go_before(tmp_path):
    file = rats(tmp_path / "rats.safetensors")
    for weights in (file, load_model(file)):
        predictor = Predictor(weights, options=DecodeOptions(min_score=0.0))
        assert (predictor.long_edge, predictor.stride, predictor.options.disk_radius) == (241, 8, 12.0)
        assert predictor.settings == RATS
    other = Predictor(file, long_edge=97, stride=16, disk_radius=32.0)
    assert (other.long_edge, other.stride, other.options.disk_radius) == (97, 16, 32.0)
    assert Predictor(load_model(file, stride=16)).stride == 16


def test_fields_carry_the_radius_to_decode_and_bench(tmp_path, capfd):
    """`predict --fields` of a network with small discs, then `decode`: the same people."""
    image = numbered_scene(1, 0, size=(129, 193), people=(2, 2)).image
    file = rats(tmp_path / "rats.safetensors")
    fields = Predictor(file, keep_fields=True)(image).fields
    assert fields.disk_radius == 12.0
    fields.save(tmp_path / "fields.npz")
    assert Fields.load(tmp_path / "fields.npz").disk_radius == 12.0
    assert Predictor(file, keep_fields=True, disk_radius=20)(image).fields.disk_radius == 20.0
    shipped = Predictor(SHIPPED, keep_fields=True, long_edge=193)(image).fields
    tables = []
    for radius, flags in ((6.0, []), (None, ["--decode.disk_radius", "6"]), (6.0, ["--decode.disk_radius", "32"])):
        replace(shipped, disk_radius=radius).save(tmp_path / "shipped.npz")
        capfd.readouterr()
        assert main(["decode", str(tmp_path / "shipped.npz"), *flags]) == 0
        tables.append(capfd.readouterr().out.partition("stage")[0])
    assert tables[0] == tables[1] != tables[2]


@pytest.fixture
def rat_data(tmp_path):
    """A data set of drawn people who are called rats; nobody has labels in one of the images."""
    size = (181, 241)
    scenes = {number: numbered_scene(7, number, size=size, people=(2, 2)) for number in range(1, 5)}
    people = [(n, People(s.keypoints * [1, 1, n != 4], s.masks, np.zeros(size, bool))) for n, s in scenes.items()]
    content = make_dataset(people, file_name="{}.png")
    content["categories"][0].update(id=3, name="rat")
    for annotation in content["annotations"]:
        annotation["category_id"] = 3
    (tmp_path / "rats.json").write_text(json.dumps(content))
    (tmp_path / "images").mkdir()
    for number, scene in scenes.items():
        visualize.write_image(tmp_path / "images" / f"{number}.png", scene.image)
    return {"annotations": str(tmp_path / "rats.json"), "images": str(tmp_path / "images")}


def evaluated(monkeypatch, capfd, *argv):
    """What `personlab evaluate` finds, unrounded, and what it prints."""
    found, score = [], personlab.predict.dataset.score_results

    def note(*arguments, **more):
        found.append(score(*arguments, **more))
        return found[-1]

    with monkeypatch.context() as patched:
        patched.setattr(personlab.predict.dataset, "score_results", note)
        assert main(["evaluate", *map(str, argv)]) == 0
    (scores,) = found
    return {f"{kind}_ap": precision.ap for kind, precision in scores.items()}, capfd.readouterr()


def test_evaluate_without_flags_says_what_training_said(tmp_path, monkeypatch, capfd, rat_data):
    """The rats' case: long edge 241, stride 8, discs of 12 pixels, scored 0.001 by `evaluate` on its own weights."""
    options = EvaluationOptions(**rat_data, long_edge=241, stride=8, labelled_only=True)
    config = tiny(
        tmp_path / "run",
        steps=2,
        network=NetworkOptions(weights=SHIPPED, stride=16),
        data=DataOptions(**rat_data, category="rat", labelled_only=True, crop=(129, 161), workers=0),
        optimizer=OptimizerOptions(rate=1e-6, warmup=0),
        loss=LossOptions(disk_radius=12.0),
        evaluation=options,
    )
    summary = train(config)
    logged = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()][-1]
    assert load_settings(summary.weights) == replace(RATS, domain="photographs")
    files = ("--annotations", rat_data["annotations"], "--images", rat_data["images"], "--weights", summary.weights)
    found, (out, err) = evaluated(monkeypatch, capfd, *files)
    assert set(found) == {"keypoint_ap", "mask_ap"}
    for name, value in found.items():
        assert value > 0.05
        assert abs(value - summary.figures[name]) < 1e-9
        assert abs(value - logged[name]) < 1e-9
        assert f"{value:.3f}" in out
    assert str(RATS) in err
    assert load_checkpoint(summary.weights).metadata["scores"] == found
    # Flags go before what the network says, each of them.
    for flags in (
        ["--long-edge", 321], ["--stride", 16], ["--decode.disk_radius", 32], ["--no-labelled-only"],
    ):  # fmt: skip
        other, _ = evaluated(monkeypatch, capfd, *files, *flags)
        assert other != found, flags


def test_evaluate_says_what_training_said_of_drawn_scenes(tmp_path, monkeypatch, capfd):
    config = tiny(
        tmp_path / "run",
        steps=1,
        network=NetworkOptions(weights=SHIPPED),
        optimizer=OptimizerOptions(rate=1e-6, warmup=0),
        evaluation=EvaluationOptions(scenes=3, long_edge=129, stride=8),
    )
    summary = train(config)
    scenes = {n: numbered_scene(config.evaluation.scene_seed, n, size=(97, 129), people=(1, 2)) for n in range(3)}
    people = ((n, People(s.keypoints, s.masks, np.zeros((97, 129), bool))) for n, s in scenes.items())
    (tmp_path / "a.json").write_text(json.dumps(make_dataset(people, file_name="{}.png")))
    for number, scene in scenes.items():
        visualize.write_image(tmp_path / f"{number}.png", scene.image)
    files = ("--annotations", tmp_path / "a.json", "--images", tmp_path, "--weights", summary.weights)
    found, _ = evaluated(monkeypatch, capfd, *files)
    assert found["keypoint_ap"] > 0.05
    assert found == pytest.approx({name: summary.figures[name] for name in found}, abs=1e-9, rel=0)


def test_networks_of_scenes_in_files_are_of_drawn_scenes_too(tmp_path):
    from personlab.data.images import CocoImages

    assert main(["scenes", "--output", str(tmp_path / "s"), "--count", "1", "--size", "49", "65"]) == 0
    annotations = tmp_path / "s" / "person_keypoints.json"
    assert CocoImages(annotations, tmp_path / "s" / "images").domain == DRAWN
    content = json.loads(annotations.read_text())
    for info in ({}, None, [], {"generator": "another"}):
        annotations.write_text(json.dumps({**content, "info": info}))
        assert CocoImages(annotations, tmp_path / "s" / "images").domain == "photographs"


def test_networks_that_are_not_scored_have_no_long_edge(tmp_path, rat_data):
    config = tiny(
        tmp_path / "run",
        steps=1,
        data=DataOptions(**rat_data, category="rat", crop=(65, 81), workers=0),
        loss=LossOptions(disk_radius=12.0),
    )
    settings = load_settings(train(config).weights)
    assert settings == Settings(disk_radius=12.0, category="rat", domain="photographs")


def test_a_long_edge_out_of_range_is_told_before_the_first_step(tmp_path):
    config = tiny(tmp_path / "run", evaluation=EvaluationOptions(scenes=1, long_edge=10**6))
    with pytest.raises(ValueError, match=r"evaluation\.long_edge: expected an integer from 2 to 16384"):
        train(config)
    assert not (tmp_path / "run").exists()
