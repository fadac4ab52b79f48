"""The folder of a run: one training at a time, longer runs, and what is damaged in it is named in one line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tiny_runs import same, tensors, tiny

from personlab.cli import main
from personlab.train import OptimizerOptions, train
from personlab.train.lock import LOCK, FolderLock

SHORT = {"rate": 1e-3, "head_rate": 5, "warmup": 0}
FILES = ("weights.safetensors", "weights-raw.safetensors", "checkpoint.safetensors", "config.json", "log.jsonl")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of two steps, which the tests leave as it is."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    train(tiny(folder, steps=2))
    return folder


@pytest.fixture
def run(whole, tmp_path):
    """A copy of it."""
    folder = tmp_path / "run"
    folder.mkdir()
    for name in FILES:
        (folder / name).write_bytes((whole / name).read_bytes())
    return folder


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def resume(folder, capfd, *flags):
    """`personlab train --resume` in a folder: the exit code and what it says."""
    capfd.readouterr()
    code = main(["train", "--resume", "--output", str(folder), *map(str, flags)])
    return code, capfd.readouterr().err


# Another process that trains in a folder, as far as others see: it holds the lock, as does a child it forked.
HOLDER = """
import os, sys, time
from pathlib import Path
from personlab.train.lock import FolderLock
lock = FolderLock(Path(sys.argv[1]))
lock.take()
worker = os.fork()
if worker == 0:
    lock.leave()
os.write(1, b"%d\\n" % worker)  # in one piece, of two processes
time.sleep(120)
"""


@pytest.fixture
def holder(run):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(run)], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    workers = {int(process.stdout.readline()), int(process.stdout.readline())}
    yield process
    process.kill()
    process.wait()
    for worker in workers - {0}:
        os.kill(worker, signal.SIGKILL)
    process.stdout.close()


@pytest.mark.parametrize("resumed", [False, True])
def test_a_second_training_in_a_folder_is_refused(run, holder, capfd, resumed):
    before = contents(run)
    flags = ["--resume"] * resumed
    code = main(["train", *flags, "--output", str(run), "--steps", "4"])
    err = capfd.readouterr().err
    assert code == 1
    assert err == (
        f"personlab: error: {run}: another training runs in this folder; wait for its end or choose another --output\n"
    )
    assert contents(run) == before


def test_the_lock_ends_with_its_holder_not_with_what_that_forked(run, holder):
    holder.kill()
    holder.wait()
    assert (run / LOCK).exists()  # a file, and no lock
    assert train(tiny(run, steps=2), resume=True).step == 2
    assert not (run / LOCK).exists()


def test_a_run_that_fails_gives_the_lock_back(run):
    with pytest.raises(FileExistsError, match="holds a run"):
        train(tiny(run))
    lock = FolderLock(run)
    lock.take()
    lock.take()  # has it
    with pytest.raises(BlockingIOError, match="another training runs in this folder"):
        FolderLock(run).take()
    lock.release()
    again = FolderLock(run)
    again.take()
    again.release()
    assert not (run / LOCK).exists()


def test_a_lock_whose_file_was_removed_meanwhile_is_not_taken_for_one(run, monkeypatch):
    """Its holder ends between the other's opening of the file and locking it: that file is in no folder any more."""
    import fcntl

    first, second, flock = FolderLock(run), FolderLock(run), fcntl.flock
    first.take()

    def ending(descriptor, how):
        first.release()
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", ending)
    second.take()
    monkeypatch.undo()
    with pytest.raises(BlockingIOError):
        FolderLock(run).take()
    second.release()


@pytest.mark.slow
def test_workers_do_not_keep_the_lock_of_a_killed_run(tmp_path):
    """The parent alone is killed; its loader's processes live on for seconds."""
    folder, config = tmp_path / "run", tmp_path / "config.json"
    config.write_text(tiny(folder, steps=10_000, log_every=10_000).to_json())
    process = subprocess.Popen(
        [sys.executable, "-m", "personlab", "train", "--config", str(config), "--data.workers", "1"],
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not (folder / "checkpoint.safetensors").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    with pytest.raises(BlockingIOError):
        FolderLock(folder).take()
    process.kill()
    process.wait()
    lock = FolderLock(folder)
    lock.take()
    lock.release()


def test_a_finished_run_is_trained_longer_as_if_it_had_been_so_long(tmp_path):
    """With a rate that does not depend on the number of steps, to the last bit."""
    constant = OptimizerOptions(**SHORT, schedule="constant")
    train(tiny(tmp_path / "whole", steps=4, optimizer=constant))
    train(tiny(tmp_path / "run", steps=2, optimizer=constant))
    assert train(tiny(tmp_path / "run", steps=4, optimizer=constant), resume=True).step == 4
    for name in ("weights", "weights-raw", "checkpoint"):
        assert same(tensors(tmp_path / "whole", name), tensors(tmp_path / "run", name))


def test_a_longer_run_has_the_rates_of_one_of_its_length(run, capfd):
    """And needs no other flags than --steps: the rest is as in the run."""
    code, _ = resume(run, capfd, "--steps", 8, "--log-every", 1)
    assert code == 0
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    rates = {line["step"]: line["rate"] for line in lines if "rate" in line}
    from personlab.train.optimize import rate_factor

    options = tiny(run).optimizer
    assert rates == pytest.approx(
        {2: options.rate * rate_factor(1, 2, options)}
        | {step: options.rate * rate_factor(step - 1, 8, options) for step in range(3, 9)}
    )
    assert json.loads((run / "config.json").read_text())["steps"] == 8
    assert resume(run, capfd)[0] == 0  # complete: eight steps are its length now


def test_a_run_does_not_end_before_where_it_is(run, capfd):
    before = contents(run)
    assert resume(run, capfd, "--steps", 1) == (
        1,
        f"personlab: error: steps: expected at least the 2 that the run in {run} has done, got 1\n",
    )
    assert contents(run) == before


def damaged_checkpoint(run, change):
    """Rewrite a checkpoint whose tensors and state `change` has edited."""
    file = run / "checkpoint.safetensors"
    with safe_open(file, framework="pt") as opened:
        state = json.loads(opened.metadata()["state"])
    arrays = load_file(file)
    change(arrays, state)
    save_file(arrays, file, {"state": json.dumps(state)})


def truncated(name):
    def damage(run):
        content = (run / name).read_bytes()
        (run / name).write_bytes(content[: len(content) // 2])

    return damage


def with_text(name, text):
    return lambda run: (run / name).write_bytes(text)


def with_state(change):
    return lambda run: damaged_checkpoint(run, change)


def first(arrays, prefix):
    return next(name for name in sorted(arrays) if name.startswith(prefix) and arrays[name].ndim > 1)


def shrink(prefix):
    def change(arrays, _):
        name = first(arrays, prefix)
        arrays[name] = arrays[name][:1].clone()

    return with_state(change)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncated("config.json"), "config.json: expected the configuration of a run"),
        (with_text("config.json", b""), "config.json: expected the configuration of a run"),
        (with_text("config.json", b"\xff\x00"), "config.json: expected the configuration of a run"),
        (with_text("config.json", b"[1]"), "config.json: expected the configuration of a run"),
        (with_text("config.json", b'{"steps": "many"}'), "steps: expected int, got 'many'"),
        (with_text("config.json", b'{"data": {"crop": [65]}}'), "data.crop: expected [int, int], got [65]"),
        (with_text("config.json", b'{"network": {"backbone": "vgg"}}'), "network.backbone: expected one of"),
        (with_text("config.json", b'{"step": 3}'), "step: expected one of output, steps"),
        (with_text("config.json", b'{"optimizer": {"rate": NaN}}'), "optimizer.rate: expected"),
        (with_text("config.json", b"[" * 100_000), "config.json: expected the configuration of a run"),
        (with_text("log.jsonl", b'x\n{"step": 2}\n'), "log.jsonl: line 1: expected the step"),
        (with_text("log.jsonl", b'{"loss": 2}\n{"step": 2}\n'), "log.jsonl: line 1: expected the step"),
        (with_text("log.jsonl", b'{"step": 2}\n{"step": true}\n{}\n'), "log.jsonl: line 2: expected the step"),
        (with_text("log.jsonl", b'{"step": 1, "x": []}\n{}\n'), "log.jsonl: line 1: expected the step"),
        (with_text("log.jsonl", b"\xff\n{}\n"), "log.jsonl: line 1: expected the step"),
        (with_text("log.jsonl", b"[" * 100_000 + b"\n{}\n"), "log.jsonl: line 1: expected the step"),
        (truncated("checkpoint.safetensors"), "expected a run's checkpoint"),
        (with_text("checkpoint.safetensors", b""), "expected a run's checkpoint"),
        (with_text("checkpoint.safetensors", b"\xff" * 64), "expected a run's checkpoint"),
        (with_state(lambda _, state: state.pop("step")), "expected a run's checkpoint"),
        (with_state(lambda _, state: state.update(step="2")), "step: expected an integer"),
        (with_state(lambda _, state: state.update(step=-2)), "step: expected an integer from 0"),
        (with_state(lambda _, state: state.update(averaged=None)), "averaged: expected an integer"),
        (with_state(lambda _, state: state.update(optimizer=[])), "the checkpoint of another network"),
        (with_state(lambda _, state: state["optimizer"].update(param_groups=3)), "the checkpoint of another network"),
        (with_state(lambda _, state: state["optimizer"].update(param_groups=[{}])), "the checkpoint of another"),
        (with_state(lambda arrays, _: arrays.pop(first(arrays, "model."))), "the checkpoint of another network"),
        (with_state(lambda arrays, _: arrays.pop(first(arrays, "average."))), "the checkpoint of another network"),
        (shrink("model."), "the checkpoint of another network"),
        (shrink("optimizer."), "expected shape"),
    ],
)  # fmt: skip
def test_damage_is_one_line_and_nothing_is_written(run, capfd, damage, message):
    damage(run)
    before = contents(run)
    code, err = resume(run, capfd, "--steps", 3)
    assert code == 1
    assert err.startswith(f"personlab: error: {run}")
    assert message in err
    assert err.count("\n") == 1
    assert contents(run) == before


def test_a_log_whose_last_line_is_half_written_goes_on(run, capfd):
    log = run / "log.jsonl"
    lines = log.read_bytes()
    log.write_bytes(lines + b'{"step": 2, "tot')
    assert resume(run, capfd)[0] == 0
    assert log.read_bytes() == lines


# Runs of one step, each killed at another moment of writing, then resumed; forked from one that has torch at hand.
KILLED = """
import contextlib, os, sys
from pathlib import Path
import pycocotools.cocoeval
import torch._dynamo  # by the first optimizer otherwise, in every child
import personlab.train.loop
with contextlib.suppress(ImportError):
    import torch.utils.tensorboard
from personlab.io import files as _files
from personlab.train import TrainConfig, train

config = TrainConfig.from_json(sys.stdin.read())

def in_child(work):
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def killed_at(moment):
    replace, calls = Path.replace, []
    def dying(self, target):
        calls.append(target)
        if len(calls) == moment:  # the partial file is complete, cut, or already renamed
            if moment % 3 == 1:
                os.truncate(self, self.stat().st_size // 2)
            if moment % 3 == 2:
                replace(self, target)
            os.kill(os.getpid(), 9)
        return replace(self, target)
    Path.replace = dying
    train(config)

moment = 1
while True:
    code = in_child(lambda: killed_at(moment))
    if code == 0:
        break
    assert code == -9, (moment, code)
    assert in_child(lambda: train(config, resume=True)) == 0, moment
    Path(config.output).rename(f"{config.output}-{moment}")
    moment += 1
print(moment - 1)
"""


@pytest.mark.slow
def test_a_run_killed_at_any_moment_of_writing_goes_on(tmp_path):
    train(tiny(tmp_path / "whole", steps=1))
    config = tiny(tmp_path / "run", steps=1)
    done = subprocess.run(
        [sys.executable, "-c", KILLED], input=config.to_json(), capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    moments = int(done.stdout)
    assert moments >= 6  # log, configuration, weights, raw weights, checkpoint, scored weights
    for moment in range(1, moments + 1):
        folder = tmp_path / f"run-{moment}"
        for name in ("weights", "weights-raw", "checkpoint"):
            assert same(tensors(tmp_path / "whole", name), tensors(folder, name)), (moment, name)
        assert not list(folder.glob(".*")), moment
