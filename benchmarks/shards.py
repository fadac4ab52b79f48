"""Measures shards against files, training on two nodes against one, and plans of training against training."""

from __future__ import annotations

import argparse
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

from personlab.data.annotations import read_annotations
from personlab.data.augment import Augmentation
from personlab.data.images import CocoImages
from personlab.data.loader import StepSampler, Views, make_loader, read_batches
from personlab.data.shards.images import ShardImages
from personlab.data.shards.write import write_shards
from personlab.data.split import choose_images
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


def write_sources(annotations: Path, images: Path, folder: Path, count: int, per_shard: int):
    """Write some images as an annotation file and as shards; return functions that open each."""
    read = read_annotations(annotations)
    ids = set(choose_images(read, min(count, len(read.images))))
    content = json.loads(annotations.read_text())
    content["images"] = [entry for entry in content["images"] if entry["id"] in ids]
    content["annotations"] = [entry for entry in content["annotations"] if entry["image_id"] in ids]
    own = folder / "annotations.json"
    own.write_text(json.dumps(content))
    read = read_annotations(own)
    for name in FORMATS[1:]:
        start = time.process_time()
        paths = write_shards(read, images, folder / name, ending=f".{name}", count=per_shard)
        seconds, size = time.process_time() - start, sum(path.stat().st_size for path in paths)
        print(
            f"{name}: {len(ids)} images in {len(paths)} shards, {size / 1e6:.1f} MB, written in {seconds:.1f} s of CPU"
        )
    size = sum((images / name).stat().st_size for name in read.names())
    print(f"files: {size / 1e6:.1f} MB of images, {own.stat().st_size / 1e6:.1f} MB of annotations")
    return {
        "files": lambda: CocoImages(own, images),
        "tar": lambda: ShardImages(folder / "tar"),
        "parquet": lambda: ShardImages(folder / "parquet"),
    }


def content(source) -> bytes:
    return source.read() if isinstance(source, StoredImage) else source.read_bytes()


def views_of(images) -> Views:
    method = get_method("personlab")
    return Views(images, method.encode, method.loss_options(), crop=CROP, stride=STRIDE, augmentation=VIEW, seed=0)


def measure_access(openers, rounds: int) -> None:
    """Print the CPU time of opening and of reading in random order, warm; the bytes are the same."""
    opening, times = {name: [] for name in openers}, {name: [] for name in openers}
    opened = {name: opener() for name, opener in openers.items()}  # imports, and fills the caches
    order = np.random.default_rng(0).permutation(len(opened["files"]))
    for _ in range(rounds):
        expected = None
        for name, opener in openers.items():
            start = time.process_time()
            images = opener()
            opening[name].append(time.process_time() - start)
            start = time.process_time()
            read = [content(images.source(number)) for number in order]
            times[name].append(time.process_time() - start)
            assert expected is None or read == expected
            expected = read
    print("| CPU time, min | opening, ms an image | an image in random order, us |\n|---|---|---|")
    for name in openers:
        print(f"| {name} | {1e3 * min(opening[name]) / len(order):.3f} | {1e6 * min(times[name]) / len(order):.0f} |")


def measure_loader(openers, steps: int, rounds: int, batch_size: int) -> None:
    """Print images a second of a core that makes batches and does nothing else; the batches are the same."""
    views = {name: views_of(opener()) for name, opener in openers.items()}
    times = {name: [] for name in openers}
    for turn in range(-1, rounds):  # the first fills caches
        batches = {}
        for name, own in views.items():
            sampler = StepSampler(batch_size, first_step=(turn + 1) * steps, steps=(turn + 2) * steps)
            start = time.process_time()
            batches[name] = list(read_batches(make_loader(own, sampler, workers=0)))
            if turn >= 0:
                times[name].append(time.process_time() - start)
        for expected, *others in zip(*batches.values(), strict=True):
            for other in others:
                assert torch.equal(expected.images, other.images)
                assert all(torch.equal(value, other.targets[key]) for key, value in expected.targets.items())
    print("| loader, one core | images/s of CPU time (mean) | time against files (median of rounds) |\n|---|---|---|")
    for name, own in times.items():
        ratio = statistics.median(a / b for a, b in zip(own, times["files"], strict=True))
        print(f"| {name} | {rounds * steps * batch_size / sum(own):.1f} | {ratio:.3f} |")


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
    sgd = OptimizerOptions(name="sgd", rate=1e-2, warmup=0, schedule="constant")  # AdamW makes much of rounding
    more = {"steps": steps, "network": frozen, "optimizer": sgd, "data": replace(data, workers=1)}
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
    assert all(torch.allclose(two[key], value, rtol=1e-4, atol=1e-6) for key, value in weights["one process"].items())


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
        openers = write_sources(arguments.annotations, arguments.images, folder, arguments.count, arguments.per_shard)
        data = DataOptions(shards=str(folder / "tar"), crop=CROP, workers=arguments.workers)
        if "access" in parts:
            measure_access(openers, arguments.rounds)
        if "loader" in parts:
            measure_loader(openers, arguments.steps, arguments.rounds, 8)
        if "nodes" in parts:
            compare_nodes(folder, data, min(arguments.steps, 20))
        if "plan" in parts:
            compare_plan(folder, data, arguments.steps, arguments.seconds, min(arguments.rounds, 3))


if __name__ == "__main__":
    main()
