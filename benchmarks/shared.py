"""What benchmarks and scripts share: the folder of the shared data, two images, decoding modes and backends."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch

from personlab import DecodeOptions, Fields, Poses, decode_poses
from personlab.methods.personlab.backends import reference
from personlab.skeleton import COCO_PERSON

DATA = Path(os.environ.get("PERSONLAB_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
COUPLE, CROWD = "couple_641_s8", "coco_000000114907_641_s8"
MODES = {
    "posenet": DecodeOptions.posenet(0.25, 20.0, 5, 20),
    "default": DecodeOptions(),
    "paper g=2": DecodeOptions.paper(hough_stride=2, min_score=0.15),
    "paper g=1": DecodeOptions.paper(hough_stride=1, min_score=0.15),
}


def load(name):
    """Load a file of fields of the shared data."""
    path = DATA / "fields" / f"{name}.npz"
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file; set PERSONLAB_DATA to the folder of the shared data")
    return Fields.load(path)


def narrow(fields, element_type):
    """Return the fields of poses as torch tensors of an element type, and the same numbers as float32 arrays."""
    tensors = [
        torch.from_numpy(array).to(getattr(torch, element_type))
        for array in (fields.heatmaps, fields.short_offsets, fields.mid_offsets)
    ]
    return tensors, [tensor.float().numpy() for tensor in tensors]


def decode(fields, options, backend="cpu"):
    """Decode the poses of one image, in pixels of the network's input."""
    arrays = (fields.heatmaps, fields.short_offsets, fields.mid_offsets)
    if backend == "cpu":
        return decode_poses(*arrays, stride=fields.stride, options=options)
    keypoints, keypoint_scores, probabilities, scores = reference.decode_poses(
        *arrays, stride=fields.stride, skeleton=COCO_PERSON, options=options
    )
    return Poses(*(array.astype(np.float32) for array in (keypoints, keypoint_scores, scores, probabilities)))
