"""Training: what a run writes, sharing it among processes, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_runs import STEPS, same, tensors, tiny

from personlab import Predictor, load_model, visualize
from personlab.data.augment import Augmentation
from personlab.data.coco import People, make_dataset
from personlab.data.synthetic import make_scene
from personlab.nn import ModelConfig, PersonLab
from personlab.train import (
    DataOptions,
    EvaluationOptions,
    LossOptions,
    NetworkOptions,
    OptimizerOptions,
    TrainConfig,
    train,
)
from personlab.train.optimize import make_average, make_optimizer, rate_factor, with_warmup_within
from personlab.weights import load_checkpoint, save_model


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run from beginning to end."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, train(tiny(folder))


def test_a_run_leaves_weights_log_and_configuration(whole):
    folder, summary = whole
    assert summary.weights == folder / "weights.safetensors"
    assert summary.step == STEPS
    assert {"keypoint_ap", "mask_ap"} <= summary.figures.keys()
    network = load_model(summary.weights)
    assert (network.config.backbone, network.config.width, network.config.masks) == ("mobilenet_v1", 0.5, True)
    Predictor(network, long_edge=129)(make_scene(0, size=(97, 129), people=1).image)
    metadata = load_checkpoint(summary.weights).metadata
    assert metadata["steps"] == STEPS
    assert metadata["train"]["optimizer"]["rate"] == 1e-3
    assert not same(tensors(folder), tensors(folder, "weights-raw"))  # averaged, and not
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 6, 6]
    for name in ("total", "heatmap", "short", "mid", "segmentation", "long", "gradient", "rate", "images_per_second"):
        assert all(line[name] > 0 for line in lines[:3])
    assert lines[3]["keypoint_ap"] == summary.figures["keypoint_ap"]
    assert json.loads((folder / "config.json").read_text())["data"]["crop"] == [65, 81]
    assert not list(folder.glob(".*"))


def test_tensorboard_holds_losses_and_images(whole):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator").EventAccumulator
    events = accumulator(str(whole[0] / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("total")] == [2, 4, 6]
    assert len(events.Images("targets, found")) == 1


def test_the_same_seed_gives_the_same_weights_and_another_others(whole, tmp_path):
    train(tiny(tmp_path / "same", data=replace(tiny("").data, workers=2)))
    assert same(tensors(whole[0]), tensors(tmp_path / "same"))
    train(tiny(tmp_path / "other", seed=1))
    assert not same(tensors(whole[0]), tensors(tmp_path / "other"))


def test_a_diverging_run_says_so(tmp_path):
    steep = OptimizerOptions(rate=1e6, warmup=0, schedule="constant", clip_norm=1e30)
    with pytest.raises(FloatingPointError, match=r"(loss|gradient) became (inf|nan)"):
        train(tiny(tmp_path / "run", optimizer=steep, steps=60))


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_training_in_16_bits(tmp_path, precision):
    summary = train(tiny(tmp_path / "run", precision=precision, steps=4))
    assert all(value.isfinite().all() for value in tensors(tmp_path / "run").values())
    assert summary.step == 4


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path):
    """DDP over gloo: the same batches shared, losses averaged over what counts in all of them."""
    frozen = NetworkOptions(width=0.5, freeze_norm=True)  # batch norm sees one process's images otherwise
    sgd = OptimizerOptions(name="sgd", rate=1e-2, warmup=0, schedule="constant")
    config = tiny(tmp_path / "two", batch_size=4, network=frozen, optimizer=sgd)
    (tmp_path / "two.json").write_text(config.to_json())
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    command += ["personlab", "train", "--config", str(tmp_path / "two.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    train(replace(config, output=str(tmp_path / "one")))
    one, two = tensors(tmp_path / "one", "weights-raw"), tensors(tmp_path / "two", "weights-raw")
    torch.manual_seed(config.seed)
    begun = PersonLab(ModelConfig(width=0.5)).state_dict()
    assert one.keys() == two.keys() == begun.keys()
    moved = max(float((value - begun[name]).abs().max()) for name, value in one.items() if value.is_floating_point())
    assert moved > 1e-3
    for name, value in one.items():
        torch.testing.assert_close(value, two[name], rtol=1e-4, atol=1e-6)
    one_log, two_log = (
        [json.loads(line) for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    )
    for mine, other in zip(one_log[:-1], two_log[:-1], strict=True):
        for name in ("total", "heatmap", "short", "mid", "segmentation", "long", "gradient"):
            assert other[name] == pytest.approx(mine[name], rel=1e-3)


def test_frozen_norms_do_not_move(tmp_path):
    train(tiny(tmp_path / "run", network=NetworkOptions(width=0.5, freeze_norm=True), steps=2))
    weights = tensors(tmp_path / "run", "weights-raw")
    means = [value for name, value in weights.items() if name.endswith("running_mean")]
    assert means
    assert not any(value.any() for value in means)


def test_starting_from_weights(tmp_path):
    model = PersonLab(ModelConfig(width=0.5, norm="none"))
    save_model(model, tmp_path / "start.safetensors")
    options = NetworkOptions(weights=str(tmp_path / "start.safetensors"), stride=8)
    still = OptimizerOptions(rate=1e-12, warmup=0, weight_decay=0)
    train(tiny(tmp_path / "run", network=options, optimizer=still, steps=1))
    trained = load_model(tmp_path / "run" / "weights.safetensors")
    assert trained.config.stride == 8
    for name, value in trained.state_dict().items():
        torch.testing.assert_close(value, model.state_dict()[name], atol=1e-6, rtol=0)
    with pytest.raises(ValueError, match=r"network\.width: expected 0\.5 as in the weights, got 1\.0"):
        train(tiny(tmp_path / "other", network=replace(options, width=1.0)))


def test_a_network_with_intermediate_heads_and_refinement(tmp_path):
    network = NetworkOptions(width=0.5, refine_steps=1, intermediate=True)
    train(tiny(tmp_path / "run", network=network, loss=LossOptions(refine_steps=1), steps=2))
    line = json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[0])
    assert line["intermediate"] > 0
    assert line["total"] > line["intermediate"]


@pytest.mark.parametrize(
    ("network", "names"),
    [
        ({"masks": False}, {"total", "heatmap", "short", "mid"}),
        ({"masks": False, "intermediate": True}, {"total", "heatmap", "short", "mid", "intermediate"}),
        ({"masks": True}, {"total", "heatmap", "short", "mid", "segmentation", "long"}),
    ],
)
def test_losses_of_heads_that_do_not_exist_are_not_logged(tmp_path, network, names):
    train(tiny(tmp_path / "run", network=NetworkOptions(width=0.5, **network), steps=1))
    line = json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[0])
    assert line.keys() - {"step", "gradient", "images_per_second", "waiting", "rate"} == names


def test_a_short_run_has_a_short_warmup(tmp_path, capfd):
    options = OptimizerOptions(warmup=500)
    assert with_warmup_within(options, 500) is options
    assert [with_warmup_within(options, steps).warmup for steps in (499, 10, 9, 1)] == [49, 1, 0, 0]
    train(tiny(tmp_path / "run", steps=2, optimizer=options))
    assert "personlab: optimizer.warmup: 0 instead of 500 in a run of 2 steps\n" in capfd.readouterr().err
    saved = json.loads((tmp_path / "run" / "config.json").read_text())
    assert saved["optimizer"]["warmup"] == 500  # of a longer run with the same settings
    train(tiny(tmp_path / "other", steps=2))
    assert "warmup" not in capfd.readouterr().err


def test_rates_rise_and_fall():
    options = OptimizerOptions(warmup=10, schedule="cosine", final_rate=0.1)
    rates = [rate_factor(step, 100, options) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == 1.0
    assert rates[-1] == pytest.approx(0.1)
    assert all(np.diff(rates[:10]) > 0)
    assert all(np.diff(rates[9:]) < 0)
    linear = [rate_factor(step, 100, replace(options, schedule="linear")) for step in range(10, 100)]
    np.testing.assert_allclose(np.diff(linear), -0.01, rtol=1e-6)
    assert {rate_factor(step, 100, replace(options, schedule="constant")) for step in range(10, 100)} == {1.0}
    assert rate_factor(0, 1, replace(options, warmup=0)) == pytest.approx(0.1)


def test_groups_hold_every_parameter_once():
    model = PersonLab(ModelConfig(width=0.5))
    groups = make_optimizer(model, OptimizerOptions(rate=1.0, head_rate=3.0, weight_decay=0.5)).param_groups
    held = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(held) == sorted(id(parameter) for parameter in model.parameters())
    heads = {id(parameter) for parameter in model.heads.parameters()}
    for group in groups:
        for parameter in group["params"]:
            assert group["lr"] == (3.0 if id(parameter) in heads else 1.0)
            assert group["weight_decay"] == (0.5 if parameter.ndim > 1 else 0.0)


def test_the_average_is_what_its_decay_says():
    model = torch.nn.Linear(1, 1, bias=False)
    average = make_average(model, 0.5)
    expected = None
    for n, value in enumerate([1.0, 5.0, -3.0, 8.0]):
        torch.nn.init.constant_(model.weight, value)
        average.update_parameters(model)
        decay = min(0.5, (1 + n) / (10 + n))
        expected = value if expected is None else decay * expected + (1 - decay) * value
    assert float(average.module.weight.detach()) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"steps": 0}, "steps"),
        ({"optimizer": OptimizerOptions(rate=-1.0)}, r"optimizer\.rate"),
        ({"data": DataOptions(annotations="a.json")}, "annotations and images together"),
        ({"data": DataOptions(scene_people=(3, 2))}, r"data\.scene_people"),
        ({"seed": 1_000_001}, r"evaluation\.scene_seed"),
        ({"optimizer": OptimizerOptions(name="lion")}, r"optimizer\.name: expected one of sgd, adamw, got 'lion'"),
        ({"optimizer": OptimizerOptions(schedule="step")}, r"optimizer\.schedule"),
        ({"precision": "fp16"}, "precision: expected one of float32, bfloat16, float16, got 'fp16'"),
        ({"optimizer": OptimizerOptions(warmup=-1)}, r"optimizer\.warmup: expected an integer from 0"),
        ({"data": DataOptions(labelled_only=True)}, "data: expected annotations beside"),
    ],
)
def test_settings_out_of_range(more, message):
    with pytest.raises((TypeError, ValueError), match=message):
        TrainConfig(**more)


def test_a_mistake_is_told_before_anything_is_written(tmp_path):
    mistakes = (
        ({"data": DataOptions(annotations="none.json", images=".")}, FileNotFoundError, "none.json"),
        ({"device": "gpu"}, ValueError, "device"),
        ({"network": NetworkOptions(refine_steps=1)}, ValueError, r"loss\.refine_steps: expected 1 as in the network"),
        ({"network": NetworkOptions(imagenet="x")}, ValueError, r"network\.imagenet"),
        ({"evaluation": EvaluationOptions(annotations="none.json", images=".")}, FileNotFoundError, "none.json"),
        ({"evaluation": EvaluationOptions(stride=7)}, ValueError, "stride"),
    )
    for more, error, message in mistakes:
        with pytest.raises(error, match=message):
            train(tiny(tmp_path / "run", **more))
        assert not (tmp_path / "run").exists()


def test_photographs_are_not_scored_on_drawn_scenes(tmp_path):
    write_scenes(tmp_path)
    files = {"annotations": str(tmp_path / "a.json"), "images": str(tmp_path / "images"), "category": "dancer"}
    summary = train(tiny(tmp_path / "run", data=DataOptions(**files, crop=(65, 81), workers=0)))
    assert summary.figures == {}
    assert summary.weights.exists()


def test_evaluation_fills_in_what_a_file_does_not_say(tmp_path):
    write_scenes(tmp_path)
    content = json.loads((tmp_path / "a.json").read_text())
    for annotation in content["annotations"]:
        for name in ("area", "iscrowd", "num_keypoints", "segmentation"):
            del annotation[name]
    (tmp_path / "a.json").write_text(json.dumps(content))
    files = {"annotations": str(tmp_path / "a.json"), "images": str(tmp_path / "images")}
    data = DataOptions(**files, category="dancer", crop=(65, 81), workers=0)
    summary = train(tiny(tmp_path / "run", data=data, evaluation=EvaluationOptions(**files, long_edge=129)))
    assert "keypoint_ap" in summary.figures
    assert "mask_ap" not in summary.figures
    assert not load_model(summary.weights).config.masks


def test_a_crop_that_no_grid_lies_over(tmp_path):
    with pytest.raises(ValueError, match=r"data\.crop: expected multiples of the stride 16 plus 1"):
        train(tiny(tmp_path / "run", data=DataOptions(crop=(64, 81))))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_image_that_breaks_on_the_way_is_named(tmp_path, workers):
    """Checked at the start, and damaged when its turn comes: one line, without the loader's traceback."""
    write_scenes(tmp_path)
    path = tmp_path / "images" / "1.png"
    path.write_bytes(path.read_bytes()[:200])
    files = {"annotations": str(tmp_path / "a.json"), "images": str(path.parent), "category": "dancer"}
    data = DataOptions(**files, crop=(65, 81), workers=workers)
    with pytest.raises(ValueError, match=r"^[^\n]*1\.png: expected an image[^\n]*$"):
        train(tiny(tmp_path / "run", data=data))


def write_scenes(folder):
    """A data set of two drawn scenes whose category is number 3, a dancer."""
    scenes = {n: make_scene(n, size=(97, 129), people=2) for n in (1, 2)}
    images = ((n, People(s.keypoints, s.masks, np.zeros((97, 129), bool))) for n, s in scenes.items())
    content = make_dataset(images, file_name="{}.png")
    content["categories"][0].update(id=3, name="dancer")
    for annotation in content["annotations"]:
        annotation["category_id"] = 3
    (folder / "a.json").write_text(json.dumps(content))
    (folder / "images").mkdir()
    for n, scene in scenes.items():
        visualize.write_image(folder / "images" / f"{n}.png", scene.image)


def test_training_on_annotations_of_another_category(tmp_path):
    write_scenes(tmp_path)
    files = {"annotations": str(tmp_path / "a.json"), "images": str(tmp_path / "images")}
    data = DataOptions(**files, crop=(65, 81), workers=0)  # the only category with keypoints, whatever its name
    summary = train(tiny(tmp_path / "other", data=data, evaluation=EvaluationOptions(**files, long_edge=129)))
    assert summary.figures["keypoint_ap"] >= 0
    content = json.loads((tmp_path / "a.json").read_text())
    content["categories"].append({**content["categories"][0], "id": 4, "name": "clown"})
    content["annotations"].append({**content["annotations"][0], "id": 100, "category_id": 4})
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"expected one category 'person', got 'dancer' .*, 'clown' .*--data.category"):
        train(tiny(tmp_path / "run", data=data))
    assert not (tmp_path / "run").exists()


def test_a_side_without_its_other_is_told_where_images_are_flipped(tmp_path, capfd):
    write_scenes(tmp_path)
    content = json.loads((tmp_path / "a.json").read_text())
    names = [name.replace("right_ear", "other_ear") for name in content["categories"][0]["keypoints"]]
    content["categories"][0]["keypoints"] = names
    content["categories"][0]["skeleton"] = [[1, k] for k in range(2, 18)]
    (tmp_path / "a.json").write_text(json.dumps(content))
    data = DataOptions(annotations=str(tmp_path / "a.json"), images=str(tmp_path / "images"), crop=(65, 81), workers=0)
    for name, flip, told in (("flipped", 0.5, 1), ("plain", 0.0, 0)):
        train(tiny(tmp_path / name, steps=2, data=data, augmentation=Augmentation(flip=flip)))
        lines = [line for line in capfd.readouterr().err.splitlines() if "warning: left_ear" in line]
        assert len(lines) == told
        assert all("flip_pairs" in line for line in lines)
