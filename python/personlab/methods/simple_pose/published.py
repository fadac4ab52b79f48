"""Simple Pose networks by name: those in the package."""

from pathlib import Path

from personlab.methods.base import Published

PUBLISHED = Published(
    shipped={"drawn-simple-pose-050": Path(__file__).parent / "shipped" / "drawn-simple-pose-050.safetensors"}
)
