"""The demonstration finds the people it draws, and measures honestly how well."""

from __future__ import annotations

import re

import numpy as np
import pytest

from personlab import DecodeOptions, Poses, Predictor, visualize
from personlab.cli import main
from personlab.commands.demo import make_demo
from personlab.data.coco import People, make_annotations
from personlab.data.synthetic import make_scene, numbered_scene
from personlab.methods import get_method
from personlab.metrics.coco import average_precision
from personlab.metrics.oks import match_people, similarity
from personlab.weights import download, load_checkpoint

WEIGHTS, SIZE = get_method("personlab").demo.weights, get_method("personlab").demo.size


def test_the_demo_finds_everyone_and_draws_them(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["demo"]) == 0
    out, err = capsys.readouterr()
    assert re.match(r"5 of 5 people found by \d+ poses, mean keypoint error \d+\.\d\d px\n", out)
    table = out.split("\n\n")[1].splitlines()[1:]
    assert [line.split()[0] for line in table] == ["network", "decode_poses", "decode_masks"]  # whole calls alone
    assert all(re.fullmatch(r"\w+ +\d+\.\d\d", line) for line in table)
    assert "trained on drawn people and knows nothing else" in out
    assert "`personlab demo --photograph`" in out
    assert err == "personlab: wrote personlab-demo.png\n"
    drawn = visualize.read_image("personlab-demo.png")
    height, width, _ = make_demo(people=0).scene.image.shape
    assert drawn.shape == (height, 2 * width, 3)
    assert (drawn[:, :width] != drawn[:, width:]).any()


def test_the_demo_finds_people_in_other_scenes():
    demos = [make_demo(people=3, seed=seed, threads=2) for seed in range(6)]
    assert sum(demo.matched for demo in demos) >= 16  # of 18
    for demo in demos:
        assert demo.keypoint_error < 20.0
        assert demo.masks.shape == (len(demo.poses), *demo.scene.image.shape[:2])


def test_the_network_that_is_shipped_says_how_it_was_made():
    path = download(WEIGHTS)
    assert path.stat().st_size <= 4_000_000
    metadata = load_checkpoint(path).metadata
    assert metadata["command"] == "personlab train --config drawn"
    assert metadata["train"]["seed"] == 0
    assert metadata["train"]["steps"] == metadata["steps"]


def test_the_shipped_network_reaches_the_precision_that_is_told():
    """On scenes of a seed never trained on; docs/training.md has the figures of 200."""
    scenes = [numbered_scene(1, number, size=SIZE, people=(1, 5)) for number in range(1, 25)]
    predictor = Predictor(WEIGHTS, options=DecodeOptions(min_score=0.0))
    keypoints, masks = [], []
    for number, prediction in enumerate(predictor([scene.image for scene in scenes])):
        keypoints += prediction.to_coco(number)
        masks += prediction.masks_to_coco(number)
    truth = {n: People(s.keypoints, s.masks, np.zeros(SIZE, bool)) for n, s in enumerate(scenes)}
    annotations = make_annotations(truth)
    assert average_precision(annotations, keypoints, "keypoints").ap >= 0.5
    assert average_precision(annotations, masks, "segm").ap >= 0.5


def test_the_demo_of_nobody(tmp_path, capsys):
    assert main(["demo", "--people", "0", "--output", str(tmp_path / "out.png")]) == 0
    assert capsys.readouterr().out.startswith("0 of 0 people found by ")


def test_matching_takes_each_person_once():
    scene = make_scene(1, size=(161, 201), people=2)
    keypoints = np.concatenate([scene.keypoints[:1, :, :2] + 1.0, scene.keypoints[:1, :, :2], np.zeros((1, 17, 2))])
    ones = np.ones(keypoints.shape[:2], np.float32)
    poses = Poses(keypoints.astype(np.float32), ones, ones[:, 0])
    found, error = match_people(poses, scene.keypoints)
    assert found == 1
    assert error == pytest.approx(2**0.5)
    assert np.isnan(match_people(poses[2], scene.keypoints)[1])


def test_similarity_by_hand():
    person = np.zeros((17, 3), np.float32)
    person[5], person[6] = (10, 10, 2), (30, 50, 1)  # shoulders: a box of 20 x 40, kappa = 2 * 0.079
    pose = person[:, :2].copy()
    assert similarity(pose, person) == 1.0
    pose[5, 0] += 3
    assert similarity(pose, person) == pytest.approx((np.exp(-9 / (2 * 800 * 0.158**2)) + 1) / 2)
