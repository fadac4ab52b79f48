"""Every stage in plain float64 NumPy, written for reading: what the compiled backends have to equal.

Shapes: K keypoint types, E edges, a field grid of h x w cells, stride s input pixels; coordinates are (x, y) input
pixels. The functions take checked arrays and return float64; section numbers are the paper's (arXiv 1803.08225).

Two decisions are made in float32, to the last bit as the compiled backends make them, so that exact ties fall alike:
who votes (`lattice_logits`) and which lattice points lie in a disc (`in_disc`).
"""

from personlab.methods.personlab.backends.reference.decode import decode_poses
from personlab.methods.personlab.backends.reference.encode import encode_targets
from personlab.methods.personlab.backends.reference.group import Growth, Path, group_poses, grow_pose
from personlab.methods.personlab.backends.reference.hough import hough_vote
from personlab.methods.personlab.backends.reference.masks import associate_pixels, score_masks
from personlab.methods.personlab.backends.reference.peaks import find_peaks
from personlab.methods.personlab.backends.reference.posenet import decode_posenet, group_posenet, posenet_ranking
from personlab.methods.personlab.backends.reference.refine import refine_offsets
from personlab.methods.personlab.backends.reference.sampling import (
    Array,
    Field,
    log_odds,
    sample,
    sample_offset,
    sample_probability,
    sigmoid,
)
from personlab.methods.personlab.backends.reference.score import (
    expected_oks,
    find_takers,
    instance_scores,
    pose_size,
    rank_poses,
    score_poses,
    seniority,
)
from personlab.methods.personlab.backends.reference.sharpen import sharpen_keypoints

__all__ = [
    "Array",
    "Field",
    "Growth",
    "Path",
    "associate_pixels",
    "decode_posenet",
    "decode_poses",
    "encode_targets",
    "expected_oks",
    "find_peaks",
    "find_takers",
    "group_posenet",
    "group_poses",
    "grow_pose",
    "hough_vote",
    "instance_scores",
    "log_odds",
    "pose_size",
    "posenet_ranking",
    "rank_poses",
    "refine_offsets",
    "sample",
    "sample_offset",
    "sample_probability",
    "score_masks",
    "score_poses",
    "seniority",
    "sharpen_keypoints",
    "sigmoid",
]
