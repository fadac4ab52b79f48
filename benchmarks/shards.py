"""Measures shards against files, training on two nodes against one, and plans of training against training."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from shared import DATA

from personlab.data.augment import Augmentation
from personlab.data.images import CocoImages
from personlab.data.loader import StepSampler, Views, make_loader, read_batches
from personlab.data.shards.images import ShardImages
from personlab.data.shards.write import write_shards
from personlab.data.split import choose_images, only_images
from personlab.io.images import StoredImage
from personlab.methods import get_method
from personlab.train import (
    DataOptions,
    EvaluationOptions,
    NetworkOptions,
    OptimizerOptions,
    TrainConfig,
    train,
)
from personlab.train.plan import plan

VIEW = Augmentation(long_edge=513, scale=(0.7, 1.3), rotation=10, flip=0.5, centre="person", shift=0.3, colour=0.1)
CROP, STRIDE = (257, 257), 16
FORMATS = ("files", "tar", "parquet")


def sources(annotations: Path, images: Path, folder: Path, count: int, per_shard: int):
    """Return functions that open `count` images as files and as shards, which are written into a folder."""
    from personlab.data.annotations import read_annotations

    read = read_annotations(annotations)
    chosen = only_images(read, choose_images(read, min(count, len(read.images))), "images")
    ids = folder / "ids.txt"
    ids.write_text("".join(f"{number}\n" for number in read.images if number not in chosen.images))
    held_out = {"held_out": ids} if ids.stat().st_size else {}
    for name in FORMATS[1:]:
        start = time.perf_counter()
        paths = write_shards(chosen, images, folder / name, ending=f".{name}", count=per_shard)
        seconds, size = time.perf_counter() - start, sum(path.stat().st_size for path in paths)
        print(f"{name}: {len(chosen.images)} images, {len(paths)} shards, {size / 1e6:.1f} MB, {seconds:.1f} s")
    size = sum((images / name).stat().st_size for name in chosen.names())
    print(f"files: {size / 1e6:.1f} MB of images")
    return {
        "files": lambda: CocoImages(annotations, images, **held_out),
        "tar": lambda: ShardImages(folder / "tar"),
        "parquet": lambda: ShardImages(folder / "parquet"),
    }


def content(source) -> bytes:
    return source.read() if isinstance(source, StoredImage) else source.read_bytes()


def views_of(images) -> Views:
    method = get_method("personlab")
    return Views(images, method.encode, method.loss_options(), crop=CROP, stride=STRIDE, augmentation=VIEW, seed=0)


def measure_access(opened, rounds: int) -> None:
    """Print opening and reading in random order, warm; the bytes are the same."""
    order = np.random.default_rng(0).permutation(len(opened["files"][0]))
    times = {name: [] for name in opened}
    for _ in range(rounds):
        expected = None
        for name, (images, _) in opened.items():
            start = time.perf_counter()
            read = [content(images.source(number)) for number in order]
            times[name].append((time.perf_counter() - start) / len(order))
            assert expected is None or read == expected
            expected = read
    print("| | opening, ms an image | one image in random order, us (min) |\n|---|---|---|")
    for name, (images, seconds) in opened.items():
        print(f"| {name} | {1e3 * seconds / len(images):.3f} | {1e6 * min(times[name]):.0f} |")


def measure_loader(opened, steps: int, rounds: int, workers: int, batch_size: int) -> None:
    """Print images a second of the loader; the batches are the same."""
    speeds = {name: [] for name in opened}
    for turn in range(rounds):
        batches = {}
        for name, (images, _) in opened.items():
            sampler = StepSampler(batch_size, first_step=turn * steps, steps=(turn + 1) * steps)
            with contextlib.closing(read_batches(make_loader(views_of(images), sampler, workers=workers))) as loader:
                first = next(loader)
                start = time.perf_counter()
                count = sum(1 for _ in loader)
            speeds[name].append(count * batch_size / (time.perf_counter() - start))
            batches[name] = first
        one = batches["files"]
        for other in batches.values():
            assert torch.equal(one.images, other.images)
            assert all(torch.equal(value, other.targets[key]) for key, value in one.targets.items())
    print(
        f"| loader, {workers} workers | images/s (max of {rounds}) | against files (median of rounds) |\n|---|---|---|"
    )
    for name, values in speeds.items():
        ratio = statistics.median(a / b for a, b in zip(values, speeds["files"], strict=True))
        print(f"| {name} | {max(values):.1f} | {ratio:.3f} |")


def run_config(folder: Path, data: DataOptions, **more) -> TrainConfig:
    settings = {
        "output": str(folder), "batch_size": 8, "threads": 1, "log_every": 10, "checkpoint_every": 1000,
        "network": NetworkOptions(width=0.5, stride=STRIDE), "data": data, "augmentation": VIEW,
        "optimizer": OptimizerOptions(warmup=2), "evaluation": EvaluationOptions(),
    }  # fmt: skip
    return TrainConfig(**{**settings, **more})


def torchrun(config: TrainConfig, folder: Path, nodes: int) -> None:
    """Train in two processes: of one node, or of one on each of two nodes."""
    path = folder / f"{Path(config.output).name}.json"
    path.write_text(config.to_json())
    port = str(29000 + os.getpid() % 1000 + nodes)
    commands = [
        [sys.executable, "-m", "torch.distributed.run", "--nnodes", str(nodes), "--nproc-per-node", str(2 // nodes),
         "--node-rank", str(rank), "--master-addr", "127.0.0.1", "--master-port", port,
         "-m", "personlab", "train", "--config", str(path)]
        for rank in range(nodes)
    ]  # fmt: skip
    started = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for command in commands]
    for process in started:
        _, err = process.communicate(timeout=900)
        assert process.returncode == 0, err.decode()


def compare_nodes(folder: Path, data: DataOptions, steps: int) -> None:
    """Print how far the weights of two nodes are from those of one, and of one process."""
    frozen = NetworkOptions(width=0.5, stride=STRIDE, freeze_norm=True)  # batch norm sees each process's images
    more = {"steps": steps, "network": frozen, "data": replace(data, workers=1)}
    weights = {}
    for name, nodes in (("two nodes", 2), ("one node", 1), ("one process", 0)):
        config = run_config(folder / name.replace(" ", "-"), **more)
        if nodes:
            torchrun(config, folder, nodes)
        else:
            train(config)
        weights[name] = load_file(Path(config.output) / "weights-raw.safetensors")
    two = weights["two nodes"]
    for name in ("one node", "one process"):
        differences = [float((two[key].double() - value.double()).abs().max()) for key, value in weights[name].items()]
        print(f"{steps} steps on two nodes of one process against {name}: largest difference {max(differences):.2e}")
    assert all(torch.equal(two[key], value) for key, value in weights["one node"].items())
    assert all(torch.allclose(two[key], value, rtol=1e-3, atol=1e-5) for key, value in weights["one process"].items())


def compare_plan(folder: Path, data: DataOptions, steps: int, seconds: float, rounds: int) -> None:
    """Print images a second by `personlab plan` and of training."""
    print("| plan: loader | step | together | from | to | training | plan / training |\n|---|---|---|---|---|---|---|")
    ratios = []
    for turn in range(rounds):
        config = run_config(folder / f"truth-{turn}", data, steps=steps)
        planned = plan(config, seconds=seconds)
        train(config)
        lines = [json.loads(line) for line in (Path(config.output) / "log.jsonl").read_text().splitlines()]
        running = [line["images_per_second"] for line in lines if "images_per_second" in line][1:]
        truth = len(running) / sum(1 / speed for speed in running)
        mean, low, high = planned.together
        ratios.append(mean / truth)
        print(
            f"| {planned.loader.mean:.1f} | {planned.step.mean:.1f} | {mean:.1f} | {low:.1f} | {high:.1f} | "
            f"{truth:.1f} | {ratios[-1]:.3f} |"
        )
    print(f"plan / training, median of {rounds}: {statistics.median(ratios):.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--annotations", type=Path, default=DATA / "coco-people" / "annotations" / "person_keypoints.json"
    )
    parser.add_argument("--images", type=Path, default=DATA / "coco-people" / "images")
    parser.add_argument("--count", type=int, default=400, help="images")
    parser.add_argument("--per-shard", type=int, default=100)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement of a plan")
    parser.add_argument("--only", choices=("access", "loader", "nodes", "plan"), nargs="*")
    arguments = parser.parse_args()
    parts = arguments.only or ("access", "loader", "nodes", "plan")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        openers = sources(arguments.annotations, arguments.images, folder, arguments.count, arguments.per_shard)
        opened = {}
        for kind, opener in openers.items():
            start = time.perf_counter()
            opened[kind] = (opener(), time.perf_counter() - start)
        data = DataOptions(shards=str(folder / "tar"), crop=CROP, workers=arguments.workers)
        if "access" in parts:
            measure_access(opened, arguments.rounds)
        if "loader" in parts:
            measure_loader(opened, arguments.steps, arguments.rounds, arguments.workers, 8)
        if "nodes" in parts:
            compare_nodes(folder, data, min(arguments.steps, 20))
        if "plan" in parts:
            compare_plan(folder, data, arguments.steps, arguments.seconds, min(arguments.rounds, 3))


if __name__ == "__main__":
    main()
