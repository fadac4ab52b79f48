"""Weights of depthwise convolutions are rounded to bfloat16 so that each filter keeps its sum."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

pytest.importorskip("openvino")
from personlab.predict.engines import openvino_rounding as rounding
from personlab.predict.engines.openvino_package import openvino
from personlab.weights import load_model
from personlab.weights.export_pixels import export_pixels


def to_nearest(weights):
    """Return bfloat16's nearest values, ties to even."""
    bits = np.ascontiguousarray(weights, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)).view(np.float32)


def test_sums_are_kept_by_neighbouring_values():
    rng = np.random.default_rng(0)
    weights = (rng.normal(0, 1, (500, 9)) * rng.choice([1e-6, 0.1, 30], (500, 1))).astype(np.float32)
    weights -= weights.mean(axis=1, keepdims=True) * (np.arange(500) % 2)[:, None]  # half of them are differences
    rounded = rounding.round_keeping_sums(weights)
    np.testing.assert_array_equal(to_nearest(rounded), rounded)
    apart = abs(rounded - weights.astype(float))
    assert (apart <= abs(weights) * 2.0**-7).all()  # one step at most, where the nearest is within half of one
    off = abs(rounded.sum(axis=1, dtype=float) - weights.sum(axis=1, dtype=float))
    nearest = abs(to_nearest(weights).sum(axis=1, dtype=float) - weights.sum(axis=1, dtype=float))
    assert (off <= nearest).all()
    assert np.median(off) < 0.1 * np.median(nearest)


def test_values_that_bfloat16_has_stay():
    largest = np.array([0x7F7F0000], np.uint32).view(np.float32)[0]
    weights = np.array([[0, -0.0, 1, -2.5, largest, 1e-40], [np.finfo(np.float32).max, 0, 0, 0, 0, 0]], np.float32)
    rounded = rounding.round_keeping_sums(weights)
    np.testing.assert_array_equal(rounded[0, :5], weights[0, :5])
    np.testing.assert_array_equal(rounded[1], [largest, 0, 0, 0, 0, 0])  # the next one would be infinite
    np.testing.assert_array_equal(rounding.round_keeping_sums(weights[:0]), weights[:0])


@pytest.mark.parametrize("stride", [16, 8])
def test_outputs_are_nearer_than_with_the_nearest_weights(data, monkeypatch, stride):
    content = export_pixels(load_model(data / "weights" / f"bodypix-mobilenet-050-stride{stride}.onnx").eval(), {})
    core = openvino.Core()
    graphs = [core.read_model(content, b"") for _ in range(3)]
    rounding.round_depthwise(graphs[1])
    monkeypatch.setattr(rounding, "round_keeping_sums", to_nearest)
    rounding.round_depthwise(graphs[2])
    image = cv2.imread(str(data / "images" / "couple.jpg"))[None, :321, :481, ::-1]

    def run(graph):
        compiled = core.compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        return list(compiled([np.ascontiguousarray(image)]).values())

    for exact, ours, nearest in zip(*map(run, graphs), strict=True):
        off, other = (np.sqrt(np.mean((one - exact) ** 2)) for one in (ours, nearest))
        assert 0 < off < 0.6 * other
