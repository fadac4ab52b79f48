"""Fixtures of the benchmarks: real fields, and the timing of fast and slow backends in one group."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from personlab import Fields

DATA = Path(os.environ.get("PERSONLAB_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
FIELDS = sorted(path.stem for path in (DATA / "fields").glob("*.npz"))
GATES = pytest.StashKey[list[str]]()  # lines that test_gates.py prints at the end of the run


def pytest_terminal_summary(terminalreporter, config):
    lines = config.stash.get(GATES, [])
    if lines:
        terminalreporter.section("gates: fastest of rounds in turns with the yardstick")
        terminalreporter.write_line("\n".join(lines))


def pytest_generate_tests(metafunc):
    if "name" in metafunc.fixturenames:
        if not FIELDS:
            pytest.fail(f"no fields under {DATA}: set PERSONLAB_DATA to the folder of the shared data", pytrace=False)
        metafunc.parametrize("name", FIELDS)


@pytest.fixture
def fields(name):
    return Fields.load(DATA / "fields" / f"{name}.npz")


@pytest.fixture
def timed(benchmark):
    """Time a call in a group; the reference, which takes seconds, runs once."""

    def run(group, call, backend="cpu"):
        benchmark.group = group
        if backend == "reference":
            return benchmark.pedantic(call, rounds=1, iterations=1)
        return benchmark(call)

    return run
