"""Writes a synthetic video for timing prediction: a moving drawn scene.

python benchmarks/make_video.py video.mp4 && personlab predict video.mp4 --weights W --masks --output out/
"""

from __future__ import annotations

import argparse

import cv2
import numpy as np

from personlab.data.synthetic import make_scene
from personlab.io.video_writer import VideoWriter

RATE = 25  # frames a second


def write_scene(path, seconds, size=(480, 640), people=5):
    """Write a video of a drawn scene of `size` (H, W) that moves to and fro."""
    height, width = size
    scene = make_scene(5, size=size, people=people).image
    writer = VideoWriter(path, RATE)
    for i in range(round(RATE * seconds)):
        shift = np.array([[1, 0, width / 32 * np.sin(i / 20)], [0, 1, height / 48 * np.cos(i / 15)]])
        image = cv2.warpAffine(scene, shift, (width, height), borderMode=cv2.BORDER_REFLECT)
        writer.write(np.asarray(image, np.uint8), i / RATE)
    writer.close(round(RATE * seconds) / RATE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path")
    parser.add_argument("--seconds", type=float, default=10.0)
    arguments = parser.parse_args()
    write_scene(arguments.path, arguments.seconds)


if __name__ == "__main__":
    main()
