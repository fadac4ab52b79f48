"""Small runs with teachers: networks of random weights, and images of drawn people in files."""

from __future__ import annotations

import json

import numpy as np
from published import random_model
from tiny_runs import tiny

from personlab import visualize
from personlab.data.coco import People, make_dataset
from personlab.data.synthetic import make_scene
from personlab.train import DataOptions, EvaluationOptions, NetworkOptions, OptimizerOptions, TeacherOptions
from personlab.weights import save_model

SIZE, COUNT = (97, 129), 4
FIELDS = ("heatmaps", "short_offsets", "mid_offsets")
MASKS = ("segmentation", "long_offsets")
RATES = OptimizerOptions(rate=1e-3, warmup=0, schedule="constant")  # which do not depend on the length of the run


def make_source(folder):
    """Write images/, more/, annotations.json and weights of three networks into a folder, and return it."""
    for name in ("images", "more"):
        (folder / name).mkdir()
    scenes = {n: make_scene(n, size=SIZE, people=1 + n % 2) for n in range(1, COUNT + 1)}
    for n, scene in scenes.items():
        visualize.write_image(folder / "images" / f"{n}.png", scene.image)
    visualize.write_image(folder / "more" / "9.png", make_scene(9, size=SIZE, people=1).image)
    people = {n: People(s.keypoints, s.masks, np.zeros(SIZE, bool)) for n, s in scenes.items()}
    dataset = make_dataset(people.items(), file_name="{:d}.png")
    dataset["annotations"] = [a for a in dataset["annotations"] if a["image_id"] != COUNT]  # the last one shows nobody
    (folder / "annotations.json").write_text(json.dumps(dataset))
    save_model(random_model(seed=1, masks=False), folder / "keypoints.safetensors")
    save_model(random_model(seed=2), folder / "masks.safetensors")
    save_model(random_model(seed=3, masks=False), folder / "start.safetensors")
    return folder


def config(source, output, **more):
    data = {"annotations": str(source / "annotations.json"), "images": str(source / "images"), "crop": (65, 81)}
    settings = {
        "optimizer": RATES,
        "data": DataOptions(**data, workers=0),
        "network": NetworkOptions(weights=str(source / "start.safetensors"), masks=True),
        "evaluation": EvaluationOptions(),
        "cache": str(output.parent / "cache"),
        "teachers": (
            TeacherOptions(weights=str(source / "keypoints.safetensors"), fields=FIELDS, long_edge=129, stride=8),
            TeacherOptions(weights=str(source / "masks.safetensors"), fields=MASKS, long_edge=129, flip=True),
        ),
    }
    return tiny(output, **{**settings, **more})


def entries(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
