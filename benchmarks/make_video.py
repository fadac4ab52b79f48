"""Writes a synthetic video for timing prediction: a moving drawn scene.

python benchmarks/make_video.py video.mp4 && personlab predict video.mp4 --weights W --masks --output out/
"""

from __future__ import annotations

import argparse

import cv2
import numpy as np

from personlab.data.synthetic import make_scene


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path")
    parser.add_argument("--seconds", type=float, default=10.0)
    arguments = parser.parse_args()
    scene = np.ascontiguousarray(make_scene(5, size=(480, 640), people=5).image[:, :, ::-1])
    writer = cv2.VideoWriter(arguments.path, cv2.VideoWriter.fourcc(*"mp4v"), 25, (640, 480))
    for i in range(round(25 * arguments.seconds)):
        shift = np.array([[1, 0, 20 * np.sin(i / 20)], [0, 1, 10 * np.cos(i / 15)]])
        writer.write(cv2.warpAffine(scene, shift, (640, 480), borderMode=cv2.BORDER_REFLECT))
    writer.release()


if __name__ == "__main__":
    main()
