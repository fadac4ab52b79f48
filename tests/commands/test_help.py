"""Help: made from the docstrings of option classes, so that it needs no source files."""

from __future__ import annotations

import compileall
import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import personlab
from personlab import DecodeOptions, MaskOptions
from personlab.cli import COMMANDS

pytest.importorskip("jsonargparse")

from personlab.batch import BatchOptions
from personlab.commands.flags import field_docs
from personlab.data.augment import Augmentation
from personlab.train import LossOptions, TeacherOptions, TeachingOptions
from personlab.train.config import (
    DataOptions,
    EvaluationOptions,
    NetworkOptions,
    OptimizerOptions,
    TrainConfig,
)

OPTIONS = (
    BatchOptions,
    DecodeOptions,
    MaskOptions,
    TrainConfig,
    NetworkOptions,
    DataOptions,
    Augmentation,
    LossOptions,
    OptimizerOptions,
    EvaluationOptions,
    TeacherOptions,
    TeachingOptions,
)


@pytest.mark.parametrize("options", OPTIONS)
def test_every_field_has_its_entry(options):
    docs = field_docs(options)
    assert list(docs) == [field.name for field in dataclasses.fields(options)]
    assert all(len(text) > 5 and text[-1] != "." for text in docs.values())


def test_entries_go_over_lines_and_end_with_their_section():
    class Options:
        """One line.

        Attributes:
            first: a number
                of pixels
            second: with: colons

        Raises:
            ValueError: never.
        """

    assert field_docs(Options) == {"first": "a number of pixels", "second": "with: colons"}
    assert field_docs(int) == {}
    Options.__doc__ = None  # as python -OO leaves it
    assert field_docs(Options) == {}


def pages(folder):
    """The help page of each command as the package in a folder prints it, and the file that it is from."""
    code = (
        "import personlab.cli as cli\nprint(cli.__file__)\n"
        "for name in cli.COMMANDS:\n    print('<page>')\n    assert cli.main([name, '--help']) == 0"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "110"},
        cwd=folder, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    file, *texts = done.stdout.split("\n<page>\n")
    return Path(file), dict(zip(COMMANDS, texts, strict=True))


def test_a_byte_compiled_install_has_the_same_help(tmp_path):
    """A zip archive is no other case, but for `_core`, which no machine can load from one."""
    source = Path(personlab.__file__).parent
    leave_out = shutil.ignore_patterns("__pycache__", "*.pyi", "*.safetensors")
    shutil.copytree(source, tmp_path / "personlab", ignore=leave_out)
    assert compileall.compile_dir(tmp_path, quiet=1, legacy=True)
    for file in tmp_path.rglob("*.py"):
        file.unlink()
    file, compiled = pages(tmp_path)
    assert file == tmp_path / "personlab" / "cli.pyc"
    assert compiled == pages(source.parent)[1]
    for name, text in compiled.items():
        assert text.startswith(f"usage: personlab {name}")
    assert "local maxima of a lower Hough score are no seeds [0.02]" in " ".join(compiled["decode"].split())
