"""Runs that are stopped, killed and resumed end as those that were not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from safetensors.torch import load_file
from tiny_runs import STEPS, same, tensors, tiny

from personlab.train import OptimizerOptions, train


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run from beginning to end."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, train(tiny(folder))


# A run in a process of its own, in which every step after the first three takes its time.
SLOW = """
import sys, time
import personlab.methods.personlab.losses as module
from personlab.cli import main

compute, calls = module.compute_losses, []

def slow(*arguments):
    calls.append(1)
    time.sleep(1.0 if len(calls) > 3 else 0.0)
    return compute(*arguments)

module.compute_losses = slow
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


def test_a_killed_process_of_the_loader_is_named_and_costs_no_checkpoint(whole, tmp_path, monkeypatch):
    import multiprocessing

    import personlab.train.loop as loop

    add, config = loop.Meter.add, tiny(tmp_path / "run", checkpoint_every=1)
    config = replace(config, data=replace(config.data, workers=1))

    def kill(meter, *step):
        add(meter, *step)
        if (tmp_path / "run" / "checkpoint.safetensors").exists():
            for process in multiprocessing.active_children():
                os.kill(process.pid, signal.SIGKILL)
                process.join()

    with monkeypatch.context() as patched:
        patched.setattr(loop.Meter, "add", kill)
        with pytest.raises(ChildProcessError, match=r"a process that makes batches ended: DataLoader worker"):
            train(config)
    train(config, resume=True)
    assert same(tensors(whole[0]), tensors(tmp_path / "run"))


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
    assert again.figures == summary.figures


def test_momentum_resumes_too(tmp_path):
    sgd = OptimizerOptions(name="sgd", rate=1e-3, warmup=0, schedule="linear")
    train(tiny(tmp_path / "whole", optimizer=sgd))
    half = tiny(tmp_path / "half", optimizer=sgd)
    interrupt_after(half, 4)
    train(half, resume=True)
    assert same(tensors(tmp_path / "whole"), tensors(tmp_path / "half"))


def interrupt_after(config, steps):
    """Run until Ctrl-C is pressed during a step."""
    import personlab.methods.personlab.losses as module

    original = module.compute_losses
    calls = []

    def counting(*arguments):
        calls.append(1)
        if len(calls) == steps:
            os.kill(os.getpid(), signal.SIGINT)
        return original(*arguments)

    module.compute_losses = counting
    try:
        with pytest.raises(KeyboardInterrupt):
            train(config)
    finally:
        module.compute_losses = original


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
