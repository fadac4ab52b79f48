"""Measures `personlab batch`: throughput, kills, nodes, and many images, each by its own command.

python benchmarks/batch.py throughput [--images N] [--videos N] [--long-edge N] [--rounds N]
python benchmarks/batch.py kills [--runs N]
python benchmarks/batch.py nodes
python benchmarks/batch.py scale [--counts N ...] [--target N]

Prints Markdown. Every form draws its inputs (`personlab scenes`, and videos of scenes that move) into --work, where
later runs use them again, and asserts the rows that it times.

`throughput` runs `personlab predict` and `personlab batch` in turns on the same cores; core time, unlike rates, stays
the same on a machine that does something else. `kills` sends SIGKILL to a worker, to the driver, or to all processes of
the job at random times, starts the command again where it has ended, and compares all rows with those of an
uninterrupted run; 50 inputs are damaged. `nodes` starts two Ray nodes on this machine and counts what each has done.
`scale` times jobs of several sizes, whose images are hard links to a few, and computes a job of --target images from
them; it also prints the memory of the driver and of the workers that no other process shares: at a quarter of the time,
at the end, and the max.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np

DRAWN = 500  # scenes; further images are hard links to these
FLAGS = ("--weights", "drawn-mobilenet-050")
PROGRAM = (sys.executable, "-m", "personlab")


def draw(folder, images, videos, damaged=0):
    """Write drawn images and videos, once; of the images, so many are damaged."""
    folder = Path(folder) / f"inputs-{images}-{videos}-{damaged}"
    if (folder / "done").exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    count = str(min(images, DRAWN))
    command = [*PROGRAM, "scenes", "--output", str(folder / "drawn"), "--count", count, "--size", "361", "481"]
    subprocess.run(command, check=True, capture_output=True)
    (folder / "drawn" / "images").rename(folder / "images")
    drawn = sorted((folder / "images").iterdir())
    for number in range(len(drawn), images):
        os.link(drawn[number % len(drawn)], folder / "images" / f"{number + 1:012d}.png")
    for number, file in enumerate(sorted((folder / "images").iterdir())[:damaged]):
        content = file.read_bytes()
        file.write_bytes((b"", b"no image", content[: len(content) // 3], content[:60] + bytes(200))[number % 4])
    (folder / "videos").mkdir()
    for number in range(videos):
        write_video(folder / "videos" / f"{number:03d}.mp4", number)
    (folder / "done").touch()
    return folder


def write_video(path, number, frames=50, size=(240, 320)):
    """Write a scene that moves to the right, with a key frame every 12 frames."""
    import av

    from personlab.data.synthetic.scenes import numbered_scene

    image = numbered_scene(11, number, size=size, people=(1, 4)).image
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=25)
        stream.height, stream.width = size
        stream.pix_fmt, stream.codec_context.gop_size = "yuv420p", 12
        for shift in range(frames):
            moved = np.ascontiguousarray(np.roll(image, 2 * shift, axis=1))
            file.mux(stream.encode(av.VideoFrame.from_ndarray(moved, format="rgb24")))
        file.mux(stream.encode(None))


def batch(inputs, output, *more):
    """Return the command."""
    words = [str(path) for path in inputs]
    return [*PROGRAM, "batch", *words, "--output", str(output), *FLAGS, *map(str, more)]


def timed(command, log):
    """Run a command; return its output and its seconds, start and end of Python included."""
    start = time.perf_counter()
    with Path(log).open("w") as errors:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=errors, text=True, check=False)
    assert done.returncode in (0, 1), Path(log).read_text()
    return done.stdout, time.perf_counter() - start


def rows(output):
    """All rows of a job."""
    from personlab.batch import read_errors, read_manifest, read_people

    return [read(output) for read in (read_people, read_manifest, read_errors)]


def throughput(options):
    """Compare the command with `personlab predict` on the same cores."""
    inputs = draw(options.work, options.images, options.videos)
    words = [inputs / "images", inputs / "videos"]
    edge = ["--long-edge", str(options.long_edge)]
    rates = {"predict": [], "batch": [], "batch once Ray runs": []}
    cores = []
    for number in range(options.rounds):
        results, output = options.work / "predict.jsonl", options.work / "out-throughput"
        shutil.rmtree(output, ignore_errors=True)
        command = [*PROGRAM, "predict", *map(str, words), "--jsonl", str(results), *FLAGS, *edge]
        _, seconds, alone = watched(command, options.work / "predict.log")
        printed, all_seconds, shared = watched(batch(words, output, *edge), options.work / "batch.log")
        people, manifest, errors = (table.to_pylist() for table in rows(output))
        count = len(manifest)
        rates["predict"].append(count / seconds)
        rates["batch"].append(count / all_seconds)
        rates["batch once Ray runs"].append(float(re.search(r"then ([\d.]+) a second", printed)[1]))
        cores.append((1e3 * alone.core_seconds / count, 1e3 * shared.core_seconds / count))
        lines = [json.loads(line) for line in results.read_text().splitlines()]
        expected = [(line["file"], line["frame"], person["keypoints"]) for line in lines for person in line["people"]]
        own = [(row["file"], row["frame"], [round(value, 4) for value in row["keypoints"]]) for row in people]
        assert sorted(own, key=repr) == sorted(expected, key=repr)
        assert not errors
        print(f"round {number + 1}: {count} images and frames, {len(people)} people, rows equal", file=sys.stderr)
    print("| | images and frames a second, per round | best |\n|---|---|---|")
    for name, values in rates.items():
        print(f"| {name} | {' '.join(f'{value:.1f}' for value in values)} | {max(values):.1f} |")
    ratios = [one / other for one, other in zip(rates["batch"], rates["predict"], strict=True)]
    shown = " ".join(f"{ratio:.3f}" for ratio in ratios)
    print(f"\nbatch / predict in each round: {shown}, median {statistics.median(ratios):.3f}")
    shown = ", ".join(f"{one:.1f} and {other:.1f} ({one / other:.3f})" for one, other in cores)
    print(f"core time of predict and of batch with all of Ray, ms an image, in each round: {shown}")


def tree(process):
    """The process and all that descend from it."""
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        one = psutil.Process(process.pid)
        return [one, *one.children(recursive=True)]
    return []


def workers(process):
    """The actors among what descends from a process."""
    import psutil

    own = []
    for one in tree(process):
        with contextlib.suppress(psutil.Error):
            if "Annotator" in " ".join(one.cmdline()):
                own.append(one)
    return own


@contextlib.contextmanager
def cluster(nodes):
    """Ray nodes of so many cores each, on this machine; yields the address."""
    from ray.cluster_utils import Cluster

    first, *others = ({"num_cpus": cores, "object_store_memory": 100 << 20} for cores in nodes)
    one = Cluster(initialize_head=True, head_node_args={**first, "include_dashboard": False})
    try:
        for other in others:
            one.add_node(**other)
        yield one.address
    finally:
        one.shutdown()


def kills(options):
    """Kill parts of jobs at random times, and compare the rows with those of an uninterrupted one."""
    inputs = draw(options.work, options.images, options.videos, damaged=50)
    words = [inputs / "images", inputs / "videos"]
    flags = ["--long-edge", options.long_edge, "--part", 16, "--piece", 12, "--track", "--cores", 1, "--actors", 2]
    whole = options.work / "out-whole"
    shutil.rmtree(whole, ignore_errors=True)
    generator = random.Random(options.seed)
    with cluster([2]) as address:
        shared = [*flags, "--address", address]
        timed(batch(words, options.work / "out-whole", *shared), options.work / "whole.log")
        shutil.rmtree(whole)
        _, seconds = timed(batch(words, whole, *shared), options.work / "whole.log")
        expected = rows(whole)
        print(f"uninterrupted: {seconds:.1f} s, {expected[0].num_rows} people, {expected[1].num_rows} images and "
              f"frames, {expected[2].num_rows} errors", flush=True)  # fmt: skip
        listed(expected[2])
        print("\n| run | killed | at, s | starts | equal |\n|---|---|---|---|---|", flush=True)
        for run in range(options.runs):
            what = ("worker", "driver", "job")[run % 3]
            if what != "job":
                killed(
                    options, run, what, batch(words, options.work / "out-killed", *shared), seconds, expected, generator
                )
    for run in range(2, options.runs, 3):  # a Ray of their own, which is killed, too
        command = batch(words, options.work / "out-killed", *flags)
        killed(options, run, "job", command, 2 * seconds, expected, generator)


def listed(errors):
    """Print how many inputs are listed as damaged, and some reasons."""
    reasons = Counter(row["reason"] for row in errors.to_pylist())
    print(f"\n{errors.num_rows} damaged inputs are listed; reasons by number:")
    for reason, count in reasons.most_common(5):
        print(f"- {count}: {reason}", flush=True)


def killed(options, run, what, command, seconds, expected, generator):
    """Run a command until it ends by itself, kill a part of it twice, and compare its rows."""
    import psutil

    output = options.work / "out-killed"
    shutil.rmtree(output, ignore_errors=True)
    starts, moments = 0, []
    while True:
        starts += 1
        with (options.work / "killed.log").open("w") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        begun = time.perf_counter()
        while len(moments) < 2 and process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(generator.uniform(0.2, 0.8) * seconds)
            if process.poll() is not None:
                break
            targets = {"worker": workers(psutil.Process()), "driver": tree(process)[:1], "job": tree(process)}[what]
            for target in targets[: 1 if what == "worker" else None]:
                with contextlib.suppress(psutil.Error):
                    target.kill()
            if targets:
                moments.append(f"{time.perf_counter() - begun:.0f}")
            if what != "worker":
                break
        code = process.wait(60 + 20 * seconds)
        if code == 0:
            break
        assert code == -signal.SIGKILL, (code, (options.work / "killed.log").read_text())
        time.sleep(1)
    equal = all(one.equals(other) for one, other in zip(rows(output), expected, strict=True))
    print(f"| {run + 1} | {what} | {', '.join(moments)} | {starts} | {'yes' if equal else 'NO'} |", flush=True)
    assert equal


def links(work, count, few=200):
    """A folder of `count` hard links to few drawn images."""
    sources = sorted((draw(work, few, 0) / "images").iterdir())
    folder = Path(work) / f"links-{count}"
    if not (folder / "done").exists():
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "images").mkdir(parents=True)
        for number in range(count):
            os.link(sources[number % len(sources)], folder / "images" / f"{number:09d}.png")
        (folder / "done").touch()
    return folder / "images"


class Watch:
    """Adds up the core time of all processes of a job.

    Args:
        process: of the command.
        memory: also sample the memory of the driver and of the workers, bytes of each that no other process shares,
            which takes core time from the job.
    """

    def __init__(self, process, memory=False):
        self._process, self._memory, self._over = process, memory, threading.Event()
        self.driver, self.workers, self._cores = [], [], {}
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        import psutil

        while not self._over.wait(0.5):
            for one in tree(self._process):
                with contextlib.suppress(psutil.Error):
                    times = one.cpu_times()
                    self._cores[one.pid] = times.user + times.system
            if not self._memory:
                continue
            with contextlib.suppress(psutil.Error, IndexError):
                driver = tree(self._process)[0].memory_full_info().uss
                own = [one.memory_full_info().uss for one in workers(self._process)]
                if own:
                    self.driver.append(driver)
                    self.workers.append(sum(own))

    @property
    def core_seconds(self):
        return sum(self._cores.values())

    def stop(self):
        self._over.set()
        self._thread.join()


def watched(command, log, memory=False):
    """Run a command; return its output, its seconds, and what was watched."""
    start = time.perf_counter()
    with Path(log).open("w") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        watch = Watch(process, memory)
        printed, _ = process.communicate()
        watch.stop()
    assert process.returncode in (0, 1), Path(log).read_text()
    return printed, time.perf_counter() - start, watch


def nodes(options):
    """Share a job between two Ray nodes on this machine, of one core each."""
    inputs = draw(options.work, options.images, options.videos)
    words = [inputs / "images", inputs / "videos"]
    edge = ["--long-edge", options.long_edge, "--cores", 1]
    expected = options.work / "out-one"
    shutil.rmtree(expected, ignore_errors=True)
    _, alone = timed(batch(words, expected, *edge, "--actors", 1), options.work / "one.log")
    with cluster([1, 1]) as address:
        output = options.work / "out-nodes"
        shutil.rmtree(output, ignore_errors=True)
        _, both = timed(batch(words, output, *edge, "--address", address), options.work / "nodes.log")
    equal = all(one.equals(other) for one, other in zip(rows(output), rows(expected), strict=True))
    assert equal
    shares = shares_of(output)
    assert len(shares) == 2
    print(f"one node {alone:.1f} s, two nodes {both:.1f} s; rows equal; units by node: {shares}")


def shares_of(output):
    """Units by the Ray node that did them."""
    import pyarrow.parquet as pq

    files = (output / "_manifest").glob("*.parquet")
    workers = [json.loads(pq.read_schema(file).metadata[b"worker"]) for file in files]
    return dict(Counter(worker["node"][:8] for worker in workers))


def scale(options):
    """Time jobs of several sizes, and compute a larger one."""
    points = []
    print("| images | seconds | images a second | bytes written an image | MB of the driver | of the workers |")
    print("|---|---|---|---|---|---|", flush=True)
    for count in options.counts:
        output = options.work / "out-scale"
        shutil.rmtree(output, ignore_errors=True)
        folder = links(options.work, count)
        command = batch([folder], output, "--long-edge", options.long_edge)
        _, seconds, watch = watched(command, options.work / "scale.log", memory=True)
        written = sum(path.stat().st_size for path in output.rglob("*") if path.is_file())
        assert rows(output)[1].num_rows == count
        points.append((count, seconds, written))
        cells = [
            " ".join(f"{value / 1e6:.0f}" for value in (series[len(series) // 4], series[-1], max(series)))
            for series in (watch.driver, watch.workers)
        ]
        print(f"| {count} | {seconds:.1f} | {count / seconds:.1f} | {written / count:.0f} | {cells[0]} | {cells[1]} |",
              flush=True)  # fmt: skip
    (first, low, _), (last, high, written) = points[0], points[-1]
    rate = (last - first) / (high - low)
    start = low - first / rate
    for count, seconds, _ in points[1:-1]:
        line = start + count / rate
        print(f"\n{count} images: {line:.1f} s by the line of the first and the last, {seconds:.1f} s measured "
              f"({seconds / line - 1:+.1%})")  # fmt: skip
    days = (start + options.target / rate) / 86400
    print(f"\nstart {start:.1f} s, then {rate:.1f} images a second on this machine; {options.target:.0e} images: "
          f"{days:.0f} days on one such machine, {days / 1000 * 24:.1f} hours on 1,000; "
          f"{written / last * options.target / 1e12:.2f} TB of results")  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for run, images, videos, counts in (
        (throughput, 5000, 20, None), (kills, 120, 2, None), (nodes, 400, 4, None),
        (scale, 0, 0, [1000, 10000, 100000]),
    ):  # fmt: skip
        one = commands.add_parser(run.__name__)
        one.set_defaults(run=run)
        one.add_argument("--work", type=Path, default=Path("/tmp/personlab-batch"))
        one.add_argument("--images", type=int, default=images)
        one.add_argument("--videos", type=int, default=videos)
        one.add_argument("--long-edge", type=int, default=161 if counts else 321)
        one.add_argument("--rounds", type=int, default=3)
        one.add_argument("--runs", type=int, default=20)
        one.add_argument("--seed", type=int, default=1)
        one.add_argument("--counts", type=int, nargs="+", default=counts)
        one.add_argument("--target", type=float, default=1e9)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    options.run(options)


if __name__ == "__main__":
    main()
