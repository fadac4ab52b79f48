"""Targets of a crop: by hand, the core against the reference, and both against the originals' own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personlab.methods.simple_baseline.options import TargetOptions
from personlab.methods.simple_baseline.targets import encode_targets

BACKENDS = ("cpu", "reference")
RULES = ("default", "tensorflow", "pytorch")


def encode(backend, keypoints, *, size=(8, 12), stride=2, **options):
    made = encode_targets(
        np.array(keypoints, float), size=size, stride=stride, options=TargetOptions(**options), backend=backend
    )
    return arrays_of(made)


def arrays_of(targets):
    return targets.heatmaps, targets.weights


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_keypoint_is_a_gaussian_about_where_it_lies(backend):
    maps, weights = encode(backend, [[5, 3, 1], [4, 2, 0]], sigma=1.0, full_value=2.0)
    y, x = np.mgrid[:4, :6]
    np.testing.assert_allclose(maps[0], 2 * np.exp(-((x - 2.5) ** 2 + (y - 1.5) ** 2) / 2), rtol=1e-6)
    np.testing.assert_array_equal(weights, [1, 0])
    assert not maps[1].any()
    assert maps.dtype == weights.dtype == np.float32


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_keypoint_counts_where_the_crop_shows_its_gaussian(backend):
    near = [[0, 0, 1], [11.9, 7.9, 2], [16, 12, 1], [-6, -6, 1]]  # of sigma 1 and cells of 2 pixels: 6 pixels
    far = [[16.1, 0, 1], [0, 12.1, 1], [-6.1, 0, 1], [0, -6.1, 1], [3, 3, 0], [np.nan, np.inf, 0]]
    maps, weights = encode(backend, near + far, sigma=1.0)
    np.testing.assert_array_equal(weights, [1] * 4 + [0] * 6)
    np.testing.assert_array_equal(maps.any(axis=(1, 2)), weights > 0)
    _, weights = encode(backend, [[11.9, 7.9, 1], [12, 0, 1], [0, 8, 1], [-0.1, 0, 1]], rules="tensorflow")
    np.testing.assert_array_equal(weights, [1, 0, 0, 0])


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_originals_round_to_a_cell(backend):
    points = [[5, 3, 1], [-1.2, 3, 1]]  # cells 2.5, 1.5 and -0.6, 1.5
    maps, weights = encode(backend, points, rules="tensorflow", sigma=1.0)
    assert maps[0].argmax() == 2 * 6 + 3  # halves up
    np.testing.assert_allclose(maps[1, 2, 0], np.exp(-0.5), rtol=1e-6)  # about cell -1
    np.testing.assert_array_equal(weights, [1, 0])
    maps, weights = encode(backend, points, rules="pytorch", sigma=1.0)
    assert maps[0, 2, 3] == maps[1, 2, 0] == 1  # cut towards zero
    np.testing.assert_array_equal(weights, [1, 1])


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_window_of_the_pytorch_original(backend):
    options = {"size": (10, 20), "stride": 1, "sigma": 1.0, "rules": "pytorch"}  # 3 cells each way
    maps, weights = encode(
        backend, [[8, 5, 1], [-4.6, 5, 1], [-5.6, 5, 1], [22, 5, 1], [23, 5, 1], [5, 5, 0]], **options
    )
    np.testing.assert_array_equal(np.flatnonzero(maps[0].any(axis=0)), np.arange(5, 12))
    np.testing.assert_array_equal(np.flatnonzero(maps[0].any(axis=1)), np.arange(2, 9))
    np.testing.assert_array_equal(weights, [1, 1, 0, 1, 0, 0])
    assert not maps[1].any()  # the whole window is outside, and yet it counts
    np.testing.assert_allclose(maps[3, 5, 19], np.exp(-4.5), rtol=1e-6)


@given(seed=st.integers(0, 2**32 - 1), rules=st.sampled_from(RULES))
@settings(max_examples=15, deadline=None)
def test_the_core_equals_the_reference(seed, rules):
    rng = np.random.default_rng(seed)
    points = np.concatenate([rng.uniform(-30, 60, (2, 5, 2)), rng.integers(0, 3, (2, 5, 1))], axis=2)
    points[0, :2, :2] = rng.integers(-8, 40, (2, 2)) / 2  # ties of rounding
    options = {"size": (24, 32), "stride": 4, "sigma": float(rng.uniform(0.5, 3)), "rules": rules, "threads": 3}
    made, expected = (encode(backend, points, **options) for backend in BACKENDS)
    np.testing.assert_allclose(made[0], expected[0], rtol=1e-6, atol=1e-12)
    np.testing.assert_array_equal(made[1], expected[1])
    options["threads"] = 1
    for own, other in zip(encode("cpu", points[0], **options), made, strict=True):
        np.testing.assert_array_equal(own, other[0])


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_is_an_answer(backend):
    for shape in ((0, 3), (0, 17, 3), (2, 0, 3)):
        maps, weights = encode(backend, np.zeros(shape))
        assert maps.shape == (*shape[:-1], 4, 6)
        assert weights.shape == shape[:-1]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"keypoints": [[1, 2]]}, ValueError, r"keypoints: expected shape \(\[N,\] K, 3\), got \(1, 2\)"),
        ({"keypoints": [[np.nan, 2, 1]]}, ValueError, "keypoints: expected finite coordinates where v > 0"),
        ({"size": (7, 12)}, ValueError, r"size: expected multiples of the stride 2 up to 8192, got \(7, 12\)"),
        ({"stride": 0}, ValueError, "stride: expected an integer from 1"),
        ({"sigma": 0}, ValueError, "sigma: expected a finite number >= 0.01"),
        ({"rules": "ms"}, ValueError, "rules: expected one of default, tensorflow, pytorch, got 'ms'"),
        ({"backend": "cuda"}, ValueError, "backend: expected cpu or reference, got 'cuda'"),
    ],
)
def test_wrong_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        encode(**{"backend": "cpu", "keypoints": [[1, 2, 1]], **arguments})


def test_the_original_is_one_of_two():
    with pytest.raises(ValueError, match="part: expected tensorflow or pytorch, got 'caffe'"):
        TargetOptions.original("caffe")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["coco", "mpii", "posetrack"])
def test_golden_targets_and_loss(data, backend, name):
    file = np.load(data / "top_down" / f"crop_target_{name}.npz")
    keypoints = np.concatenate([file["train_coord"], file["train_valid"][..., None]], axis=2)
    maps, weights = arrays_of(encode_targets(keypoints, options=TargetOptions.original(), backend=backend))
    np.testing.assert_array_equal(weights, file["train_valid"])
    np.testing.assert_allclose(maps[0].transpose(1, 2, 0), file["train_heatmap_0"], rtol=0, atol=2e-5)
    n, y, x, k = file["train_heatmap_samples_nyxk"].T
    np.testing.assert_allclose(maps[n, k, y, x], file["train_heatmap_samples"], rtol=0, atol=2e-5)
    difference = file["loss_pred_f16"].astype(float) - maps[:2].transpose(0, 2, 3, 1)
    loss = (difference**2 * weights[:2, None, None]).mean()
    np.testing.assert_allclose(loss, file["loss_value"], rtol=1e-7)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("n", "size", "sigma"), [(0, (256, 192), 2), (1, (384, 288), 3)])
def test_golden_targets_of_the_pytorch_original(data, backend, n, size, sigma):
    file = np.load(data / "top_down" / "ms_topdown.npz")
    keypoints = np.concatenate([file[f"ms_target_joints_{n}"][:, :2], file[f"ms_target_vis_{n}"][:, None]], axis=1)
    options = TargetOptions.original("pytorch", sigma=sigma)
    maps, weights = arrays_of(encode_targets(keypoints, size=size, options=options, backend=backend))
    np.testing.assert_array_equal(weights[:, None], file[f"ms_target_weight_{n}"])
    np.testing.assert_allclose(maps, file[f"ms_target_{n}"], rtol=0, atol=1e-7)
