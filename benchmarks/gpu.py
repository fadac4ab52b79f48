"""Runs everything that needs a GPU: build, tests, sanitizers and timings; writes one JSON file.

python benchmarks/gpu.py --output gpu.json

Requires nvcc, torch with CUDA, the build requirements of pyproject.toml, pytest, hypothesis, compute-sanitizer, and the
shared data in the folder of PERSONLAB_DATA. Steps that fail or do not run are recorded in the file, and the exit code
is 1. --skip leaves steps out, for machines that are available for minutes.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import re
import shutil
import subprocess
import sys
import time
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
    arguments = parser.parse_args()
    report = {"date": dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds"), "steps": {}}
    path = Path(arguments.output)

    def step(name, command):
        """Run one command, record its exit code and duration, and print the end of its output."""
        print(f"\n== {name}: {' '.join(map(str, command))}", flush=True)
        start = time.perf_counter()
        try:
            done = subprocess.run(
                command, cwd=HERE.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                timeout=arguments.limit, env={**os.environ, "PERSONLAB_REQUIRE_DATA": "1"},
            )  # fmt: skip
            output, code = done.stdout, done.returncode
        except subprocess.TimeoutExpired as error:
            output, code = (error.stdout or b"").decode(errors="replace"), "ran too long"
        except OSError as error:
            output, code = str(error), "did not run"
        print(output[-6000:], flush=True)
        report["steps"][name] = {
            "command": " ".join(map(str, command)),
            "exit_code": code,
            "seconds": round(time.perf_counter() - start, 1),
            "last_line": (output.strip().splitlines() or [""])[-1],
        }
        path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        return output

    report["driver"] = driver()
    python = sys.executable
    if "build" not in arguments.skip:
        step("build", [
            python, "-m", "pip", "install", "--no-build-isolation", "--no-deps", ".",
            "-Ccmake.define.PERSONLAB_CUDA=ON", f"-Ccmake.define.CMAKE_CUDA_ARCHITECTURES={arguments.architectures}",
        ])  # fmt: skip
    if "tests" not in arguments.skip:
        step("tests", [python, "-m", "pytest", "-q", "-m", "cuda", "tests"])
    for tool in SANITIZERS:
        if tool not in arguments.skip:
            step(tool, [
                sanitizer(), "--tool", tool, "--error-exitcode", "3", "--target-processes", "all",
                python, "-m", "pytest", "-q", "-m", SANITIZED, "tests/core/cuda",
            ])  # fmt: skip
    if "times" not in arguments.skip:
        output = step("times", [python, "benchmarks/gpu_times.py", *(["--quick"] if arguments.quick else [])])
        match = re.search(r"^\{.*^\}", output, re.DOTALL | re.MULTILINE)
        if match:
            report["times"] = json.loads(match[0])
            table(report["times"])
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(f"\nwrote {path}")
    return int(any(one["exit_code"] != 0 for one in report["steps"].values()))


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
