"""Measures what decoding loses on perfect maps of real people, and where the rest goes.

Prints Markdown: the average precision of the default, of its variants and of the original on the same maps, as
`personlab evaluate --ceiling --method simple_pose --labelled-only --stride 4` prints one of them, and what became of
the labelled keypoints by the default.

    python benchmarks/simple_pose_ceiling.py [--data DIR]
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import numpy as np
from ceiling import labelled_scenes
from shared import DATA

from personlab import SimplePoseOptions, decode_simple_pose
from personlab.data.coco import load_people, make_annotations
from personlab.methods.simple_pose.ceiling import HEIGHT, perfect_fields
from personlab.methods.simple_pose.parts import COCO_PARTS
from personlab.methods.simple_pose.stages import decode_steps
from personlab.metrics.coco import average_precision, load_annotations
from personlab.metrics.oks import similarity
from personlab.predict.ceiling import evaluate_ceiling

OPTIONS = {
    "default": SimplePoseOptions(),
    "default, at least 2 keypoints": SimplePoseOptions(min_keypoints=2),
    "default, peaks at their cells": SimplePoseOptions(position="cell"),
    "default, 20 samples, any reach": SimplePoseOptions(max_samples=20, max_reach=1e9),
    "original": SimplePoseOptions.original(),
    "original, parabola": SimplePoseOptions.original(position="parabola"),
    "original, no refinement": SimplePoseOptions.original(position="cell"),
}
STRIDE = 4
NEAR = 4.0  # pixels of the image from a labelled keypoint


def fates(people):
    """Count what became of the labelled keypoints of an image's people, each with the pose most similar to it."""
    size = people.crowd.shape
    inner = tuple(round(side * HEIGHT / size[0]) for side in size)
    maps, where = perfect_fields(people.keypoints, size=size, input_size=inner, stride=STRIDE).arguments
    poses, peaks = decode_simple_pose(*maps, **where), decode_steps(*maps, **where).peaks
    places = (peaks.positions + 0.5) * STRIDE * size[0] / HEIGHT - 0.5
    count = Counter()
    for person in people.keypoints[(people.keypoints[..., 2] > 0).any(axis=1)]:
        pose = max(range(len(poses)), key=lambda j: similarity(poses.keypoints[j], person), default=None)
        for k in np.flatnonzero(person[:, 2] > 0):
            point = person[k, :2]
            own = places[peaks.keypoints == COCO_PARTS.keypoints[k]]
            if pose is not None and poses.keypoint_scores[pose, k] > 0:
                near = np.hypot(*(poses.keypoints[pose, k] - point)) <= NEAR
                count["right" if near else "of another person"] += 1
            elif len(own) and np.hypot(*(own - point).T).min() <= NEAR:
                count["has a peak, but no limb leads there"] += 1
            else:
                count["has no peak of its own"] += 1
    return count


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    arguments = parser.parse_args()
    annotations = load_annotations(str(arguments.data / "coco-mini" / "annotations" / "person_keypoints.json"))
    images = {number: load_people(annotations, number) for number in annotations.imgs}
    images = {number: people for number, people in images.items() if (people.keypoints[..., 2] > 0).any()}
    print(f"{len(images)} photographs of coco-mini, {HEIGHT} pixels high\n")
    print("| decoder | AP | AP 0.50 | AP 0.75 | recall |\n|---|---|---|---|---|")
    for name, options in OPTIONS.items():
        results = evaluate_ceiling("simple_pose", images, stride=STRIDE, options=options)
        p = average_precision(annotations, results.keypoints, "keypoints")
        print(f"| {name} | {p.ap:.3f} | {p.ap50:.3f} | {p.ap75:.3f} | {p.recall:.3f} |")
    count = sum(map(fates, images.values()), Counter())
    total = sum(count.values())
    print(f"\n| labelled keypoint, default | of {total} |\n|---|---|")
    for fate, number in count.most_common():
        print(f"| {fate} | {number} ({100 * number / total:.1f} %) |")
    scenes = labelled_scenes(30)
    drawn = evaluate_ceiling("simple_pose", scenes, stride=STRIDE, options=SimplePoseOptions())
    ap = average_precision(make_annotations(scenes), drawn.keypoints, "keypoints").ap
    print(f"\n{len(scenes)} drawn scenes, all keypoints labelled, default: AP {ap:.3f}")


if __name__ == "__main__":
    main()
