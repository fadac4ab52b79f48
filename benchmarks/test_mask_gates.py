"""How the whole mask call compares with a plain bilinear enlargement of the same fields, both on one thread.

The yardstick Y34 is `cv2.resize` of the 34 planes of long-range offsets into a (34, H, W) array at the input's size.
Both are timed in turns and their fastest rounds compared: a round that other work interrupts says nothing, and long
calls are interrupted more often than short ones. The ratios are printed, that of the medians beside them; where
PERSONLAB_GATES=1 the former are asserted.
"""

from __future__ import annotations

import os
import statistics
import time

import numpy as np
import pytest
from conftest import DATA

from personlab import DecodeOptions, Fields, MaskOptions, decode_masks, decode_poses, stages

cv2 = pytest.importorskip("cv2")

ROUNDS = 150
GATES = {"couple_641_s8": 0.6, "coco_000000114907_641_s8": 2.0}  # times Y34


@pytest.fixture
def one_thread():
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(threads)


def times(*calls):
    """Seconds that each call took, round by round."""
    seconds = [[] for _ in calls]
    for _ in range(ROUNDS):
        for call, taken in zip(calls, seconds, strict=True):
            start = time.perf_counter()
            call()
            taken.append(time.perf_counter() - start)
    return seconds


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("picture", GATES)
def test_masks_against_y34(picture, capsys):
    fields = Fields.load(DATA / "fields" / f"{picture}.npz")
    width, height = fields.input_size
    poses = decode_poses(
        fields.heatmaps, fields.short_offsets, fields.mid_offsets, stride=fields.stride,
        options=DecodeOptions(hough_stride=2, min_score=0.15),
    )  # fmt: skip
    planes = fields.long_offsets.reshape(-1, *fields.long_offsets.shape[2:])
    enlarged = np.empty((len(planes), height, width), np.float32)

    def resize():
        for plane, out in zip(planes, enlarged, strict=True):
            cv2.resize(plane, (width, height), dst=out, interpolation=cv2.INTER_LINEAR)

    arrays = (poses, fields.segmentation, fields.long_offsets)
    sizes = {"short_offsets": fields.short_offsets, "stride": fields.stride, "size": (height, width)}
    found = []

    def masks():
        found[:] = [decode_masks(*arrays, **sizes, options=MaskOptions(threads=1))]

    rounds = times(resize, masks)
    expected = stages.associate_pixels(*arrays, **sizes, backend="reference")
    assert expected.any(axis=(1, 2)).sum() >= 2
    assert (found[0] != expected).mean() < 1e-5
    y34, taken = (min(seconds) for seconds in rounds)
    ratio, gate = taken / y34, GATES[picture]
    of_medians = statistics.median(rounds[1]) / statistics.median(rounds[0])
    with capsys.disabled():
        print(
            f"\nmasks {width}x{height}, {picture}, {len(poses)} poses: {1e3 * taken:.2f} ms, "
            f"Y34 {1e3 * y34:.2f} ms, ratio {ratio:.2f} (of medians {of_medians:.2f}), gate {gate:g}"
        )
    if os.environ.get("PERSONLAB_GATES") == "1":
        assert ratio <= gate
