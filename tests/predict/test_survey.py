"""Engines are described and timed as they are: by `personlab info`, and side by side by `personlab bench --network`."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from personlab.cli import main
from personlab.predict import engines
from personlab.predict.engines import ENGINES
from personlab.predict.engines.survey import describe_engines, time_engine

INSTALLED = [name for name, kind in ENGINES.items() if kind.is_installed]


class Slow:
    """An engine that takes its time, and counts."""

    name, precision, streams, device = "slow", "float32", 2, None

    def __init__(self):
        self.images, self.at_once, self._running, self._lock = 0, 0, 0, threading.Lock()

    def prepare(self, names, *, streaming=False):
        pass

    def run(self, images, names):
        with self._lock:
            self._running += 1
            self.at_once = max(self.at_once, self._running)
        threading.Event().wait(0.01)
        with self._lock:
            self._running -= 1
            self.images += len(images)
        return {name: np.zeros(len(images)) for name in names}


def test_times_are_of_each_image():
    engine = Slow()
    timing = time_engine(engine, np.zeros((4, 17, 17, 3), np.uint8), ["heat"], batches=[1, 4], rounds=8)
    assert timing.alone >= 0.01
    assert 0.005 <= timing.at_once < 0.01 + timing.alone
    assert engine.at_once == 2
    assert timing.batches.keys() == {1, 4}
    assert 0.0025 <= timing.batches[4] < timing.batches[1]
    with pytest.raises(ValueError, match="batches: expected at most 4 images, got 5"):
        time_engine(engine, np.zeros((4, 17, 17, 3), np.uint8), ["heat"], batches=[5])


def test_an_engine_that_fails_ends_the_timing():
    class Failing(Slow):
        def run(self, images, names):
            if self.images > 5:
                raise ValueError("no more")
            return super().run(images, names)

    with pytest.raises((ValueError, RuntimeError)):
        time_engine(Failing(), np.zeros((1, 17, 17, 3), np.uint8), ["heat"], rounds=30)


def test_engines_are_described(monkeypatch):
    facts = describe_engines()
    assert list(facts) == list(ENGINES)
    assert [name for name, text in facts.items() if text.endswith("(auto, on a CPU)")] == INSTALLED[:1]
    for name in INSTALLED:
        assert "cpu: " in facts[name]
        assert "float32" in facts[name]
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    for name, text in describe_engines().items():
        assert text == f"not installed: pip install 'personlab[{ENGINES[name].extra}]'"


def test_a_broken_installation_is_described(monkeypatch):
    def broken(module):
        raise OSError("libtbb.so.12:\n cannot open")

    monkeypatch.setattr(engines, "import_module", broken)
    assert all(describe_engines()[name] == "cannot be used: libtbb.so.12: cannot open" for name in INSTALLED)


def test_the_commands_print_them(capfd):
    assert main(["info"]) == 0
    out = capfd.readouterr().out
    assert all(f"engine {name}" in out for name in ENGINES)
    argv = ["bench", "--network", "drawn-mobilenet-050", "--size", "97", "129", "--rounds", "2", "--batches", "2"]
    assert main(argv) == 0
    out, _ = capfd.readouterr()
    head, _, table, *rows = out.splitlines()
    assert head.startswith("milliseconds for each image of 97 x 129, stride 8, 5 outputs, on c")
    assert table.split() == ["engine", "precision", "alone", "at", "once", "batch", "of", "2"]
    assert {row.split()[0] for row in rows} == set(INSTALLED)
    assert sum(row.endswith("auto") for row in rows) == 1
    assert all(float(cell) > 0 for row in rows for cell in row.split()[2:5])


@pytest.mark.parametrize(
    ("more", "code", "text"),
    [
        (["--size", "96", "129"], 2, "--size: expected multiples of 8 plus 1, got 96 129"),
        (["--people", "3"], 2, "--network: expected no files of fields and no --people beside it"),
        (["--stride", "7"], 1, "stride: expected one of 8, 16, got 7"),
    ],
)
def test_what_cannot_be_timed_is_refused(capfd, more, code, text):
    assert main(["bench", "--network", "drawn-mobilenet-050", *more]) == code
    assert text in capfd.readouterr().err
