"""The command line in a process of its own: exit codes, what is imported, pipes that break."""

import os
import subprocess
import sys

import pytest

import personlab

pytest.importorskip("jsonargparse")


def process(*argv, **more):
    return subprocess.run(
        [sys.executable, *argv], capture_output=True, text=True, timeout=60, check=False, **more
    )  # fmt: skip


def test_the_module_runs_and_returns_the_exit_code():
    assert process("-m", "personlab", "--version").stdout == f"personlab {personlab.__version__}\n"
    assert process("-m", "personlab", "nope").returncode == 2


def test_importing_the_library_imports_none_of_the_extras():
    names = ("cv2", "jsonargparse", "pycocotools", "torch", "tqdm", "personlab.cli", "personlab.visualize")
    code = f"import sys, personlab; print([name for name in {names} if name in sys.modules])"
    assert process("-c", code).stdout == "[]\n"


def test_names_that_no_encoding_has_are_printed():
    code = (
        "import sys; from personlab.cli import main; from personlab.commands import info; "
        "from personlab.io import console; "
        "info.run = lambda _: console.write_table(['é', 'n'], [['a\\udcff', '1']]); main(['info'])"
    )
    done = process("-c", code, env={**os.environ, "PYTHONIOENCODING": "ascii:strict"})
    assert (done.stdout.splitlines(), done.stderr) == ([r"\xe9        n", r"a\udcff  1"], "")


@pytest.mark.skipif(os.name != "posix", reason="pipes end differently elsewhere")
def test_a_reader_that_leaves_early_is_no_traceback():
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "personlab", "info"], stdout=writer, stderr=subprocess.PIPE, timeout=60, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")  # noqa: PTH110
@pytest.mark.parametrize("argv", [["info"], ["--version"]])
def test_standard_output_on_a_full_disk_is_one_line(argv):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run(
            [sys.executable, "-m", "personlab", *argv],
            stdout=full, stderr=subprocess.PIPE, env=environment, timeout=60, check=False, text=True,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, "personlab: error: standard output: No space left on device\n")
