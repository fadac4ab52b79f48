"""Measures what decoding loses on perfect maps of real people, and where the rest goes.

Prints Markdown: the average precision of the default, of its variants and of the original on the same maps, as
`personlab evaluate --ceiling --method simple_pose --labelled-only --stride 4` prints one of them, and what became of
the labelled keypoints by the default.

    python benchmarks/simple_pose_ceiling.py [--data DIR] [--targets default|original]
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
from personlab.methods.simple_pose.fields import SimplePoseFields
from personlab.methods.simple_pose.grid import MapGrid
from personlab.methods.simple_pose.parts import BODY, COCO_PARTS
from personlab.methods.simple_pose.stages import decode_steps
from personlab.methods.simple_pose.target_options import TargetOptions
from personlab.methods.simple_pose.targets import encode_targets
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
STRIDE, PAD = 4, 64
NEAR = 4.0  # pixels of the image from a labelled keypoint


def default_fields(people):
    """Maps with the highest value of all people."""
    size = people.crowd.shape
    inner = tuple(round(side * HEIGHT / size[0]) for side in size)
    return perfect_fields(people.keypoints, size=size, input_size=inner, stride=STRIDE)


def original_fields(people):
    """Maps by the rules of the original's training targets and of its evaluation.

    Annotations are scaled from the corner of the image, and maps are the mean over the image and its mirror image,
    whose windows around keypoints and limbs are others.
    """
    size = people.crowd.shape
    inner = tuple(round(side * HEIGHT / size[0]) for side in size)
    outer = tuple(-(-side // PAD) * PAD for side in inner)
    scaled = np.array(people.keypoints, float)
    scaled[..., :2] *= HEIGHT / size[0]
    mirrored = scaled[:, list(COCO_PARTS.person.flip)]
    mirrored[..., 0] = outer[1] - 1 - mirrored[..., 0]
    maps, mirror = (
        encode_targets(one, size=outer, stride=STRIDE, options=TargetOptions.original()) for one in (scaled, mirrored)
    )
    ends = [frozenset(edge) for edge in BODY.edges]
    exchanged = [ends.index(frozenset(BODY.flip[k] for k in edge)) for edge in ends]
    keypoints = (maps.keypoints + mirror.keypoints[list(BODY.flip)][..., ::-1]) / 2
    limbs = (maps.limbs + mirror.limbs[exchanged][..., ::-1]) / 2
    return SimplePoseFields(
        keypoints=keypoints, limbs=limbs, grid=MapGrid(stride=STRIDE, input_size=inner, size=tuple(size))
    )


def fates(people, fields):
    """Count what became of the labelled keypoints of an image's people, each with the pose most similar to it."""
    size = people.crowd.shape
    maps, where = fields.arguments
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
    parser.add_argument(
        "--targets", choices=("default", "original"), default="default",
        help="maps with the highest value of all people, or those that the original trains on",
    )  # fmt: skip
    arguments = parser.parse_args()
    annotations = load_annotations(str(arguments.data / "coco-mini" / "annotations" / "person_keypoints.json"))
    images = {number: load_people(annotations, number) for number in annotations.imgs}
    images = {number: people for number, people in images.items() if (people.keypoints[..., 2] > 0).any()}
    print(f"{len(images)} photographs of coco-mini, {HEIGHT} pixels high\n")
    print("| decoder | AP | AP 0.50 | AP 0.75 | recall |\n|---|---|---|---|---|")
    make_fields = {"default": default_fields, "original": original_fields}[arguments.targets]
    fields = {number: make_fields(people) for number, people in images.items()}
    for name, options in OPTIONS.items():
        results = []
        for number, one in fields.items():
            maps, where = one.arguments
            results += decode_simple_pose(*maps, **where, options=options).to_coco(number)
        p = average_precision(annotations, results, "keypoints")
        print(f"| {name} | {p.ap:.3f} | {p.ap50:.3f} | {p.ap75:.3f} | {p.recall:.3f} |")
    count = sum((fates(people, fields[number]) for number, people in images.items()), Counter())
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
