"""Measures what encoding and decoding lose: the average precision of a network that repeats the annotations.

Prints Markdown: keypoint AP and mask AP, and the shares that masks lose to people without labelled keypoints, to the
resolution of the grid, and to association.

    python benchmarks/ceiling.py [--data DIR] [--strides 4 8 16]
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path

import numpy as np
from shared import DATA

from personlab import MaskOptions, Poses
from personlab.data.coco import People, load_people, make_annotations
from personlab.data.synthetic import make_scene
from personlab.io.results import mask_results
from personlab.methods.personlab.backends import reference
from personlab.metrics.coco import average_precision, load_annotations
from personlab.predict.ceiling import evaluate_ceiling


def labelled_scenes(count):
    """Return synthetic scenes whose keypoints all lie inside the image."""
    images = {}
    seed = 0
    while len(images) < count:
        scene = make_scene(seed, size=(401, 561), people=4)
        if (scene.keypoints[..., 2] > 0).all():
            images[seed] = People(scene.keypoints, scene.masks, np.zeros(scene.masks.shape[1:], bool))
        seed += 1
    return images


def without_unlabelled(annotations):
    """Return annotations in which people without labelled keypoints are ignored, as crowds are."""
    ignoring = copy.deepcopy(annotations)
    for annotation in ignoring.anns.values():
        if annotation["category_id"] == 1 and not annotation.get("num_keypoints"):
            annotation["iscrowd"] = 1
    return ignoring


def resolution_results(images, stride):
    """Return the mask of each labelled person, sampled at the cells and interpolated between them, as mask results."""
    results = []
    for image_id, people in images.items():
        height, width = people.crowd.shape
        y, x = np.mgrid[:height, :width].astype(float)
        masks = []
        for mask in people.masks[(people.keypoints[..., 2] > 0).any(axis=1)]:
            cells = np.zeros(tuple(-(-(side - 1) // stride) + 1 for side in (height, width)), np.float32)
            sampled = mask[::stride, ::stride]
            cells[: sampled.shape[0], : sampled.shape[1]] = sampled
            masks.append(reference.sample(cells, x, y, stride) >= 0.5)
        count = len(masks)
        poses = Poses(*(np.ones(shape, np.float32) for shape in ((count, 1, 2), (count, 1), (count,))))
        results += mask_results(poses, np.array(masks, bool).reshape(-1, height, width), image_id)
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--strides", type=int, nargs="+", default=[4, 8, 16])
    arguments = parser.parse_args()
    annotations = load_annotations(str(arguments.data / "coco-mini" / "annotations" / "person_keypoints.json"))
    coco = {image_id: load_people(annotations, image_id) for image_id in annotations.imgs}
    scenes = labelled_scenes(30)
    unrefined = MaskOptions(long_refine_steps=0, short_refine_steps=0)
    columns = (
        "images", "stride", "keypoint AP", "mask AP", "mask AP, people with labels", "the same, offsets not refined",
        "the same, grid resolution alone",
    )  # fmt: skip
    print("| " + " | ".join(columns) + " |")
    print("|" + "---|" * len(columns))
    for name, images, truth in (
        ("coco-mini (80)", coco, annotations),
        ("synthetic, all labelled (30)", scenes, make_annotations(scenes)),
    ):
        labelled = without_unlabelled(truth)
        for stride in arguments.strides:
            results = evaluate_ceiling("personlab", images, stride=stride)
            plain = evaluate_ceiling("personlab", images, stride=stride, mask_options=unrefined).masks
            figures = (
                average_precision(truth, results.keypoints, "keypoints"),
                average_precision(truth, results.masks, "segm"),
                average_precision(labelled, results.masks, "segm"),
                average_precision(labelled, plain, "segm"),
                average_precision(labelled, resolution_results(images, stride), "segm"),
            )
            print(f"| {name} | {stride} | " + " | ".join(f"{figure.ap:.3f}" for figure in figures) + " |", flush=True)


if __name__ == "__main__":
    main()
