"""What is said to a terminal: one line an error, bars only where someone can see them, lines above these."""

import io
import sys

import pytest

from personlab.io.console import above_progress, describe_error, describe_failure, log, progress_bar

pytest.importorskip("tqdm")


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (FileNotFoundError(2, "No such file or directory", "a.jpg"), "a.jpg: No such file or directory"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (OSError("a reason"), "a reason"),
        (MemoryError(), "out of memory"),
        (MemoryError("8 GiB"), "out of memory: 8 GiB"),
        (RecursionError("maximum recursion depth exceeded"), "input nested too deeply (recursion limit reached)"),
        (ValueError("stride: expected 8, got 9"), "stride: expected 8, got 9"),
    ],
)
def test_errors_read_without_the_code(error, text):
    assert describe_error(error) == text


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("two\nlines"), "a.jpg: two lines"),
        (ValueError("a.jpg: no image"), "a.jpg: no image"),
        (KeyboardInterrupt(), "a.jpg: KeyboardInterrupt"),
    ],
)
def test_failures_are_one_line_that_begins_with_the_name(error, line):
    assert describe_failure("a.jpg", error) == line


def test_bars_show_on_a_terminal_alone(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with progress_bar(10, "scenes") as bar:
        bar.update()
    assert sys.stderr.getvalue() == ""
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress_bar(10, "scenes", done=4, keep=True) as bar:
        bar.update(6)
    assert "scenes: 100%" in sys.stderr.getvalue()
    assert "10/10" in sys.stderr.getvalue()
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress_bar(3 << 20, unit="B", keep=True) as bar:
        bar.update(3 << 20)
    assert "3.00M/3.00M" in sys.stderr.getvalue()


def test_lines_stand_above_a_bar(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress_bar(2, "x") as bar:
        bar.update()
        with above_progress():
            log("a\tline")
    assert "\rpersonlab: a\\tline\n" in sys.stderr.getvalue()
