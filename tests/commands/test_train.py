"""`personlab train`: configuration files, flags over them, and what it says when something is wrong."""

from __future__ import annotations

import json
import time

import pytest

from personlab.cli import main
from personlab.commands.flags import join_pairs
from personlab.commands.train_settings import shipped_configs
from personlab.data.grid import check_sides, input_step
from personlab.methods import get_method
from personlab.train import TeacherOptions, TrainConfig
from personlab.weights import load_checkpoint

CONFIG = """
output: run
steps: 2
batch_size: 2
threads: 1
log_every: 1
network: {width: 0.5}
data: {scene_size: [97, 129], crop: [65, 81], workers: 0}
optimizer: {warmup: 1}
evaluation: {scenes: 1, long_edge: 129}
"""


@pytest.fixture
def run(tmp_path, monkeypatch, capfd):
    """The command in a folder of its own, with a configuration tiny.yaml."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(CONFIG)

    def call(*argv):
        capfd.readouterr()
        code = main(["train", *map(str, argv)])
        return code, *capfd.readouterr()

    return call


def test_a_file_and_flags_over_it(run, tmp_path):
    code, out, err = run("--config", "tiny.yaml", "--seed", 7, "--optimizer.rate", 0.5, "--data.crop", "[81,65]")
    assert code == 0
    assert out.splitlines()[1].split() == ["steps", "2"]
    assert "keypoint ap" in out
    assert "step 1: total " in err
    assert err.splitlines()[-1] == "personlab: wrote run/weights.safetensors"
    saved = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (saved["seed"], saved["optimizer"]["rate"], saved["data"]["crop"]) == (7, 0.5, [81, 65])
    assert saved["optimizer"]["momentum"] == TrainConfig().optimizer.momentum
    metadata = load_checkpoint("run/weights.safetensors").metadata
    assert metadata["train"] == saved
    assert metadata["command"].startswith("personlab ")


def test_what_a_run_saved_is_a_configuration(run, tmp_path):
    assert run("--config", "tiny.yaml")[0] == 0
    assert run("--config", "run/config.json", "--output", "again")[0] == 0
    first, again = (json.loads((tmp_path / name / "config.json").read_text()) for name in ("run", "again"))
    assert again == {**first, "output": "again"}


def test_resuming(run):
    assert run("--config", "tiny.yaml")[0] == 0
    code, out, err = run("--config", "tiny.yaml")
    assert (code, out) == (2, "")
    assert err == "personlab: error: run: holds a run; --resume goes on with it, another --output leaves it alone\n"
    assert run("--config", "tiny.yaml", "--resume")[0] == 0
    code, _, err = run("--config", "tiny.yaml", "--resume", "--seed", 3)
    assert code == 1
    assert err.endswith("personlab: error: seed: expected 0 as in the run to go on with, got 3\n")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (
            ["--config", "nowhere"],
            "nowhere: no such file, and no configuration of the package (drawn, finetune, ",
        ),
        (["--steps", "0"], "steps: expected an integer from 1"),
        (["--optimizer.name", "lion"], "--optimizer.name"),
        (["--optimizer.rate", "1e38"], "optimizer.rate: expected a finite number > 0 and <= 1e+06, got 1e+38"),
        (["--optimizer.head_rate", "1e38"], "optimizer.head_rate: expected a finite number >= 0 and <= 1e+06, got"),
        (["--no-such-flag"], "--no-such-flag"),
        (["--data.annotations", "a.json"], "data: expected annotations and images together"),
    ],
)
def test_wrong_usage(run, argv, message):
    code, out, err = run(*argv)
    assert (code, out) == (2, "")
    assert err.startswith("personlab: error: ")
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("words", [["81", "65"], ["[81,65]"], ["[81, 65]"]])
def test_two_numbers_are_two_words_or_a_list(run, tmp_path, words):
    assert run("--config", "tiny.yaml", "--data.crop", *words, "--steps", 1)[0] == 0
    assert json.loads((tmp_path / "run" / "config.json").read_text())["data"]["crop"] == [81, 65]


@pytest.mark.parametrize(
    ("argv", "joined"),
    [
        (["--data.crop", "257", "257", "--x"], ["--data.crop", "[257, 257]", "--x"]),
        (["--augmentation.scale", ".5", "1e1"], ["--augmentation.scale", "[.5, 1e1]"]),
        (["--data.crop", "257"], None),
        (["--data.crop", "1", "2", "3"], None),
        (["--scales", "1", "2"], None),  # takes as many as there are
        (["--data.crop", "257", "a"], None),
        (["--data.crop", "[1,2]", "5"], None),
        ([], None),
    ],
)
def test_pairs_are_joined_and_nothing_else(argv, joined):
    assert join_pairs(argv) == (argv if joined is None else joined)


@pytest.mark.parametrize("words", [["257"], ["1", "2", "3"], ["a", "b"], ["1.5", "2"], ["[1]"]])
def test_what_is_no_pair_is_refused(run, words):
    code, _, err = run("--data.crop", *words)
    assert code == 2
    assert err.startswith("personlab: error: argument --data.crop: expected ")
    assert err.count("\n") == 1


def test_a_run_goes_on_without_its_flags_and_longer(run, tmp_path):
    assert run("--config", "tiny.yaml", "--seed", 7)[0] == 0
    code, out, _ = run("--resume", "--output", "run", "--steps", 3)
    assert (code, out.splitlines()[1].split()) == (0, ["steps", "3"])
    saved = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (saved["seed"], saved["steps"], saved["network"]["width"]) == (7, 3, 0.5)


BROKEN = {
    "alias": "network: &a {x: *a}",
    "merge": "data: &d {workers: 0}\nevaluation:\n  <<: *d",
    "depth": "[" * 60_000,
    "indents": "\n".join(" " * depth + "a:" for depth in range(300)),
    "entries": "data: [" + "1," * 30_000 + "]",
    "bytes": "# " + "x" * 10**6,
    "digits": "steps: " + "9" * 60_000,
    "another": "config: tiny.yaml",
    "binary": "\0\1\2",
    "no YAML": "steps: [",
    "no mapping": "- 3",
    "text": "hello",
    "nothing": "# steps: 3",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_configuration_is_one_line_at_once(run, tmp_path, name):
    (tmp_path / "broken.yaml").write_text(BROKEN[name])
    start = time.thread_time()
    code, out, err = run("--config", "broken.yaml")
    assert (code, out) == (2, "")
    assert err.startswith("personlab: error: ")
    assert "broken.yaml" in err
    assert err.count("\n") == 1
    assert len(err) < 500
    assert time.thread_time() - start < 1


def test_a_setting_that_no_configuration_has_is_refused(run, tmp_path):
    (tmp_path / "typo.yaml").write_text("optimizer: {rato: 1}\n")
    code, _, err = run("--config", "typo.yaml")
    assert code == 2
    assert "rato" in err


def test_a_folder_that_is_a_file_is_named(run, tmp_path):
    (tmp_path / "taken").write_text("")
    code, _, err = run("--config", "tiny.yaml", "--output", "taken")
    assert (code, err) == (2, "personlab: error: --output: expected a folder, got a file taken\n")


def test_missing_files_are_named(run):
    code, _, err = run("--config", "tiny.yaml", "--data.annotations", "none.json", "--data.images", ".")
    assert (code, err) == (1, "personlab: error: none.json: No such file or directory\n")


@pytest.mark.parametrize("name", shipped_configs())
def test_shipped_configurations_are_read(name, monkeypatch):
    """Each is complete but for where the data lies, and what it says arrives."""
    seen = []
    monkeypatch.setattr("personlab.train.loop.train", lambda config, **_: seen.append(config) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["train", "--config", name, "--batch-size", "64"])
    (config,) = seen
    assert config.batch_size == 64
    assert config.output in (name, name.replace("-", "_"))
    asked = {"stride": config.network.stride, "backbone": config.network.backbone}
    network = get_method(config.method).config(**{key: value for key, value in asked.items() if value is not None})
    check_sides(config.data.crop, "data.crop", stride=network.stride, step=input_step(network))
    if name.startswith("paper"):
        assert config.network.backbone == name.removeprefix("paper-")
        assert config.data.crop == (801, 801)


@pytest.mark.parametrize(
    ("argv", "files", "shards"),
    [
        (["--config", "files.yaml"], ("a.json", "i"), None),
        (["--config", "files.yaml", "--data.shards", "s"], (None, None), "s"),
        (["--data.shards=s", "--config", "files.yaml"], (None, None), "s"),
        (["--config", "files.yaml", "--data.images", "j"], ("a.json", "j"), None),
        (["--config", "shards.yaml", "--data.annotations", "b", "--data.images", "j"], ("b", "j"), None),
    ],
)
def test_flags_choose_between_files_and_shards(run, tmp_path, monkeypatch, argv, files, shards):
    """Images that flags name take the place of those of a configuration, as every flag does."""
    seen = []
    monkeypatch.setattr("personlab.train.loop.train", lambda config, **_: seen.append(config) or 1 / 0)
    (tmp_path / "files.yaml").write_text("data: {annotations: a.json, images: i}")
    (tmp_path / "shards.yaml").write_text("data: {shards: s}")
    with pytest.raises(ZeroDivisionError):
        run(*argv)
    (config,) = seen
    assert ((config.data.annotations, config.data.images), config.data.shards) == (files, shards)


def test_files_and_shards_by_flags_exclude_each_other(run):
    code, _, err = run("--data.shards", "s", "--data.annotations", "a.json", "--data.images", "i")
    assert code == 2
    assert "data: expected either shards or annotations, images and instances, got both" in err


def test_drawn_is_what_the_package_ships():
    names = shipped_configs()
    published = ["paper-resnet101", "paper-resnet152", "people-mobilenet-075"]
    top_down = [f"simple-baseline-{data}" for data in ("coco", "drawn", "mpii", "posetrack")]
    assert names == ["drawn", "finetune", "mobilenet", *published, *top_down, "simple-pose-drawn"]


def test_lists_are_words_and_teachers_are_json(run, monkeypatch):
    """Names after --network.freeze, and objects after --teachers, as the configuration file has them."""
    seen = []
    monkeypatch.setattr("personlab.train.loop.train", lambda config, **_: seen.append(config) or 1 / 0)
    data = ["--data.annotations", "a.json", "--data.images", "i"]
    teachers = '[{"weights": "w", "fields": ["heatmaps", "segmentation"], "scales": [0.5, 1], "flip": true}]'
    with pytest.raises(ZeroDivisionError):
        run(*data, "--network.freeze", "backbone", "heatmaps", "--teachers", teachers, "--teaching.mid", 3)
    (config,) = seen
    assert config.network.freeze == ("backbone", "heatmaps")
    assert config.teachers == (
        TeacherOptions(weights="w", fields=("heatmaps", "segmentation"), scales=(0.5, 1), flip=True),
    )
    assert (config.teaching.mid, config.teaching.short) == (3, 1)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--teachers", "[{"], "teachers: expected a list of objects, got '[{'"),
        (["--teachers", "5"], "teachers: expected a list of objects, got 5"),
        (["--teachers", '[{"weights": "w"}]'], "teachers[0].fields: expected a value, got none"),
        (["--teachers", '[{"weights": "w", "fields": ["x"], "y": 1}]'], "teachers[0].y: expected one of weights, "),
        (["--network.fit_heads", "segmentation"], "network.fit_heads: expected teachers to fit heads to, got none"),
        (["--network.fit_heads", "--passes", "0"], "passes: expected"),  # no heads, as with []
        (["--network.fit_heads", "[]", "--passes", "0"], "passes: expected"),
        (["--batch_size", "x"], "argument --batch-size: expected int, got x"),
        (["--batch_sizes", "x"], "unrecognized arguments: --batch-sizes x"),
        (["--teaching.min_probability", "2"], "teaching.min_probability: expected"),
        (["--method", "simple_pose", "--teaching.mid", "2"], "teaching.mid: expected none, for losses of simple_pose"),
    ],
)
def test_wrong_teachers_are_one_line(run, argv, message):
    code, out, err = run("--data.annotations", "a.json", "--data.images", "i", *argv)
    assert (code, out) == (2, "")
    assert err.startswith("personlab: error: ")
    assert message in err
    assert err.count("\n") == 1
