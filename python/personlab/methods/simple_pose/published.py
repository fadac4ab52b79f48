"""Simple Pose networks by name: those in the package."""

from personlab.methods.base import Published

PUBLISHED = Published(shipped={})  # name -> Path(__file__).parent / "shipped" / "NAME.safetensors"
