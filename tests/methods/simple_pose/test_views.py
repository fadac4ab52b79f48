"""From recorded outputs of a network to people, by the seam: scales and mirror images as the original merges them."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pose_maps import FIXED, golden, original  # noqa: E402

from personlab import Predictor  # noqa: E402
from personlab.methods.simple_pose.config import SimplePoseConfig  # noqa: E402
from personlab.methods.simple_pose.network import Outputs, SimplePose  # noqa: E402

pytestmark = pytest.mark.torch
PREDICT = ("predict_1_one_scale", "predict_2_three_scales", "predict_3_five_scales")


class Recorded(SimplePose):
    """Returns recorded outputs (50, h, w), one after the other."""

    def __init__(self, config, outputs):
        super().__init__(config)
        self.left = list(outputs)

    def forward(self, images):
        maps = torch.from_numpy(self.left.pop(0).astype(np.float32))[None]
        assert (4 * maps.shape[2], 4 * maps.shape[3]) == tuple(images.shape[2:])  # padded as the original pads
        return Outputs(maps[:, :30], maps[:, 30:48])


class Config64(SimplePoseConfig):
    input_step = 64  # as of the hourglass


@pytest.mark.parametrize("variant", [{}, FIXED], ids=["orig", "fixed"])
@pytest.mark.parametrize("name", PREDICT)
def test_predicts_number_for_number(data, name, variant):
    case, file = golden(data, "predict_params.json")[name], golden(data, f"{name}.npz")
    finest_first = sorted(range(len(case["scales"])), key=lambda q: -case["scales"][q])
    network = Recorded(Config64(stride=4), [file[f"net_{q}"][i] for q in finest_first for i in (0, 1)])
    predictor = Predictor(
        network, long_edge=case["boxsize"], scales=case["scales"], flip=True,
        options=original(case["params"], **variant),
    )  # fmt: skip
    poses = predictor(np.zeros((case["image_height"], case["image_width"], 3), np.uint8)).poses
    assert network.left == []
    prefix = "fixed" if variant else "orig"
    expected, scores = file[f"{prefix}_keypoints"], file[f"{prefix}_scores"]
    order = np.argsort(-scores, kind="stable")
    np.testing.assert_allclose(poses.scores, scores[order], rtol=0, atol=1e-5)
    np.testing.assert_allclose(poses.keypoints, expected[order], rtol=0, atol=1e-4)
