"""Times decoding beside an earlier commit: each call in turns in two processes, one a package, round by round.

    python benchmarks/against.py [--base COMMIT] [--rounds N] [--only TEXT]

Separate runs of a benchmark differ by more than 5 % on a shared machine; here both packages see the same minutes.
Prints Markdown: the medians of each call, their ratio, that of processor times and that of the fastest. `--base` also
takes the folder of a built package. Where a process puts its memory moves a call by up to 6 % for as long as it lives:
read the medians of several runs.
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

import numpy as np
from history import DATA, build

BASE = "5dc723d"  # the last commit of one method
IMAGES = {"couple": "couple_641_s8", "crowd": "coco_000000114907_641_s8"}
CROWDS = {5: (481, 641), 20: (481, 641), 50: (481, 641), 100: (961, 1281), 200: (961, 1281)}  # people -> (H, W)
SECONDS = 0.01  # a call is repeated for so long


def draw(folder):
    """Write the fields of drawn crowds, noise and saturated heatmaps, which both packages decode."""
    from personlab.methods.personlab.bench import crowd

    for people, size in CROWDS.items():
        fields = crowd(people, size=size, stride=8)
        np.savez(folder / f"{people} people.npz", heat=fields.heatmaps, short=fields.short_offsets,
                 mid=fields.mid_offsets, stride=8)  # fmt: skip
    for stride in (8, 16):
        side, rng = 1400 // stride + 1, np.random.default_rng(0)
        arrays = {"heat": (17, side, side), "short": (17, 2, side, side), "mid": (32, 2, side, side)}
        noise = {name: rng.normal(0, 8 if name != "heat" else 3, shape) for name, shape in arrays.items()}
        noise = {name: array.astype(np.float32) for name, array in noise.items()}
        np.savez(folder / f"noise, stride {stride}.npz", **noise, stride=stride)
        noise["heat"][:] = 20
        np.savez(folder / f"saturated, stride {stride}.npz", **noise, stride=stride)


def calls_of(folder):
    """Return calls of the package on the path by name."""
    import torch

    from personlab import DecodeOptions, Fields, decode_masks, decode_poses

    modes = {
        "default": DecodeOptions(),
        "paper g=1": DecodeOptions.paper(hough_stride=1),
        "paper g=2": DecodeOptions.paper(hough_stride=2),
        "posenet": DecodeOptions.posenet(0.1),
    }
    two = DecodeOptions.paper(hough_stride=2, threads=2)

    def decoding(heat, short, mid, stride, options):
        return lambda: decode_poses(heat, short, mid, stride=stride, options=options)

    calls = {}
    for image, name in IMAGES.items():
        fields = Fields.load(DATA / "fields" / f"{name}.npz")
        arrays = fields.heatmaps, fields.short_offsets, fields.mid_offsets
        for mode, options in modes.items():
            calls[f"{mode}, {image}"] = decoding(*arrays, fields.stride, options)
            for kind in (torch.float16, torch.bfloat16):
                narrow = [torch.from_numpy(array).to(kind) for array in arrays]
                calls[f"{mode}, {image}, {str(kind)[6:]}"] = decoding(*narrow, fields.stride, options)
        batch = [np.stack([array] * 16) for array in arrays]
        calls[f"16 x {image}, two threads"] = decoding(*batch, fields.stride, two)
        poses = decode_poses(*arrays, stride=fields.stride)
        rest = {"stride": fields.stride, "size": fields.input_size[::-1], "short_offsets": fields.short_offsets}
        calls[f"masks, {image}"] = lambda poses=poses, fields=fields, rest=rest: decode_masks(
            poses, fields.segmentation, fields.long_offsets, **rest
        )
    for path in sorted(folder.glob("*.npz")):
        file = np.load(path)
        arrays, stride = [file[name] for name in ("heat", "short", "mid")], int(file["stride"])
        for g in (2,) if "people" in path.stem else (2, 8):
            name = path.stem if "people" in path.stem else f"{path.stem}, g = {g}"
            calls[name] = decoding(*arrays, stride, DecodeOptions(hough_stride=g))
    return calls


def answer(folder):
    """Time the calls whose names are read, one at a time: a line of [wall, processor] seconds each."""
    calls, repeats = calls_of(folder), {}
    print(json.dumps(list(calls)), flush=True)
    for line in sys.stdin:
        call = calls[line.rstrip("\n")]
        call()
        if call not in repeats:
            start = time.perf_counter()
            call()
            repeats[call] = max(1, int(SECONDS / (time.perf_counter() - start)))
        start = time.perf_counter(), time.process_time()
        for _ in range(repeats[call]):
            call()
        ended = time.perf_counter(), time.process_time()
        print(json.dumps([(b - a) / repeats[call] for a, b in zip(start, ended, strict=True)]), flush=True)


def compare(sites, folder, rounds, only):
    """Return the times of each call and package."""
    children = {}
    for name, site in sites.items():
        environment = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
        children[name] = subprocess.Popen(
            [sys.executable, __file__, "--child", str(folder)], env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
    listed = [json.loads(child.stdout.readline()) for child in children.values()]
    names = listed[0]
    assert listed == [names] * len(listed)
    times = {(name, call): [] for name in sites for call in names if only in call}
    for turn in range(rounds):
        for name, call in sorted(times, key=lambda one: (names.index(one[1]), (one[0] == "base") != turn % 2)):
            child = children[name]
            child.stdin.write(f"{call}\n")
            child.stdin.flush()
            times[name, call].append(json.loads(child.stdout.readline()))
    for child in children.values():
        child.stdin.close()
        child.wait()
    return times


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", default=BASE, help="a commit, or the folder of a built package")
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--only", default="", help="calls whose names hold this text")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)  # times the package on the path
    arguments = parser.parse_args()
    if arguments.child:
        answer(arguments.child)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw(folder)
        base = Path(arguments.base) if Path(arguments.base).is_dir() else build(arguments.base, folder)
        import personlab

        sites = {"base": base.resolve(), "now": Path(personlab.__file__).parents[1]}
        times = compare(sites, folder, arguments.rounds, arguments.only)
    print("| call | base, ms | now, ms | ratio | processor | fastest |\n|---|---|---|---|---|---|")
    ratios = []
    for call in dict.fromkeys(call for _, call in times):
        before, after = np.array(times["base", call]).T, np.array(times["now", call]).T
        wall, core = (statistics.median(after[k]) / statistics.median(before[k]) for k in (0, 1))
        ratios.append(wall)
        print(
            f"| {call} | {1e3 * statistics.median(before[0]):.3f} | {1e3 * statistics.median(after[0]):.3f} | "
            f"{wall:.3f} | {core:.3f} | {after[0].min() / before[0].min():.3f} |"
        )
    worse = sum(ratio > 1.05 for ratio in ratios)
    print(f"\nRatios {min(ratios):.3f} to {max(ratios):.3f}; {worse} of {len(ratios)} medians worse by more than 5 %.")


if __name__ == "__main__":
    main()
