"""Training on two nodes, torchrun once for each: equal to one process, resumed when a node is lost."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace

import pytest
import torch
from nodes import ForkedNodes, start_nodes
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
    """A node is killed; the other one ends with a line; both go on under torchrun, and equal one process."""
    endless, path = save(replace(config, steps=10_000), tmp_path)
    folder = tmp_path / "run"
    nodes = ForkedNodes(tmp_path, [["--config", path], ["--config", path]])
    deadline = time.monotonic() + 200
    while not (folder / "checkpoint.safetensors").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    nodes.kill(1)
    (code, lines), (killed, _) = nodes.wait()
    assert (code, killed) == (1, -9)
    assert re.match(
        r"personlab: error: another process of the run ended or is out of reach \(.*\): start all of them again with "
        r"--resume$",
        lines[-1],
    )
    done = json.loads((folder / "log.jsonl").read_text().splitlines()[-1])["step"]
    steps = max(done + 3, 6)
    processes = start_nodes("--config", path, "--resume", "--steps", steps)
    outputs = [process.communicate(timeout=240) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert outputs[0][0].split()[:2] == ["steps", str(steps)]
    assert outputs[1][0] == ""  # the first process writes, once
    train(replace(endless, output=str(tmp_path / "one"), steps=steps))
    one, two = tensors(tmp_path / "one", "weights-raw"), tensors(folder, "weights-raw")
    assert one.keys() == two.keys()
    for name, value in one.items():
        torch.testing.assert_close(value, two[name], rtol=1e-3, atol=1e-5)
    assert not list(folder.glob(".*"))


def test_nodes_that_cannot_share_a_run_say_why(config, tmp_path):
    """A second node needs no output while a run begins, and the checkpoint to go on; settings and data are the same."""
    config, path = save(replace(config, steps=2), tmp_path)
    train(config)
    part = f"{config.data.shards}/*0-of*"
    cases = [
        (["--resume", "--steps", 4], ["--resume", "--steps", 4, "--output", tmp_path / "other"],
         "output: expected a folder that every process sees, got [2, 0] steps done"),
        (["--output", tmp_path / "new"], ["--output", tmp_path / "other", "--batch-size", 8],
         "batch_size: expected the same in every process, got 4, 8"),
        (["--output", tmp_path / "new"], ["--output", tmp_path / "other", "--data.shards", part],
         "data: expected the same images and annotations in every process, got others"),
    ]  # fmt: skip
    runs = [[["--config", path, *own] for own in case[:2]] for case in cases]
    results = ForkedNodes(tmp_path, *runs).wait()
    for place, (code, lines) in enumerate(results):
        assert (code, lines[-1]) == (1, f"personlab: error: {cases[place // 2][2]}")
    assert not (tmp_path / "other").exists()
    assert not (tmp_path / "new").exists()
