"""Training on photographs in small: from published weights, two annotated images are learned by heart."""

from __future__ import annotations

import json

import pytest

from personlab import Predictor
from personlab.data.augment import Augmentation
from personlab.metrics.coco import average_precision, load_annotations
from personlab.options import DecodeOptions
from personlab.predict.dataset import predict_dataset
from personlab.train import (
    DataOptions,
    EvaluationOptions,
    LossOptions,
    NetworkOptions,
    OptimizerOptions,
    TrainConfig,
    train,
)

IMAGES = ("000000442450.jpg", "000000535506.jpg")


@pytest.fixture
def two_images(data, tmp_path):
    """The annotations of two images of coco-mini, as a file of their own."""
    content = json.loads((data / "coco-mini" / "annotations" / "person_keypoints.json").read_text())
    content["images"] = [image for image in content["images"] if image["file_name"] in IMAGES]
    kept = {image["id"] for image in content["images"]}
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] in kept]
    path = tmp_path / "two.json"
    path.write_text(json.dumps(content))
    return str(path), str(data / "coco-mini" / "images")


@pytest.mark.slow
def test_two_images_are_learned_by_heart(two_images, data, tmp_path):
    annotations, images = two_images
    weights = str(data / "weights" / "bodypix-mobilenet-050-stride16.onnx")
    index = load_annotations(annotations)
    before = predict_dataset(
        Predictor(weights, stride=8, long_edge=321, options=DecodeOptions(min_score=0.0)), index, images
    )
    first = average_precision(index, before.keypoints, "keypoints").ap
    summary = train(
        TrainConfig(
            output=str(tmp_path / "run"), steps=30, batch_size=2, log_every=5,
            network=NetworkOptions(weights=weights),
            data=DataOptions(annotations=annotations, images=images, crop=(321, 321), workers=0),
            augmentation=Augmentation(long_edge=321),
            loss=LossOptions(),
            optimizer=OptimizerOptions(rate=1e-3, head_rate=2, warmup=5, weight_decay=0, average=0.9),
            evaluation=EvaluationOptions(annotations=annotations, images=images, stride=8, long_edge=321),
        )
    )  # fmt: skip
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    losses = [line for line in lines if "total" in line]
    for name in ("total", "heatmap", "short", "mid", "segmentation", "long"):
        assert losses[-1][name] < 0.7 * losses[0][name], name
    assert summary.figures["keypoint_ap"] > first + 0.2
