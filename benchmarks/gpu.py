"""Everything that needs a GPU, in one command: builds, tests, sanitizers, times; all into one JSON file.

python benchmarks/gpu.py --output gpu.json

It needs nvcc, a torch that sees the GPU, what pyproject.toml builds with, pytest, hypothesis, and compute-sanitizer for
wild reads and races. What fails is noted in the file, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
SANITIZERS = ("memcheck", "racecheck", "synccheck")
# Each stage, on small things: under a sanitizer everything takes a hundred times as long.
SMALL = "(are_the_cores or any_number or too_many or not_finite or discs) and not real and not picture"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", default="gpu.json", help="the file to write")
    parser.add_argument("--architectures", default="native", help="what CMAKE_CUDA_ARCHITECTURES is to be")
    parser.add_argument("--quick", action="store_true", help="time the smallest size alone")
    parser.add_argument("--skip", nargs="*", default=[], choices=("build", "tests", "sanitizers", "times"))
    arguments = parser.parse_args()
    report = {"date": dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds"), "steps": {}}
    output = Path(arguments.output)

    def step(name, command):
        """Run one command and keep how it ended; its output goes on to the terminal."""
        print(f"\n== {name}: {' '.join(map(str, command))}", flush=True)
        start = time.perf_counter()
        done = subprocess.run(
            command, cwd=HERE.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        print(done.stdout[-6000:], flush=True)
        report["steps"][name] = {
            "command": " ".join(map(str, command)),
            "exit_code": done.returncode,
            "seconds": round(time.perf_counter() - start, 1),
            "last_line": (done.stdout.strip().splitlines() or [""])[-1],
        }
        output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        return done

    report["driver"] = driver()
    python = sys.executable
    if "build" not in arguments.skip:
        step("build", [
            python, "-m", "pip", "install", "--no-build-isolation", "--no-deps", ".",
            "-Ccmake.define.PERSONLAB_CUDA=ON", f"-Ccmake.define.CMAKE_CUDA_ARCHITECTURES={arguments.architectures}",
        ])  # fmt: skip
    if "tests" not in arguments.skip:
        step("tests", [python, "-m", "pytest", "-q", "-m", "cuda", "tests"])
    if "sanitizers" not in arguments.skip:
        for tool in SANITIZERS:
            if shutil.which("compute-sanitizer") is None:
                report["steps"][tool] = {"exit_code": None, "last_line": "no compute-sanitizer on PATH"}
                continue
            step(tool, [
                "compute-sanitizer", "--tool", tool, "--error-exitcode", "3", "--target-processes", "all",
                python, "-m", "pytest", "-q", "-m", "cuda", "-k", SMALL, "tests",
            ])  # fmt: skip
    if "times" not in arguments.skip:
        done = step("times", [python, "benchmarks/gpu_times.py", *(["--quick"] if arguments.quick else [])])
        found = re.search(r"^\{.*^\}", done.stdout, re.DOTALL | re.MULTILINE)
        if found:
            report["times"] = json.loads(found[0])
            table(report["times"])
    output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(f"\nwrote {output}")
    return int(any(one["exit_code"] not in (0, None) for one in report["steps"].values()))


def driver():
    """What the driver says of the GPU."""
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        return subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as error:
        return f"unknown: {error}"


def table(times):
    """The rows of benchmarks/RESULTS.md."""
    print(f"\n{times['gpu']}, {times['cuda']}; microseconds a picture\n")
    print("| input | batch | poses | as a graph | masks | copy to the host | copy and CPU | fields read once |")
    print("|---|---|---|---|---|---|---|---|")
    for row in times["rows"]:
        h, w = row["size"]
        names = ("decode_us", "decode_graph_us", "masks_us", "copy_to_host_us", "copy_and_cpu_decode_us")
        cells = [f"{row[name] / row['batch']:.1f}" for name in (*names, "fields_read_once_us")]
        print(f"| {w}x{h} | {row['batch']} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    sys.exit(main())
