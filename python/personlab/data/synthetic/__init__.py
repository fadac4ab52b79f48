"""Drawn scenes of people with exact keypoints and masks."""

from personlab.data.synthetic.scenes import Scene, make_scene, numbered_scene

__all__ = ["Scene", "make_scene", "numbered_scene"]
