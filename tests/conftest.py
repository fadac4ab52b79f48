"""The shared real data, the backends and GPUs that tests run on, and what is skipped where something is missing."""

from __future__ import annotations

import functools
import importlib.util
import os
from pathlib import Path

import pytest
from backends import NAMES, Backend
from cuda_device import describe_gpu, has_host_build, make_gpu

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


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory):
    """A cache folder of this session's own, for exported networks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PERSONLAB_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


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


SMALL_FIELDS = ("couple_641_s16", "couple_641_s8", "soccer_641_s16")


@pytest.fixture(
    params=[pytest.param(name, marks=[] if name in SMALL_FIELDS else pytest.mark.fields_large) for name in FIELD_NAMES]
)
def field_name(request) -> str:
    """Each of the real field files in turn, by name."""
    return request.param


@pytest.fixture
def fields(load_fields, field_name):
    """Each of the real field files in turn."""
    return load_fields(field_name)


@pytest.fixture(params=["opencv", "pillow"])
def imaging(request, monkeypatch):
    """Each imaging library in turn, by name: the one that reads, writes, resizes and draws images."""
    from personlab.io.imaging import imaging_library

    monkeypatch.setenv("PERSONLAB_IMAGE_READER", request.param)
    imaging_library.cache_clear()
    yield request.param
    imaging_library.cache_clear()


GPU_MARKS = {"cuda-host": pytest.mark.cuda_host, "cuda": pytest.mark.cuda}


def make_backend(request, monkeypatch):
    """The `Backend` that a fixture's parameter names."""
    gpu = {"cuda-host": "host", "cuda": "cuda"}.get(request.param)
    return Backend(request.param, make_gpu(gpu, monkeypatch) if gpu else None)


def all_but(*left_out):
    """Parameters of a fixture: the names of backends, each marked with what it needs."""
    return [pytest.param(name, marks=GPU_MARKS.get(name, [])) for name in NAMES if name not in left_out]


@pytest.fixture(params=all_but())
def backend(request, monkeypatch):
    """Each backend in turn."""
    return make_backend(request, monkeypatch)


@pytest.fixture(params=all_but("reference"))
def compiled(request, monkeypatch):
    """Each backend in turn that has to agree with the reference."""
    return make_backend(request, monkeypatch)


@pytest.fixture(params=["cpu", "reference"])
def host_backend(request):
    """Each backend in turn that reads NumPy's arrays: for what is said of these alone."""
    return request.param


@pytest.fixture(params=all_but("cpu", "reference"))
def gpu(request, monkeypatch):
    """Each GPU of the tests in turn: the host that stands in for one, and a real one."""
    return make_backend(request, monkeypatch).gpu


def missing(name, markexpr):
    """Why tests with a marker cannot run here; "" where they can, or were asked for and so have to."""
    if name == "cuda" and "cuda" not in markexpr.replace("cuda_host", "") and not required("CUDA"):
        gpu = describe_gpu()
        return "" if gpu.startswith("yes") else f"no usable GPU: {gpu}"
    if name == "cuda_host" and not has_host_build() and not required("CUDA_ON_HOST"):
        return "no stages of the GPU on the host: build with -Ccmake.define.PERSONLAB_CUDA_ON_HOST=ON"
    if name == "torch" and importlib.util.find_spec("torch") is None:
        return "no torch"
    return ""


def pytest_addoption(parser):
    parser.addoption("--every", type=int, default=1, metavar="N", help="run one of N tests, where all take too long")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    """Leaves out all but every N-th of the tests chosen."""
    every = config.getoption("every")
    if every > 1:
        config.hook.pytest_deselected(items=[item for n, item in enumerate(items) if n % every])
        items[:] = items[::every]


def required(what):
    """Whether the environment says that tests of something have to run."""
    return os.environ.get(f"PERSONLAB_REQUIRE_{what}") == "1"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Skips tests of what is missing before anything is made for them."""
    for mark in item.iter_markers():
        if reason := missing(mark.name, item.config.option.markexpr):
            pytest.skip(reason)
