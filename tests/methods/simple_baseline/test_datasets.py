"""From the releases of MPII and PoseTrack to scores: convert, train by the configuration of each, evaluate."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("scipy")
from mpii_files import point, rect
from mpii_files import write as write_mpii
from posetrack_files import KEYPOINTS, person, sequence

from personlab import COCO_PERSON, MPII_PERSON, POSETRACK_PERSON, load_model
from personlab.cli import main
from personlab.data.synthetic.scenes import numbered_scene
from personlab.visualize import write_image

pytestmark = pytest.mark.torch
SMALL = [
    "--steps=1", "--batch-size=2", "--data.workers=0", "--data.crop", "64", "64", "--network.backbone=mobilenet_v1",
    "--network.width=0.5", "--network.channels=8", "--precision=float32",
]  # fmt: skip


def joints(keypoints):
    """Joints of all three data sets by name."""
    points = {name: keypoints[k, :2].astype(float) for k, name in enumerate(COCO_PERSON.names)}
    neck = (points["left_shoulder"] + points["right_shoulder"]) / 2
    points["pelvis"] = (points["left_hip"] + points["right_hip"]) / 2
    points["thorax"] = points["upper_neck"] = points["head_bottom"] = neck
    points["head_top"] = 2 * points["nose"] - neck
    return points


@pytest.fixture
def people(tmp_path, monkeypatch):
    """Joints of the people of each of two scenes, whose images lie where either release has them."""
    monkeypatch.chdir(tmp_path)
    listed = []
    for n in range(2):
        scene = numbered_scene(5, n, size=(97, 129), people=(2, 2))
        for folder in ("mpii/images", "posetrack/images/one"):
            Path(folder).mkdir(parents=True, exist_ok=True)
            write_image(f"{folder}/{n + 1}.jpg", scene.image)
        listed.append([joints(one) for one in scene.keypoints])
    return listed


def head_of(points):
    corners = np.stack([points["head_top"], points["head_bottom"]])
    return [*(corners.min(axis=0) - 5).tolist(), *(corners.max(axis=0) + 5).tolist()]


def evaluate(capsys, *flags):
    capsys.readouterr()
    assert main(["evaluate", "--boxes", "true", "--engine", "torch", *flags]) == 0
    return dict(re.findall(r"^(\S.*?) {2,}([\d.]+)$", capsys.readouterr().out, re.MULTILINE))


def test_mpii(people, capsys):
    named = list(enumerate(MPII_PERSON.names))
    images = [
        [rect([point(k, *(one[name] + 1)) for k, name in named], head=head_of(one)) for one in image]
        for image in people
    ]  # fmt: skip
    write_mpii("mpii/release.mat", [], *images)  # from 0; the first image has nobody
    write_image("mpii/images/0.jpg", np.zeros((97, 129, 3), np.uint8))
    assert main(["convert-annotations", "mpii", "mpii/release.mat", "mpii/train.json", "--images", "mpii/images"]) == 0
    assert main(["train", "--config", "simple-baseline-mpii", "--network.imagenet", "null", *SMALL]) == 0
    weights = "simple-baseline-mpii/weights.safetensors"
    assert load_model(weights).config.skeleton == MPII_PERSON
    data = ("--annotations", "mpii/train.json", "--images", "mpii/images")
    scores = evaluate(capsys, *data, "--weights", weights, "--metric", "mpii", "--flip")
    assert 0 <= float(scores["PCKh Mean"]) <= 100


def test_posetrack_from_the_network_of_coco(people, capsys):
    """The category lists COCO's edges, as in the release, and these have no mirror image."""
    listed = [
        person(n, track, head=head_of(one), **{name: tuple(one[name]) for name in KEYPOINTS if "ear" not in name})
        for n, image in enumerate(people, 1)
        for track, one in enumerate(image)
    ]
    for entry in listed:
        points = np.reshape(entry["keypoints"], (-1, 3))
        points = points[points[:, 2] > 0, :2]
        entry["bbox"] = [*points.min(axis=0).tolist(), *np.ptp(points, axis=0).tolist()]
        left, top, right, bottom = entry["bbox_head"]
        entry["bbox_head"] = [left, top, right - left, bottom - top]
    content = sequence(listed, frames=2)
    content["categories"][0]["skeleton"] = [[a + 1, b + 1] for a, b in COCO_PERSON.edges] + [[2, 4], [3, 5]]
    Path("release").mkdir()
    Path("release/one.json").write_text(json.dumps(content))
    argv = ["convert-annotations", "posetrack", "release", "posetrack/train.json", "--images", "posetrack"]
    assert main(argv) == 0
    assert main(["train", "--config", "simple-baseline-drawn", *SMALL, "--output", "simple-baseline-coco"]) == 0
    assert main(["train", "--config", "simple-baseline-posetrack", *SMALL]) == 0
    weights = "simple-baseline-posetrack/weights.safetensors"
    assert load_model(weights).config.skeleton == POSETRACK_PERSON
    data = ("--annotations", "posetrack/train.json", "--images", "posetrack")
    scores = evaluate(capsys, *data, "--weights", weights, "--metric", "posetrack", "--flip")
    assert 0 <= float(scores["AP total"]) <= 100


def test_keypoints_without_edges(tmp_path, monkeypatch, capsys):
    """Methods that look at one person at a time need none; the others say so."""
    monkeypatch.chdir(tmp_path)
    assert main(["scenes", "--output", "s", "--count", "2", "--size", "97", "129", "--people", "2", "2"]) == 0
    content = json.loads(Path("s/person_keypoints.json").read_text())
    (category,) = content["categories"]
    category["keypoints"] = [f"point {k}" for k in range(17)]
    del category["skeleton"]
    Path("s/a.json").write_text(json.dumps(content))
    data = ["--data.annotations=s/a.json", "--data.images=s/images"]
    assert main(["train", "--config", "simple-baseline-drawn", *data, *SMALL, "--output", "run"]) == 0
    assert load_model("run/weights.safetensors").config.skeleton.edges == ()
    scored = ("--annotations", "s/a.json", "--images", "s/images", "--weights", "run/weights.safetensors", "--flip")
    assert 0 <= float(evaluate(capsys, *scored)["keypoint AP"]) <= 1
    assert main(["train", "--config", "drawn", *data, "--steps=1", "--output", "other"]) == 1
    assert "expected edges, pairs of numbers from 1, that join all 17 keypoints, got 0" in capsys.readouterr().err
