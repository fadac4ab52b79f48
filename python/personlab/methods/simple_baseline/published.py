"""Simple Baselines networks by name: those in the package."""

from personlab.methods.base import Published

PUBLISHED = Published(shipped={})
