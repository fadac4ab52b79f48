"""Poses and masks that stay on a GPU; see `personlab.methods.personlab.backends.cuda`."""

from personlab.methods.personlab.backends.cuda.poses import DevicePoses, decode_masks, decode_poses

__all__ = ["DevicePoses", "decode_masks", "decode_poses"]
