"""Training: what a run writes, and that stopping, killing and sharing it among processes change nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

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
from personlab.train.optimize import make_average, make_optimizer, rate_factor
from personlab.weights import load_checkpoint, save_model

STEPS = 6


def tiny(folder, **more):
    """A run of seconds."""
    settings = {
        "output": str(folder),
        "steps": STEPS,
        "batch_size": 2,
        "threads": 1,
        "log_every": 2,
        "checkpoint_every": 2,
        "network": NetworkOptions(width=0.5),
        "data": DataOptions(scene_size=(97, 129), scene_people=(1, 2), crop=(65, 81), workers=0),
        "augmentation": Augmentation(scale=(0.7, 1.1), rotation=10, flip=0.5, centre="person", shift=0.2, colour=0.1),
        "optimizer": OptimizerOptions(rate=1e-3, head_rate=5, warmup=2),
        "evaluation": EvaluationOptions(scenes=2, long_edge=129),
    }
    return TrainConfig(**{**settings, **more})


def tensors(folder, name="weights"):
    return load_file(folder / f"{name}.safetensors")


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


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
    assert lines[3]["keypoint_ap"] == round(summary.figures["keypoint_ap"], 6)
    assert json.loads((folder / "config.json").read_text())["data"]["crop"] == [65, 81]
    assert not list(folder.glob(".*"))


def test_tensorboard_holds_losses_and_pictures(whole):
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


# A run in a process of its own, in which every step after the first three takes its time.
SLOW = """
import sys, time
import personlab.train.loop as loop
from personlab.cli import main

compute, calls = loop.compute_losses, []

def slow(*arguments):
    calls.append(1)
    time.sleep(1.0 if len(calls) > 3 else 0.0)
    return compute(*arguments)

loop.compute_losses = slow
sys.exit(main(["train", "--config", sys.argv[1], "--data.workers", sys.argv[2]]))
"""


def start_slow(folder, workers):
    """It, and a file that appears when it is in the middle of the run."""
    config = folder.parent / f"{folder.name}.json"
    config.write_text(tiny(folder).to_json())
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, str(config), str(workers)],
        stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not (folder / "checkpoint.safetensors").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    return process


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_run_killed_and_resumed_equals_one_that_was_not(whole, tmp_path, number):
    """The signal reaches the whole group of processes, as a terminal, torchrun or a scheduler sends it."""
    folder = tmp_path / "killed"
    process = start_slow(folder, workers=1)
    os.killpg(process.pid, number)
    _, err = process.communicate(timeout=120)
    assert process.returncode == (-signal.SIGKILL if number == signal.SIGKILL else 130), err
    before = load_file(folder / "checkpoint.safetensors")
    (folder / ".checkpoint.safetensors.1.part").write_bytes(b"half a file")  # what a kill may leave
    summary = train(tiny(folder), resume=True)
    assert summary.step == STEPS
    assert same(tensors(whole[0]), tensors(folder))
    assert same(tensors(whole[0], "weights-raw"), tensors(folder, "weights-raw"))
    assert same(tensors(whole[0], "checkpoint"), tensors(folder, "checkpoint"))
    assert not same(before, tensors(folder, "checkpoint"))
    steps = [json.loads(line)["step"] for line in (folder / "log.jsonl").read_text().splitlines()]
    assert steps == [2, 4, 6, 6]
    assert not list(folder.glob("*.part")) + list(folder.glob(".*.part"))


def test_a_run_killed_during_its_last_evaluation_is_scored_when_resumed(whole, tmp_path, monkeypatch):
    import personlab.train.loop as loop

    config = tiny(tmp_path / "run")

    def die(*_):
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr(loop.Evaluation, "score", die)
        with pytest.raises(MemoryError):
            train(config)
    assert same(tensors(whole[0]), tensors(tmp_path / "run"))
    summary = train(config, resume=True)
    assert summary.figures["keypoint_ap"] == whole[1].figures["keypoint_ap"]
    again = train(config, resume=True)  # complete: what it says is what was said
    assert again.figures == {name: round(value, 6) for name, value in summary.figures.items()}


def test_momentum_resumes_too(tmp_path):
    sgd = OptimizerOptions(name="sgd", rate=1e-3, warmup=0, schedule="linear")
    train(tiny(tmp_path / "whole", optimizer=sgd))
    half = tiny(tmp_path / "half", optimizer=sgd)
    interrupt_after(half, 4)
    train(half, resume=True)
    assert same(tensors(tmp_path / "whole"), tensors(tmp_path / "half"))


def interrupt_after(config, steps):
    """Run until Ctrl-C is pressed during a step."""
    import personlab.train.loop as loop

    original = loop.compute_losses
    calls = []

    def counting(*arguments):
        calls.append(1)
        if len(calls) == steps:
            os.kill(os.getpid(), signal.SIGINT)
        return original(*arguments)

    loop.compute_losses = counting
    try:
        with pytest.raises(KeyboardInterrupt):
            train(config)
    finally:
        loop.compute_losses = original


def test_an_interrupted_run_has_a_checkpoint_of_its_last_step(tmp_path):
    config = tiny(tmp_path / "run", checkpoint_every=100)
    before = signal.getsignal(signal.SIGINT)
    interrupt_after(config, 3)
    assert signal.getsignal(signal.SIGINT) is before
    assert train(config, resume=True).step == STEPS


def test_a_folder_that_holds_a_run_is_left_alone(whole):
    before = tensors(whole[0])
    with pytest.raises(FileExistsError, match="holds a run"):
        train(tiny(whole[0]))
    assert same(before, tensors(whole[0]))


def test_a_run_goes_on_only_as_it_began(whole):
    with pytest.raises(ValueError, match=r"batch_size: expected 2 as in the run to go on with, got 4"):
        train(tiny(whole[0], batch_size=4), resume=True)
    with pytest.raises(ValueError, match=r"optimizer\.rate: expected 0\.001 .* got 0\.5, and 1 more differ"):
        train(tiny(whole[0], optimizer=OptimizerOptions(rate=0.5, head_rate=5, warmup=1)), resume=True)
    again = train(tiny(whole[0], log_every=1), resume=True)  # what moves no weights may change
    assert again.step == STEPS


def test_resuming_a_run_that_never_was_begins_it(whole, tmp_path):
    train(tiny(tmp_path / "new"), resume=True)
    assert same(tensors(whole[0]), tensors(tmp_path / "new"))


def test_a_damaged_checkpoint_is_named(tmp_path):
    train(tiny(tmp_path / "run", steps=2))
    (tmp_path / "run" / "checkpoint.safetensors").write_bytes(b"no checkpoint")
    with pytest.raises(ValueError, match=r"checkpoint\.safetensors: expected a run's checkpoint"):
        train(tiny(tmp_path / "run", steps=2), resume=True)


def test_a_diverging_run_says_so(tmp_path):
    with pytest.raises(FloatingPointError, match=r"(loss|gradient) became (inf|nan)"):
        train(tiny(tmp_path / "run", optimizer=OptimizerOptions(rate=1e30, warmup=0, clip_norm=1e30), steps=20))


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_training_in_16_bits(tmp_path, precision):
    summary = train(tiny(tmp_path / "run", precision=precision, steps=4))
    assert all(value.isfinite().all() for value in tensors(tmp_path / "run").values())
    assert summary.step == 4


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path):
    """DDP over gloo: the same batches shared, losses averaged over what counts in all of them."""
    frozen = NetworkOptions(width=0.5, freeze_norm=True)  # batch norm sees one process's pictures otherwise
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
        ({"steps": 10}, r"optimizer\.warmup: expected an integer from 0 to 10, got 500"),
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
def test_a_picture_that_breaks_on_the_way_is_named(tmp_path, workers):
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
    pictures = ((n, People(s.keypoints, s.masks, np.zeros((97, 129), bool))) for n, s in scenes.items())
    content = make_dataset(pictures, file_name="{}.png")
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
    with pytest.raises(ValueError, match=r"expected a category 'person', got dancer"):
        train(tiny(tmp_path / "run", data=DataOptions(**files, crop=(65, 81), workers=0)))
    data = DataOptions(**files, category="dancer", crop=(65, 81), workers=0)
    summary = train(tiny(tmp_path / "other", data=data, evaluation=EvaluationOptions(**files, long_edge=129)))
    assert summary.figures["keypoint_ap"] >= 0
