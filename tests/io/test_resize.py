"""Resizing: the same bytes as OpenCV's warp of three channels, corner pixel on corner pixel."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from personlab.io.resize import resize

SIZES = [
    ((480, 640), (641, 481)), ((427, 640), (641, 433)), ((1, 1), (17, 17)), ((1, 300), (65, 17)), ((300, 1), (17, 65)),
    ((61, 97), (161, 97)), ((161, 200), (161, 129)), ((310, 197), (97, 161)), ((700, 431), (97, 161)),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "size"), SIZES, ids=str)
def test_bytes_are_those_of_a_warp_of_three_channels(shape, size):
    image = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    (h, w), (width, height) = shape, size
    sx, sy = (w - 1) / max(width - 1, 1), (h - 1) / max(height - 1, 1)
    blocks = max(int(sx), 1), max(int(sy), 1)
    pixels = image
    if max(blocks) > 1:
        pixels = cv2.resize(image, (-(-w // blocks[0]), -(-h // blocks[1])), interpolation=cv2.INTER_AREA)
    kx, ky = pixels.shape[1] / w, pixels.shape[0] / h
    warp = np.array([[sx * kx, 0, 0.5 * kx - 0.5], [0, sy * ky, 0.5 * ky - 0.5]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    expected = cv2.warpAffine(pixels, warp, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    before = image.copy()
    resized = resize(image, size)
    assert np.array_equal(resized, expected)
    assert resized.flags.c_contiguous
    assert np.array_equal(image, before)


def test_an_image_of_that_size_is_returned_as_it_is():
    image = np.zeros((33, 49, 3), np.uint8)
    assert resize(image, (49, 33)) is image


def test_corners_stay_corners():
    ramp = np.broadcast_to(np.linspace(0, 250, 251).astype(np.uint8)[None, :, None], (40, 251, 3))
    resized = resize(np.ascontiguousarray(ramp), (501, 33))
    assert np.abs(resized[:, ::2].astype(int) - ramp[:33]).max() == 0
