"""Options of decoding under which average precision counts every pose."""

from __future__ import annotations

from dataclasses import replace

from personlab.options import DecodeOptions

EVERY_POSE = DecodeOptions(min_score=0.0, peak_threshold=0.01)  # keeps weak poses, which average precision counts
EVERY_POSENET = DecodeOptions.posenet(0.05)  # at 0, that decoder would take every cell for a seed
EXACT = replace(EVERY_POSE, hough_stride=1)  # votes on every pixel: fields without error deserve no coarser lattice
