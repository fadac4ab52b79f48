"""The steps of decoding maps in plain float64 NumPy, written for reading: what the compiled core has to equal.

Decoding equals it to the last bit: ties and values at a threshold hang on that bit, so that the operations and their
order are part of the rules (`arithmetic.py`).
"""

from personlab.methods.simple_pose.backends.reference.assemble import assemble
from personlab.methods.simple_pose.backends.reference.assemble_best import assemble_best
from personlab.methods.simple_pose.backends.reference.decode import (
    decode_pixels,
    decode_steps,
    people_of,
    pixels_per_cell,
)
from personlab.methods.simple_pose.backends.reference.encode import encode_targets
from personlab.methods.simple_pose.backends.reference.enlarge import enlarge, read_between_cells
from personlab.methods.simple_pose.backends.reference.limbs import match, score_pairs
from personlab.methods.simple_pose.backends.reference.peaks import find_peaks

__all__ = [
    "assemble",
    "assemble_best",
    "decode_pixels",
    "decode_steps",
    "encode_targets",
    "enlarge",
    "find_peaks",
    "match",
    "people_of",
    "pixels_per_cell",
    "read_between_cells",
    "score_pairs",
]
