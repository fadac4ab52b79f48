"""Prints one table of several networks, of any methods, on the same drawn scenes at the same longest side.

    python benchmarks/methods.py WEIGHTS ... [--count 200] [--seed 1] [--long-edge 641]

The scenes are those of `personlab scenes --count N --seed S`, drawn as they are needed. Networks run in float32 in the
engine that "auto" takes, with the outputs that keypoints need; times are medians over the scenes, one image at a time.
Average precision counts weak people, too (`Method.every_pose`); decoding is timed with each method's default options.
"""

from __future__ import annotations

import argparse
import time
from statistics import median

import numpy as np

from personlab import Predictor
from personlab.data.coco import People, make_annotations
from personlab.data.synthetic import numbered_scene
from personlab.methods.base import InputOptions, Setup
from personlab.metrics.coco import average_precision
from personlab.weights import find_source

SIZE, PEOPLE = (481, 641), (1, 5)  # (H, W) of a scene, min and max number of people, as of `personlab scenes`
WARM_UP = 3  # runs that are not counted


class Contestant:
    """A network, what it returns for each scene, and its times."""

    def __init__(self, weights, long_edge):
        self.weights, self.results, self.times = weights, [], {"network": [], "decode": []}
        self.predictor = Predictor(weights, precision="float32", long_edge=long_edge, masks=False, keep_fields=True)
        predictor = self.predictor
        self.every_pose = Setup(
            config=predictor.loaded.config,
            settings=predictor.settings,
            inputs=InputOptions(long_edge=long_edge),
            options=predictor.method.tune(predictor.method.every_pose, predictor.settings, None),
        )

    def warm_up(self, image):
        for _ in range(WARM_UP):
            self.predictor(image)

    def see(self, number, image):
        prediction = self.predictor(image)
        for stage, own in self.times.items():
            own.append(prediction.times[stage])
        poses = self.predictor.method.decode(prediction.fields, self.every_pose)
        self.results += poses.scaled(*prediction.fields.image_scale).to_coco(number)

    def row(self, annotations):
        predictor = self.predictor
        path, _ = find_source(self.weights, None)
        ap = average_precision(annotations, self.results, "keypoints", sigmas=predictor.skeleton.sigmas).ap
        times = [f"{median(own):.2f}" for own in self.times.values()]
        size = f"{path.stat().st_size / 1e6:.2f}"
        return [self.weights, predictor.method.name, str(predictor.stride), size, f"{ap:.3f}", *times]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", nargs="+", help="files or names, as `personlab predict --weights` takes them")
    parser.add_argument("--count", type=int, default=200, help="number of scenes")
    parser.add_argument("--seed", type=int, default=1, help="of the scenes")
    parser.add_argument("--long-edge", type=int, default=641, help="longest side of the network input, pixels")
    arguments = parser.parse_args()
    contestants = [Contestant(weights, arguments.long_edge) for weights in arguments.weights]
    truth, start = {}, time.perf_counter()
    for number in range(1, arguments.count + 1):
        scene = numbered_scene(arguments.seed, number, size=SIZE, people=PEOPLE)
        truth[number] = People(scene.keypoints, scene.masks, np.zeros(SIZE, bool))
        for contestant in contestants:
            if number == 1:
                contestant.warm_up(scene.image)
            contestant.see(number, scene.image)
    annotations = make_annotations(truth)
    engines = ", ".join(dict.fromkeys(f"{one.predictor.engine} in {one.predictor.precision}" for one in contestants))
    print(
        f"{arguments.count} scenes of {SIZE[1]} x {SIZE[0]} pixels, seed {arguments.seed}, longest side "
        f"{arguments.long_edge}, {engines}, {time.perf_counter() - start:.0f} s\n"
    )
    columns = ["network", "method", "stride", "file, MB", "keypoint AP", "network, ms", "decoding, ms"]
    for row in (columns, ["---"] * len(columns), *(contestant.row(annotations) for contestant in contestants)):
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
