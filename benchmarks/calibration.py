"""Tests calibrated scores: maps are fitted on one half of coco-people and tested on the other.

Prints Markdown: for each network and each direction, poses by their score with the mean OKS on the images of the other
half. The standard error bounds the differences due to chance.

    python benchmarks/calibration.py [--data DIR] [--cache DIR]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from real_fields import NETWORKS, load_fields, load_images
from shared import DATA, decode

from personlab import COCO_PERSON
from personlab.methods.personlab.method import EVERY_POSE
from personlab.metrics.calibration import fit_calibration
from personlab.metrics.reliability import ScoredPoses, bin_poses, judge_poses


def judged_poses(network, half, arguments):
    images = load_images(half, data=arguments.data)
    results = []
    for image_id, fields in load_fields(network, images, cache=arguments.cache, data=arguments.data):
        results += decode(fields, EVERY_POSE).scaled(*fields.image_scale).to_coco(image_id)
    return judge_poses(images.annotations, results, sigmas=COCO_PERSON.sigmas)


def print_bins(title, poses):
    print(f"\n**{title}**\n\n| score | poses | mean score | mean OKS | OKS less score | standard error |")
    print("|---|---|---|---|---|---|")
    for b in bin_poses(poses):
        inside = (poses.scores >= b.low) & ((poses.scores < b.high) | (b.high == 1))
        error = poses.oks[inside].std() / np.sqrt(max(b.poses, 1)) if b.poses else float("nan")
        print(
            f"| {b.low:.1f} .. {b.high:.1f} | {b.poses} | {b.score:.3f} | {b.oks:.3f} | {b.oks - b.score:+.3f} | "
            f"{error:.3f} |"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--cache", type=Path, help="folder of the fields [fields in personlab's cache folder]")
    arguments = parser.parse_args()
    for network in NETWORKS:
        halves = {half: judged_poses(network, half, arguments) for half in ("choose", "show")}
        both = ScoredPoses(*(np.concatenate(parts) for parts in zip(*halves.values(), strict=True)))
        print_bins(f"{network}, scores as decoded, both halves", both)
        for fitted, tested in (("choose", "show"), ("show", "choose")):
            calibration = fit_calibration(halves[fitted].scores, halves[fitted].oks, options=EVERY_POSE)
            knots = zip(calibration.scores, calibration.expected_oks, strict=True)
            print("\nknots: " + ", ".join(f"{score:.3f} {oks:.3f}" for score, oks in knots))
            poses = halves[tested]
            mapped = poses._replace(scores=calibration(poses.scores).astype(float))
            print_bins(f"{network}, fitted on {fitted}, tested on {tested}", mapped)


if __name__ == "__main__":
    main()
