"""Where the shared real data is, and the fixtures that bring it to the tests."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import pytest
from cuda_device import can_use_cuda, has_host_build, make_gpu

LEFT_OUT = pytest.StashKey[int]()  # tests that need the stages of the GPU on the host
FIELD_NAMES = (
    "coco_000000081988_641_s8",
    "coco_000000114907_641_s8",
    "coco_000000147740_641_s8",
    "coco_000000541055_641_s8",
    "couple_641_s16",
    "couple_641_s8",
    "office_group_801_s8",
    "soccer_1281_s8",
    "soccer_641_s16",
)


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of shared data; its tests are skipped where there is none, and fail where it is required."""
    named = os.environ.get("PERSONLAB_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    if not (folder / "fields").is_dir():
        reason = f"no shared data in {folder}: set PERSONLAB_DATA to the folder that holds fields/ and golden/"
        if os.environ.get("PERSONLAB_REQUIRE_DATA") == "1":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    return folder


@pytest.fixture(scope="session")
def load_fields(data):
    """Name of a field file -> its `Fields`, read once a session; the arrays are read-only."""
    from personlab import Fields

    @functools.cache
    def load(name: str) -> Fields:
        fields = Fields.load(data / "fields" / f"{name}.npz")
        for array in (
            fields.heatmaps,
            fields.short_offsets,
            fields.mid_offsets,
            fields.segmentation,
            fields.long_offsets,
        ):
            array.flags.writeable = False
        return fields

    return load


@pytest.fixture(params=FIELD_NAMES)
def field_name(request) -> str:
    """Each of the real field files in turn, by name."""
    return request.param


@pytest.fixture
def fields(load_fields, field_name):
    """Each of the real field files in turn."""
    return load_fields(field_name)


@pytest.fixture(params=["cpu", "reference"])
def backend(request) -> str:
    """Each backend in turn."""
    return request.param


@pytest.fixture(
    params=[pytest.param("host", marks=pytest.mark.cuda_host), pytest.param("cuda", marks=pytest.mark.cuda)]
)
def gpu(request, monkeypatch):
    """Each GPU of the tests in turn: the host that stands in for one, and a real one."""
    return make_gpu(request.param, monkeypatch)


def pytest_configure(config):
    """Names the marker that `pytest_collection_modifyitems` goes by."""
    config.addinivalue_line("markers", "cuda_host: needs the stages of the GPU as plain C++, on the host")


def pytest_collection_modifyitems(config, items):
    """Leaves out tests of what is missing, unless they were asked for: a real GPU, and its stages on the host."""
    on_gpu = can_use_cuda() or "cuda" in config.option.markexpr or os.environ.get("PERSONLAB_REQUIRE_CUDA") == "1"
    on_host = has_host_build() or os.environ.get("PERSONLAB_REQUIRE_CUDA_ON_HOST") == "1"
    unwanted = {name for name, wanted in (("cuda", on_gpu), ("cuda_host", on_host)) if not wanted}
    left_out = [item for item in items if unwanted & needs(item)]
    if left_out:
        items[:] = [item for item in items if not unwanted & needs(item)]
        config.hook.pytest_deselected(items=left_out)
    config.stash[LEFT_OUT] = sum("cuda_host" in needs(item) for item in left_out)


def needs(item):
    """What a test needs of "cuda" and "cuda_host"."""
    marks = {mark.name for mark in item.iter_markers()}
    return marks | {"cuda_host"} if "host" in item.fixturenames else marks


def pytest_terminal_summary(terminalreporter, config):
    """Says in one line why tests of the stages of the GPU were left out."""
    if count := config.stash.get(LEFT_OUT, 0):
        terminalreporter.write_line(
            f"{count} tests of the stages of the GPU were left out: they run on the host in a build with "
            "-Ccmake.define.PERSONLAB_CUDA_ON_HOST=ON"
        )
