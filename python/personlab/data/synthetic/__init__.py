"""Drawn scenes: people whose keypoints and masks are known exactly."""

from personlab.data.synthetic.scenes import Scene, make_scene, numbered_scene

__all__ = ["Scene", "make_scene", "numbered_scene"]
