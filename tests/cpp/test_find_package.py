"""The C++ library: installed without Python, found by a project of its own, with the bytes that Python returns."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest

from personlab import DecodeOptions, Fields, _core, decode_masks, decode_poses

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "cpp"
sys.path.insert(0, str(EXAMPLE))
from dump_fields import drawn_crowd, dump  # noqa: E402

SAYS = """\
heatmaps: expected 17 planes, got 16
short_offsets: expected 4 x 5 cells of stride 8, got 5 x 4 cells of stride 8
mid_offsets: expected data, got null
short_offsets, mid_offsets: expected the element type of the heatmaps, got another
heatmaps: expected float32, float16 or bfloat16 elements, got element 3
heatmaps: expected data aligned to 4 bytes, got 0x1002
stride: expected an integer from 1 to 4096, got 0
images: expected an integer from 0 to 1073741823, got -1
heatmaps: expected a height and a width >= 0, got -1 x 5 cells of stride 8
heatmaps: expected a grid over at most 1048576 input pixels each way and of fewer than 1073741824 cells, \
got 131073 x 5 cells of stride 8
hough_stride: expected at most 1073741824 lattice points on 4097 x 4097 cells of stride 8, got 1
hough_stride: expected an integer from 1 to 1024, got 0
min_score: expected a number >= 0 and <= 1, got nan
threads: expected an integer from 1 to 1024, got 1025
scoring: expected an integer from 0 to 1, got 2
poses: expected 2 images, got 1
poses[1].scores: expected 0 numbers, got 1
poses[1].count: expected an integer from 0 to 8388607, got 16777216
images: expected an integer from 0 to 1073741823, got -1
long_offsets: expected 2K planes, got 33
size.width: expected an integer from 0 to 1048576, got -1
score_power: expected a number >= 0 and <= 100, got -1
edges: expected pairs of two different indices in 0..1, got (0, 2)
sigmas: expected 2 entries, one per keypoint, got 1
n_keypoints: expected at least 1, got 0
ask: expected a function, got none
background: 2 images of 0 people
no masks: 0 and 0 numbers
no cells: 0 people
no images: 0
moved from: 2 images
another skeleton: 2 keypoints
interrupted
"""


@pytest.fixture(scope="module")
def cmake():
    """Runs cmake, and returns what it printed; ninja does the work where it is at hand."""
    path = os.pathsep.join((sysconfig.get_path("scripts"), os.environ["PATH"]))
    program = shutil.which("cmake", path=path)
    if program is None:
        pytest.fail("no cmake: pip install cmake", pytrace=False)
    environment = {**os.environ, "PATH": path}
    if shutil.which("ninja", path=path):
        environment["CMAKE_GENERATOR"] = "Ninja"

    def run(*arguments, expected=0):
        done = subprocess.run(
            [program, *map(str, arguments)], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == expected, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


@pytest.fixture(scope="module")
def installed(cmake, tmp_path_factory):
    """The folder of the installed package, a shared library, moved after the installation; and its CMake cache."""
    folder = tmp_path_factory.mktemp("library")
    cmake(
        "-S", ROOT, "-B", folder / "build", "-DCMAKE_BUILD_TYPE=Release", "-DBUILD_SHARED_LIBS=ON",
        "-DPERSONLAB_WERROR=ON", "-DCMAKE_DISABLE_FIND_PACKAGE_Python=ON",
        "-DCMAKE_DISABLE_FIND_PACKAGE_pybind11=ON",
    )  # fmt: skip
    cmake("--build", folder / "build", "--parallel")
    cmake("--install", folder / "build", "--prefix", folder / "installed")
    (folder / "installed").rename(folder / "moved")
    return folder / "moved", (folder / "build" / "CMakeCache.txt").read_text()


@pytest.fixture(scope="module")
def example(cmake, installed, tmp_path_factory):
    """The program of examples/cpp, built against the installed package."""
    folder = tmp_path_factory.mktemp("example")
    cmake("-S", EXAMPLE, "-B", folder, "-DCMAKE_BUILD_TYPE=Release", f"-DCMAKE_PREFIX_PATH={installed[0]}")
    cmake("--build", folder)
    return folder / "decode_fields"


@pytest.fixture(scope="module")
def subproject(cmake, tmp_path_factory):
    """The folder of programs built with the source tree as a part of their project: a static library, not optimized."""
    folder = tmp_path_factory.mktemp("subproject")
    cmake("-S", ROOT / "tests" / "cpp", "-B", folder, "-DCMAKE_BUILD_TYPE=Debug", f"-DPERSONLAB_SOURCE={ROOT}")
    cmake("--build", folder, "--parallel")
    return folder


def run(program, *arguments):
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


def bytes_of(images):
    """What the program is to write: poses in two modes, masks and their scores, by Python."""
    arrays = [np.stack([getattr(one, name) for one in images]) for name in ("heatmaps", "short_offsets", "mid_offsets")]
    stride, (width, height) = images[0].stride, images[0].input_size
    people, posenet = (
        decode_poses(*arrays, stride=stride, options=options) for options in (DecodeOptions(), DecodeOptions.posenet())
    )
    assert any(len(poses) for poses in people)
    results = b"".join(
        array.tobytes()
        for poses in people + posenet
        for array in (poses.keypoints, poses.keypoint_scores, poses.keypoint_probabilities, poses.scores)
    )
    for poses, one in zip(people, images, strict=True):
        for array in decode_masks(
            poses, one.segmentation, one.long_offsets, short_offsets=one.short_offsets, stride=stride,
            size=(height, width), return_scores=True,
        ):  # fmt: skip
            results += array.tobytes()
    return people, results


def assert_same_bytes(program, images, folder):
    dump(images, folder / "fields.bin")
    code, said, error = run(program, folder / "fields.bin", folder / "results.bin")
    assert code == 0, error
    people, results = bytes_of(images)
    assert (folder / "results.bin").read_bytes() == results
    for n, poses in enumerate(people):
        assert re.search(rf"^image {n}: {len(poses)} people, \d+ by PoseNet's decoder$", said, re.MULTILINE), said
        assert said.count(f"image {n}: score ") == len(poses)


def test_neither_python_nor_internal_headers_are_needed(installed):
    folder, cache = installed
    assert not re.search(r"^_?(Python|pybind11)", cache, re.MULTILINE)
    assert "PERSONLAB_PYTHON:BOOL=OFF" in cache
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    headers = {"decoder.hpp", "export.hpp", "interrupt.hpp", "options.hpp", "types.hpp"}
    assert {path for path in files if path.endswith(".hpp")} == {f"include/personlab/{name}" for name in headers}
    for path in (folder / "include").rglob("*.hpp"):
        included = re.findall(r'#include "(.*)"', path.read_text())
        assert {name.removeprefix("personlab/") for name in included} <= headers
        assert set(re.findall(r"#define (\w+)", path.read_text())) <= {"PERSONLAB_API"}


def test_the_example_returns_the_bytes_of_python(example, tmp_path):
    assert_same_bytes(example, [drawn_crowd(0), drawn_crowd(1)], tmp_path)


def test_real_fields_return_the_bytes_of_python(example, data, tmp_path):
    assert_same_bytes(example, [Fields.load(data / "fields" / "couple_641_s8.npz")], tmp_path)


def test_the_example_tells_of_a_file_that_ends_too_soon(example, tmp_path):
    dump([drawn_crowd(0)], tmp_path / "fields.bin")
    (tmp_path / "short.bin").write_bytes((tmp_path / "fields.bin").read_bytes()[:-1])
    code, said, error = run(example, tmp_path / "short.bin", tmp_path / "results.bin")
    assert (code, said) == (1, "")
    assert error
    assert not (tmp_path / "results.bin").exists()
    assert run(example)[0] == 2


def test_the_script_writes_what_the_example_reads(example, tmp_path):
    fields = tmp_path / "fields.bin"
    subprocess.run([sys.executable, EXAMPLE / "dump_fields.py", fields], check=True)
    assert run(example, fields, tmp_path / "results.bin")[0] == 0
    assert (tmp_path / "results.bin").read_bytes() == bytes_of([drawn_crowd(0), drawn_crowd(1)])[1]


def test_arguments_are_checked(cmake, installed, tmp_path):
    cmake("-S", ROOT / "tests" / "cpp", "-B", tmp_path, f"-DCMAKE_PREFIX_PATH={installed[0]}")
    cmake("--build", tmp_path)
    assert run(tmp_path / "checks") == (0, SAYS, "")


def test_another_version_is_not_taken(cmake, installed, tmp_path):
    said = cmake(
        "-S", ROOT / "tests" / "cpp", "-B", tmp_path, f"-DCMAKE_PREFIX_PATH={installed[0]}", "-DPERSONLAB_WANTED=99",
        expected=1,
    )  # fmt: skip
    assert f"version: {_core.version}" in said


def test_the_source_tree_is_a_subproject(subproject, tmp_path):
    assert run(subproject / "checks") == (0, SAYS, "")
    assert_same_bytes(subproject / "decode_fields", [drawn_crowd(0), drawn_crowd(1)], tmp_path)
