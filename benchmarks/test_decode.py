"""Whole calls from Python on every file of fields: poses in all modes, and masks at image size."""

from __future__ import annotations

import numpy as np
import pytest
from shared import COUPLE, CROWD, DATA, MODES, decode, narrow

from personlab import COCO_PERSON, DecodeOptions, Fields, MaskOptions, decode_masks, decode_poses, stages

BACKENDS = ["cpu", "reference"]
ELEMENT_TYPES = ("float32", "float16", "bfloat16")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("mode", MODES)
def test_poses(timed, name, fields, mode, backend):
    options = MODES[mode]
    poses = timed(f"{mode}, {name}", lambda: decode(fields, options, backend), backend)
    expected = decode(fields, options)
    assert len(poses) > 0
    np.testing.assert_allclose(poses.keypoints, expected.keypoints, atol=2e-4)
    np.testing.assert_allclose(poses.scores, expected.scores, atol=1e-5)


@pytest.mark.parametrize("element_type", ELEMENT_TYPES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("image", [COUPLE, CROWD])
def test_element_types(timed, image, mode, element_type):
    """Tensors of 16 bits beside those of float32."""
    fields, options = Fields.load(DATA / "fields" / f"{image}.npz"), MODES[mode]
    tensors, wide = narrow(fields, element_type)
    poses = timed(f"{mode}, {image}, tensors", lambda: decode_poses(*tensors, stride=fields.stride, options=options))
    expected = decode_poses(*wide, stride=fields.stride, options=options)
    assert len(poses) > 0
    np.testing.assert_array_equal(poses.keypoints, expected.keypoints)


@pytest.mark.parametrize("backend", BACKENDS)
def test_masks(timed, name, fields, backend):
    poses = decode(fields, MODES["paper g=2"])
    # The reference takes minutes for the pixels of a large photograph: both are timed at the input's size then.
    width, height = min(fields.image_size, fields.input_size)
    arguments = (poses, fields.segmentation, fields.long_offsets)
    sizes = {"short_offsets": fields.short_offsets, "stride": fields.stride, "size": (height, width)}
    masks = timed(
        f"masks {width}x{height}, {name}",
        lambda: stages.associate_pixels(*arguments, **sizes, options=MaskOptions(), backend=backend),
        backend,
    )
    expected = decode_masks(*arguments, **sizes)
    assert masks.any(axis=(1, 2)).sum() >= 2
    assert (masks != expected).mean() < 1e-5


@pytest.mark.parametrize("threads", [1, 2])
def test_batch(timed, threads):
    """Sixteen images in one call."""
    rng = np.random.default_rng(0)
    k, e2 = COCO_PERSON.n_keypoints, 2 * COCO_PERSON.n_edges
    heatmaps = rng.normal(-4, 2, (16, k, 54, 81)).astype(np.float32)
    short = rng.normal(0, 4, (16, k, 2, 54, 81)).astype(np.float32)
    mid = rng.normal(0, 30, (16, e2, 2, 54, 81)).astype(np.float32)
    options = DecodeOptions.posenet(0.3, threads=threads)
    poses = timed("batch of 16", lambda: decode_poses(heatmaps, short, mid, stride=8, options=options))
    assert [len(p) for p in poses] == [
        len(decode_poses(heatmaps[i], short[i], mid[i], stride=8, options=options)) for i in range(16)
    ]
