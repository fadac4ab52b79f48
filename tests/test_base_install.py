"""`pip install .` alone: the library on NumPy, the command line on NumPy and jsonargparse, and hints for all else."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

import personlab
from personlab import Fields, cli
from personlab.cli import COMMANDS

# Runs the command line where nothing can be imported but the standard library and these.
_ALONE = """
import sys
ALLOWED = {"numpy", "personlab", "jsonargparse", "yaml", "_yaml"}

class Finder:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        known = top in ALLOWED or top in sys.stdlib_module_names
        return self.finder.find_spec(name, path, target) if known else None

sys.meta_path[:] = [Finder(finder) for finder in sys.meta_path]
from personlab.cli import main
"""
_COMMAND = "sys.exit(main())"
_EACH_HELP = """
from personlab.cli import COMMANDS
for name in COMMANDS:
    try:
        code = main([name, "--help"])
    except SystemExit as end:
        code = end.code
    if code:
        sys.exit(f"{name}: {code}")
"""


@pytest.fixture
def alone(tmp_path):
    """Run a command line in a bare installation."""

    def call(*argv, code=_COMMAND):
        return subprocess.run(
            [sys.executable, "-c", _ALONE + code, *map(str, argv)],
            cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    return call


@pytest.fixture
def fields(tmp_path):
    """A small file of fields in which nobody is seen but at one cell."""
    heat = np.full((17, 9, 13), -8, np.float32)
    heat[:, 4, 6] = 8
    Fields(
        heatmaps=heat,
        short_offsets=np.zeros((17, 2, 9, 13), np.float32),
        mid_offsets=np.zeros((32, 2, 9, 13), np.float32),
        stride=8,
    ).save(tmp_path / "f.npz")
    return tmp_path / "f.npz"


def test_commands_that_need_nothing_else_run(alone, fields, tmp_path):
    assert alone("--version").stdout == f"personlab {personlab.__version__}\n"
    help_text = alone("--help").stdout
    assert all(f"\n    {name} " in help_text for name in COMMANDS)
    done = alone(code=_EACH_HELP)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.findall(r"^usage: personlab (\S+) ", done.stdout, re.MULTILINE) == list(COMMANDS)
    done = alone("info")
    assert (done.returncode, done.stderr) == (0, "")
    assert "version" in done.stdout
    done = alone("decode", fields, "--json", "r.json", "--image-id", "3")
    assert done.returncode == 0, done.stderr
    assert {result["image_id"] for result in json.loads((tmp_path / "r.json").read_text())} <= {3}
    done = alone("bench", fields, "--rounds", "1")
    assert done.returncode == 0, done.stderr
    assert "f " in done.stdout
    done = alone("bench", "--people", "2", "--rounds", "1", "--size", "161", "201")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "argv",
    [
        ["demo"],
        ["predict", "a.jpg", "--weights", "w.safetensors"],
        ["decode", "f.npz", "--output", "a.png"],
        ["scenes", "--output", "x"],
        ["convert", "drawn-mobilenet-050", "b.safetensors"],
        ["export", "drawn-mobilenet-050", "b.onnx"],
    ],
)
def test_other_commands_say_in_one_line_what_they_need(alone, fields, argv, tmp_path):
    (tmp_path / "a.jpg").touch()
    done = alone(*argv)
    assert done.returncode == 1
    hint = r"personlab: error: this command needs \w+ \(.*\): pip install '\S+\[full\]'\n"
    assert re.fullmatch(hint, done.stderr)


def test_wrong_usage_needs_nothing_else(alone):
    done = alone("predict", "a.jpg", "--method", "simple_pose")
    assert done.returncode == 2
    assert re.fullmatch(r"personlab: error: --weights: expected a network's file or [^\n]+; got none\n", done.stderr)


def test_requirements_are_numpy_and_the_parser_alone():
    project = Path(personlab.__file__).resolve().parents[2] / "pyproject.toml"
    if not project.is_file():
        pytest.skip("not run from a checkout")
    (found,) = re.findall(r"^dependencies = \[(.*)\]", project.read_text(), re.MULTILINE)
    assert re.findall(r'"([a-z]+)', found) == ["jsonargparse", "numpy"]


class Distribution:
    def __init__(self, origin):
        self._origin = origin

    def read_text(self, _):
        return None if self._origin is None else json.dumps(self._origin)


@pytest.mark.parametrize("installed", [True, False])
def test_hints_name_the_place_that_the_package_is_from(tmp_path, monkeypatch, installed):
    """A checkout on the path, or one that `pip install .` was given, as PEP 610 has it."""
    checkout = tmp_path / "a checkout"
    (checkout / "python" / "personlab").mkdir(parents=True)
    (checkout / "pyproject.toml").touch()
    origin = {"url": checkout.as_uri(), "dir_info": {}}
    monkeypatch.setattr(cli, "distribution", lambda _: Distribution(origin))
    package = tmp_path / "lib" / "site-packages" / "personlab" if installed else checkout / "python" / "personlab"
    monkeypatch.setattr(cli, "__file__", str(package / "cli.py"))
    monkeypatch.chdir(tmp_path)
    error = ModuleNotFoundError("No module named 'cv2'", name="cv2")
    assert cli._describe(error).endswith(f"pip install '{checkout}[full]'")
    monkeypatch.chdir(checkout)
    assert cli._describe(error).endswith("pip install '.[full]'")


def missing(_):
    raise metadata.PackageNotFoundError


@pytest.mark.parametrize(
    "distribution",
    [
        lambda _: Distribution(None),
        lambda _: Distribution({"url": "https://example.org/personlab.whl", "archive_info": {}}),
        lambda _: Distribution({"url": "file:///gone", "dir_info": {}}),
        missing,
    ],
)
def test_hints_name_the_package_where_there_is_no_checkout(tmp_path, monkeypatch, distribution):
    monkeypatch.setattr(cli, "__file__", str(tmp_path / "lib" / "site-packages" / "personlab" / "cli.py"))
    monkeypatch.setattr(cli, "distribution", distribution)
    (tmp_path / "pyproject.toml").touch()  # of another project, in which the user works
    monkeypatch.chdir(tmp_path)
    error = ModuleNotFoundError("No module named 'torch'", name="torch")
    assert cli._describe(error).endswith("pip install 'personlab[full]'")
