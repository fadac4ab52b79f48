"""Heads of a network that OpenVINO runs in 16 bits are computed in 32."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.mark.parametrize("steps", [0, 1])
def test_heads_in_32_bits_beside_a_trunk_in_16(steps):
    """Of the features that the trunk computes, the heads make what they make in float32; refinement is no such head."""
    openvino = pytest.importorskip("openvino")
    pytest.importorskip("onnxscript")
    from personlab.nn import ModelConfig, PersonLab
    from personlab.predict.engines.openvino_heads import split_heads
    from personlab.weights.export_pixels import export_pixels

    core = openvino.Core()
    content = export_pixels(PersonLab(ModelConfig(width=0.5, refine_steps=steps)).eval(), {})
    graph = core.read_model(content, b"")
    trunk, heads = split_heads(graph)
    images = np.random.default_rng(5).integers(0, 256, (1, 33, 49, 3), np.uint8)
    whole = core.compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})([images])
    assert heads is not None
    features = core.compile_model(trunk, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})([images])
    outputs = core.compile_model(heads, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})([*features.values(), images])
    for ours, theirs in zip(outputs.values(), whole.values(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
    if steps:  # mid offsets are refined by the output of another head, which alone is no output here
        one = openvino.Model([graph.output("mid_offsets")], graph.get_parameters())
        assert split_heads(one) == (one, None)
