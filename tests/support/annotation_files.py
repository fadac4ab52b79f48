"""Annotation files in COCO's format for tests: two people in one image of 40 x 60 pixels, and changes to them."""

from __future__ import annotations

import copy
import json

import numpy as np

from personlab import visualize

SIZE = (40, 60)  # (H, W) of the image
NAMES = ["nose", "left_hand", "right_hand"]
PERSON = {"id": 1, "name": "person", "keypoints": NAMES, "skeleton": [[1, 2], [1, 3]]}
LEFT = [[4, 4, 20, 4, 20, 30, 4, 30]]  # 16 x 26 pixels, and its box
RIGHT = [[30, 6, 50, 6, 50, 36, 30, 36]]


def good():
    """A file without fault."""
    return copy.deepcopy(
        {
            "images": [{"id": 3, "file_name": "a.png", "height": SIZE[0], "width": SIZE[1]}],
            "annotations": [
                {"id": 1, "image_id": 3, "category_id": 1, "iscrowd": 0, "keypoints": [8, 8, 2, 6, 20, 2, 18, 20, 1],
                 "num_keypoints": 3, "segmentation": LEFT, "bbox": [4, 4, 16, 26], "area": 416},
                {"id": 2, "image_id": 3, "category_id": 1, "iscrowd": 0, "keypoints": [40, 10, 2, 34, 25, 2, 0, 0, 0],
                 "num_keypoints": 2, "segmentation": RIGHT, "bbox": [30, 6, 20, 30], "area": 600},
            ],
            "categories": [PERSON],
        }
    )  # fmt: skip


def write(folder, content, *, name="a.json"):
    """The file and the folder of its image; what is bytes already is written as it is."""
    images = folder / "images"
    images.mkdir(exist_ok=True)
    visualize.write_image(images / "a.png", np.full((*SIZE, 3), 90, np.uint8))
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path, images


def write_changed(folder, place=0, entries="annotations", **values):
    """The good file but for some values of one entry; `...` takes a value out."""
    content = good()
    entry = content[entries][place]
    for name, value in values.items():
        entry.pop(name, None)
        if value is not ...:
            entry[name] = value
    return write(folder, content)
