"""Write fields for decode_fields.cpp: dump_fields.py OUTPUT [FIELDS.npz ...], of two drawn crowds without files."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from personlab import Fields, encode_targets
from personlab.data.synthetic import make_scene

if TYPE_CHECKING:
    from collections.abc import Sequence


def drawn_crowd(seed: int, people: int = 5) -> Fields:
    """Returns what a perfect network predicts for a drawn crowd."""
    scene = make_scene(seed, size=(241, 321), people=people)
    return encode_targets(scene.keypoints, scene.masks, size=(241, 321), stride=8).to_fields()


def dump(images: Sequence[Fields], path: Path) -> None:
    """Writes the fields of images on one grid, and the size of their masks: that of the network input.

    Raises:
        ValueError: grids or strides differ, or segmentation and long offsets are missing.
    """
    first = images[0]
    h, w = first.heatmaps.shape[-2:]
    width, height = first.input_size
    names = ("heatmaps", "short_offsets", "mid_offsets", "segmentation", "long_offsets")
    if any(one.heatmaps.shape != first.heatmaps.shape or one.stride != first.stride for one in images):
        raise ValueError("images: expected fields on one grid of one stride")
    if any(getattr(one, name) is None for one in images for name in names):
        raise ValueError("images: expected segmentation and long offsets")
    with path.open("wb") as file:
        np.array([len(images), h, w, first.stride, height, width], np.int32).tofile(file)
        for name in names:
            np.stack([getattr(one, name) for one in images]).astype(np.float32).tofile(file)


def main() -> None:
    """Runs the program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("fields", type=Path, nargs="*", help="files of Fields.save, on one grid")
    arguments = parser.parse_args()
    images = [Fields.load(file) for file in arguments.fields] or [drawn_crowd(0), drawn_crowd(1)]
    dump(images, arguments.output)


if __name__ == "__main__":
    main()
