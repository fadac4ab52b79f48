"""Drawn scenes and videos of people with exact keypoints, masks and identities."""

from personlab.data.synthetic.detector import DetectorNoise, detect
from personlab.data.synthetic.scenes import Scene, make_scene, numbered_scene
from personlab.data.synthetic.videos import DrawnVideo, FramePeople

__all__ = ["DetectorNoise", "DrawnVideo", "FramePeople", "Scene", "detect", "make_scene", "numbered_scene"]
