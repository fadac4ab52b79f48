"""Views are merged alike in NumPy and in torch, as float64 says, and what is not finite stays where it is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from personlab import COCO_PERSON
from personlab.methods.personlab.merge import merge_views, unflip
from personlab.methods.personlab.views import View

STRIDE = 8
SHAPES = {
    "heatmaps": (17,),
    "short_offsets": (17, 2),
    "mid_offsets": (32, 2),
    "segmentation": (1,),
    "long_offsets": (17, 2),
}


@pytest.fixture(params=["numpy", "torch"])
def given(request):
    """NumPy's arrays -> arrays of the library that merges them."""
    return (lambda array: array.copy()) if request.param == "numpy" else lambda array: torch.from_numpy(array.copy())


def noise(size, *, n=2, seed=0, masks=True):
    """Outputs for n images of (W, H) pixels."""
    rng, grid = np.random.default_rng(seed), ((size[1] - 1) // STRIDE + 1, (size[0] - 1) // STRIDE + 1)
    return {
        name: (rng.normal(size=(n, *shape, *grid)) * (60 if name.endswith("offsets") else 4)).astype(np.float32)
        for name, shape in SHAPES.items()
        if masks or name not in ("segmentation", "long_offsets")
    }


def upright_in_float64(arrays, *, mirrored):
    """Tensors of the outputs of a view, mirrored back."""
    tensors = {name: torch.from_numpy(array).double() for name, array in arrays.items()}
    if mirrored:
        for name, tensor in tensors.items():
            turned = tensor.flip(-1)
            if name != "segmentation":
                turned = turned[:, list(COCO_PERSON.directed_flip if name == "mid_offsets" else COCO_PERSON.flip)]
            if name.endswith("offsets"):
                turned = torch.stack([-turned[:, :, 0], turned[:, :, 1]], 2)
            tensors[name] = turned
    return tensors


def on_grid(tensor, grid):
    flat = functional.interpolate(tensor.flatten(1, -3), size=grid, mode="bilinear", align_corners=True)
    return flat.reshape(*tensor.shape[:-2], *grid)


def merged_in_float64(outputs, views):
    """The merge as its description says it, by torch's own interpolation."""
    grid = outputs[0]["heatmaps"].shape[-2:]
    sources = [source for source, _ in COCO_PERSON.directed_edges]
    sums, weights = {}, {}
    for arrays, view in zip(outputs, views, strict=True):
        tensors = upright_in_float64(arrays, mirrored=view.mirrored)
        heat = on_grid(tensors["heatmaps"].sigmoid(), grid)
        terms = {"heatmaps": (heat, torch.ones_like(heat))}
        trust = {"short_offsets": heat, "mid_offsets": heat[:, sources]}
        if "segmentation" in tensors:
            person = on_grid(tensors["segmentation"].sigmoid(), grid)
            terms["segmentation"] = (person, torch.ones_like(person))
            trust["long_offsets"] = person
        scale = torch.tensor([(a - 1) / (b - 1) for a, b in zip(view.size, views[0].size, strict=True)]).double()
        for name, weight in trust.items():
            if name in tensors:
                terms[name] = (on_grid(tensors[name], grid) / scale[:, None, None], (weight + 1e-4)[:, :, None])
        for name, (value, weight) in terms.items():
            sums[name], weights[name] = sums.get(name, 0) + weight * value, weights.get(name, 0) + weight
    merged = {name: total / weights[name] for name, total in sums.items()}
    logits = {name: torch.logit(merged[name], eps=1e-6) for name in ("heatmaps", "segmentation") if name in merged}
    return {name: tensor.numpy() for name, tensor in {**merged, **logits}.items()}


SEVERAL = [
    View((97, 65), False),
    View((97, 65), True),
    View((65, 49), False),
    View((49, 33), True),
    View((9, 9), False),
]


@pytest.mark.parametrize("masks", [True, False])
@pytest.mark.parametrize("views", [SEVERAL, SEVERAL[2:0:-1], [View((9, 17), False), View((33, 9), True)], SEVERAL[:2]])
def test_merging_is_what_float64_says(given, views, masks):
    outputs = [noise(view.size, seed=i, masks=masks) for i, view in enumerate(views)]
    own = [{name: given(array) for name, array in arrays.items()} for arrays in outputs]
    merged = merge_views(iter(own), views, COCO_PERSON)
    expected = merged_in_float64(outputs, views)
    assert merged.keys() == expected.keys()
    for name, array in merged.items():
        assert isinstance(array, type(own[0][name]))
        values = np.asarray(array)
        assert values.dtype == np.float32
        np.testing.assert_allclose(values, expected[name], rtol=1e-4, atol=1e-3 if name.endswith("offsets") else 2e-5)
    for before, after in zip(outputs, own, strict=True):  # which the engine may still hold
        for name, array in after.items():
            np.testing.assert_array_equal(np.asarray(array), before[name])


def test_numpy_and_torch_merge_alike():
    outputs = [noise(view.size, seed=i) for i, view in enumerate(SEVERAL)]
    tensors = [{name: torch.from_numpy(array) for name, array in arrays.items()} for arrays in outputs]
    ours, theirs = merge_views(outputs, SEVERAL, COCO_PERSON), merge_views(tensors, SEVERAL, COCO_PERSON)
    for name, array in ours.items():
        np.testing.assert_allclose(array, theirs[name].numpy(), rtol=1e-5, atol=1e-4)


def test_what_is_not_finite_spreads_to_its_neighbours_alone(given):
    """Without a warning: the decoder leaves it out."""
    fine, coarse = View((65, 49), False), View((33, 25), False)
    outputs = [noise(view.size, n=1, seed=i) for i, view in enumerate((fine, coarse))]
    outputs[1]["heatmaps"][0, 3, 1, 2] = np.nan
    outputs[1]["short_offsets"][0, 3, 0, 3, 4] = np.inf
    outputs[0]["heatmaps"][0, 5] = -1e4  # a probability of 0
    outputs[0]["segmentation"][0, 0, 0, 0] = np.inf
    merged = merge_views([{n: given(a) for n, a in arrays.items()} for arrays in outputs], [fine, coarse], COCO_PERSON)
    merged = {name: np.asarray(array) for name, array in merged.items()}
    broken = np.argwhere(~np.isfinite(merged["heatmaps"]))
    assert set(broken[:, 1]) == {3}
    assert broken[:, 2].min() >= 1
    assert broken[:, 2].max() <= 3
    assert broken[:, 3].min() >= 3
    assert broken[:, 3].max() <= 5
    assert np.isfinite(merged["heatmaps"][0, 5]).all()
    assert np.isfinite(merged["segmentation"]).all()
    assert set(np.argwhere(~np.isfinite(merged["short_offsets"]))[:, 1]) == {3}


def test_an_empty_grid_stays_empty(given):
    arrays = {name: given(np.zeros((1, *shape, 0, 4), np.float32)) for name, shape in SHAPES.items()}
    merged = merge_views([arrays, arrays], [View((25, 1), False), View((25, 1), True)], COCO_PERSON)
    assert {name: tuple(array.shape) for name, array in merged.items()} == {n: (1, *s, 0, 4) for n, s in SHAPES.items()}


def test_flipping_twice_is_nothing(given):
    arrays = {name: given(array) for name, array in noise((41, 25)).items()}
    once = {name: np.asarray(array) for name, array in unflip(arrays, COCO_PERSON).items()}
    before = {name: np.asarray(array) for name, array in arrays.items()}
    left, right = COCO_PERSON.names.index("left_wrist"), COCO_PERSON.names.index("right_wrist")
    np.testing.assert_array_equal(once["heatmaps"][:, left], before["heatmaps"][:, right, :, ::-1])
    np.testing.assert_array_equal(once["short_offsets"][:, left, 0], -before["short_offsets"][:, right, 0, :, ::-1])
    np.testing.assert_array_equal(once["long_offsets"][:, left, 1], before["long_offsets"][:, right, 1, :, ::-1])
    e = COCO_PERSON.directed_edges.index((COCO_PERSON.names.index("left_elbow"), left))
    f = COCO_PERSON.directed_edges.index((COCO_PERSON.names.index("right_elbow"), right))
    np.testing.assert_array_equal(once["mid_offsets"][:, e, 0], -before["mid_offsets"][:, f, 0, :, ::-1])
    twice = unflip({name: given(array) for name, array in once.items()}, COCO_PERSON)
    for name, array in twice.items():
        np.testing.assert_array_equal(np.asarray(array), before[name])


def test_merging_weighs_offsets_by_who_sees_the_keypoint(given):
    sure, unsure = np.full((1, 17, 3, 4), 6, np.float32), np.full((1, 17, 3, 4), -6, np.float32)

    def outputs(near):
        offset = np.full((1, 17, 2, 3, 4), 8 if near else 4, np.float32)
        mid = np.full((1, 32, 2, 3, 4), 8 if near else 4, np.float32)
        arrays = {"heatmaps": sure if near else unsure, "short_offsets": offset, "mid_offsets": mid}
        return {name: given(array) for name, array in arrays.items()}

    views = [View((49, 33), mirrored=False), View((49, 33), mirrored=True)]
    merged = merge_views([outputs(near=True), outputs(near=False)], views, COCO_PERSON)
    merged = {name: np.asarray(array) for name, array in merged.items()}
    np.testing.assert_allclose(merged["heatmaps"], 0, atol=4e-5)  # the mean probability is 0.5
    p = 1 / (1 + np.exp(-6.0))
    p, q = p + 1e-4, 1 - p + 1e-4
    np.testing.assert_allclose(merged["short_offsets"][:, :, 1], (8 * p + 4 * q) / (p + q), rtol=1e-6)
    np.testing.assert_allclose(merged["mid_offsets"][:, :, 0], (8 * p - 4 * q) / (p + q), rtol=1e-6)
