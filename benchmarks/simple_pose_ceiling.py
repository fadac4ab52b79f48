"""Measures what decoding loses on perfect maps of real people: average precision, and where the rest goes.

Prints Markdown: the average precision of the default, of its variants and of the original on the same maps, and what
became of the labelled keypoints by the default.

    python benchmarks/simple_pose_ceiling.py [--data DIR] [--height 640] [--targets default|original]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np
from ceiling import labelled_scenes
from shared import DATA

from personlab import SimplePoseOptions, decode_simple_pose
from personlab.data.coco import make_annotations
from personlab.methods.simple_pose.grid import MapGrid
from personlab.methods.simple_pose.parts import BODY, COCO_PARTS
from personlab.methods.simple_pose.stages import decode_steps
from personlab.methods.simple_pose.target_options import TargetOptions
from personlab.methods.simple_pose.targets import encode_targets
from personlab.metrics.coco import average_precision, load_annotations
from personlab.metrics.oks import similarity

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "support"))
from pose_maps import perfect_maps

OPTIONS = {
    "default": SimplePoseOptions(),
    "default, at least 2 keypoints": SimplePoseOptions(min_keypoints=2),
    "default, peaks at their cells": SimplePoseOptions(position="cell"),
    "default, 20 samples, any reach": SimplePoseOptions(max_samples=20, max_reach=1e9),
    "original": SimplePoseOptions.original(),
    "original, parabola": SimplePoseOptions.original(position="parabola"),
    "original, no refinement": SimplePoseOptions.original(position="cell"),
}
NEAR = 4.0  # pixels of the image from a labelled keypoint


def fates(keypoints, poses, peaks, grid):
    """Count what became of the labelled keypoints (P, 17, 3) of people, each with the pose most similar to it."""
    scale = np.array([grid.size[1] / grid.input_size[1], grid.size[0] / grid.input_size[0]])
    places = ((peaks.positions + 0.5) * grid.stride) * scale - 0.5
    count = Counter()
    for person in keypoints:
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


def original_maps(keypoints, size, *, height=640, stride=4, pad=64):
    """Maps as `perfect_maps` has them, by the rules of the original's training targets and of its evaluation.

    Annotations are scaled from the corner of the image, and maps are the mean over the image and its mirror image,
    whose windows around keypoints and limbs are others.
    """
    scale = height / size[0]
    inner = tuple(int(np.rint(side * scale)) for side in size)
    outer = tuple(-(-side // pad) * pad for side in inner)
    people = np.array(keypoints, float)
    people[..., :2] *= scale
    mirrored = people[:, list(COCO_PARTS.person.flip)]
    mirrored[..., 0] = outer[1] - 1 - mirrored[..., 0]
    maps, mirror = (
        encode_targets(one, size=outer, stride=stride, options=TargetOptions.original()) for one in (people, mirrored)
    )
    ends = [frozenset(edge) for edge in BODY.edges]
    exchanged = [ends.index(frozenset(BODY.flip[k] for k in edge)) for edge in ends]
    heat = (maps.keypoints + mirror.keypoints[list(BODY.flip)][..., ::-1]) / 2
    limbs = (maps.limbs + mirror.limbs[exchanged][..., ::-1]) / 2
    return heat, limbs, MapGrid(stride=stride, input_size=inner, size=tuple(size))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--height", type=int, default=640, help="of the network input, pixels")
    parser.add_argument(
        "--targets", choices=("default", "original"), default="default",
        help="maps with the highest value of all people, or those that the original trains on",
    )  # fmt: skip
    arguments = parser.parse_args()
    make_maps = {"default": perfect_maps, "original": original_maps}[arguments.targets]
    path = arguments.data / "coco-mini" / "annotations" / "person_keypoints.json"
    content = json.loads(path.read_text())
    people = {}
    for one in content["annotations"]:
        if one.get("num_keypoints", 0) > 0 and not one.get("iscrowd"):
            people.setdefault(one["image_id"], []).append(np.reshape(one["keypoints"], (17, 3)))
    sizes = {image["id"]: (image["height"], image["width"]) for image in content["images"]}
    results, count = {name: [] for name in OPTIONS}, Counter()
    for image, keypoints in people.items():
        heat, limbs, grid = make_maps(keypoints, sizes[image], height=arguments.height)
        where = {"stride": grid.stride, "input_size": grid.input_size, "size": grid.size}
        for name, options in OPTIONS.items():
            poses = decode_simple_pose(heat, limbs, **where, options=options)
            results[name] += poses.to_coco(image)
            if name == "default":
                count += fates(keypoints, poses, decode_steps(heat, limbs, **where).peaks, grid)
    annotations = load_annotations(str(path))
    print(f"{len(people)} photographs of coco-mini, {arguments.height} pixels high\n")
    print("| decoder | AP | AP 0.50 | AP 0.75 | recall |\n|---|---|---|---|---|")
    for name, own in results.items():
        p = average_precision(annotations, own, "keypoints")
        print(f"| {name} | {p.ap:.3f} | {p.ap50:.3f} | {p.ap75:.3f} | {p.recall:.3f} |")
    total = sum(count.values())
    print(f"\n| labelled keypoint, default | of {total} |\n|---|---|")
    for fate, number in count.most_common():
        print(f"| {fate} | {number} ({100 * number / total:.1f} %) |")
    scenes, drawn = labelled_scenes(30), []
    for number, one in scenes.items():
        heat, limbs, grid = perfect_maps(one.keypoints, one.crowd.shape, height=arguments.height)
        poses = decode_simple_pose(heat, limbs, stride=grid.stride, input_size=grid.input_size, size=grid.size)
        drawn += poses.to_coco(number)
    ap = average_precision(make_annotations(scenes), drawn, "keypoints").ap
    print(f"\n{len(scenes)} drawn scenes, all keypoints labelled, default: AP {ap:.3f}")


if __name__ == "__main__":
    main()
