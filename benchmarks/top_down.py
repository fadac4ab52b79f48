"""Prints three keypoint AP of drawn scenes: PersonLab alone, top-down on PersonLab's boxes, and on annotated boxes.

"against the first" is the difference in AP with its 95 % interval, a paired bootstrap over images.
"""

from __future__ import annotations

import argparse

import numpy as np

from personlab import Predictor
from personlab.data.coco import People, make_annotations
from personlab.data.synthetic.scenes import numbered_scene
from personlab.io.console import write_table
from personlab.methods import get_method
from personlab.metrics.bootstrap import compare, find_matches
from personlab.predict.boxes import true_boxes
from personlab.predict.dataset import predict_dataset, score_results


def main() -> None:
    """Score the scenes of `personlab scenes --count N --seed S`."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("weights", help="network of simple_baseline")
    parser.add_argument("--finder", default="drawn-mobilenet-050-stride8", help="network of personlab [%(default)s]")
    parser.add_argument("--count", type=int, default=200, help="number of scenes [%(default)s]")
    parser.add_argument("--seed", type=int, default=1, help="of the scenes [%(default)s]")
    parser.add_argument("--long-edge", type=int, default=641, help="of personlab's input, pixels [%(default)s]")
    parser.add_argument("--flip", action="store_true", help="show mirrored crops, too")
    asked = parser.parse_args()
    scenes = [numbered_scene(asked.seed, n, size=(481, 641), people=(1, 5)) for n in range(asked.count)]
    images = {n: scene.image for n, scene in enumerate(scenes)}
    annotations = make_annotations(
        {n: People(one.keypoints, one.masks, np.zeros(one.image.shape[:2], bool)) for n, one in enumerate(scenes)}
    )
    weak = {name: get_method(name).every_pose for name in ("personlab", "simple_baseline")}
    finder = Predictor(asked.finder, options=weak["personlab"], long_edge=asked.long_edge, precision="float32")
    shared = {"options": weak["simple_baseline"], "flip": asked.flip, "precision": "float32"}
    refined, alone = Predictor(asked.weights, finder=finder, **shared), Predictor(asked.weights, **shared)
    rows, first = [], None
    for name, predictor, boxes in (
        ("personlab alone", finder, None),
        ("top-down on personlab's boxes", refined, None),
        ("top-down on annotated boxes", alone, true_boxes(annotations)),
    ):
        results = predict_dataset(predictor, annotations, images, boxes=boxes)
        scores = score_results(annotations, results, predictor.skeleton, masks=False)["keypoint"]
        matches = find_matches(annotations, results.keypoints, "keypoints", sigmas=predictor.skeleton.sigmas)
        first = first or matches
        against = str(compare(matches, first)["ap"]) if rows else ""
        rows.append([name, *(f"{value:.3f}" for value in (scores.ap, scores.ap50, scores.ap75)), against])
    write_table(["", "keypoint AP", "AP50", "AP75", "against the first"], rows)


if __name__ == "__main__":
    main()
