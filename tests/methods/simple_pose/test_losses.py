"""Losses of Simple Pose: the published training's, number for number with gradients, and the paper's form."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from personlab.data.loader import Batch  # noqa: E402
from personlab.methods.simple_pose.config import SimplePoseConfig  # noqa: E402
from personlab.methods.simple_pose.loss_options import SimplePoseLossOptions  # noqa: E402
from personlab.methods.simple_pose.losses import (  # noqa: E402
    Kind,
    at_scale,
    make_losses,
    map_loss,
    multi_scale_loss,
    scale_losses,
)
from personlab.methods.simple_pose.network import Outputs, SimplePose  # noqa: E402

pytestmark = pytest.mark.torch
STACKS, SCALES, MAPS = 2, 5, 50
PUBLISHED = torch.ones(MAPS)
PUBLISHED[30:48], PUBLISHED[48] = 3, 0.1


@pytest.fixture(scope="module")
def golden(data):
    return np.load(data / "simple_pose" / "loss.npz")


@pytest.fixture
def stacks(golden):
    return [[torch.from_numpy(golden[f"pred_{s}_{j}"]).requires_grad_() for j in range(SCALES)] for s in range(STACKS)]


@pytest.fixture
def truth(golden):
    return torch.from_numpy(golden["target"]), torch.from_numpy(golden["mask_miss"])


def test_the_published_training_number_for_number(golden, stacks, truth):
    each = scale_losses(stacks, *truth, PUBLISHED, Kind())
    np.testing.assert_allclose([loss.sum().item() for loss in each], golden["per_scale_focal_l2"], rtol=1e-6)
    total = multi_scale_loss(each, 2).sum()
    assert total.item() == pytest.approx(float(golden["multi_task_focal_l2"]), rel=1e-6)
    total.backward()
    for s in range(STACKS):
        for j in range(SCALES):
            expected = golden[f"grad_{s}_{j}"]
            np.testing.assert_allclose(stacks[s][j].grad, expected, rtol=1e-5, atol=1e-6 * abs(expected).max())


@pytest.mark.parametrize(
    ("name", "kind", "weighted"),
    [
        ("focal_l2_gamma2_unweighted", Kind(gamma=2), False),
        ("l2_unweighted", Kind(focal=False), False),
        ("l2_weighted", Kind(focal=False), True),
        ("focal_l2_weighted", Kind(), True),
        ("focal_l2_weighted_alpha_beta", Kind(alpha=0.1, beta=0.02), True),
    ],
)
def test_other_forms_at_the_finest_scale(golden, stacks, truth, name, kind, weighted):
    """Which take each cell as it counts, those under a half, too."""
    weights = PUBLISHED if weighted else torch.ones(MAPS)
    losses = [(map_loss(maps[0].detach(), *truth, kind).sum(dim=(0, 2, 3)) * weights).sum() for maps in stacks]
    assert float(sum(losses)) / STACKS == pytest.approx(float(golden[name]), rel=1e-6)


def test_by_hand():
    maps = torch.tensor([0.25, 0.25, 0.25]).reshape(1, 1, 1, 3).requires_grad_()
    target, counted = (
        torch.tensor([1.0, 0.0, 0.5]).reshape(1, 1, 1, 3),
        torch.tensor([1.0, 0.5, 0.0]).reshape(1, 1, 1, 3),
    )
    loss = map_loss(maps, target, counted, Kind())
    np.testing.assert_allclose(loss.detach().flatten(), [0.75**3, 0.5 * 0.25**3, 0])
    loss.sum().backward()  # through the factor, too: d (1 - p)^3 = -3 (1 - p)^2
    np.testing.assert_allclose(maps.grad.flatten(), [-3 * 0.75**2, 0.5 * 3 * 0.25**2, 0])
    np.testing.assert_allclose(
        map_loss(maps, target, counted, Kind(gamma=2)).detach().flatten(), [0.75**4, 0.5 * 0.25**4, 0]
    )
    np.testing.assert_allclose(
        map_loss(maps, target, counted, Kind(focal=False)).detach().flatten(), [0.75**2, 0.5 * 0.25**2, 0]
    )
    shifted = map_loss(maps, target, counted, Kind(alpha=0.125, beta=0.0625)).detach().flatten()
    np.testing.assert_allclose(shifted, [0.75**2 * 0.875, 0.5 * 0.25**2 * 0.3125, 0])


def test_coarser_grids():
    target = torch.arange(16.0).reshape(1, 1, 4, 4)
    counted = torch.zeros(1, 1, 4, 4)
    counted[..., :3] = 1
    own, valid = at_scale(target, counted, (2, 2))
    np.testing.assert_array_equal(own[0, 0], [[2.5, 4.5], [10.5, 12.5]])
    np.testing.assert_array_equal(valid[0, 0], [[1, 0.5], [1, 0.5]])
    counted[..., 2] = 0.75
    np.testing.assert_array_equal(at_scale(target, counted, (2, 2))[1][0, 0], [[1, 0], [1, 0]])
    same = at_scale(target, counted, (4, 4))
    assert same[0] is target
    np.testing.assert_array_equal(same[1], counted)


def batch_of(model, rng, h=6, w=8):
    limbs, keypoints = model.n_limbs, model.n_keypoints
    sizes = {"limbs": limbs, "keypoints": keypoints, "person": 1, "brightest": 1}
    arrays = {name: torch.rand((2, count, h, w), generator=rng) for name, count in sizes.items()}
    ones = torch.ones(2, 1, h, w)
    return Batch(torch.zeros(2, 3, 48, 64), {**arrays, "weights": ones, "person_weights": ones.clone()})


@pytest.fixture
def model():
    torch.manual_seed(1)
    return SimplePose(SimplePoseConfig(width=0.5))


def test_losses_by_name(model):
    rng = torch.Generator().manual_seed(2)
    batch = batch_of(model, rng)
    maps = torch.rand((2, 50, 6, 8), generator=rng)
    outputs = Outputs(maps[:, :30], maps[:, 30:48], ((maps,),))
    losses = make_losses(model, SimplePoseLossOptions(keypoint=2, limb=1, person=0.5, brightest=0))(outputs, batch)
    assert list(losses) == ["total", "limb", "keypoint", "person", "brightest"]
    assert losses["brightest"] == 0
    assert losses["total"].item() == pytest.approx(sum(losses[name].item() for name in list(losses)[1:]))
    expected = map_loss(maps[:, 30:48], batch.keypoints, batch.weights, Kind()).sum() * 2 / 2
    assert losses["keypoint"].item() == pytest.approx(expected.item(), rel=1e-6)


def test_what_does_not_count_has_no_gradient(model):
    rng = torch.Generator().manual_seed(3)
    batch = batch_of(model, rng)
    batch.targets["weights"][..., :4] = 0
    batch.targets["person_weights"][..., 2:] = 0
    maps = torch.rand((2, 50, 6, 8), generator=rng).requires_grad_()
    outputs = Outputs(maps[:, :30], maps[:, 30:48], ((maps,),))
    make_losses(model, SimplePoseLossOptions())(outputs, batch)["total"].backward()
    others = [*range(48), 49]
    assert not maps.grad[:, others, :, :4].any()
    assert maps.grad[:, others, :, 4:].all()
    assert maps.grad[:, 48, :, :2].all()
    assert not maps.grad[:, 48, :, 2:].any()


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"kind": "l1"}, ValueError, "loss.kind: expected one of focal_l2, l2"),
        ({"keypoint": -1}, ValueError, "loss.keypoint: expected"),
        ({"gamma": "2"}, TypeError, "loss.gamma: expected a number"),
        ({"overlap": "sum"}, ValueError, "loss.overlap: expected one of max, mean"),
        ({"targets": "theirs"}, ValueError, "loss.targets: expected one of default, original"),
        ({"limb_sigma": 0}, ValueError, "limb_sigma: expected"),
    ],
)
def test_wrong_options(values, error, message):
    with pytest.raises(error, match=message):
        SimplePoseLossOptions(**values)


def test_targets_of_the_options():
    assert SimplePoseLossOptions(overlap="mean", limb_sigma=5).encoding().limb_sigma == 5
    assert SimplePoseLossOptions(targets="original").encoding().rules == "part_b"
