"""Measures images a second of the loader, of the network on a batch, and of training, with its share of waiting."""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch
from shared import DATA

from personlab.data.augment import Augmentation
from personlab.data.images import CocoImages, DrawnImages
from personlab.data.loader import StepSampler, Views, make_loader
from personlab.methods import get_method
from personlab.nn import ModelConfig, PersonLab
from personlab.train import (
    DataOptions,
    EvaluationOptions,
    NetworkOptions,
    OptimizerOptions,
    TrainConfig,
    compute_losses,
    train,
)

COCO = DATA / "coco-mini"


def configurations(batch_size: int, threads: int) -> dict[str, TrainConfig]:
    """Return configurations for drawn scenes, as of the shipped network, and for photographs, at output stride 16."""
    common = {
        "batch_size": batch_size,
        "threads": threads,
        "precision": "bfloat16",
        "network": NetworkOptions(width=0.5, stride=16),
        "optimizer": OptimizerOptions(warmup=1),
        "evaluation": EvaluationOptions(scenes=1, long_edge=129),
    }
    view = Augmentation(scale=(0.5, 1.0), rotation=10, flip=0.5, centre="person", shift=0.3, colour=0.1)
    photographs = {"annotations": str(COCO / "annotations" / "person_keypoints.json"), "images": str(COCO / "images")}
    return {
        "drawn scenes 385x513, crops 257x257": TrainConfig(
            **common, augmentation=view, data=DataOptions(scene_size=(385, 513), crop=(257, 257), workers=1)
        ),
        "coco-mini, crops 401x401": TrainConfig(
            **common,
            augmentation=replace(view, long_edge=641),
            data=DataOptions(**photographs, crop=(401, 401), workers=1),
        ),
    }


def loader_of(config: TrainConfig, steps: int):
    data = config.data
    if data.annotations is None:
        images = DrawnImages(config.seed, size=data.scene_size, people=data.scene_people)
    else:
        images = CocoImages(data.annotations, data.images)
    views = Views(
        images,
        get_method("personlab").encode,
        config.loss,
        crop=data.crop,
        stride=config.network.stride,
        augmentation=config.augmentation,
        seed=config.seed,
    )
    sampler = StepSampler(config.batch_size, first_step=0, steps=steps)
    return make_loader(views, sampler, workers=data.workers)


def loader_speed(config: TrainConfig, steps: int) -> float:
    times, start = [], time.perf_counter()
    for _ in loader_of(config, steps):
        times.append(time.perf_counter() - start)
        start = time.perf_counter()
    return config.batch_size / statistics.mean(times[steps // 4 :])  # without the start of the worker


def network_speed(config: TrainConfig, steps: int) -> float:
    batch = next(iter(loader_of(config, 1)))
    model = PersonLab(ModelConfig(width=config.network.width)).train().to(memory_format=torch.channels_last)
    times = []
    for _ in range(steps):
        start = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            outputs = model(batch.images)
        compute_losses(outputs, batch, model, config.loss).total.backward()
        times.append(time.perf_counter() - start)
    return config.batch_size / statistics.median(times)


def training_speed(config: TrainConfig, steps: int) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as folder:
        train(replace(config, output=folder, steps=steps, log_every=steps // 4, checkpoint_every=steps))
        lines = [json.loads(line) for line in (Path(folder) / "log.jsonl").read_text().splitlines()]
    running = [line for line in lines if "images_per_second" in line][1:]  # the first waits for the loader to start
    return tuple(statistics.mean(line[name] for line in running) for name in ("images_per_second", "waiting"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch; the loader has one process beside it")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print("| data | loader alone | network alone | training | waiting for the loader |")
    print("|---|---|---|---|---|")
    for name, config in configurations(arguments.batch_size, arguments.threads).items():
        loader, network = loader_speed(config, arguments.steps), network_speed(config, arguments.steps // 4)
        training, waiting = training_speed(config, arguments.steps)
        print(f"| {name} | {loader:.1f}/s | {network:.1f}/s | {training:.1f}/s | {100 * waiting:.1f} % |")


if __name__ == "__main__":
    main()
