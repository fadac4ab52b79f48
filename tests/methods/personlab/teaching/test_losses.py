"""Losses on what teachers say: 0 where the student says the same, and by hand elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from personlab.data.loader import Batch
from personlab.methods import get_method
from personlab.methods.personlab.network import Outputs
from personlab.methods.personlab.teaching.losses import make_losses
from personlab.train import LossOptions, TeachingOptions

H, W = 3, 4


def batch_of(**arrays):
    inside = torch.ones(1, 1, H, W, dtype=torch.bool)
    named = {f"taught_{name}": value for name, value in arrays.items()}
    return Batch(torch.zeros(1, 3, 9, 13, dtype=torch.uint8), {"taught_inside": inside, **named})


def said(**arrays):
    given = {
        "heatmaps": torch.zeros(1, 17, H, W), "short_offsets": torch.zeros(1, 17, 2, H, W),
        "mid_offsets": torch.zeros(1, 32, 2, H, W), "segmentation": torch.zeros(1, 1, H, W),
        "long_offsets": torch.zeros(1, 17, 2, H, W),
    }  # fmt: skip
    return Outputs(**{**given, **arrays})


def losses(outputs, batch, options=None):
    return make_losses(None, options or TeachingOptions(), LossOptions())(outputs, batch)


def test_a_student_that_says_the_same_has_no_loss():
    rng = torch.Generator().manual_seed(0)
    logits, offsets = torch.randn(1, 17, H, W, generator=rng), torch.randn(1, 17, 2, H, W, generator=rng)
    batch = batch_of(
        heatmaps=logits.sigmoid(), short_offsets=offsets, short_offsets_weights=torch.ones(1, 17, H, W),
    )  # fmt: skip
    parts = losses(said(heatmaps=logits, short_offsets=offsets), batch)
    assert parts.keys() == {"taught", "taught_heatmap", "taught_short"}
    assert all(abs(float(value)) < 1e-6 for value in parts.values())


def test_probabilities_by_hand():
    taught = torch.full((1, 1, H, W), 0.25)
    batch = batch_of(segmentation=taught)
    batch.targets["taught_inside"][..., 1:, :] = False
    taught[..., 1:, :] = 1.0  # which counts nowhere
    outputs = said(segmentation=torch.zeros(1, 1, H, W, requires_grad=True))
    parts = losses(outputs, batch)
    expected = np.log(2) + 0.25 * np.log(0.25) + 0.75 * np.log(0.75)
    np.testing.assert_allclose(parts["taught_segmentation"].item(), expected, rtol=1e-6)
    np.testing.assert_allclose(parts["taught"].item(), 2 * expected, rtol=1e-6)
    parts["taught"].backward()
    gradient = outputs.segmentation.grad[0, 0]
    np.testing.assert_allclose(gradient[0], 2 * (0.5 - 0.25) / W, rtol=1e-5)
    assert gradient.isfinite().all()
    assert not gradient[1:].any()


def test_offsets_by_hand():
    weights = torch.zeros(1, 1, H, W)
    weights[0, 0, 0, :3] = torch.tensor([0.4, 0.6, 1.0])  # the first is below min_probability
    taught = torch.zeros(1, 17, 2, H, W)
    taught[:, :, 0, 0, 0], taught[:, :, 0, 0, 1], taught[:, :, 1, 0, 2] = 1000, 32, -64
    parts = losses(said(), batch_of(long_offsets=taught, long_offsets_weights=weights))
    expected = (0.6 * 32 + 1.0 * 64) / 1.6 / 32
    np.testing.assert_allclose(float(parts["taught_long"]), expected, rtol=1e-6)
    np.testing.assert_allclose(float(parts["taught"]), 0.125 * expected, rtol=1e-6)
    every = losses(
        said(), batch_of(long_offsets=taught, long_offsets_weights=weights), TeachingOptions(min_probability=0)
    )
    assert float(every["taught_long"]) > 100 * 0.4 / 32


def test_an_image_in_which_teachers_are_sure_of_nothing_has_no_loss():
    zero = torch.zeros(1, 17, H, W)
    parts = losses(said(), batch_of(short_offsets=torch.ones(1, 17, 2, H, W), short_offsets_weights=zero))
    assert float(parts["taught"]) == 0


def test_a_network_without_masks_is_not_taught_them():
    batch = batch_of(segmentation=torch.zeros(1, 1, H, W), heatmaps=torch.full((1, 17, H, W), 0.5))
    assert losses(said(segmentation=None), batch).keys() == {"taught", "taught_heatmap"}


def test_options_are_checked():
    with pytest.raises(ValueError, match=r"teaching\.short: expected"):
        TeachingOptions(short=-1)
    with pytest.raises(ValueError, match=r"teaching\.min_probability: expected"):
        TeachingOptions(min_probability=1.5)
    assert get_method("simple_pose").teaching is None
