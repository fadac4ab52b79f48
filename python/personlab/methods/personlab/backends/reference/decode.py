"""The whole decoder: the stages in a row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from personlab.methods.personlab.backends.reference.group import group_poses
from personlab.methods.personlab.backends.reference.hough import hough_vote
from personlab.methods.personlab.backends.reference.peaks import find_peaks
from personlab.methods.personlab.backends.reference.posenet import decode_posenet
from personlab.methods.personlab.backends.reference.score import score_poses
from personlab.methods.personlab.backends.reference.sharpen import sharpen_keypoints

if TYPE_CHECKING:
    from personlab.methods.personlab.backends.reference.sampling import Array, Field
    from personlab.options import DecodeOptions
    from personlab.skeleton import Skeleton


def decode_poses(
    heatmaps: Field,
    short_offsets: Field,
    mid_offsets: Field,
    *,
    stride: int,
    skeleton: Skeleton,
    options: DecodeOptions,
) -> tuple[Array, Array, Array, Array]:
    """The whole of section 3.1: keypoints (P, K, 2), s_jk (P, K), p_jk (P, K), instance scores (P,)."""
    if options.decoder == "posenet":
        return decode_posenet(heatmaps, short_offsets, mid_offsets, stride=stride, skeleton=skeleton, options=options)
    hough = hough_vote(heatmaps, short_offsets, stride=stride, options=options)
    peaks = find_peaks(hough, options=options)
    keypoints, probabilities = group_poses(
        peaks, heatmaps, short_offsets, mid_offsets, stride=stride, skeleton=skeleton, options=options
    )
    kept, keypoint_scores, scores = score_poses(keypoints, probabilities, hough, skeleton=skeleton, options=options)
    sharpened = sharpen_keypoints(keypoints[kept], hough, options=options)
    return sharpened, keypoint_scores, probabilities[kept], scores
