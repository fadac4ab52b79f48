"""Times the evaluators, pycocotools and hotcoco, side by side, and checks that all their figures agree to 1e-9.

Poses and masks are the annotated ones, moved by noise, with random scores and some strays. Prints Markdown.

    python benchmarks/evaluators.py [--annotations FILE] [--rounds N]
"""

from __future__ import annotations

import argparse
import os
import time
from datetime import datetime, timezone

import cpuinfo
import hotcoco
import numpy as np
from shared import DATA

from personlab.io.results import encode_runs
from personlab.metrics.coco import hotcoco_summary, load_annotations, summary

STRAYS = 0.5  # results without a person, for each person


def make_results(annotations, seed=0):
    """Return COCO results of keypoints and of masks."""
    rng = np.random.default_rng(seed)
    poses, masks = [], []
    for entry in annotations.dataset["annotations"]:
        keypoints = np.array(entry.get("keypoints") or np.zeros(51), float).reshape(-1, 3)
        for stray in (False, True)[: 1 + (rng.random() < STRAYS)]:
            more = {"image_id": entry["image_id"], "category_id": 1, "score": float(rng.random())}
            moved = keypoints.copy()
            moved[:, :2] += rng.normal(0, (1.0 if stray else 0.05) * np.sqrt(entry["area"]), moved[:, :2].shape)
            poses.append({**more, "keypoints": moved.ravel().tolist()})
            if entry.get("segmentation"):
                shift = rng.integers(-40, 41, 2) if stray else rng.integers(-4, 5, 2)
                mask = np.roll(annotations.annToMask(entry), shift, (0, 1)).astype(bool)
                masks.append({**more, "segmentation": {"size": list(mask.shape), "counts": encode_runs(mask)}})
    return poses, masks


def best_time(call, rounds):
    """Return the shortest time of `rounds` calls, seconds, and the last result."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        result = call()
        times.append(time.perf_counter() - start)
    return min(times), result


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = DATA / "coco-people" / "annotations" / "person_keypoints.json"
    parser.add_argument("--annotations", default=str(default))
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    annotations = load_annotations(arguments.annotations, category="person")
    poses, masks = make_results(annotations)
    machine = (
        f"{len(os.sched_getaffinity(0))} cores of {cpuinfo.get_cpu_info().get('brand_raw', 'an unknown processor')}"
    )
    print(f"{machine}, {datetime.now(timezone.utc):%Y-%m-%d}; hotcoco {hotcoco.__version__}; the shortest of", end=" ")
    print(f"{arguments.rounds} runs, from the index of the annotations and a list of results to the summary.\n")
    print(f"{len(annotations.imgs)} images, {len(annotations.anns)} annotations\n")
    print("| results | pycocotools, s | hotcoco, s | times as fast | largest difference of a figure |")
    print("|---|---|---|---|---|")
    for kind, results in (("keypoints", poses), ("segm", masks)):
        runs = [
            best_time(lambda f=f, k=kind, r=results: f(annotations, r, k), arguments.rounds)
            for f in (summary, hotcoco_summary)
        ]
        (slow, expected), (fast, figures) = runs
        difference = float(np.abs(figures - expected).max())
        assert difference <= 1e-9
        print(f"| {len(results)} {kind} | {slow:.3f} | {fast:.3f} | {slow / fast:.1f} | {difference:.1g} |")


if __name__ == "__main__":
    main()
