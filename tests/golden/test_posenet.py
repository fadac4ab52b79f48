"""The PoseNet mode against what Google's own C++ decoder made of the same fields."""

import numpy as np
import pytest
from agreement import core_poses, reference_poses

from personlab import DecodeOptions

DECODERS = {"cpu": core_poses, "reference": reference_poses}


@pytest.mark.parametrize("setting", [0, 1, 2])
def test_poses_equal_the_published_decoder_s(data, field_name, fields, setting, host_backend):
    with np.load(data / "golden" / f"{field_name}.npz") as golden:
        score_threshold, nms_radius, refine_steps, max_poses = golden[f"params_{setting}"].tolist()
        keypoints = golden[f"keypoints_{setting}"]
        keypoint_scores = golden[f"keypoint_scores_{setting}"]
        scores = golden[f"scores_{setting}"]
    options = DecodeOptions.posenet(score_threshold, nms_radius, int(refine_steps), int(max_poses))
    poses = DECODERS[host_backend](fields, options)
    assert len(poses) == len(scores) > 0
    np.testing.assert_allclose(poses.keypoints, keypoints, rtol=0, atol=1e-3)
    np.testing.assert_allclose(poses.keypoint_scores, keypoint_scores, rtol=0, atol=1e-4)
    np.testing.assert_allclose(poses.scores, scores, rtol=0, atol=1e-4)
