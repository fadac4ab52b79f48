"""Plans: the arithmetic by hand, what is measured against what a run leaves, and the command."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from shard_files import shard, write_dataset
from tiny_runs import tiny

from personlab.cli import main
from personlab.nn import ModelConfig, PersonLab
from personlab.train import DataOptions, TeacherOptions, train
from personlab.train.forecast import Costs, Row, Speed, count_saves, forecast
from personlab.train.plan import _speed, plan

pytest.importorskip("cv2")


def test_costs_are_fitted_to_two_batches():
    costs = Costs.fit((8, 1.0), (4, 0.6), loader=10.0, together=6.4)  # 8 images: 1 s alone, 0.8 s to load, 1.25 s both
    assert (costs.per_image, costs.fixed, costs.loader) == pytest.approx((0.1, 0.2, 0.1))
    assert costs.slowdown == pytest.approx(1.25)
    assert costs.step(8) == pytest.approx(1.25)
    assert costs.step(2) == pytest.approx(1.25 * 0.4)
    slow_loader = Costs.fit((8, 1.0), (4, 0.6), loader=4.0, together=4.0)
    assert slow_loader.slowdown == 1.0
    assert slow_loader.step(4) == pytest.approx(1.0)  # the loader's
    assert Costs.fit((1, 0.5), (1, 0.5), loader=10.0, together=9.0).fixed == 0.0  # nothing tells them apart
    assert Costs.fit((8, 1.0), (4, 1.1), loader=10.0, together=8.0).per_image == 0.0  # noise
    assert Costs.fit((8, 1.0), (4, 0.1), loader=10.0, together=8.0).fixed == 0.0


def test_gradients_travel_in_a_ring():
    costs = Costs(fixed=0.2, per_image=0.1, loader=0.01, slowdown=1.0)
    assert forecast(costs, 8, 1, gradients=10**6, bandwidth=1e6) == Row(1, 8, 8.0, 8.0)
    two = forecast(costs, 4, 2, gradients=10**6, bandwidth=1e7)  # 0.6 s, and 2 x 1/2 x 0.1 s
    assert two[:2] == (2, 4)
    assert two[2:] == pytest.approx((8 / 0.7, 8 / 0.6))
    slow = forecast(costs, 4, 4, gradients=10**6, bandwidth=1e6)  # 2 x 3/4 x 1 s: cannot be hidden
    assert slow[2:] == pytest.approx((16 / 2.1, 16 / 1.5))
    assert slow.batch_size == 16


@pytest.mark.parametrize(
    ("steps", "every", "evaluations", "saves"), [(10, 4, 3, 6), (10, 100, 0, 1), (10, 5, 0, 2), (10, 5, 5, 2)]
)
def test_checkpoints_are_counted(steps, every, evaluations, saves):
    assert count_saves(steps, every, evaluations) == saves


def test_speed_and_its_parts():
    assert _speed([1, 1, 1, 1, 2, 2, 0.5, 0.5], 4) == Speed(32 / 9, 2.0, 8.0)


def test_a_plan_measures_what_a_run_needs(tmp_path):
    config = tiny(tmp_path / "run", steps=6, batch_size=4)
    planned = plan(config, seconds=0.01, processes=4, bandwidth=1e9)
    assert not (tmp_path / "run").exists()
    for speed in (planned.loader, planned.step, planned.together):
        assert 0 < speed.low <= speed.mean <= speed.high
    count = sum(parameter.numel() for parameter in PersonLab(ModelConfig(width=0.5)).parameters())
    assert planned.memory["gradients"] == 4 * count
    assert 8 * count <= planned.memory["optimizer"] <= 8 * count + 8 * 200  # two moments, and counters of steps
    assert planned.memory["average"] == planned.memory["parameters"] > 4 * count
    assert planned.memory["process_peak"] > 10**8
    assert planned.saves == 3
    assert [row.processes for row in planned.same_batch] == [1, 2, 4]
    assert [row.batch_size for row in planned.same_batch] == [4, 4, 4]
    assert [row.batch_size for row in planned.more_images] == [4, 8, 16]
    expected = (planned.opening + 24 / planned.together.mean + 3 * planned.saving) / 3600
    assert planned.hours(planned.together.mean) == pytest.approx(expected)
    text = json.loads(json.dumps(planned.to_dict()))
    assert text["hours"]["low"] <= text["hours"]["mean"] <= text["hours"]["high"]
    train(replace(config, steps=1))
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "run").glob("*.safetensors")}
    assert planned.disk["checkpoint"] == pytest.approx(sizes["checkpoint.safetensors"], rel=0.01)
    weights = sizes["weights.safetensors"] + sizes["weights-raw.safetensors"]
    assert planned.disk["weights"] == pytest.approx(weights, rel=0.01)
    half = plan(replace(config, batch_size=2), seconds=0.01)
    assert 2 * half.memory["activations"] == pytest.approx(planned.memory["activations"], rel=0.05)


def test_activations_are_the_tensors_kept_for_the_backward_pass():
    """A layer whose backward pass needs its input and nothing else."""
    from types import SimpleNamespace

    from personlab.data.loader import Batch
    from personlab.train.plan import _saved_bytes

    layer, images = torch.nn.Linear(5, 3), torch.zeros(2, 5)
    between = torch.ones(2, 5, requires_grad=True)

    def kept(take):
        steps = SimpleNamespace(state=SimpleNamespace(model=layer), take=take)
        return _saved_bytes(steps, Batch(images, {}))

    assert kept(lambda batch: layer(batch.images)) == 0  # weight and batch are there anyway
    assert kept(lambda batch: layer(between * batch.images)) == 2 * 5 * 4  # the product
    assert kept(lambda batch: layer(between * between)) == 2 * (2 * 5 * 4)  # the factor, once, and the product


def test_the_command_says_it_in_words_and_as_json(tmp_path, capfd):
    annotations, images = write_dataset(tmp_path / "files")
    assert shard(annotations, images, tmp_path / "tar") == 0
    capfd.readouterr()
    argv = ["plan", "--data.shards", str(tmp_path / "tar"), "--data.crop", "65", "81", "--batch-size", "2"]
    argv += ["--network.width", "0.5", "--threads", "1", "--steps", "100", "--seconds", "0.02", "--processes", "2"]
    argv += ["--output", str(tmp_path / "run")]
    assert main([*argv, "--json", str(tmp_path / "plan.json")]) == 0
    out, err = capfd.readouterr()
    read = json.loads((tmp_path / "plan.json").read_text())
    assert out.startswith("cpu, ")
    for text in ("loader alone", "together", "100 steps of 2 images: ", "activations", "checkpoint", "forecast"):
        assert text in out
    assert err == f"personlab: wrote {tmp_path / 'plan.json'}\n"
    assert read["disk"]["shards"] == sum(path.stat().st_size for path in (tmp_path / "tar").iterdir())
    assert read["workers"] == 1
    assert read["memory"]["worker_peak"] > 10**7
    assert not (tmp_path / "run").exists()
    assert main([*argv, "--json", "-", "--data.workers", "0"]) == 0
    out, err = capfd.readouterr()
    assert json.loads(out)["memory"]["worker_peak"] == 0
    assert "loader alone" in err


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["--seconds", "0"], 2, "--seconds"),
        (["--bandwidth", "-1"], 2, "--bandwidth"),
        (["--data.shards", "nowhere"], 1, "nowhere: no such file or folder, and no files of that pattern"),
        (["--json", "nowhere/plan.json"], 1, "nowhere/plan.json: no such folder"),
        (["--resume"], 2, "--resume"),
    ],
)
def test_a_wrong_command_is_a_line(capfd, argv, code, message):
    assert main(["plan", *argv]) == code
    out, err = capfd.readouterr()
    assert out == ""
    assert message in err
    assert err.count("\n") == 1


def test_one_process_and_kept_fields_are_needed(tmp_path, monkeypatch):
    from taught_runs import config, make_source

    source = make_source(tmp_path)
    settings = config(source, tmp_path / "run")
    assert isinstance(settings.teachers[0], TeacherOptions)
    with pytest.raises(ValueError, match=r"teachers: expected their fields of all images, got 8 to compute"):
        plan(settings, seconds=0.01)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match=r"plan: expected one process, got 2"):
        plan(tiny(tmp_path / "run", data=DataOptions(workers=0)))
