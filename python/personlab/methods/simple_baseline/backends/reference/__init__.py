"""The stages of the top-down method in plain float64 NumPy, written for reading: what a compiled core has to equal."""

from personlab.methods.simple_baseline.backends.reference.crops import crop_image

__all__ = ["crop_image"]
