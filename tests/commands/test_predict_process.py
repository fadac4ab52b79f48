"""`personlab predict` in a process of its own: killed, interrupted while it waits, and read from a pipe."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from personlab.data.synthetic import make_scene
from personlab.io.sources import Source
from personlab.io.video import Video

av = pytest.importorskip("av")

from servers import give_rtsp, serve  # noqa: E402  # beside those that import PyAV
from videos import write_video  # noqa: E402

pytestmark = [
    pytest.mark.slow,
    pytest.mark.torch,
    pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them"),
]
PREDICT = [sys.executable, "-m", "personlab", "predict"]
NETWORK = ["--weights", "drawn-mobilenet-050", "--long-edge", "129"]


@pytest.fixture
def clip(tmp_path):
    scene = make_scene(1, size=(96, 128), people=1).image
    return write_video(tmp_path / "clip.ts", [scene] * 400, "libx264", rate=25)


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def wait_for(condition, process):
    deadline = time.monotonic() + 100
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_killed_run_leaves_lines_and_goes_on(tmp_path, clip):
    argv = [*PREDICT, clip, *NETWORK, "--jsonl", "r.jsonl", "--json", "r.json", "--output", "out"]
    with subprocess.Popen(argv, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        wait_for(lambda: len(lines(tmp_path / "r.jsonl")) >= 20, process)
        process.send_signal(signal.SIGKILL)
    kept = len(lines(tmp_path / "r.jsonl"))  # each of them can be read
    assert 20 <= kept < 400
    done = subprocess.run([*argv, "--resume"], cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    assert [one["frame"] for one in lines(tmp_path / "r.jsonl")] == list(range(400))
    assert f"goes on after {kept} frames" in done.stderr
    assert f"in {400 - kept} frames" in done.stdout
    assert len(list(Video(Source(str(tmp_path / "out/clip.mp4"), "video")))) == 400
    assert len({one["image_id"] for one in json.loads((tmp_path / "r.json").read_text())}) > 300


@pytest.mark.parametrize("kind", ["rtsp", "stdin"])
def test_ctrl_c_is_answered_at_once_while_a_source_is_silent(tmp_path, clip, kind):
    """At once: before the timeout of a network source, and although a pipe has none."""
    first = clip.read_bytes()[: 188 * 100] if kind == "stdin" else clip.read_bytes()
    begun = threading.Event()

    def handle(connection, wait):
        begun.set()
        give_rtsp(first, stalls=True)(connection, wait)

    with serve(handle) as port:
        source = "-" if kind == "stdin" else f"rtsp://127.0.0.1:{port}/cam"
        argv = [*PREDICT, source, *NETWORK, "--jsonl", "r.jsonl"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(argv, cwd=tmp_path, text=True, **pipes) as process:
            if kind == "stdin":
                process.stdin.buffer.write(first)
                process.stdin.buffer.flush()
                time.sleep(1)
            else:
                wait_for(begun.is_set, process)
                wait_for(lambda: len(lines(tmp_path / "r.jsonl")) > 300, process)
            process.send_signal(signal.SIGINT)
            start = time.monotonic()
            for line in process.stderr:
                if line == "personlab: error: interrupted\n":
                    break
            assert time.monotonic() - start < 5
            process.communicate()
    assert process.returncode == 130
    assert all("run" in one for one in lines(tmp_path / "r.jsonl"))


def test_standard_input_to_standard_output(tmp_path, clip):
    with Path(clip).open("rb") as file:
        cat = subprocess.Popen(["cat"], stdin=file, stdout=subprocess.PIPE)
        done = subprocess.run(
            [*PREDICT, "-", *NETWORK, "--jsonl", "-"], stdin=cat.stdout, capture_output=True, text=True, timeout=200,
            check=False, cwd=tmp_path,
        )  # fmt: skip
        cat.stdout.close()
        cat.wait()
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["frame"] for line in done.stdout.splitlines()] == list(range(400))
    assert "max 1 at once in 400 frames" in done.stderr
