"""The stages of the top-down method in plain float64 NumPy, written for reading: what the core has to equal."""

from personlab.methods.simple_baseline.backends.reference.crops import crop_image
from personlab.methods.simple_baseline.backends.reference.decode import decode_people, rescore
from personlab.methods.simple_baseline.backends.reference.peaks import find_peaks, merge
from personlab.methods.simple_baseline.backends.reference.suppress import similarities, suppress_boxes, suppress_poses
from personlab.methods.simple_baseline.backends.reference.targets import encode_targets

__all__ = [
    "crop_image",
    "decode_people",
    "encode_targets",
    "find_peaks",
    "merge",
    "rescore",
    "similarities",
    "suppress_boxes",
    "suppress_poses",
]
