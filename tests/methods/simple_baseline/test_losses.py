"""The loss of Simple Baselines: by hand, and as both originals have it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from personlab import COCO_PERSON  # noqa: E402
from personlab.methods.simple_baseline.backends import reference  # noqa: E402
from personlab.methods.simple_baseline.loss_options import SimpleBaselineLossOptions  # noqa: E402
from personlab.methods.simple_baseline.losses import make_losses, map_loss  # noqa: E402

pytestmark = pytest.mark.torch


def total(maps, target, valid, **options):
    losses = make_losses(SimpleBaselineLossOptions(**options))
    return losses(SimpleNamespace(heatmaps=maps), SimpleNamespace(heatmaps=target, weights=valid))["total"]


def test_by_hand():
    maps, target = torch.zeros(1, 2, 1, 2), torch.tensor([[[[1.0, 3.0]], [[5.0, 7.0]]]])
    valid = torch.tensor([[1.0, 0.0]])
    assert total(maps, target, valid) == (1 + 9) / 4  # what is not valid counts as 0 in the mean
    assert total(maps, target, valid, scale=0.5) == (1 + 9) / 8
    assert total(maps.half(), target, valid).dtype == torch.float32


def test_the_port_to_tensorflow(data):
    golden = np.load(data / "top_down" / "crop_target_coco.npz")
    maps = torch.from_numpy(golden["loss_pred_f16"].astype(np.float32)).permute(0, 3, 1, 2)
    coord = torch.from_numpy(golden["train_coord"][:2])
    centre = torch.floor(coord / 4 + 0.5)
    rows, columns = torch.arange(64.0)[:, None], torch.arange(48.0)
    x, y = centre[..., 0, None, None], centre[..., 1, None, None]
    target = 255 * torch.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 8)
    np.testing.assert_allclose(target[0].permute(1, 2, 0), golden["train_heatmap_0"], atol=1e-3)
    valid = torch.from_numpy(golden["train_valid"][:2].astype(np.float32))
    np.testing.assert_allclose(map_loss(maps, target, valid), golden["loss_value"], rtol=1e-5)


def test_the_original_in_pytorch(data):
    golden = np.load(data / "top_down" / "ms_topdown.npz")
    upright, mirrored = (golden[name].astype(np.float32) for name in ("ms_heatmaps_f16", "ms_flipped_f16"))
    target = torch.from_numpy(reference.merge(upright, mirrored, flip=COCO_PERSON.flip, shift=1))
    maps = torch.from_numpy(upright).requires_grad_(True)
    loss = total(maps, target, torch.from_numpy(golden["ms_loss_weight"][..., 0]), scale=0.5)
    loss.backward()
    np.testing.assert_allclose(loss.detach(), golden["ms_loss"], rtol=1e-5)
    np.testing.assert_allclose(maps.grad.abs().sum(), golden["ms_loss_grad_absum"], rtol=1e-5)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"scale": 0.0}, r"loss\.scale: expected"),
        ({"sigma": float("nan")}, r"loss\.sigma: expected"),
    ],
)
def test_what_no_loss_has(values, message):
    with pytest.raises(ValueError, match=message):
        SimpleBaselineLossOptions(**values)
