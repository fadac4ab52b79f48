"""Times whole calls of several commits: builds each and times them in turns, round by round.

python benchmarks/history.py COMMIT ... [--rounds N]

Prints a Markdown table of medians in milliseconds for two images of the shared data; masks are of poses with a score of
0.15 or more.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("PERSONLAB_DATA", ROOT.parent / "shared" / "data"))
IMAGES = {"couple": "couple_641_s8", "crowd": "coco_000000114907_641_s8"}
CALLS = 60  # of the slowest kind in a round


def build(commit, folder):
    """Install the package of a commit into a folder of its own."""
    source, site = folder / f"{commit}.source", folder / commit
    subprocess.run(["git", "worktree", "add", "--quiet", "--detach", source, commit], cwd=ROOT, check=True)
    try:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", site]
        subprocess.run([*pip, "-Ccmake.define.PERSONLAB_CUDA=OFF", source], check=True)
    finally:
        subprocess.run(["git", "worktree", "remove", "--force", source], cwd=ROOT, check=True)
    return site


def median(call, calls):
    seconds = []
    for _ in range(calls + 2):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return 1e3 * statistics.median(seconds[2:])


def times():
    """Return the milliseconds of each call with the package on the path."""
    medians = {}
    for image, name in IMAGES.items():
        for mode, value in times_of(DATA / "fields" / f"{name}.npz").items():
            medians[f"{mode}, {image}"] = value
    return medians


def times_of(path):
    from personlab import DecodeOptions, Fields, decode_masks, decode_poses

    fields = Fields.load(path)
    (width, height), stride = fields.input_size, fields.stride

    def decode(options):
        return decode_poses(fields.heatmaps, fields.short_offsets, fields.mid_offsets, stride=stride, options=options)

    fine, coarse = (DecodeOptions(hough_stride=g, min_score=0.15) for g in (1, 2))
    posenet, poses = DecodeOptions.posenet(0.25), decode(coarse)

    def decode_all_masks():
        rest = {"short_offsets": fields.short_offsets, "stride": stride, "size": (height, width)}
        decode_masks(poses, fields.segmentation, fields.long_offsets, **rest)

    return {
        "g = 1": median(lambda: decode(fine), CALLS),
        "g = 2": median(lambda: decode(coarse), 2 * CALLS),
        "PoseNet": median(lambda: decode(posenet), 10 * CALLS),
        "masks": median(decode_all_masks, CALLS),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("commits", nargs="+")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)  # times the package on the path
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(times()))
        return
    with tempfile.TemporaryDirectory() as folder:
        sites = {commit: build(commit, Path(folder)) for commit in arguments.commits}
        rounds = {commit: [] for commit in sites}
        for _ in range(arguments.rounds):
            for commit, site in sites.items():
                command = [sys.executable, __file__, "--one", commit]
                environment = {**os.environ, "PYTHONPATH": str(site)}
                done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=True)
                rounds[commit].append(json.loads(done.stdout))
    names = list(next(iter(rounds.values()))[0])
    print("| commit | " + " | ".join(names) + " |")
    print("|---|" + "---|" * len(names))
    for commit, each in rounds.items():
        cells = [f"{statistics.median(one[name] for one in each):.3f}" for name in names]
        print(f"| {commit} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
