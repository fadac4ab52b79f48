"""Fields of published networks for the annotated images of the shared data, computed once and cached.

coco-mini is used completely. The images of coco-people fall into two halves by a hash of the file name: settings are
chosen on "choose" and shown on "show". Images of coco-people without labelled keypoints are left out: their crowds are
not annotated, and every decoded person would count as wrong.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
from shared import DATA

from personlab import Fields, Predictor
from personlab.data.annotations import read_annotations
from personlab.data.coco import index_annotations, index_dataset
from personlab.io.files import write_whole
from personlab.metrics.coco import load_annotations
from personlab.weights import cache_folder

NETWORKS = {
    "PoseNet 0.75": "posenet-mobilenet-075/model-stride16.json",
    "BodyPix 0.75": "bodypix-mobilenet-075/model-stride16.json",
}
SETS = {"coco-mini": None, "choose": 0, "show": 1}  # name -> half of coco-people; None: coco-mini
LONG_EDGE = 641


class ImageSet(NamedTuple):
    """Annotated images of one or several sets."""

    paths: dict  # of the images, by id
    sets: dict  # the name of the set that an image is of, by id
    annotations: object  # COCO

    def with_outlines(self):
        """Return the annotations of the images in which every person has an outline."""
        return select(self.annotations, lambda _, people: all(person.get("segmentation") for person in people))


def half_of(file_name):
    """Return 0 or 1, constant for a file name."""
    return hashlib.sha256(file_name.encode()).digest()[0] % 2


def select(annotations, predicate):
    """Return an index of the images for which `predicate(image, its annotations)` holds."""
    chosen = {n: i for n, i in annotations.imgs.items() if predicate(i, annotations.imgToAnns[n])}
    listed = [a for a in annotations.dataset["annotations"] if a["image_id"] in chosen]
    return index_dataset({**annotations.dataset, "images": list(chosen.values()), "annotations": listed})


def load_images(*names, data=DATA):
    """Return the images of several sets, by the names of the sets."""
    paths, sets, people, categories = {}, {}, [], []
    images = []
    for name in names:
        half = SETS[name]
        folder = data / ("coco-mini" if half is None else "coco-people")
        path = str(folder / "annotations" / "person_keypoints.json")
        if half is None:
            annotations = load_annotations(path)
        else:
            labelled = index_annotations([read_annotations(path).labelled_images()])
            annotations = select(labelled, lambda image, _, h=half: half_of(image["file_name"]) == h)
        categories = annotations.dataset["categories"]
        people += annotations.dataset["annotations"]
        for number, image in annotations.imgs.items():
            images.append(image)
            paths[number], sets[number] = folder / "images" / image["file_name"], name
    renumbered = [{**person, "id": n} for n, person in enumerate(people, 1)]
    dataset = {"images": images, "annotations": renumbered, "categories": categories}
    return ImageSet(paths, sets, index_dataset(dataset))


def load_fields(network, images, *, cache=None, data=DATA, long_edge=LONG_EDGE):
    """Yield (image id, `Fields`) of each image; fields that the cache lacks are computed and stored, one by one.

    They are computed in float32 and stored as float16: on coco-mini, keypoint AP with float32 is equal within 0.0005.
    """
    folder = Path(cache or cache_folder() / "fields") / f"{network.replace(' ', '-').lower()}-{long_edge}-float32"
    folder.mkdir(parents=True, exist_ok=True)
    predictor = None
    for image_id, image in sorted(images.paths.items()):
        path = folder / f"{image.stem}.npz"
        if not path.exists():
            if predictor is None:
                weights = data / "weights" / NETWORKS[network]
                predictor = Predictor(weights, long_edge=long_edge, keep_fields=True, precision="float32")
            save(path, predictor(image).fields)
        yield image_id, Fields.load(path)


def save(path, fields):
    """Write fields as float16, uncompressed and atomically; `Fields.load` reads them."""
    names = ("heatmaps", "short_offsets", "mid_offsets", "segmentation", "long_offsets")
    arrays = {n: getattr(fields, n).astype(np.float16) for n in names if getattr(fields, n) is not None}
    content = io.BytesIO()
    np.savez(content, **arrays, stride=np.int32(fields.stride), image_size=np.array(fields.image_size, np.int32))
    write_whole(path, content.getvalue())
