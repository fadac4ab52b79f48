"""Times `personlab predict` beside an earlier commit, and the stages beside the network's engine alone.

python benchmarks/pipeline.py [--base COMMIT] [--rounds N] [--weights FILE ...] [--int8]
python benchmarks/pipeline.py --large [--weights FILE ...]

Prints Markdown. The first form builds the earlier commit, and runs both in turns on coco-mini with masks: images a
second as the command prints them. Then, in one process: the wall and core time of an image in the engine alone, whose
inputs lie ready and which runs in as many threads as it has use for; the same for the whole pipeline; and the time of
each stage by itself. With --int8, this package runs what `personlab export --precision int8` makes of the network,
calibrated on images of coco-people, and the average precision of both is printed. The second form enlarges coco-mini
two and three times, and prints the average precision and the time of reading with and without reduced reading.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from history import DATA, build

IMAGES = DATA / "coco-mini" / "images"
WEIGHTS = ("bodypix-mobilenet-050-stride16.onnx", "bodypix-mobilenet-075/model-stride16.json")
BASE = "a05c899"  # the last commit before the pipeline
STAGES = ("read", "resize", "merge", "decode", "masks")


def images_a_second(site, weights):
    """Run the command of the package in a folder, and return what it prints."""
    command = [sys.executable, "-m", "personlab", "predict", str(IMAGES), "--masks", "--weights", str(weights)]
    command += ["--stride", "16", "--long-edge", "641"]
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(command, env=environment, cwd=site, capture_output=True, text=True, check=True)
    count, rate = re.search(r"^(\d+) images in .*\(([\d.]+) a second\)", done.stdout, re.MULTILINE).groups()
    assert int(count) == len(list(IMAGES.iterdir())), done.stderr
    return float(rate)


def compare(sites, rounds):
    """Return the images a second of each package, a folder and the network it runs, in rounds."""
    rates = {name: [] for name in sites}
    for _ in range(rounds):
        for name, (site, weights) in sites.items():
            rates[name].append(images_a_second(site, weights))
    return rates


def export_int8(weights, folder):
    """Quantise a network as a user does, and return the file."""
    file = Path(folder) / f"{weights.parent.name}-{weights.stem}-int8.onnx"
    command = [sys.executable, "-m", "personlab", "export", str(weights), str(file), "--stride", "16"]
    command += ["--precision", "int8", "--calibrate", str(DATA / "coco-people" / "images")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return file


def average_precisions(weights, **settings):
    """Return the average precision of keypoints and of masks on coco-mini, every pose kept."""
    from personlab import Predictor
    from personlab.data.annotations import read_annotations
    from personlab.methods import get_method
    from personlab.metrics.coco import index_for_scoring
    from personlab.predict.dataset import predict_dataset, score_results

    options = get_method("personlab").every_pose
    predictor = Predictor(weights, stride=16, long_edge=641, options=options, **settings)
    scores = []
    for kind, name in (("keypoint", "person_keypoints.json"), ("mask", "instances.json")):
        path = str(DATA / "coco-mini" / "annotations" / name)
        annotations = index_for_scoring(read_annotations(path, "person"), labelled_only=False)
        results = predict_dataset(predictor, annotations, IMAGES)
        scores.append(score_results(annotations, results, predictor.skeleton, masks=kind == "mask")[kind].ap)
    return scores


class Timed:
    """Adds up the wall and core time of blocks, ms an image."""

    def __init__(self, count):
        self.count, self.wall, self.core = count, 0.0, 0.0

    def __enter__(self):
        self.start = time.perf_counter(), time.process_time()

    def __exit__(self, *_):
        self.wall += 1e3 * (time.perf_counter() - self.start[0]) / self.count
        self.core += 1e3 * (time.process_time() - self.start[1]) / self.count


class Recorded:
    """An engine whose outputs lie ready, in the order of the images."""

    streams, device = 1, None

    def __init__(self, outputs):
        self.outputs = iter(outputs)

    def run(self, *_):
        return next(self.outputs)


def run_engine(engine, views, names):
    """Run an engine on inputs that lie ready, in as many threads as it has use for."""
    waiting = iter(views)
    lock = threading.Lock()

    def work():
        while True:
            with lock:
                view = next(waiting, None)
            if view is None:
                return
            engine.run(view, names)

    threads = [threading.Thread(target=work) for _ in range(engine.streams)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def measure(weights, rounds):
    """Return wall and core times of the engine, of the pipeline and of its stages, ms an image."""
    from personlab import Predictor
    from personlab.commands.predict import _use_one_thread_in_opencv
    from personlab.predict.pipeline import _frames_of

    _use_one_thread_in_opencv()
    files = sorted(map(str, IMAGES.iterdir()))
    predictor = Predictor(weights, stride=16, long_edge=641)
    pipeline, engine = predictor._pipeline(), predictor._engine
    views = [frame.prepared.views[0] for frame in pipeline._prepare(list(_frames_of(files)))]
    names = pipeline.method.outputs(True)
    run_engine(engine, views, names)
    outputs = [engine.run(view, names) for view in views]
    rows, best = [], {}
    for _ in range(rounds):
        alone, whole = Timed(len(files)), Timed(len(files))
        with alone:
            run_engine(engine, views, names)
        with whole:
            for prediction in predictor.stream(files):
                assert prediction.masks is not None
        row = {"engine wall": alone.wall, "engine core": alone.core, "wall": whole.wall, "core": whole.core}
        predictor._engine = Recorded(outputs)
        by_itself = predictor._pipeline()
        for file in files:
            for stage, value in by_itself.run(file).prediction.times.items():
                best[file, stage] = min(best.get((file, stage), value), value)
        predictor._engine = engine
        rows.append(row)
    facts = {"engine": engine.name, "precision": engine.precision, "streams": engine.streams}
    stages = dict.fromkeys(STAGES, 0.0)
    for (_, stage), value in best.items():
        stages["merge" if stage == "network" else stage] += value / len(files)
    return {**facts, **stages, **{name: statistics.median(row[name] for row in rows) for name in rows[0]}}


def measure_large(weights):
    """Print average precision and core time of reading for enlarged images, read whole and at a fraction."""
    import cv2
    import numpy as np

    from personlab import DecodeOptions, Predictor
    from personlab.commands.predict import _use_one_thread_in_opencv
    from personlab.io.results import mask_results
    from personlab.metrics.coco import average_precision, load_annotations

    _use_one_thread_in_opencv()
    annotations = load_annotations(str(DATA / "coco-mini" / "annotations" / "person_keypoints.json"))
    options = DecodeOptions(min_score=0.0)

    def score(predictor, paths, factor):
        keypoints, masks, reading = [], [], 0.0
        with predictor.stream(paths.values()) as stream:
            for number, prediction in zip(paths, stream, strict=True):
                poses, image = prediction.poses, annotations.imgs[number]
                assert prediction.image_size == (factor * image["width"], factor * image["height"])
                moved = (poses.keypoints + 0.5) / factor - 0.5
                keypoints += type(poses)(moved, poses.keypoint_scores, poses.scores).to_coco(number)
                size = image["width"], image["height"]
                small = [cv2.resize(m.astype(np.uint8) * 255, size, interpolation=cv2.INTER_AREA) > 127
                         for m in prediction.masks]  # fmt: skip
                masks += mask_results(poses, np.array(small, bool), number, scores=prediction.mask_scores)
                reading += prediction.times["read"] + prediction.times["resize"]
        with contextlib.redirect_stdout(io.StringIO()):
            found = [average_precision(annotations, results, kind).ap
                     for results, kind in ((keypoints, "keypoints"), (masks, "segm"))]  # fmt: skip
        return *found, reading / len(paths)

    print(
        f"\n{weights.name}\n\n| enlarged | reading | keypoint AP | mask AP | read + resize, ms |\n|---|---|---|---|---|"
    )
    for factor in (1, 2, 3):
        with tempfile.TemporaryDirectory() as folder:
            paths = {}
            for number in sorted(annotations.imgs):
                name = annotations.imgs[number]["file_name"]
                paths[number] = IMAGES / name if factor == 1 else Path(folder) / name
                if factor > 1:
                    image = cv2.imread(str(IMAGES / name))
                    large = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
                    cv2.imwrite(str(paths[number]), large, [cv2.IMWRITE_JPEG_QUALITY, 95])
            for reduced in (False, True):
                predictor = Predictor(
                    weights, stride=16, long_edge=641, options=options, precision="float32", reduced_reading=reduced
                )
                keypoint, mask, reading = score(predictor, paths, factor)
                kind = "reduced" if reduced else "whole"
                print(f"| {factor} | {kind} | {keypoint:.4f} | {mask:.4f} | {reading:.2f} |", flush=True)


def print_rates(weights, rates):
    then, now = (statistics.median(values) for values in rates.values())
    print(f"\n{weights.name}\n\n| | images a second, median (rounds) |\n|---|---|")
    for name, values in rates.items():
        print(f"| {name} | {statistics.median(values):.1f} ({' '.join(f'{value:.1f}' for value in values)}) |")
    print(f"| ratio | {now / then:.2f} |", flush=True)


def print_scores(scores):
    print("\n| | keypoint AP | mask AP |\n|---|---|---|")
    for name, (keypoint, mask) in scores.items():
        print(f"| {name} | {keypoint:.4f} | {mask:.4f} |", flush=True)


def print_times(times):
    rest = times["core"] - times["engine core"]
    stages = sum(times[stage] for stage in STAGES)
    print(f"\n{times['engine']}, {times['precision']}, {times['streams']} at once\n")
    print("| ms an image | wall | core |\n|---|---|---|")
    print(f"| engine alone | {times['engine wall']:.2f} | {times['engine core']:.2f} |")
    print(f"| pipeline | {times['wall']:.2f} | {times['core']:.2f} |")
    print(f"| ratio | {times['wall'] / times['engine wall']:.2f} | {times['core'] / times['engine core']:.2f} |")
    for stage in STAGES:
        print(f"| {stage}, by itself | | {times[stage]:.2f} |")
    print(f"| threads and caches | | {rest - stages:.2f} |")
    print(f"| all but the engine, share | | {rest / times['core']:.0%} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", default=BASE, help="an earlier commit, or a folder that holds its package, built")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--weights", nargs="+", type=Path, default=[DATA / "weights" / name for name in WEIGHTS])
    parser.add_argument("--large", action="store_true", help="average precision with and without reduced reading")
    parser.add_argument("--int8", action="store_true", help="run the int8 export of the network")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)  # prints times of this package
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.weights[0], arguments.rounds)))
        return
    if arguments.large:
        for weights in arguments.weights:
            measure_large(weights)
        return
    import personlab

    here = Path(personlab.__file__).resolve().parents[1]
    with tempfile.TemporaryDirectory() as folder:
        base = Path(arguments.base)
        site = base if base.is_dir() else build(arguments.base, Path(folder))
        for weights in arguments.weights:
            own = export_int8(weights, folder) if arguments.int8 else weights
            rates = compare({arguments.base: (site, weights), "this package": (here, own)}, arguments.rounds)
            print_rates(weights, rates)
            if arguments.int8:
                print_scores(
                    {"float32": average_precisions(weights, precision="float32"), "int8": average_precisions(own)}
                )
            command = [sys.executable, __file__, "--one", "--rounds", str(arguments.rounds), "--weights", str(own)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            print_times(json.loads(done.stdout))


if __name__ == "__main__":
    main()
