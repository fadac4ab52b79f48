"""Each stage of PersonLab as a public function, on a backend of your choice (`personlab.methods.personlab.stages`)."""

from personlab.methods.personlab.stages import (
    Backend,
    Groups,
    Peaks,
    Ranked,
    associate_pixels,
    choose_backend,
    encode_targets,
    find_peaks,
    group_poses,
    hough_vote,
    refine_offsets,
    score_masks,
    score_poses,
    sharpen_keypoints,
)

__all__ = [
    "Backend",
    "Groups",
    "Peaks",
    "Ranked",
    "associate_pixels",
    "choose_backend",
    "encode_targets",
    "find_peaks",
    "group_poses",
    "hough_vote",
    "refine_offsets",
    "score_masks",
    "score_poses",
    "sharpen_keypoints",
]
