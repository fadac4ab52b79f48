"""The import of OpenVINO, which tells its makers of it unless it is kept from that, and how often it compiles."""

import subprocess
import sys

import pytest
from agreement import assert_same_poses

from personlab import Predictor
from personlab.data.synthetic import make_scene

FORKED = """
import importlib.util, os, sys
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=lambda: print("forked"))  # its telemetry is sent by a child
"""


def run(code):
    pytest.importorskip("openvino")
    done = subprocess.run([sys.executable, "-c", FORKED + code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_no_telemetry_is_sent():
    code = """
from personlab.predict.engines import ENGINES
print(ENGINES["openvino"].load().devices(), "openvino_telemetry" in sys.modules)
print(importlib.util.find_spec("openvino_telemetry") is not None)
"""
    assert run(code).splitlines()[0] == "('cpu',) False"
    assert run(code).splitlines()[1] == "True"  # of use to the program itself


def test_a_program_that_imported_openvino_itself_has_decided():
    code = """
sys.modules["openvino_telemetry"] = None
import openvino
from personlab.predict.engines.openvino_package import openvino as ours
print(ours is openvino, sys.modules["openvino_telemetry"])
"""
    assert run(code) == "True None\n"


def test_what_streams_is_compiled_once(monkeypatch):
    """Several runs at once have a network of their own, which serves runs that are alone, too, where it is prepared."""
    pytest.importorskip("openvino")
    from personlab.predict.engines.openvino_process import PROCESS

    compiled = []

    class Counted:
        def __getattr__(self, name):
            return getattr(core, name)

        def compile_model(self, *arguments):
            compiled.append(arguments)
            return core.compile_model(*arguments)

    core = PROCESS.core
    images = [make_scene(seed, size=(241 + 16 * seed, 321), people=2).image for seed in range(4)]
    settings = {"engine": "openvino", "precision": "float32", "long_edge": 321}
    expected = Predictor("drawn-mobilenet-050", **settings)(images)
    monkeypatch.setattr(PROCESS, "core", Counted())
    predictor = Predictor("drawn-mobilenet-050", **settings, streaming=True)
    for found in (predictor(images), [predictor(image) for image in images]):
        for prediction, other in zip(found, expected, strict=True):
            assert_same_poses(prediction.poses, other.poses, pixels=1e-2, score=1e-3)
    assert len(compiled) == 1


FIRST_RUNS = """
import os, sys, threading
import numpy as np
from personlab.predict.load import load_network
sys.setswitchinterval(1e-6)
engine = load_network("drawn-mobilenet-050", engine="openvino", device="cpu").engine
engine.prepare(("heatmaps",), streaming=True)
start, image = threading.Barrier(4), np.zeros((1, 65, 81, 3), np.uint8)

def run():
    start.wait()
    engine.run(image, ("heatmaps",))

threads = [threading.Thread(target=run, daemon=True) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join(20)
os._exit(any(thread.is_alive() for thread in threads))
"""


def test_the_first_runs_at_once_do_not_wait_for_each_other_for_ever():
    """Without its tables made before, every second process hung in OpenVINO."""
    children = [subprocess.Popen([sys.executable, "-c", FIRST_RUNS]) for _ in range(4)]
    assert [child.wait(120) for child in children] == [0] * 4
