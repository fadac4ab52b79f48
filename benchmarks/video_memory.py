"""Measures the memory of `personlab predict` on a long video: does it grow from the first minute to the last?

python benchmarks/video_memory.py [--seconds 600]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from make_video import RATE, write_scene

SIZE = (144, 192)  # (H, W) of the frames
FLAGS = ["--weights", "drawn-mobilenet-050", "--long-edge", "129", "--masks"]
MAX_GROWTH = 0.05


def resident(process):
    """Return the resident memory of a process, bytes; None once it has ended."""
    try:
        pages = Path(f"/proc/{process.pid}/statm").read_text().split()[1]
    except (OSError, IndexError):
        return None
    return int(pages) * 4096 or None


def measure(video, folder):
    """Predict a video in a process of its own; return rows of (frames done, resident bytes), a few a second."""
    lines = folder / "people.jsonl"
    outputs = ["--jsonl", lines, "--json", folder / "people.json", "--output", folder / "out"]
    command = [sys.executable, "-m", "personlab", "predict", video, *FLAGS, *outputs]
    rows, done, position = [], 0, 0
    with (folder / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        while process.poll() is None:
            time.sleep(0.2)
            if lines.exists():
                with lines.open("rb") as file:
                    file.seek(position)
                    block = file.read()
                position, done = position + len(block), done + block.count(b"\n")
            if done and (memory := resident(process)) is not None:
                rows.append((done, memory))
    assert process.returncode == 0, (folder / "log").read_text()
    return np.array(rows), (folder / "log").read_text()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600.0)
    seconds = parser.parse_args().seconds
    minute = round(RATE * min(60.0, seconds / 4))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_scene(folder / "video.mp4", seconds, SIZE, people=2)
        rows, log = measure(folder / "video.mp4", folder)
        lines = (folder / "people.jsonl").stat().st_size
    count = rows[-1, 0]
    assert count >= round(RATE * seconds) - 1, f"{count} lines of {RATE * seconds:g} frames"
    print(f"{seconds:g} s of {SIZE[1]} x {SIZE[0]} pixels, {RATE} frames a second; {lines / 1e6:.1f} MB of lines")
    print(log.strip().splitlines()[-1])
    print("minute  mean MB  max MB")
    means = []
    for number, start in enumerate(range(0, round(RATE * seconds), minute)):
        own = rows[(rows[:, 0] > start) & (rows[:, 0] <= start + minute), 1] / 1e6
        if len(own):
            means.append(own.mean())
            print(f"{number + 1:6}  {own.mean():7.1f}  {own.max():6.1f}")
    growth = means[-1] / means[0] - 1
    print(f"growth from the first to the last: {100 * growth:.1f} % (at most {100 * MAX_GROWTH:g} %)")
    assert growth < MAX_GROWTH


if __name__ == "__main__":
    main()
