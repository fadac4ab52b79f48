"""What it means that two backends agree: the tolerances of the contract, and nothing else, are forgiven."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pytest
from backends import Backend

from personlab import COCO_PERSON, Poses, decode_poses
from personlab.methods.personlab.backends import reference
from personlab.methods.personlab.backends.reference import masks as reference_masks

CPU = Backend("cpu")
PIXELS = 1e-4  # CPU against reference
SCORE = 1e-5
TIE = 1e-6  # two candidates whose scores are this near may change places
THRESHOLD = 1e-4  # a pixel this near a threshold may fall on either side


def reference_poses(fields, options, skeleton=COCO_PERSON):
    """`Poses` as the NumPy reference decodes them."""
    arrays = reference.decode_poses(
        fields.heatmaps, fields.short_offsets, fields.mid_offsets,
        stride=fields.stride, skeleton=skeleton, options=options,
    )  # fmt: skip
    keypoints, keypoint_scores, probabilities, scores = (a.astype(np.float32) for a in arrays)
    return Poses(keypoints, keypoint_scores, scores, probabilities)


def remembered(load_fields):
    """(name of real fields, options) -> `reference_poses`, once for all backends.

    Votes, peaks and groups, which take the time, are made once for options in a row that differ in scoring alone.
    """

    def once(stage):
        last = None

        def call(*arrays, options, **how):
            nonlocal last
            known = replace(options, scoring="heatmap", ranking="mean", instance_score="mean", sharpen=0, min_score=0)
            if last is None or last[1] != known or any(a is not b for a, b in zip(last[0], arrays, strict=True)):
                last = arrays, known, stage(*arrays, options=options, **how)
            return last[2]

        return call

    module = "personlab.methods.personlab.backends.reference.decode"
    stages = {name: once(getattr(reference, name)) for name in ("hough_vote", "find_peaks", "group_poses")}

    @functools.cache
    def poses(name, options):
        with pytest.MonkeyPatch.context() as patch:
            for stage, call in stages.items():
                patch.setattr(f"{module}.{stage}", call)
            return reference_poses(load_fields(name), options)

    return poses


def core_poses(fields, options, skeleton=COCO_PERSON, *, on=CPU):
    """`Poses` as the core decodes them, or the GPU of a `Backend`."""
    arrays = fields.heatmaps, fields.short_offsets, fields.mid_offsets
    return decode_poses(*on.put(arrays), stride=fields.stride, skeleton=skeleton, options=options)


def _differences(actual, i, expected, j):
    """Of pose i and pose j: pixels, and the greatest difference of any score."""
    pixels = np.abs(actual.keypoints[i] - expected.keypoints[j]).max(initial=0.0)
    scores = max(
        np.abs(actual.keypoint_scores[i] - expected.keypoint_scores[j]).max(initial=0.0),
        np.abs(actual.keypoint_probabilities[i] - expected.keypoint_probabilities[j]).max(initial=0.0),
        abs(float(actual.scores[i]) - float(expected.scores[j])),
    )
    return pixels, scores


def assert_same_poses(actual, expected, *, pixels=PIXELS, score=SCORE):
    """The same poses in the same order, but that poses whose instance scores tie may have changed places."""
    assert len(actual) == len(expected), f"expected {len(expected)} poses, got {len(actual)}"
    assert actual.keypoints.shape == expected.keypoints.shape
    for field in ("keypoints", "keypoint_scores", "keypoint_probabilities", "scores"):
        assert np.isfinite(getattr(actual, field)).all(), f"{field} is not finite"
    left = list(range(len(expected)))
    for i in range(len(actual)):
        tied = [j for j in left if abs(float(expected.scores[j]) - float(expected.scores[i])) <= TIE]
        candidates = tied or left[:1]
        apart = [_differences(actual, i, expected, j) for j in candidates]
        fits = [j for j, (dp, ds) in zip(candidates, apart, strict=True) if dp <= pixels and ds <= score]
        assert fits, f"pose {i} of {len(actual)}: off by (pixels, score) {apart}, score {expected.scores[i]}"
        left.remove(fits[0])


def assert_same_bytes(actual, expected):
    """Two `Poses` that are the same to the last bit."""
    for field in ("keypoints", "keypoint_scores", "keypoint_probabilities", "scores"):
        a, b = getattr(actual, field), getattr(expected, field)
        assert a.shape == b.shape, field
        assert a.dtype == b.dtype == np.float32
        assert a.tobytes() == b.tobytes(), f"{field} differs by {np.abs(a - b).max()}"


def _margins(poses, fields, short_offsets, size, options, rows, columns):
    """At some pixels: |p_S - threshold| (n,), and the distances D_j (P, n), as the reference computes them."""
    h, w = fields.segmentation.shape[-2:]
    y = rows * ((h - 1) * fields.stride) / max(size[0] - 1, 1)
    x = columns * ((w - 1) * fields.stride) / max(size[1] - 1, 1)
    person = reference.sigmoid(reference.sample(fields.segmentation[0], x, y, fields.stride))
    distance = np.zeros((len(poses), len(x)))
    for k in range(poses.keypoints.shape[1]):
        steps = [fields.long_offsets[k]] * (1 + options.long_refine_steps)
        if short_offsets is not None:
            steps += [short_offsets[k]] * options.short_refine_steps
        gx, gy = x, y
        for step in steps:
            gx, gy = reference_masks.follow(step, gx, gy, fields.stride)
        away = np.hypot(gx - poses.keypoints[:, k, :1], gy - poses.keypoints[:, k, 1:])
        distance += poses.keypoint_probabilities[:, k, None] * away
    weight = poses.keypoint_probabilities.sum(axis=1, dtype=np.float64) * reference.pose_size(poses.keypoints)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.abs(person - options.mask_threshold), distance / weight[:, None]


def assert_same_masks(actual, expected, poses, fields, *, size, options, short_offsets=None):
    """Equal but for pixels whose probability or distance is within 1e-4 of its threshold.

    Where masks are exclusive the distance of each pose of a higher score is a threshold too.
    """
    assert actual.dtype == expected.dtype == np.bool_
    assert actual.shape == expected.shape == (len(poses), *size)
    j, rows, columns = np.nonzero(actual != expected)
    if len(j) == 0:
        return
    person, distance = _margins(poses, fields, short_offsets, size, options, rows, columns)
    own = distance[j, np.arange(len(j))]
    excused = (person <= THRESHOLD) | (np.abs(own - options.distance_threshold) <= THRESHOLD)
    if options.exclusive:
        stronger = poses.scores[:, None] > poses.scores[j]
        excused |= (stronger & (np.abs(distance - own) <= THRESHOLD)).any(axis=0)
    wrong = np.flatnonzero(~excused)
    assert len(wrong) == 0, (
        f"{len(wrong)} pixels differ that no threshold is near; first pose {j[wrong[0]]} "
        f"row {rows[wrong[0]]} column {columns[wrong[0]]} D {own[wrong[0]]}"
    )
