"""Prints, for RESULTS.md, what each engine makes of published networks: times, agreement with torch, average precision.

    python benchmarks/engines.py [--rounds N] [--no-precision]
    python benchmarks/engines.py --rounds 3 --sets coco-mini choose show --precisions bfloat16  # narrower intervals

Differences in average precision are from that of the module as it is loaded, in torch and float32, with a 95 % interval
from a paired bootstrap over images. On the 80 images of coco-mini it is +-0.005 to 0.01 for keypoints.
"""

from __future__ import annotations

import argparse

import cv2
import numpy as np
from real_fields import SETS, load_images
from shared import DATA

from personlab import COCO_PERSON, Predictor
from personlab.methods.personlab.method import EVERY_POSE
from personlab.metrics.bootstrap import compare, find_matches
from personlab.predict.dataset import predict_dataset
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
KINDS = ("keypoints", "segm")
SIZE = (481, 641)  # (H, W) of the input that is timed
BATCH = 4


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40, help="runs of each engine")
    parser.add_argument("--no-precision", action="store_true", help="leave out average precision, which takes minutes")
    parser.add_argument("--only", default="", help="networks whose label holds this text")
    parser.add_argument("--engines", nargs="+", choices=tuple(ENGINES), default=tuple(ENGINES))
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=PRECISIONS)
    parser.add_argument("--sets", nargs="+", choices=tuple(SETS), default=["coco-mini"], help="annotated images")
    parser.add_argument("--resamples", type=int, default=1000)
    arguments = parser.parse_args()
    photographs = [cv2.imread(str(DATA / "images" / f"{name}.jpg"))[:, :, ::-1] for name in PHOTOGRAPHS]
    images = np.random.default_rng(0).integers(0, 256, (BATCH, *SIZE, 3), np.uint8)
    annotated = None if arguments.no_precision else load_images(*arguments.sets)
    if annotated:
        print(f"{len(annotated.paths)} annotated images: {', '.join(arguments.sets)}\n")
    print("| network | engine | precision | ms alone | ms at once | ms in a batch | px off | keypoint AP | mask AP |")
    print("|---|---|---|---|---|---|---|---|---|")
    for label, (name, stride) in NETWORKS.items():
        if arguments.only not in label:
            continue
        weights = DATA / "weights" / name
        # What all are compared with: the module as it is loaded, in float32.
        module = Predictor(load_model(weights, stride=stride), options=EVERY_POSE)
        truth = [found.poses for found in Predictor(module.loaded)(photographs)]
        expected = judge(module, annotated) if annotated else {}
        if annotated:
            values = [f"{expected[kind].average_precision().ap:.4f}" if kind in expected else "-" for kind in KINDS]
            print(f"| {label} | module | float32 | | | | | {' | '.join(values)} |", flush=True)
        for engine, precision in settings(arguments.engines, arguments.precisions):
            predictor = Predictor(weights, engine=engine, precision=precision, stride=stride, options=EVERY_POSE)
            names = predictor.method.outputs(predictor.masks)
            timing = time_engine(predictor.loaded.engine, images, names, batches=[BATCH], rounds=arguments.rounds)
            off = agree(Predictor(predictor.loaded)(photographs), truth, exact=precision == "float32")
            cells = [timing.alone, timing.at_once, timing.batches[BATCH]]
            row = [label, engine, precision, *(f"{1e3 * seconds:.1f}" for seconds in cells), f"{off:.2g}"]
            judged = judge(predictor, annotated) if annotated else {}
            row += [differ(judged[k], expected[k], arguments.resamples) if k in judged else "-" for k in KINDS]
            print(f"| {' | '.join(row)} |", flush=True)


def settings(engines, precisions):
    """Each of these engines that is installed, at those of the precisions that it computes natively here."""
    for engine in engines:
        kind = ENGINES[engine]
        if kind.is_installed:
            import torch

            module = kind.load()
            offered = module.precisions(torch.device("cpu") if engine == "torch" else "cpu")
            yield from ((engine, precision) for precision in precisions if precision in offered)


def agree(found, truth, *, exact):
    """Return how far the keypoints of the same people lie from torch's, pixels; the largest where they have to agree.

    In 16 bits it is the 95th percentile of the keypoints of a probability of at least one half.
    """
    distances = []
    for ours, theirs in zip((one.poses for one in found), truth, strict=True):
        if exact:
            assert len(ours) == len(theirs)
            np.testing.assert_allclose(ours.scores, theirs.scores, atol=1e-3)
        apart = np.hypot(*np.moveaxis(ours.keypoints[:, None] - theirs.keypoints, -1, 0))  # (ours, theirs, K)
        nearest = apart[apart.mean(axis=2).argmin(axis=0), np.arange(len(theirs))]
        distances.append(nearest if exact else nearest[theirs.keypoint_probabilities >= 0.5])
    distances = np.concatenate([one.ravel() for one in distances])
    if not exact:
        return np.percentile(distances, 95)
    assert distances.max() < 1e-2, f"expected keypoints within 1e-2 px of torch's, got {distances.max():.3g}"
    return distances.max()


def judge(predictor, images):
    """Return the matches of a predictor's poses, and of its masks where it has any, by kind.

    Masks are judged in the images whose people all have outlines.
    """
    results = predict_dataset(predictor, images.annotations, {n: str(path) for n, path in images.paths.items()})
    assert not results.problems, results.problems
    judged = {"keypoints": find_matches(images.annotations, results.keypoints, "keypoints", sigmas=COCO_PERSON.sigmas)}
    if predictor.masks:
        outlined = images.with_outlines()
        masks = [one for one in results.masks if one["image_id"] in outlined.imgs]
        judged["segm"] = find_matches(outlined, masks, "segm")
    return judged


def differ(matches, expected, resamples):
    """Return average precision, and how far it is from what is expected, with an interval."""
    d = compare(matches, expected, resamples=resamples)["ap"]
    return f"{matches.average_precision().ap:.4f}: {d.value:+.4f} [{d.low:+.4f}, {d.high:+.4f}]"


if __name__ == "__main__":
    main()
