"""Prints, for RESULTS.md, what each engine makes of published networks: times, agreement with torch, average precision.

python benchmarks/engines.py [--rounds N] [--no-precision]
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import cv2
import numpy as np
from shared import DATA

from personlab import Predictor
from personlab.methods.personlab.method import EVERY_POSE
from personlab.metrics.coco import index_for_scoring
from personlab.predict.dataset import predict_dataset, score_results
from personlab.predict.engines import ENGINES, PRECISIONS
from personlab.predict.engines.survey import time_engine
from personlab.weights import load_model

NETWORKS = {  # label -> (weights, stride)
    "bodypix 050, stride 16": ("bodypix-mobilenet-050-stride16.onnx", 16),
    "bodypix 050, stride 8": ("bodypix-mobilenet-050-stride8.onnx", 8),
    "bodypix 075, stride 16": ("bodypix-mobilenet-075/model-stride16.json", 16),
    "bodypix 075, stride 8": ("bodypix-mobilenet-075/model-stride8.json", 8),
    "posenet 075, stride 16": ("posenet-mobilenet-075/model-stride16.json", 16),
}
PHOTOGRAPHS = ("couple", "soccer", "office_group")
SIZE = (481, 641)  # (H, W) of the input that is timed
BATCH = 4


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40, help="runs of each engine")
    parser.add_argument("--no-precision", action="store_true", help="leave out average precision, which takes minutes")
    parser.add_argument("--only", default="", help="networks whose label holds this text")
    arguments = parser.parse_args()
    photographs = [cv2.imread(str(DATA / "images" / f"{name}.jpg"))[:, :, ::-1] for name in PHOTOGRAPHS]
    images = np.random.default_rng(0).integers(0, 256, (BATCH, *SIZE, 3), np.uint8)
    print("| network | engine | precision | ms alone | ms at once | ms in a batch | px off | keypoint AP | mask AP |")
    print("|---|---|---|---|---|---|---|---|---|")
    for label, (name, stride) in NETWORKS.items():
        if arguments.only not in label:
            continue
        weights = DATA / "weights" / name
        # What all are compared with: the module as it is loaded, in float32.
        truth = [found.poses for found in Predictor(load_model(weights, stride=stride))(photographs)]
        for engine, precision in settings():
            predictor = Predictor(weights, engine=engine, precision=precision, stride=stride, options=EVERY_POSE)
            names = predictor.method.outputs(predictor.masks)
            timing = time_engine(predictor.loaded.engine, images, names, batches=[BATCH], rounds=arguments.rounds)
            off = agree(Predictor(predictor.loaded)(photographs), truth, exact=precision == "float32")
            precisions = ["", ""] if arguments.no_precision else score(predictor)
            cells = [timing.alone, timing.at_once, timing.batches[BATCH]]
            row = [label, engine, precision, *(f"{1e3 * seconds:.1f}" for seconds in cells), f"{off:.2g}", *precisions]
            print(f"| {' | '.join(row)} |", flush=True)


def settings():
    """Every engine that is installed, at every precision that it computes natively here."""
    for engine, kind in ENGINES.items():
        if kind.is_installed:
            import torch

            module = kind.load()
            offered = module.precisions(torch.device("cpu") if engine == "torch" else "cpu")
            yield from ((engine, precision) for precision in PRECISIONS if precision in offered)


def agree(found, truth, *, exact):
    """Return how far the keypoints of the same people lie from torch's, pixels; the largest where they have to agree.

    In 16 bits it is the 95th percentile of the keypoints of a probability of at least one half.
    """
    distances = []
    for ours, theirs in zip((one.poses for one in found), truth, strict=True):
        if exact:
            assert len(ours) == len(theirs)
            np.testing.assert_allclose(ours.scores, theirs.scores, atol=1e-3)
        count = min(len(ours), len(theirs))
        apart = np.hypot(*np.moveaxis(ours.keypoints[:count] - theirs.keypoints[:count], -1, 0))
        distances.append(apart if exact else apart[theirs.keypoint_probabilities[:count] >= 0.5])
    distances = np.concatenate([one.ravel() for one in distances])
    if not exact:
        return np.percentile(distances, 95)
    assert distances.max() < 1e-2, f"expected keypoints within 1e-2 px of torch's, got {distances.max():.3g}"
    return distances.max()


def score(predictor):
    """Return average precision of keypoints and masks on coco-mini."""
    folder = DATA / "coco-mini"
    from personlab.data.annotations import read_annotations

    read = read_annotations(str(folder / "annotations" / "person_keypoints.json"), "person")
    annotations = index_for_scoring(read.of_skeleton(predictor.skeleton), None)
    results = predict_dataset(predictor, annotations, Path(folder / "images"))
    assert not results.problems, results.problems
    scores = score_results(annotations, results, predictor.skeleton, masks=predictor.masks)
    return [f"{dataclasses.asdict(scores[kind])['ap']:.4f}" if kind in scores else "-" for kind in ("keypoint", "mask")]


if __name__ == "__main__":
    main()
