"""Everything that needs a GPU, in one command: builds, tests, sanitizers, times; all into one JSON file.

python benchmarks/gpu.py --output gpu.json

It needs nvcc, a torch that sees the GPU, what pyproject.toml builds with, pytest, hypothesis, compute-sanitizer for
wild reads and races, and the shared data where PERSONLAB_DATA says: without it, tests of real fields fail here. What
fails or does not run is noted in the file, and the exit code is 1. Parts can be left out with --skip, for machines that
are lent for minutes.
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
# Each stage, on small inputs: a sanitizer makes everything a hundred times slower.
SMALL = "cuda and not slow and not slow_sanitized and not fields_large"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", default="gpu.json", help="the file to write")
    parser.add_argument("--architectures", default="native", help="what CMAKE_CUDA_ARCHITECTURES is to be")
    parser.add_argument("--quick", action="store_true", help="time the smallest size alone")
    parser.add_argument("--skip", nargs="*", default=[], choices=("build", "tests", *SANITIZERS, "times"))
    parser.add_argument("--limit", type=float, default=3600, help="seconds that one step may take")
    arguments = parser.parse_args()
    report = {"date": dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds"), "steps": {}}
    path = Path(arguments.output)

    def step(name, command):
        """Run one command and keep how it ended; its output goes on to the terminal."""
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
                python, "-m", "pytest", "-q", "-m", SMALL, "tests/core/cuda",
            ])  # fmt: skip
    if "times" not in arguments.skip:
        output = step("times", [python, "benchmarks/gpu_times.py", *(["--quick"] if arguments.quick else [])])
        found = re.search(r"^\{.*^\}", output, re.DOTALL | re.MULTILINE)
        if found:
            report["times"] = json.loads(found[0])
            table(report["times"])
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(f"\nwrote {path}")
    return int(any(one["exit_code"] != 0 for one in report["steps"].values()))


def sanitizer():
    """compute-sanitizer, which comes with nvcc but is not always on PATH."""
    compiler = shutil.which("nvcc")
    beside = Path(compiler).resolve().parent / "compute-sanitizer" if compiler else None
    return str(beside) if beside is not None and beside.exists() else "compute-sanitizer"


def driver():
    """What the driver says of the GPU."""
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        return subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as error:
        return f"unknown: {error}"


def table(times):
    """The rows of benchmarks/RESULTS.md."""
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
