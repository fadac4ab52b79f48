"""Times what teachers cost in training: their fields computed once, and shown beside the targets of each view.

python benchmarks/teachers.py [IMAGES] prints, for the first images of coco-people in the folder of PERSONLAB_DATA, how
many get fields in a second, the bytes that these take, and views a second of one process with and without them.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import cv2
from shared import DATA

from personlab.data.augment import Augmentation
from personlab.data.loader import Views
from personlab.methods import get_method
from personlab.train import DataOptions, TeacherOptions, TrainConfig
from personlab.train.start import open_images
from personlab.train.teachers import Teachers

POSENET = str(DATA / "weights" / "posenet-mobilenet-075")
BODYPIX = str(DATA / "weights" / "bodypix-mobilenet-075" / "model-stride16.json")
SEVERAL = (0.75, 1.0, 1.5)
TEACHERS = {
    "PoseNet 0.75, stride 8, flip": TeacherOptions(
        weights=POSENET, fields=("heatmaps", "short_offsets", "mid_offsets"), stride=8, flip=True
    ),
    "BodyPix 0.75, stride 8, flip": TeacherOptions(
        weights=BODYPIX, fields=("segmentation", "long_offsets"), stride=8, flip=True
    ),
    "BodyPix 0.75, stride 8, scales 0.75 1 1.5, flip": TeacherOptions(
        weights=BODYPIX, fields=("segmentation", "long_offsets"), stride=8, scales=SEVERAL, flip=True
    ),
}


def main(count: int) -> None:
    """Print the figures."""
    method = get_method("personlab")
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        config = TrainConfig(
            data=DataOptions(annotations=write_annotations(folder, count), images=str(DATA / "coco-people" / "images")),
            augmentation=Augmentation(long_edge=641, scale=(0.85, 1.15), rotation=10, flip=0.5, shift=0.3, colour=0.1),
        )
        images = open_images(config)
        for name, one in TEACHERS.items():
            own = replace(config, teachers=(one,), cache=str(folder / name))
            start, cpu = time.perf_counter(), time.process_time()
            Teachers(own, method, images).fill()
            seconds, busy = time.perf_counter() - start, time.process_time() - cpu
            size = sum(path.stat().st_size for path in (folder / name).rglob("*.npz")) / count
            print(
                f"{name}: {count / seconds:.2f} images a second, {busy / count:.2f} s of processor time and "
                f"{size / 1e6:.2f} MB an image"
            )
        both = replace(config, teachers=tuple(TEACHERS.values())[:2], cache=str(folder / "both"))
        teachers = Teachers(both, method, images)
        teachers.fill()
        cv2.setNumThreads(1)
        for name, beside in (("without teachers", None), ("with the first two", teachers)):
            views = Views(
                images, method.encode, config.loss, crop=(401, 401), stride=16, augmentation=config.augmentation,
                seed=0, teachers=beside,
            )  # fmt: skip
            views[0]
            start = time.process_time()
            for number in range(2 * count):
                views[number]
            print(f"views of 401 x 401, {name}: {2 * count / (time.process_time() - start):.0f} a second of one core")


def write_annotations(folder: Path, count: int) -> str:
    """Write the annotations of the first images, and return the file's name."""
    content = json.loads((DATA / "coco-people" / "annotations" / "person_keypoints.json").read_text())
    content["images"] = content["images"][:count]
    kept = {image["id"] for image in content["images"]}
    content["annotations"] = [entry for entry in content["annotations"] if entry["image_id"] in kept]
    path = folder / "annotations.json"
    path.write_text(json.dumps(content))
    return str(path)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 64)
