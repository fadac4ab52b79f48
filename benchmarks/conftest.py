"""Fixtures of the benchmarks: real fields, and the timing of fast and slow backends in one group."""

from __future__ import annotations

import os

import numpy as np
import pytest
from shared import DATA
from yardsticks import race

from personlab import Fields

FIELDS = sorted(path.stem for path in (DATA / "fields").glob("*.npz"))
GATES = pytest.StashKey[list[str]]()  # lines of the speed gates for the end of the run
STRICT = os.environ.get("PERSONLAB_GATES") == "1"


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


@pytest.fixture
def gate(request):
    """Time a call against a yardstick: `gate(what, call, yardstick, name of the yardstick, max ratio)`.

    The ratio is that of the fastest rounds, which other load on the machine disturbs least.
    """

    def check(what, call, yardstick, unit, max_ratio, rounds=20, *, warm=0):
        times = 1e6 * race(call, yardstick, rounds=rounds, warm=warm)
        (fastest, unit_fastest), (median, unit_median) = times.min(axis=0), np.median(times, axis=0)
        ratio = fastest / unit_fastest
        kept = ratio <= max_ratio
        request.config.stash.setdefault(GATES, []).append(
            f"{what:<46} {fastest:9.1f} us = {ratio:6.3g} x {unit:<10} gate {max_ratio:5.3g}  "
            f"{'kept' if kept else 'MISSED'}"
            f"  (medians {median:.1f} us, {median / unit_median:.3g})"
        )
        assert kept or not STRICT, f"{what}: {ratio:.3g} x {unit}, expected at most {max_ratio:g}"

    return check
