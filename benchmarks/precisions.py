"""Prints what lower precision of a network costs and gains: average precision on coco-mini, time and size of the file.

    python benchmarks/precisions.py [--weights W] [--stride N] [--number N]

int8 is calibrated on images of coco-people, which coco-mini has none of. Times are of the network alone, one image of
641 x 481 at a time: the min of several rounds, in which all settings take turns.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from shared import DATA

from personlab import Predictor
from personlab.commands.export import read_calibration
from personlab.data.annotations import read_annotations
from personlab.io.console import write_table
from personlab.io.files import write_whole
from personlab.metrics.coco import index_for_scoring
from personlab.predict.dataset import predict_dataset, score_results
from personlab.predict.load import load_network
from personlab.weights.exports import as_onnx
from personlab.weights.quantize import to_float16, to_int8

ROUNDS = 15
SETTINGS = (  # file, engine, precision of its arithmetic
    ("float32", "onnxruntime", "float32"),
    ("float16", "onnxruntime", "float32"),
    ("int8", "onnxruntime", "float32"),
    ("float32", "openvino", "float32"),
    ("float32", "openvino", "bfloat16"),
    ("float16", "openvino", "float32"),
    ("int8", "openvino", "float32"),
)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--weights", default=str(DATA / "weights" / "bodypix-mobilenet-075" / "model-stride16.json"))
    parser.add_argument("--stride", type=int, default=16)
    parser.add_argument("--number", type=int, default=64, help="of calibration images")
    arguments = parser.parse_args()
    mini = DATA / "coco-mini"
    people, outlines = (
        index_for_scoring(read_annotations(str(mini / "annotations" / name), "person"), labelled_only=False)
        for name in ("person_keypoints.json", "instances.json")
    )
    with tempfile.TemporaryDirectory() as folder:
        plain = as_onnx(arguments.weights, stride=arguments.stride)
        calibration = read_calibration(plain, DATA / "coco-people" / "images", number=arguments.number)
        contents = {"float32": plain, "float16": to_float16(plain), "int8": to_int8(plain, calibration)}
        for name, content in contents.items():
            write_whole(Path(folder) / f"{name}.onnx", content)
        networks = {}
        for setting in SETTINGS:
            file, engine, precision = setting
            try:
                networks[setting] = load_network(Path(folder) / f"{file}.onnx", engine=engine, precision=precision)
            except (ImportError, ValueError) as error:
                print(f"left out: {' '.join(setting)}: {error}")
        times, rows = measure(networks), []
        for setting, network in networks.items():
            predictor = Predictor(network, long_edge=641, options=network.method.every_pose)
            results = predict_dataset(predictor, people, mini / "images")
            file, engine, precision = setting
            rows.append([
                file, engine, "int8" if file == "int8" else precision, f"{len(contents[file]) / 2**20:.1f}",
                f"{times[setting]:.1f}",
                f"{score_results(people, results, predictor.skeleton, masks=False)['keypoint'].ap:.3f}",
                f"{score_results(outlines, results, predictor.skeleton, masks=True)['mask'].ap:.3f}",
            ])  # fmt: skip
    write_table(["file", "engine", "arithmetic", "MiB", "ms", "keypoint AP", "mask AP"], rows)


def measure(networks):
    """Return the min time of the network by setting, ms."""
    image = np.random.default_rng(0).integers(0, 256, (1, 481, 641, 3), np.uint8)
    best = dict.fromkeys(networks, np.inf)
    for _ in range(ROUNDS):
        for setting, network in networks.items():
            names = network.method.outputs(True)
            start = time.perf_counter()
            network.engine.run(image, names)
            best[setting] = min(best[setting], 1e3 * (time.perf_counter() - start))
    return best


if __name__ == "__main__":
    main()
