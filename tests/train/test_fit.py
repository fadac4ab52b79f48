"""Heads that start by least squares: the solution of NumPy, and a run that begins with it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from published import random_model
from taught_runs import FIELDS, MASKS, config, entries, make_source
from tiny_runs import same, tensors

from personlab import load_model
from personlab.data.loader import Batch
from personlab.methods import get_method
from personlab.train import NetworkOptions, TeachingOptions, train
from personlab.train.fit import NormalEquations


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return make_source(tmp_path_factory.mktemp("fit"))


def rows(seed, *, n=60, features=5, outputs=3):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, features)), rng.normal(size=(n, outputs)), rng.uniform(0, 2, n)


def solved(parts, ridge):
    system = NormalEquations()
    for features, targets, weights in parts:
        system.add(*(torch.from_numpy(array) for array in (features, targets, weights)))
    return system.solve(ridge)


@pytest.mark.parametrize("ridge", [0.0, 0.1])
def test_the_solution_is_that_of_numpy(ridge):
    """With the ridge as more rows: one for each feature, which ask for a weight of 0."""
    features, targets, weights = rows(0)
    parts = [(features[a:b], targets[a:b], weights[a:b]) for a, b in ((0, 7), (7, 40), (40, 60))]
    weight, bias = solved(parts, ridge)
    root = np.sqrt(weights)[:, None]
    penalty = np.sqrt(ridge * (weights @ features**2).mean())
    left = np.concatenate([root * np.c_[features, np.ones(60)], penalty * np.eye(5, 6)])
    right = np.concatenate([root * targets, np.zeros((5, 3))])
    expected = np.linalg.lstsq(left, right, rcond=None)[0]
    np.testing.assert_allclose(weight, expected[:-1].T, atol=1e-10)
    np.testing.assert_allclose(bias, expected[-1], atol=1e-10)


def test_systems_without_a_solution_are_refused():
    with pytest.raises(ValueError, match="expected cells where the teachers are sure, got none"):
        NormalEquations().solve(0.1)
    with pytest.raises(ValueError, match="expected cells where the teachers are sure, got none"):
        solved([(np.zeros((0, 5)), np.zeros((0, 2)), np.zeros(0))], 0.1)
    with pytest.raises(ValueError, match=r"a larger network\.ridge"):
        solved([(np.zeros((9, 5)), np.zeros((9, 2)), np.ones(9))], 0.0)


@pytest.mark.parametrize("name", [*FIELDS, *MASKS])
def test_heads_are_recovered_from_what_they_say(name):
    """Where the teacher is the network itself, the best linear map is its own head."""
    model = random_model(seed=3)
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (6, 3, 321, 321), generator=rng, dtype=torch.uint8)
    with torch.no_grad():
        outputs = model(images)
    said = getattr(outputs, name)
    size = said.shape[-2:]
    targets = {"taught_inside": torch.ones(6, 1, *size, dtype=torch.bool), f"taught_{name}": said}
    if name.endswith("offsets"):
        channels = 1 if name == "long_offsets" else said.shape[1]
        targets[f"taught_{name}_weights"] = torch.rand(6, channels, *size, generator=rng)
    else:
        targets[f"taught_{name}"] = said.sigmoid()
    systems, options = {}, TeachingOptions(min_probability=0)
    method = get_method("personlab")
    with torch.no_grad():
        for one in method.teaching.equations(model, Batch(images, targets), options, [name]):
            key = (one.outputs.start, one.outputs.stop)
            systems.setdefault(key, NormalEquations()).add(one.features, one.targets, one.weights)
            assert one.head == f"heads.{name}"
    head = getattr(model.heads, name)
    assert [key[0] for key in systems] + [head.out_channels] == [0, *(key[1] for key in systems)]
    weight, bias = (np.concatenate(part) for part in zip(*(s.solve(1e-12) for s in systems.values()), strict=True))
    features = model.features(images)[0].detach().permute(0, 2, 3, 1).flatten(0, 2).double().numpy()
    again = features @ weight.T + bias
    flat = said.flatten(1, -3).permute(0, 2, 3, 1).flatten(0, 2).double().numpy()
    np.testing.assert_allclose(again, np.clip(flat, -9.2, 9.2), atol=0.02 * flat.std())


def test_a_run_begins_with_fitted_heads(source, tmp_path):
    options = NetworkOptions(
        weights=str(source / "start.safetensors"), masks=True, freeze=("backbone", *FIELDS), fit_heads=MASKS,
        fit_images=12, ridge=1e-3,
    )  # fmt: skip
    settings = config(source, tmp_path / "run", network=options)
    train(settings)
    started, base = tensors(tmp_path / "run", "weights-start"), load_model(source / "start.safetensors").state_dict()
    assert all(torch.equal(started[name], value) for name, value in base.items())
    assert load_model(tmp_path / "run" / "weights-start.safetensors").config.masks
    train(replace(settings, output=str(tmp_path / "plain"), network=replace(options, fit_heads=())))
    first, other = (next(entry for entry in entries(tmp_path / name) if "taught" in entry) for name in ("run", "plain"))
    assert first["taught_segmentation"] < 0.7 * other["taught_segmentation"]
    again = replace(settings, output=str(tmp_path / "again"))
    train(replace(again, steps=2))
    (tmp_path / "again" / "weights-start.safetensors").unlink()
    train(again, resume=True)
    assert not (tmp_path / "again" / "weights-start.safetensors").exists()  # it goes on from the checkpoint
    for name in ("weights", "weights-raw"):
        assert same(tensors(tmp_path / "run", name), tensors(tmp_path / "again", name))


@pytest.mark.parametrize(
    ("heads", "message"),
    [
        (("parts",), r"network\.fit_heads: expected heads that teachers teach, heatmaps, .*, got parts$"),
        (("short_offsets",), r"network\.fit_heads: heads\.short_offsets, outputs 0 to 1: expected cells where the"),
    ],
)
def test_heads_that_cannot_be_fitted_are_refused(source, tmp_path, heads, message):
    options = NetworkOptions(weights=str(source / "start.safetensors"), masks=True, fit_heads=heads, fit_images=2)
    settings = config(source, tmp_path / "run", network=options, teaching=TeachingOptions(min_probability=1.0))
    with pytest.raises(ValueError, match=message):
        train(settings)
