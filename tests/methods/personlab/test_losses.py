"""Losses: by hand, at perfect outputs, where nothing is defined, and on the refined offsets."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from personlab import Skeleton, encode_targets
from personlab.data.loader import make_batch
from personlab.nn import ModelConfig, Outputs, PersonLab, refine_offsets
from personlab.train import LossOptions, compute_losses

PAIR = Skeleton(names=("head", "foot"), edges=((0, 1),), sigmas=(0.05, 0.1), flip=(0, 1))
SIZE, STRIDE = (81, 113), 16  # 6 x 8 cells
PLAIN = LossOptions(refine_steps=0)
NAMES = ("heatmap", "short", "mid", "segmentation", "long")


@pytest.fixture(scope="module")
def model():
    return PersonLab(ModelConfig(width=0.5, skeleton=PAIR, norm="none"))


def person(x, y, *, v=(2, 2), length=40.0):
    return [[x, y, v[0]], [x, y + length, v[1]]]


def mask_around(*people):
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    return np.stack([(abs(x - one[0][0]) < 12) & (y > one[0][1] - 8) & (y < one[0][1] + 48) for one in people])


def batch_of(*images, crowd=None):
    """A batch of images, each a list of people."""
    targets = []
    for people in images:
        keypoints = np.array(people, np.float32).reshape(-1, 2, 3)
        masks = mask_around(*people) if people else np.zeros((0, *SIZE), bool)
        targets.append(encode_targets(keypoints, masks, size=SIZE, stride=STRIDE, skeleton=PAIR, crowd=crowd))
    return make_batch([np.zeros((*SIZE, 3), np.uint8)] * len(images), targets)


def perfect(batch, logit=30.0):
    return Outputs(
        heatmaps=(batch.heatmaps * 2 - 1) * logit,
        short_offsets=batch.short_offsets.clone(),
        mid_offsets=batch.mid_offsets.clone(),
        segmentation=(batch.segmentation * 2 - 1) * logit,
        long_offsets=batch.long_offsets.clone(),
    )


def random_outputs(batch, seed=0):
    generator = torch.Generator().manual_seed(seed)
    like = perfect(batch)
    made = [torch.randn(like[i].shape, generator=generator) * (3 if i in (0, 3) else 20) for i in range(5)]
    return Outputs(*(tensor.requires_grad_() for tensor in made))


def leaves(outputs):
    return [outputs[i] for i in range(5)]


def test_a_perfect_network_has_nothing_to_learn(model):
    batch = batch_of([person(30.5, 20.25), person(80, 30)], [person(50, 10)])
    losses = compute_losses(perfect(batch), batch, model, PLAIN)
    for name in (*NAMES, "total"):
        assert float(getattr(losses, name)) == pytest.approx(0, abs=1e-6)


def test_by_hand(model):
    """One image, one person: each loss worked out from the definition."""
    batch = batch_of([person(48, 16)])
    outputs = Outputs(
        heatmaps=torch.full_like(batch.heatmaps, 1.0),
        short_offsets=batch.short_offsets + torch.tensor([3.0, -4.0])[:, None, None],
        mid_offsets=batch.mid_offsets + torch.tensor([-8.0, 8.0])[:, None, None],
        segmentation=torch.full_like(batch.segmentation, -2.0),
        long_offsets=batch.long_offsets + torch.tensor([0.0, 32.0])[:, None, None],
    )
    losses = compute_losses(outputs, batch, model, PLAIN)
    on = float(batch.heatmaps.mean())
    assert 0 < on < 1
    softplus = lambda logit: float(functional.softplus(torch.tensor(logit)))  # noqa: E731
    assert float(losses.heatmap) == pytest.approx(on * softplus(-1.0) + (1 - on) * softplus(1.0), rel=1e-5)
    assert float(losses.short) == pytest.approx(7 / 32, rel=1e-5)  # |3| + |-4|, in units of R
    assert float(losses.mid) == pytest.approx(16 / 32, rel=1e-5)
    inside = float(batch.segmentation.mean())
    assert 0 < inside < 1
    assert float(losses.segmentation) == pytest.approx(inside * softplus(2.0) + (1 - inside) * softplus(-2.0), rel=1e-5)
    assert float(losses.long) == pytest.approx(32 / 32, rel=1e-5)
    total = 4 * losses.heatmap + losses.short + losses.mid / 4 + 2 * losses.segmentation + losses.long / 8
    assert float(losses.total) == pytest.approx(float(total), rel=1e-6)


def test_weights_weigh(model):
    batch = batch_of([person(48, 16)])
    outputs = random_outputs(batch)
    for name in NAMES:
        others = {other: 0.0 for other in NAMES if other != name}
        losses = compute_losses(outputs, batch, model, LossOptions(**{**others, name: 3.0}, refine_steps=0))
        assert float(losses.total.detach()) == pytest.approx(3 * float(getattr(losses, name).detach()), rel=1e-6)


def test_what_is_undefined_counts_nowhere(model):
    crowd = np.zeros(SIZE, bool)
    crowd[:, 90:] = True
    batch = batch_of([person(30, 20), person(70, 20, v=(0, 0))], [person(60, 20, v=(2, 0))], crowd=crowd)
    outputs = random_outputs(batch)
    losses = compute_losses(outputs, batch, model, PLAIN)
    losses.total.backward()
    for outputs_, valid in (
        (outputs.heatmaps, batch.heatmap_valid.expand_as(batch.heatmaps)),
        (outputs.short_offsets, batch.short_valid[:, :, None].expand_as(batch.short_offsets)),
        (outputs.mid_offsets, batch.mid_valid[:, :, None].expand_as(batch.mid_offsets)),
        (outputs.segmentation, batch.segmentation_valid.expand_as(batch.segmentation)),
        (outputs.long_offsets, batch.long_valid[:, :, None].expand_as(batch.long_offsets)),
    ):
        assert valid.any()
        assert not valid.all()
        assert (outputs_.grad[~valid] == 0).all()
        assert (outputs_.grad[valid] != 0).all()
    with torch.no_grad():  # whatever stands there, the losses stay what they are
        wild = [tensor.detach().clone() for tensor in leaves(outputs)]
        wild[2][~batch.mid_valid[:, :, None].expand_as(wild[2])] = 1e30
        wild[0][~batch.heatmap_valid.expand_as(wild[0])] = -1e30
        again = compute_losses(Outputs(*wild), batch, model, PLAIN)
    assert torch.equal(torch.stack(list(losses)).detach(), torch.stack(list(again)))


@pytest.mark.parametrize("steps", [0, 2])
def test_images_without_anybody(model, steps):
    batch = batch_of([], [])
    outputs = random_outputs(batch)
    losses = compute_losses(outputs, batch, model, LossOptions(refine_steps=steps))
    losses.total.backward()
    assert not torch.stack([losses.short, losses.mid, losses.long]).any()
    assert torch.stack([losses.heatmap, losses.segmentation]).all()
    for tensor in leaves(outputs):
        assert tensor.grad is None or tensor.grad.isfinite().all()
    assert not outputs.mid_offsets.grad.any()
    assert outputs.heatmaps.grad.all()


def test_nothing_counts_at_all(model):
    everywhere = np.ones(SIZE, bool)
    batch = batch_of([person(30, 20)], crowd=everywhere)
    losses = compute_losses(random_outputs(batch), batch, model, PLAIN)
    assert not torch.stack(list(losses)).any()


@pytest.mark.parametrize("logit", [1e4, -1e4])
def test_logistic_losses_stand_large_logits(model, logit):
    batch = batch_of([person(48, 16)])
    outputs = perfect(batch, logit)
    outputs.heatmaps.requires_grad_()
    losses = compute_losses(outputs, batch, model, PLAIN)
    losses.total.backward()
    assert losses.heatmap.isfinite()
    assert float(losses.heatmap.detach()) == (0.0 if logit > 0 else 1e4)
    assert outputs.heatmaps.grad.isfinite().all()


def test_mid_and_long_losses_are_taken_on_refined_offsets(model):
    """Raw offsets that are off by what the short-range offsets at their ends put right: no loss once refined."""
    batch = batch_of([person(48, 16)])
    head, foot = (48.0, 16.0), (48.0, 56.0)
    y, x = torch.meshgrid(torch.arange(6) * 16.0, torch.arange(8) * 16.0, indexing="ij")
    to = torch.stack([torch.stack([px - x, py - y]) for px, py in (head, foot)])[None]  # exact everywhere
    raw = perfect(batch)._replace(
        short_offsets=to,
        mid_offsets=batch.mid_offsets + torch.tensor([2.0, -1.5])[:, None, None],
    )
    assert float(compute_losses(raw, batch, model, PLAIN).mid) == pytest.approx(3.5 / 32, rel=1e-4)
    assert float(compute_losses(raw, batch, model, LossOptions(refine_steps=1)).mid) == pytest.approx(0, abs=1e-6)


def test_refinement_hands_gradients_to_short_offsets(model):
    batch = batch_of([person(48, 16)])
    outputs = random_outputs(batch)
    weights = LossOptions(heatmap=0, short=0, segmentation=0, long=0, mid=1, refine_steps=2)
    compute_losses(outputs, batch, model, weights).total.backward()
    assert outputs.short_offsets.grad.any()
    refined = refine_offsets(outputs.mid_offsets, outputs.short_offsets, model.edge_targets, stride=STRIDE, steps=2)
    away = (refined - batch.mid_offsets).abs().sum(dim=2)[batch.mid_valid].mean() / 32
    torch.testing.assert_close(compute_losses(outputs, batch, model, weights).mid, away)


def test_a_network_that_refines_is_not_refined_again():
    refining = PersonLab(ModelConfig(width=0.5, skeleton=PAIR, norm="none", refine_steps=2))
    batch = batch_of([person(48, 16)])
    outputs = random_outputs(batch)
    ours = compute_losses(outputs, batch, refining, LossOptions(refine_steps=2))
    plain = compute_losses(outputs, batch, PersonLab(ModelConfig(width=0.5, skeleton=PAIR)), PLAIN)
    assert torch.equal(ours.total, plain.total)
    with pytest.raises(ValueError, match="refine_steps: expected 2 as in the network, got 1"):
        compute_losses(outputs, batch, refining, LossOptions(refine_steps=1))


def test_intermediate_heads_are_supervised_alike(model):
    batch = batch_of([person(48, 16)])
    outputs, beside = random_outputs(batch), random_outputs(batch, seed=1)
    alone = [compute_losses(one, batch, model, PLAIN).total for one in (outputs, beside)]
    both = compute_losses(
        outputs._replace(intermediate=beside), batch, model, LossOptions(refine_steps=0, intermediate=0.5)
    )
    torch.testing.assert_close(both.intermediate, alone[1])
    torch.testing.assert_close(both.total, alone[0] + 0.5 * alone[1])


def test_a_network_without_masks():
    poses = PersonLab(ModelConfig(width=0.5, skeleton=PAIR, norm="none", masks=False))
    batch = batch_of([person(48, 16)])
    outputs = perfect(batch)._replace(segmentation=None, long_offsets=None)
    losses = compute_losses(outputs, batch, poses, LossOptions(refine_steps=0))
    assert float(losses.segmentation) == float(losses.long) == 0


def test_sixteen_bit_outputs_are_compared_in_32(model):
    batch = batch_of([person(48, 16)])
    outputs = perfect(batch)
    narrow = Outputs(*(tensor.bfloat16() for tensor in leaves(outputs)))
    losses = compute_losses(narrow, batch, model, PLAIN)
    assert losses.total.dtype == torch.float32
    assert losses.total.isfinite()


@pytest.mark.parametrize(
    ("name", "value"), [("heatmap", -1.0), ("disk_radius", 0.0), ("refine_steps", -1), ("long", float("nan"))]
)
def test_options_out_of_range(name, value):
    with pytest.raises(ValueError, match=name):
        LossOptions(**{name: value})
