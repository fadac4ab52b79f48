"""Training with teachers: what is kept, made again and refused, labels and teachers together, and resuming."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from published import random_model
from shard_files import shard
from taught_runs import COUNT, MASKS, SIZE, config, entries, make_source
from tiny_runs import same, tensors

from personlab import COCO_PERSON, Predictor, load_model
from personlab.cli import main
from personlab.data.augment import View
from personlab.data.grid import Grid
from personlab.data.loader import Views
from personlab.methods import get_method
from personlab.settings import Settings
from personlab.train import (
    DataOptions,
    LossOptions,
    NetworkOptions,
    TrainConfig,
    train,
)
from personlab.train.start import open_images, remarks
from personlab.train.teachers import Teachers
from personlab.weights import save_model


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return make_source(tmp_path_factory.mktemp("teachers"))


def teachers_of(config):
    return Teachers(config, get_method("personlab"), open_images(config))


@pytest.fixture(scope="module")
def whole(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    train(config(source, folder))
    return folder


def test_a_run_logs_the_losses_of_labels_and_teachers(whole):
    first = entries(whole)[0]
    labels, taught = ("heatmap", "short", "mid", "segmentation", "long"), LossOptions()
    expected = sum(getattr(taught, name) * first[name] for name in labels)
    assert first["taught"] > 0
    np.testing.assert_allclose(first["total"], expected + first["taught"], rtol=1e-4)
    assert {f"taught_{name}" for name in labels} < first.keys()


def test_stopping_and_going_on_is_as_one_run(source, whole, tmp_path):
    train(config(source, tmp_path / "run", steps=3))
    first = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.npz")}
    assert len(first) == 2 * COUNT
    train(config(source, tmp_path / "run"), resume=True)
    assert first == {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.npz")}
    for name in ("weights", "weights-raw"):
        assert same(tensors(whole, name), tensors(tmp_path / "run", name))


def test_the_processes_of_a_loader_change_nothing(source, whole, tmp_path):
    settings = config(source, tmp_path / "run")
    train(replace(settings, data=replace(settings.data, workers=1)))
    assert same(tensors(whole), tensors(tmp_path / "run"))


def test_images_in_shards_are_taught_as_files_are(source, whole, tmp_path):
    assert shard(source / "annotations.json", source / "images", tmp_path / "shards", "--count", 3) == 0
    data = DataOptions(shards=str(tmp_path / "shards"), crop=(65, 81), workers=0)
    train(config(source, tmp_path / "run", data=data))
    assert same(tensors(whole), tensors(tmp_path / "run"))
    kept = [
        sorted(path.name for path in (folder.parent / "cache").rglob("*.npz")) for folder in (whole, tmp_path / "run")
    ]
    assert kept[0] == kept[1]


def test_what_is_kept_is_what_the_teacher_says(source, tmp_path):
    settings = config(source, tmp_path / "run")
    teachers = teachers_of(settings)
    teachers.fill()
    straight = View(np.eye(2), np.zeros(2), flipped=False)
    taught = teachers(1, SIZE, straight, Grid(SIZE, 8, COCO_PERSON, has_masks=True))
    predictor = Predictor(str(source / "keypoints.safetensors"), stride=8, long_edge=129, precision="float32")
    with predictor.stream_fields([source / "images" / "2.png"]) as stream:
        fields = next(stream)
    np.testing.assert_allclose(taught["taught_heatmaps"], 1 / (1 + np.exp(-fields.heatmaps)), atol=1e-3)
    np.testing.assert_allclose(taught["taught_mid_offsets"], fields.mid_offsets, rtol=2e-3, atol=1e-2)


@pytest.mark.parametrize("damage", ["missing", "short", "changed", "other"])
def test_damaged_files_are_made_again_with_a_line(source, tmp_path, capfd, damage):
    settings = config(source, tmp_path / "run")
    teachers = teachers_of(settings)
    teachers.fill()
    before = {path: path.read_bytes() for path in sorted((tmp_path / "cache").rglob("*.npz"))}
    path = next(path for path in before if "keypoints" in str(path))
    content = before[path]
    if damage == "missing":
        path.unlink()
    elif damage == "short":
        path.write_bytes(content[:1000])
    elif damage == "changed":
        path.write_bytes(content[:2000] + bytes([content[2000] ^ 255]) + content[2001:])
    else:
        np.savez(path, fields=np.zeros(3))
    straight = View(np.eye(2), np.zeros(2), flipped=False)
    capfd.readouterr()
    for number in range(COUNT):
        teachers(number, SIZE, straight, Grid(SIZE, 16, COCO_PERSON, has_masks=True))
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"personlab: warning: {path}: ")
    assert line.endswith(".png")
    assert "made again from" in line
    again = np.load(path)["fields"].astype(float)
    path.write_bytes(content)
    np.testing.assert_allclose(again, np.load(path)["fields"].astype(float), rtol=2e-3, atol=2e-3)


def test_a_damaged_file_does_not_stop_a_run(source, whole, tmp_path, capfd):
    """It is made again by the process of the loader that needs it."""
    settings = config(source, tmp_path / "run")
    teachers_of(settings).fill()
    (path, *_) = (tmp_path / "cache").rglob("*.npz")
    path.write_bytes(path.read_bytes()[:-100])
    train(replace(settings, data=replace(settings.data, workers=1)))
    assert f"warning: {path}: expected the fields of an image, got a damaged one: made again" in capfd.readouterr().err
    for one, other in zip(entries(whole), entries(tmp_path / "run"), strict=True):
        assert other["taught"] == pytest.approx(one["taught"], rel=0.02)


def test_views_of_other_sizes_than_the_teachers_are_warned_of(source, tmp_path):
    settings = config(source, tmp_path / "run")
    images = open_images(settings)
    for edge, scale, lines in ((129, (0.7, 1.4), 0), (129, (0.5, 1.0), 2), (193, (1.0, 1.1), 2), (None, (0.1, 9), 0)):
        augmentation = replace(settings.augmentation, long_edge=edge, scale=scale)
        said = remarks(replace(settings, augmentation=augmentation), images, None)
        assert sum(line.startswith("warning: teachers[") for line in said) == lines


def test_the_command_keeps_fields_and_goes_on_where_it_was_stopped(source, tmp_path, capfd):
    settings = config(source, tmp_path / "run")
    (tmp_path / "run.json").write_text(settings.to_json())
    argv = ["train", "--config", str(tmp_path / "run.json"), "--cache-teachers"]
    assert main(argv) == 0
    err = capfd.readouterr().err
    assert f"keypoints.safetensors: {COUNT} of {COUNT} images" in err
    files = sorted((tmp_path / "cache").rglob("*.npz"))
    assert len(files) == 2 * COUNT
    assert not (tmp_path / "run").exists()
    files[0].unlink()
    assert main(argv) == 0
    assert f"1 of {COUNT} images" in capfd.readouterr().err
    assert main(argv) == 0
    assert "images" not in capfd.readouterr().err
    assert main(["train", "--config", str(tmp_path / "run.json"), "--cache-teachers", "--teachers", "[]"]) == 1
    assert "teachers: expected at least one, got none" in capfd.readouterr().err


def test_another_setting_is_kept_apart(source, tmp_path):
    settings = config(source, tmp_path / "run")
    teachers_of(settings).fill()
    first, second = settings.teachers
    for one in (replace(first, long_edge=65), replace(first, stride=16), replace(first, fields=("heatmaps",))):
        folders = len(list((tmp_path / "cache").iterdir()))
        teachers_of(replace(settings, teachers=(one, second))).fill()
        assert len(list((tmp_path / "cache").iterdir())) == folders + 1
    teachers_of(replace(settings, teachers=(replace(first, weight=2.0), second))).fill()  # the same fields
    assert len(list((tmp_path / "cache").iterdir())) == folders + 1


def test_images_without_annotations_are_learnt_from_teachers_alone(source, tmp_path):
    settings = config(source, tmp_path / "run")
    unknown = replace(settings, data=replace(settings.data, empty="unknown", unlabelled=str(source / "more")))
    images = open_images(unknown)
    assert len(images) == COUNT + 1
    method, losses = get_method("personlab"), LossOptions()
    views = Views(
        images, method.encode, losses, crop=(65, 81), stride=16, augmentation=settings.augmentation, seed=0,
        teachers=teachers_of(unknown),
    )  # fmt: skip
    counted = {}
    for number in range(len(images)):
        _, targets, taught = views[number]
        valid = [getattr(targets, name) for name in vars(targets) if name.endswith("_valid")]
        counted[views._image(number)] = any(array.any() for array in valid)
        assert taught["taught_heatmaps"].any()
    assert counted == {0: True, 1: True, 2: True, COUNT - 1: False, COUNT: False}
    assert open_images(settings).load(COUNT - 1).people.crowd.any() == np.False_  # shows nobody
    train(unknown)


def test_teachers_bring_masks_to_data_without(source, tmp_path):
    dataset = json.loads((source / "annotations.json").read_text())
    for annotation in dataset["annotations"]:
        annotation.pop("segmentation")
    (tmp_path / "bare.json").write_text(json.dumps(dataset))
    settings = config(source, tmp_path / "run", steps=2)
    train(replace(settings, data=replace(settings.data, annotations=str(tmp_path / "bare.json"))))
    assert load_model(tmp_path / "run" / "weights.safetensors").config.masks
    first = entries(tmp_path / "run")[0]
    assert first["segmentation"] == first["long"] == 0
    assert first["taught_segmentation"] > 0


def test_a_taught_run_comes_nearer_to_its_teachers(source, tmp_path):
    settings = config(source, tmp_path / "run", steps=50, log_every=10)
    train(replace(settings, optimizer=replace(settings.optimizer, rate=3e-3)))
    first, *_, last = (entry for entry in entries(tmp_path / "run") if "taught" in entry)
    assert last["taught"] < 0.8 * first["taught"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fields": ("heatmap",)}, r"teachers\[0\]: fields: expected some of heatmaps, .*, got heatmap$"),
        ({"fields": MASKS}, r"teachers\[0\]: fields: expected none of segmentation, long_offsets, which the"),
        ({"weights": "drawn-mobilenet-100"}, "drawn-mobilenet-100: no such file"),
    ],
)
def test_teachers_that_cannot_teach_are_refused(source, tmp_path, change, message):
    settings = config(source, tmp_path / "run")
    settings = replace(settings, teachers=(replace(settings.teachers[0], **change),))
    with pytest.raises((ValueError, OSError), match=message):
        train(settings)
    assert not (tmp_path / "run").exists()


def test_a_teacher_of_other_discs_is_refused(source, tmp_path):
    model = random_model(masks=False)
    model.settings = Settings(disk_radius=20.0)
    save_model(model, tmp_path / "small.safetensors")
    settings = config(source, tmp_path / "run")
    one = replace(settings.teachers[0], weights=str(tmp_path / "small.safetensors"))
    with pytest.raises(ValueError, match=r"teachers\[0\]: weights: .* R = 32 as loss\.disk_radius, got 20"):
        train(replace(settings, teachers=(one,)))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"teachers": 3}, "teachers: expected a list of objects, got 3"),
        ({"teachers": [3]}, r"teachers\[0\]: expected an object, got 3"),
        ({"teachers": [{"weights": "a"}]}, r"teachers\[0\]\.fields: expected a value, got none"),
        ({"teachers": [{"weights": "a", "fields": []}]}, r"teachers\[0\]\.fields: expected at least one name"),
        ({"teachers": [{"weights": "a", "fields": ["x"], "scale": 2}]}, r"teachers\[0\]\.scale: expected one of"),
        ({"teachers": [{"weights": 5, "fields": ["x"]}]}, r"teachers\[0\]\.weights: expected str, got 5"),
        ({"teachers": [{"weights": "a", "fields": ["x"]}]}, "teachers: expected data.annotations"),
        ({"method": "simple_pose", "teachers": [{"weights": "a", "fields": ["x"]}]}, "networks of simple_pose cannot"),
        ({"network": {"fit_heads": ["segmentation"]}}, "network.fit_heads: expected teachers"),
        ({"data": {"unlabelled": "a", "annotations": "b", "images": "c"}}, "data.unlabelled: expected teachers"),
        ({"data": {"held_out": "a"}}, "data: expected annotations beside"),
    ],
)
def test_wrong_settings_are_one_line(values, message):
    with pytest.raises((TypeError, ValueError), match=message) as error:
        TrainConfig.from_json(json.dumps(values))
    assert "\n" not in str(error.value)


def test_what_a_run_saves_is_read_again(source, tmp_path):
    settings = config(source, tmp_path / "run")
    assert TrainConfig.from_json(settings.to_json()) == settings


def test_frozen_parts_stay(source, tmp_path):
    start = load_model(source / "start.safetensors").state_dict()
    options = NetworkOptions(weights=str(source / "start.safetensors"), masks=True, freeze=("backbone", "heatmaps"))
    train(config(source, tmp_path / "run", network=options))
    for name in ("weights", "weights-raw"):
        after = tensors(tmp_path / "run", name)
        for key, value in after.items():
            still = key.startswith("backbone.") or "heatmaps" in key
            assert key not in start or torch.equal(value, start[key]) == still, key
    wrong = replace(options, freeze=("heatmap",))
    with pytest.raises(
        ValueError, match=r"network\.freeze: expected some of backbone, heads, heatmaps, .*got heatmap$"
    ):
        train(config(source, tmp_path / "other", network=wrong))
    with pytest.raises(ValueError, match=r"network\.freeze: expected something left to train, got backbone, heads"):
        train(config(source, tmp_path / "other", network=replace(options, freeze=("backbone", "heads"))))
