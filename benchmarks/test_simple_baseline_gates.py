"""Speed gates of the top-down method, one thread, whole calls from Python.

The yardsticks are OpenCV's `warpAffine` in a loop with the conversion to float, and the loops over people and keypoints
in NumPy with which the originals read heatmaps.
"""

from __future__ import annotations

import numpy as np
import pytest

from personlab import COCO_PERSON, SimpleBaselineOptions, decode_simple_baseline
from personlab.methods.simple_baseline.boxes import crop_affines
from personlab.methods.simple_baseline.crops import crop_people
from personlab.methods.simple_baseline.stages import suppress_poses

PEOPLE = 64


def boxes_of(rng, count=PEOPLE):
    """Return boxes of people, 100 to 700 pixels high, in an image of 1920 x 1080."""
    height = rng.uniform(100, 700, count)
    width = 0.4 * height
    return np.stack([rng.uniform(0, 1920 - width), rng.uniform(0, 1080 - height), width, height], axis=1)


@pytest.mark.parametrize("layout", ["bytes", "planes"])
def test_crops(gate, layout):
    import cv2

    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (1080, 1920, 3), dtype=np.uint8)
    affines = crop_affines(boxes_of(rng))
    out = np.empty((PEOPLE, 3, 256, 192), np.float32)
    own = out.copy() if layout == "planes" else np.empty((PEOPLE, 256, 192, 3), np.uint8)

    def warped():
        for crop, affine in zip(out, affines, strict=True):
            crop[:] = cv2.warpAffine(image, affine, (192, 256), flags=cv2.INTER_LINEAR).transpose(2, 0, 1)

    def cropped():
        return crop_people(image, affines, layout=layout, out=own)

    warped()
    cropped()
    made = own if layout == "planes" else own.transpose(0, 3, 1, 2)
    assert np.median(abs(made.astype(float) - out)) <= 1
    gate(f"simple baseline, {PEOPLE} crops, {layout}", cropped, warped, "warpAffine", 1 / 2)


def original_loop(maps, mirrored, boxes):
    """Read maps (N, h, w, K) as the originals' evaluation does, joint after joint; `boxes` are grown."""
    if mirrored is not None:
        back = mirrored[:, :, ::-1].copy()
        for a, b in enumerate(COCO_PERSON.flip):
            if a < b:
                back[..., [a, b]] = back[..., [b, a]]
        back[:, :, 1:] = back[:, :, :-1].copy()
        maps = (maps + back) / 2
    n, h, w, k = maps.shape
    result = np.zeros((n, k, 3))
    for i in range(n):
        for j in range(k):
            plane = maps[i, :, :, j]
            y, x = np.unravel_index(plane.argmax(), plane.shape)
            value, px, py = plane[y, x], float(x), float(y)
            if 1 < x < w - 1 and 1 < y < h - 1:
                step = np.sign(np.array([plane[y, x + 1] - plane[y, x - 1], plane[y + 1, x] - plane[y - 1, x]]))
                px, py = px + 0.25 * step[0], py + 0.25 * step[1]
            result[i, j] = px * 4, py * 4, value / 255
        result[i, :, 0] = result[i, :, 0] / 192 * boxes[i, 2] + boxes[i, 0]
        result[i, :, 1] = result[i, :, 1] / 256 * boxes[i, 3] + boxes[i, 1]
    return result


@pytest.mark.parametrize("flip", [True, False])
def test_many_times_as_fast_as_the_originals_loop(gate, flip):
    rng = np.random.default_rng(0)
    maps, mirrored = rng.uniform(0, 255, (2, PEOPLE, 17, 64, 48)).astype(np.float32)
    affines = crop_affines(boxes_of(rng))
    back = np.stack([np.linalg.inv(np.vstack([one, [0, 0, 1]]))[:2] for one in affines])
    size = back[:, [0, 1], [0, 1]] * [192, 256]
    grown = np.concatenate([back[:, :, 2], size], axis=1)
    theirs = [np.ascontiguousarray(one.transpose(0, 2, 3, 1)) for one in (maps, mirrored)]
    options = SimpleBaselineOptions.original(oks_threshold=1.0)
    own = {"mirrored": mirrored} if flip else {}

    def decode():
        return decode_simple_baseline(maps, affines, **own, options=options)

    def loop():
        return original_loop(theirs[0], theirs[1] if flip else None, grown)

    np.testing.assert_allclose(decode().keypoints, loop()[..., :2], atol=1e-2)
    gate(f"simple baseline, maps of {PEOPLE} people, flip {flip}", decode, loop, "original", 1 / 50, rounds=5)


def test_suppression_of_1000_poses(gate):
    """Forty people, each 25 times, and poses apart from each other; the yardstick is 2 ms."""
    rng = np.random.default_rng(0)
    people = rng.uniform(0, 1000, (40, 1, 2)) + rng.uniform(0, 150, (40, 17, 2))
    poses = np.repeat(people, 25, axis=0) + rng.normal(0, 4, (1000, 17, 2))
    poses, scores = np.concatenate([poses, np.ones((1000, 17, 1))], axis=2), rng.random(1000)
    areas = np.full(1000, 22500.0)
    kept = suppress_poses(poses, scores, areas)
    assert 40 <= len(kept) < 1000
    np.testing.assert_array_equal(kept, suppress_poses(poses, scores, areas, backend="reference"))
    apart = poses + rng.uniform(0, 4000, (1000, 1, 3))
    assert len(suppress_poses(apart, scores, areas)) > 900

    def two_milliseconds():
        import time

        end = time.perf_counter() + 2e-3
        while time.perf_counter() < end:
            pass

    for name, own in (("of 40 people", poses), ("apart", apart)):
        gate(f"simple baseline, 1000 poses {name}", lambda own=own: suppress_poses(own, scores, areas),
             two_milliseconds, "2 ms", 1)  # fmt: skip
