"""The demonstration finds the people it draws, and measures honestly how well."""

from __future__ import annotations

import re

import numpy as np
import pytest

from personlab import Poses, visualize
from personlab.cli import main
from personlab.commands.demo import make_demo, match_people, similarity
from personlab.data.synthetic import make_scene

pytest.importorskip("cv2")
pytest.importorskip("jsonargparse")


def test_the_demo_finds_everyone_and_draws_them(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["demo"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("5 of 5 people found by 5 poses, mean keypoint error ")
    for stage in ("hough", "peaks", "group", "score", "decode_poses", "decode_masks"):
        assert re.search(rf"^{stage} +\d+\.\d\d$", out, re.MULTILINE)
    assert err == "personlab: wrote personlab-demo.png\n"
    drawn = visualize.read_image("personlab-demo.png")
    height, width, _ = make_demo(people=0).scene.image.shape
    assert drawn.shape == (height, 2 * width, 3)
    assert (drawn[:, :width] != drawn[:, width:]).any()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_demo_finds_everyone_in_other_scenes(seed):
    demo = make_demo(people=3, seed=seed, threads=2)
    assert demo.found == 3
    assert demo.keypoint_error < 4.0
    assert demo.masks.shape == (len(demo.poses), *demo.scene.image.shape[:2])


def test_the_demo_of_nobody(tmp_path, capsys):
    assert main(["demo", "--people", "0", "--output", str(tmp_path / "out.png")]) == 0
    assert capsys.readouterr().out.startswith("0 of 0 people found by 0 poses\n")


def test_matching_takes_each_person_once():
    scene = make_scene(1, size=(161, 201), people=2)
    keypoints = np.concatenate([scene.keypoints[:1, :, :2] + 1.0, scene.keypoints[:1, :, :2], np.zeros((1, 17, 2))])
    ones = np.ones(keypoints.shape[:2], np.float32)
    poses = Poses(keypoints.astype(np.float32), ones, ones[:, 0])
    found, error = match_people(poses, scene)
    assert found == 1
    assert error == pytest.approx(2**0.5)
    assert np.isnan(match_people(poses[2], scene)[1])


def test_similarity_by_hand():
    person = np.zeros((17, 3), np.float32)
    person[5], person[6] = (10, 10, 2), (30, 50, 1)  # shoulders: a box of 20 x 40, kappa = 2 * 0.079
    pose = person[:, :2].copy()
    assert similarity(pose, person) == 1.0
    pose[5, 0] += 3
    assert similarity(pose, person) == pytest.approx((np.exp(-9 / (2 * 800 * 0.158**2)) + 1) / 2)
