"""Mask scores in results: of predictions, of the evaluation and of the command."""

import json

import numpy as np
from agreement import core_poses
from scenes import array

from personlab import DecodeOptions, MaskOptions, Poses, decode_masks
from personlab.cli import main
from personlab.io.results import mask_results
from personlab.predict import Prediction


def test_results_carry_mask_scores():
    poses = Poses(np.zeros((2, 17, 2), np.float32), np.zeros((2, 17), np.float32), array([0.75, 0.5]))
    masks = np.ones((2, 3, 4), bool)
    for size in ((4, 3), (8, 6)):  # as large as the image, and smaller
        ranked = Prediction(poses=poses, masks=masks, mask_scores=array([0.25, 0.375]), image_size=size)
        assert [result["score"] for result in ranked.masks_to_coco(1)] == [0.25, 0.375]
        assert [result["score"] for result in ranked.to_coco(1)] == [0.75, 0.5]
        plain = Prediction(poses=poses, masks=masks, image_size=size)
        assert [result["score"] for result in plain.masks_to_coco(1)] == [0.75, 0.5]
    assert [r["score"] for r in mask_results(poses, masks, 1)] == [0.75, 0.5]


def test_the_command_writes_mask_scores(load_fields, data, tmp_path):
    path = data / "fields" / "couple_641_s16.npz"
    fields = load_fields("couple_641_s16")
    assert main(["decode", str(path), "--masks", "--json", str(tmp_path / "r.json"), "--mask.score_power", "2"]) == 0
    keypoints, masks = (json.loads((tmp_path / name).read_text()) for name in ("r.json", "r.masks.json"))
    poses = core_poses(fields, DecodeOptions())
    _, scores = decode_masks(
        poses, fields.segmentation, fields.long_offsets, short_offsets=fields.short_offsets, stride=fields.stride,
        size=fields.image_size[::-1], options=MaskOptions(score_power=2), return_scores=True,
    )  # fmt: skip
    assert [result["score"] for result in masks] == scores.tolist()
    assert [result["score"] for result in keypoints] == poses.scores.tolist()
    assert scores.tolist() != poses.scores.tolist()
