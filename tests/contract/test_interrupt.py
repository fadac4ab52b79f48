"""Ctrl-C ends long calls at once, with KeyboardInterrupt, and leaves everything fit for the next call."""

import subprocess
import sys
import textwrap

import pytest
from processes import SUPPORT

pytestmark = pytest.mark.unsanitized

PROGRAM = """
import faulthandler, os, signal, sys, threading, time
import numpy as np
sys.path.insert(0, {tests!r})
from agreement import core_poses
from personlab import COCO_PERSON, DecodeOptions, MaskOptions, Poses, decode_masks, decode_poses, stages
from scenes import decode_options, random_fields

def poses_bytes(poses):
    return poses.keypoints.tobytes() + poses.keypoint_scores.tobytes() + poses.scores.tobytes()

small = random_fields(33, COCO_PERSON, 10, 13, 8)
fields = random_fields(1, COCO_PERSON, {h}, {w}, {stride})
arrays = fields.heatmaps, fields.short_offsets, fields.mid_offsets
before = poses_bytes(core_poses(small, DecodeOptions()))
sent = []

def interrupt():
    time.sleep(0.3)
    sent.append(time.perf_counter())
    os.kill(os.getpid(), signal.SIGINT)

def call():
    {call}

signal.signal(signal.SIGINT, signal.default_int_handler)  # a parent may have had it ignored
faulthandler.dump_traceback_later(120, exit=True)
{prepare}
threading.Thread(target=interrupt).start()
try:
    call()
    print("was not interrupted")
except KeyboardInterrupt:
    print("late by", time.perf_counter() - sent[0])
for threads in (1, 3):
    assert poses_bytes(core_poses(small, DecodeOptions(threads=threads))) == before
"""

DECODE = "decode_poses(*{arrays}, stride=fields.stride, options={options})"
MANY = "DecodeOptions(hough_stride=1, disk_radius=4, peak_threshold=1e-6, vote_threshold=0.01, threads={threads})"
BATCH = "batch = [np.broadcast_to(a, (300, *a.shape)).copy() for a in arrays]"
HOW = "how = decode_options(hough_stride=4, min_score=0.5)"
PEAKS = (
    "rng = np.random.default_rng(0); peaks = np.arange(400_000) % 17, rng.uniform(0, {w} * 8, (400_000, 2)), "
    "rng.random(400_000)"
)
GROUPS = (
    "hough = np.ones((17, 600, 700), np.float32); "
    "groups = np.random.default_rng(0).uniform(0, 1400, (100_000, 17, 2)), np.ones((100_000, 17))"
)
PEOPLE = (
    "rng = np.random.default_rng(0); n = 40; "
    "people = Poses(rng.uniform(0, 900, (n, 17, 2)).astype(np.float32), np.ones((n, 17), np.float32), "
    "np.ones(n, np.float32)); everywhere = np.full((1, {h}, {w}), 9.0, np.float32); "
    "long_offsets = rng.normal(0, 90, (17, 2, {h}, {w})).astype(np.float32)"
)
FAR = "MaskOptions(distance_threshold=1.0, long_refine_steps=9)"
CALLS = {
    "decode": (DECODE.format(arrays="arrays", options=MANY.format(threads=1)), ""),
    "decode on threads": (DECODE.format(arrays="arrays", options=MANY.format(threads=3)), ""),
    "a batch": (DECODE.format(arrays="batch", options="DecodeOptions(hough_stride=1)"), BATCH),
    "a batch on threads": (DECODE.format(arrays="batch", options="DecodeOptions(hough_stride=1, threads=3)"), BATCH),
    "posenet": (
        DECODE.format(arrays="arrays", options="DecodeOptions.posenet(0.01, nms_radius=0.1, max_poses=10**6)"),
        "",
    ),
    "votes": (
        "stages.hough_vote(*arrays[:2], stride=fields.stride, options=DecodeOptions(hough_stride=1, vote_threshold=0))",
        "",
    ),
    "groups": (
        "stages.group_poses(peaks, *arrays, stride=fields.stride, options=DecodeOptions(refine_steps=100))",
        PEAKS,
    ),
    "scores": (
        "stages.score_poses(groups, hough, options=DecodeOptions(min_score=0, max_poses=10**6, disk_radius=400))",
        GROUPS,
    ),
    "masks": (
        f"decode_masks(people, everywhere, long_offsets, stride=8, size=(3000, 3700), options={FAR})",
        PEOPLE,
    ),
}
GRID = {
    "a batch": (40, 51, 8), "a batch on threads": (40, 51, 8), "posenet": (240, 301, 8), "votes": (400, 451, 8),
}  # fmt: skip


def run(name, grid):
    call, prepare = CALLS[name]
    h, w, stride = grid
    values = {"h": h, "w": w, "stride": stride, "tests": str(SUPPORT)}
    program = textwrap.dedent(PROGRAM).format(call=call, prepare=prepare.format(**values), **values)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", CALLS)
def test_ctrl_c_ends_a_long_call(name):
    said = run(name, GRID.get(name, (120, 151, 8)))
    assert said.startswith("late by"), said
    assert float(said.split()[-1]) < 0.2


def test_a_handler_that_raises_nothing_ends_nothing():
    program = """
    import os, signal, sys, threading, time
    sys.path.insert(0, {tests!r})
    from personlab import COCO_PERSON, DecodeOptions, decode_poses
    from scenes import random_fields
    came = []
    signal.signal(signal.SIGINT, lambda number, frame: came.append(time.perf_counter()))
    fields = random_fields(1, COCO_PERSON, 150, 181, 8)
    arrays = fields.heatmaps, fields.short_offsets, fields.mid_offsets
    expected = decode_poses(*arrays, stride=8, options=DecodeOptions(hough_stride=1))
    threading.Timer(0.02, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    found = []
    while not came:
        found.append(decode_poses(*arrays, stride=8, options=DecodeOptions(hough_stride=1)))
    assert all(poses.keypoints.tobytes() == expected.keypoints.tobytes() for poses in found)
    print(len(came))
    """
    program = textwrap.dedent(program).format(tests=str(SUPPORT))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr
