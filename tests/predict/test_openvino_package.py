"""The import of OpenVINO, which tells its makers of it unless it is kept from that."""

import subprocess
import sys

import pytest

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
