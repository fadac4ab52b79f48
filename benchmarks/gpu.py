"""Runs everything that needs a GPU: build, tests, sanitizers and timings; writes one JSON file.

python benchmarks/gpu.py --output gpu.json

Requires nvcc, torch with CUDA, the build requirements of pyproject.toml, pytest, hypothesis, compute-sanitizer, and the
shared data in the folder of PERSONLAB_DATA. Steps that fail or do not run are recorded in the file, and the exit code
is 1. The output of each step lies beside that file, in one named after the step.

For machines that are available for minutes: --skip leaves steps out, --every leaves tests out under the sanitizers,
--workers runs tests in several processes (pytest-xdist), the tests and all sanitizers at the same time.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
SANITIZERS = ("memcheck", "racecheck", "synccheck")
# Code under a sanitizer takes a hundred times as long: the large tests are left out.
SANITIZED = "cuda and not slow and not slow_sanitized and not fields_large"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", default="gpu.json", help="the file to write")
    parser.add_argument("--architectures", default="native", help="value of CMAKE_CUDA_ARCHITECTURES")
    parser.add_argument("--quick", action="store_true", help="time the smallest size only")
    parser.add_argument("--skip", nargs="*", default=[], choices=("build", "tests", *SANITIZERS, "times"))
    parser.add_argument("--limit", type=float, default=3600, help="max seconds of one step")
    parser.add_argument("--every", type=int, default=1, help="run one of so many tests under the sanitizers")
    parser.add_argument("--workers", type=int, default=0, help="processes of each step of tests")
    arguments = parser.parse_args()
    steps = Steps(Path(arguments.output), arguments.limit)
    steps.report |= {"driver": driver(), "every": arguments.every}
    python = sys.executable
    if "build" not in arguments.skip:
        steps.run("build", [
            python, "-m", "pip", "install", "--no-build-isolation", "--no-deps", ".",
            "-Ccmake.define.PERSONLAB_CUDA=ON", f"-Ccmake.define.CMAKE_CUDA_ARCHITECTURES={arguments.architectures}",
        ])  # fmt: skip
    pytest = [python, "-m", "pytest", "-q", "--durations", "5"]
    if arguments.workers:
        pytest += ["-n", str(arguments.workers)]
    tests = {"tests": [*pytest, "-m", "cuda", "tests"]}
    for tool in SANITIZERS:
        tests[tool] = [
            sanitizer(), "--tool", tool, "--error-exitcode", "3", "--target-processes", "all",
            *pytest, "-m", SANITIZED, "--every", str(arguments.every), "tests/core/cuda",
        ]  # fmt: skip
    with ThreadPoolExecutor(len(tests) if arguments.workers else 1) as pool:
        for name, command in tests.items():
            if name not in arguments.skip:
                pool.submit(steps.run, name, command)
    if "times" not in arguments.skip:
        quick = ["--quick"] if arguments.quick else []
        seconds = ["--seconds", str(arguments.limit / 2)]
        output = steps.run("times", [python, "benchmarks/gpu_times.py", *quick, *seconds])
        match = re.search(r"^\{.*^\}", output, re.DOTALL | re.MULTILINE)
        if match:
            steps.report["times"] = json.loads(match[0])
            table(steps.report["times"])
    steps.write()
    print(f"\nwrote {steps.path}")
    return int(any(one["exit_code"] != 0 for one in steps.report["steps"].values()))


class Steps:
    """Runs commands and keeps what became of them.

    Args:
        path: of the report.
        limit: max seconds of a command.
    """

    def __init__(self, path, limit):
        self.path, self.limit, self._lock = path, limit, threading.Lock()
        self.report = {"date": dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds"), "steps": {}}

    def run(self, name, command):
        """Run one command, record its exit code and duration, print the end of its output, and return all of it."""
        log, start = self.path.with_name(f"{self.path.stem}-{name}.log"), time.perf_counter()
        with log.open("wb") as file:
            try:
                running = subprocess.Popen(
                    command, cwd=HERE.parent, stdout=file, stderr=subprocess.STDOUT, start_new_session=True,
                    env={**os.environ, "PERSONLAB_REQUIRE_DATA": "1"},
                )  # fmt: skip
                code = running.wait(self.limit)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(running.pid, signal.SIGKILL)
                code = "ran too long"
            except OSError as error:
                code = f"did not run: {error}"
        output = log.read_text(encoding="utf-8", errors="replace")
        with self._lock:
            print(f"\n== {name}: {' '.join(map(str, command))}\n{output[-6000:]}", flush=True)
            self.report["steps"][name] = {
                "command": " ".join(map(str, command)),
                "exit_code": code,
                "seconds": round(time.perf_counter() - start, 1),
                "last_line": (output.strip().splitlines() or [""])[-1],
            }
            self.write()
        return output

    def write(self):
        """Write the report."""
        self.path.write_text(json.dumps(self.report, indent=1) + "\n", encoding="utf-8")


def sanitizer():
    """Return the path of compute-sanitizer, which comes with nvcc but is not always on PATH."""
    compiler = shutil.which("nvcc")
    bundled = Path(compiler).resolve().parent / "compute-sanitizer" if compiler else None
    return str(bundled) if bundled is not None and bundled.exists() else "compute-sanitizer"


def driver():
    """Return name, driver version and memory of the GPU."""
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        return subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as error:
        return f"unknown: {error}"


def table(times):
    """Print the rows of benchmarks/RESULTS.md."""
    print(f"\n{times['gpu']}, {times['cuda']}; microseconds an image\n")
    print("| input | batch | poses | as a graph | masks | copy to the host | copy and CPU | fields read once |")
    print("|---|---|---|---|---|---|---|---|")
    for row in times["rows"]:
        h, w = row["size"]
        names = ("decode_queued_us", "decode_graph_us", "masks_there_us", "copy_to_host_us", "copy_and_cpu_decode_us")
        cells = [f"{row[name] / row['batch']:.1f}" for name in (*names, "fields_read_once_us")]
        print(f"| {w}x{h} | {row['batch']} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    sys.exit(main())
