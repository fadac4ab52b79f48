"""Training on two nodes, torchrun once for each: equal to one process, resumed when a node is lost."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest
import torch
from nodes import kill_node, lines_of, start_nodes
from shard_files import shard, write_dataset
from tiny_runs import tensors, tiny

from personlab.train import DataOptions, EvaluationOptions, NetworkOptions, OptimizerOptions, train

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """Settings of a run on shards, without an output."""
    folder = tmp_path_factory.mktemp("source")
    annotations, images = write_dataset(folder / "files", count=6)
    assert shard(annotations, images, folder / "tar", "--count", 2) == 0
    frozen = NetworkOptions(width=0.5, freeze_norm=True)  # batch norm sees one process's images otherwise
    sgd = OptimizerOptions(name="sgd", rate=1e-2, warmup=0, schedule="constant")
    data = DataOptions(shards=str(folder / "tar"), crop=(65, 81), workers=0)
    return tiny("", batch_size=4, network=frozen, optimizer=sgd, data=data, evaluation=EvaluationOptions())


def save(config, folder):
    config = replace(config, output=str(folder / "run"))
    (folder / "config.json").write_text(config.to_json())
    return config, folder / "config.json"


def test_a_lost_node_costs_no_more_than_the_last_checkpoint(config, tmp_path):
    """A node is killed; the other one ends with a line; both go on, and equal one process."""
    endless, path = save(replace(config, steps=10_000), tmp_path)
    folder = tmp_path / "run"
    processes = start_nodes("--config", path)
    deadline = time.monotonic() + 200
    while not (folder / "checkpoint.safetensors").exists():
        assert all(process.poll() is None for process in processes), [p.communicate() for p in processes]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    kill_node(processes[1])
    _, err = processes[0].communicate(timeout=120)
    assert processes[0].returncode == 1
    assert [line for line in lines_of(err) if "error" in line] == [
        line for line in lines_of(err) if "another process of the run ended or is out of reach" in line
    ]
    done = json.loads((folder / "log.jsonl").read_text().splitlines()[-1])["step"]
    steps = max(done + 4, 6)
    processes = start_nodes("--config", path, "--resume", "--steps", steps)
    outputs = [process.communicate(timeout=200) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert outputs[0][0].split()[:2] == ["steps", str(steps)]
    assert outputs[1][0] == ""  # the first process writes, once
    train(replace(endless, output=str(tmp_path / "one"), steps=steps))
    one, two = tensors(tmp_path / "one", "weights-raw"), tensors(folder, "weights-raw")
    assert one.keys() == two.keys()
    for name, value in one.items():
        torch.testing.assert_close(value, two[name], rtol=1e-3, atol=1e-5)
    assert not list(folder.glob(".*"))


def test_a_folder_that_a_node_does_not_see_is_named(config, tmp_path):
    """A second node needs no output while a run begins, and the checkpoint to go on."""
    config, path = save(replace(config, steps=2), tmp_path)
    train(config)
    processes = start_nodes("--config", path, "--resume", "--steps", 4, own=((), ("--output", tmp_path / "other")))
    outputs = [process.communicate(timeout=200) for process in processes]
    for process, (_, err) in zip(processes, outputs, strict=True):
        assert process.returncode == 1
        expected = "personlab: error: output: expected a folder that every process sees, got [2, 0] steps done"
        assert lines_of(err)[-1] == expected
    assert not (tmp_path / "other").exists()
