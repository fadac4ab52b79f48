"""Resizing: the same bytes as OpenCV's warp of three channels, corner pixel on corner pixel."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from processes import run_with_isa, runnable_isas

from personlab.io.resize import resize

SIZES = [
    ((480, 640), (641, 481)), ((427, 640), (641, 433)), ((1, 1), (17, 17)), ((1, 300), (257, 17)),
    ((300, 1), (17, 257)),    ((61, 97), (161, 97)), ((161, 200), (161, 129)), ((300, 197), (113, 161)),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "size"), SIZES, ids=str)
def test_bytes_are_those_of_a_warp_of_three_channels(shape, size):
    image = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    (h, w), (width, height) = shape, size
    warp = np.array([[(w - 1) / (width - 1), 0, 0], [0, (h - 1) / (height - 1), 0]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    expected = cv2.warpAffine(image, warp, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    before = image.copy()
    resized = resize(image, size)
    assert np.array_equal(resized, expected)
    assert resized.flags.c_contiguous
    assert np.array_equal(image, before)


_DIGEST = """
import hashlib
import numpy as np
from personlab.io.resize import resize
rng, digest = np.random.default_rng(2), hashlib.sha256()
sizes = ((61, 97), (161, 97)), ((200, 33), (17, 129)), ((5, 9), (1, 1)), ((1, 2), (49, 17)), ((90, 7), (8, 90))
for shape, size in sizes:
    digest.update(resize(rng.integers(0, 256, (*shape, 3), np.uint8), size).tobytes())
print(digest.hexdigest())
"""


def test_every_instruction_set_reads_the_same_bytes():
    results = {name: run_with_isa(_DIGEST, name) for name in runnable_isas()}
    assert all(result.returncode == 0 for result in results.values()), results
    assert len({result.stdout for result in results.values()}) == 1


@pytest.mark.parametrize("turn", [1, 2, 3])
def test_a_view_is_read_as_its_copy(turn):
    image = np.random.default_rng(3).integers(0, 256, (61, 97, 3), np.uint8)
    views = image[::-1], image[4:40, 7:60], image[:, ::-1], image[:, ::2], np.rot90(image, turn)
    for view in views:
        assert np.array_equal(resize(view, (161, 97)), resize(view.copy(), (161, 97)))


SHRUNK = [
    ((128, 256), (129, 65)), ((383, 767), (129, 65)), ((1000, 1999), (129, 65)), ((700, 431), (97, 161)),
    ((240, 300), (17, 17)), ((5, 9), (1, 1)),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "size"), SHRUNK, ids=str)
def test_shrinking_averages_and_moves_nothing(shape, size):
    (h, w), (width, height) = shape, size
    checks = (np.indices(shape).sum(axis=0) % 2 * 200).astype(np.uint8)
    grey = resize(np.repeat(checks[..., None], 3, axis=2), size)
    assert np.abs(grey.astype(int) - 100).max() <= (20 if min(w // width, h // height) > 3 else 40)
    for axis, (length, shown) in enumerate(((h, height), (w, width))):
        ramp = np.linspace(0, 255, length)
        image = np.broadcast_to(ramp.reshape((-1, 1, 1) if axis == 0 else (1, -1, 1)), (*shape, 3))
        resized = resize(np.rint(image).astype(np.uint8), size).mean(axis=1 - axis)[:, 0]
        end = 1.6 * 255 / max(shown - 1, 1)  # half of the block at a border, and the rest of the row
        assert np.abs(resized - np.linspace(0, 255, shown))[1:-2].max(initial=0) < 1.5
        if shown > 1:
            assert resized[0] < end
            assert resized[-1] > 255 - end


def test_an_image_of_that_size_is_returned_as_it_is():
    image = np.zeros((33, 49, 3), np.uint8)
    assert resize(image, (49, 33)) is image


def test_corners_stay_corners():
    ramp = np.broadcast_to(np.linspace(0, 250, 251).astype(np.uint8)[None, :, None], (40, 251, 3))
    resized = resize(np.ascontiguousarray(ramp), (501, 33))
    assert np.abs(resized[:, ::2].astype(int) - ramp[:33]).max() == 0
