"""Measures what encoding and decoding of heatmaps lose on real people, by perfect maps in crops by their true boxes.

Prints Markdown: the average precision of the default, of its variants and of the originals.

    python benchmarks/simple_baseline_ceiling.py [--data DIR]
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import numpy as np
from shared import DATA

from personlab import COCO_PERSON, SimpleBaselineOptions, decode_simple_baseline
from personlab.methods.simple_baseline.boxes import box_fault, crop_affines, map_points
from personlab.methods.simple_baseline.options import CropOptions, TargetOptions
from personlab.methods.simple_baseline.targets import encode_targets
from personlab.metrics.coco import average_precision, load_annotations

TARGETS = {
    "unrounded": TargetOptions(),
    "TensorFlow's": TargetOptions.original(),
    "PyTorch's": TargetOptions.original("pytorch"),
}
DECODERS = {
    "default": ("unrounded", SimpleBaselineOptions()),
    "default, DARK": ("unrounded", SimpleBaselineOptions(position="dark")),
    "default, quarter cell": ("unrounded", SimpleBaselineOptions(position="quarter")),
    "original (TensorFlow)": ("TensorFlow's", SimpleBaselineOptions.original()),
    "original (PyTorch)": ("PyTorch's", SimpleBaselineOptions.original("pytorch")),
}


def decode(people, affines, targets, options):
    """Decode the perfect maps of people (N, 17, 3), x, y, v, of one image."""
    crops = np.array(people, float)
    for crop, affine in zip(crops, affines, strict=True):
        crop[:, :2] = map_points(crop[:, :2], affine)
    maps = encode_targets(crops, options=targets).heatmaps
    return decode_simple_baseline(maps * (crops[..., 2] > 0)[..., None, None], affines, options=options)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    arguments = parser.parse_args()
    annotations = load_annotations(str(arguments.data / "coco-mini" / "annotations" / "person_keypoints.json"))
    images = {}
    for number in annotations.imgs:
        own = annotations.loadAnns(annotations.getAnnIds(imgIds=[number], iscrowd=False))
        own = [one for one in own if one.get("num_keypoints", 0) > 0 and box_fault(one["bbox"]) is None]
        if own:
            keypoints = np.array([one["keypoints"] for one in own], float).reshape(-1, COCO_PERSON.n_keypoints, 3)
            images[number] = keypoints, np.array([one["bbox"] for one in own], float)
    count = sum(len(keypoints) for keypoints, _ in images.values())
    print(f"{count} people with keypoints in {len(images)} photographs of coco-mini\n")
    print("| decoder | targets | OKS suppression | AP | AP 0.50 | AP 0.75 | recall |\n|---|---|---|---|---|---|---|")
    for name, (targets, options) in DECODERS.items():
        crops = CropOptions() if options.rules == "default" else CropOptions.original()
        for threshold in (options.oks_threshold, 1.0):
            chosen, results = dataclasses.replace(options, oks_threshold=threshold), []
            for number, (keypoints, boxes) in images.items():
                affines = crop_affines(boxes, options=crops)
                results += decode(keypoints, affines, TARGETS[targets], chosen).to_coco(number)
            p = average_precision(annotations, results, "keypoints")
            print(f"| {name} | {targets} | {threshold if threshold < 1 else 'none'} "
                  f"| {p.ap:.4f} | {p.ap50:.4f} | {p.ap75:.4f} | {p.recall:.4f} |")  # fmt: skip


if __name__ == "__main__":
    main()
