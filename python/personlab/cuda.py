"""Poses and masks that stay on a GPU; `personlab.methods.personlab.on_device`."""

from personlab.methods.personlab.on_device import DevicePoses, decode_masks, decode_poses

__all__ = ["DevicePoses", "decode_masks", "decode_poses"]
