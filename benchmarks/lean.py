"""Measures an installation of `personlab[onnx]`: its size, what it lacks, and the time of a prediction as a program.

    python benchmarks/lean.py VENV IMAGE [WEIGHTS ...]

Exits with 1 where the size is over its limit or a package is installed that prediction does without, and with
PERSONLAB_GATES=1 where the time is over its limit, too: other programs on the machine lengthen it.
Needs nothing but the standard library: the interpreter that runs it may be any.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MAX_MB, MAX_SECONDS = 200, 1.5
ABSENT = ("cv2", "onnx", "onnxscript", "openvino", "pycocotools", "torch", "tqdm")
RUNS = 7


def size_of(folder):
    """Return the bytes of all files below a folder, as they lie on the disk."""
    files = (path.lstat() for path in Path(folder).rglob("*"))
    return sum(512 * file.st_blocks for file in files)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("venv", type=Path)
    parser.add_argument("image", type=Path)
    parser.add_argument("weights", nargs="*", default=["drawn-mobilenet-050"])
    arguments = parser.parse_args()
    python = arguments.venv / ("Scripts" if os.name == "nt" else "bin") / "python"
    program = f"import importlib.util as i; print(*(n for n in {ABSENT!r} if i.find_spec(n)))"
    installed = subprocess.run([python, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    size = size_of(arguments.venv) / 1e6
    rows = [("size, MB", size, MAX_MB)]
    with tempfile.TemporaryDirectory() as cache:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        environment["PERSONLAB_CACHE"] = cache
        for weights in arguments.weights:
            command = [python, "-m", "personlab", "predict", arguments.image, "--weights", weights, "--json", "-"]
            times = []
            for _ in range(RUNS):
                start = time.perf_counter()
                subprocess.run(command, capture_output=True, check=True, env=environment)
                times.append(time.perf_counter() - start)
            rows.append((f"predict {Path(weights).name}, s, min of {RUNS}", min(times), MAX_SECONDS))
            rows.append((f"predict {Path(weights).name}, s, the first time", times[0], None))
    width = max(len(label) for label, _, _ in rows)
    for label, value, limit in rows:
        print(f"{label:<{width}}  {value:8.2f}  {'' if limit is None else f'limit {limit}'}".rstrip())
    over = [label for label, value, limit in rows if limit is not None and value > limit]
    for label in over:
        print(f"over the limit: {label}")
    if installed or size > MAX_MB or (over and os.environ.get("PERSONLAB_GATES") == "1"):
        for name in installed:
            print(f"expected no package {name}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
