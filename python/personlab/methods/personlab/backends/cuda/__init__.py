"""The stages on an NVIDIA GPU: `DeviceArray` in, work queued on their stream, results that stay in its memory."""

from personlab.methods.personlab.backends.cuda.encode import encode_targets
from personlab.methods.personlab.backends.cuda.masks import associate_pixels, decode_mask_batch, score_masks
from personlab.methods.personlab.backends.cuda.poses import decode_pose_batch
from personlab.methods.personlab.backends.cuda.refine import refine_offsets
from personlab.methods.personlab.backends.cuda.stages import (
    find_peaks,
    group_poses,
    hough_vote,
    score_poses,
    sharpen_keypoints,
)

__all__ = [
    "associate_pixels",
    "decode_mask_batch",
    "decode_pose_batch",
    "encode_targets",
    "find_peaks",
    "group_poses",
    "hough_vote",
    "refine_offsets",
    "score_masks",
    "score_poses",
    "sharpen_keypoints",
]
