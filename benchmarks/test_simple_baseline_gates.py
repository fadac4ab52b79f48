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


def original_scores(poses, threshold=0.2):
    """Return the mean of the values above `threshold` of each of poses (N, K, 3), added one by one."""
    scores = np.zeros(len(poses))
    for n, pose in enumerate(poses):
        total, count = 0.0, 0
        for k in range(len(pose)):
            if pose[k, 2] > threshold:
                total, count = total + pose[k, 2], count + 1
        scores[n] = total / count if count else 0.0
    return scores


def original_suppression(poses, scores, areas, threshold=0.9):
    """Return the indices of poses (N, K, 3) that the originals' OKS-NMS keeps, best first: an OKS at a time."""
    variances = (2 * np.array(COCO_PERSON.sigmas)) ** 2
    order, kept = scores.argsort()[::-1], []
    while len(order):
        best, others = order[0], order[1:]
        oks = np.zeros(len(others))
        for at, other in enumerate(others):
            dx, dy = poses[other, :, 0] - poses[best, :, 0], poses[other, :, 1] - poses[best, :, 1]
            e = (dx**2 + dy**2) / variances / ((areas[best] + areas[other]) / 2 + np.spacing(1)) / 2
            oks[at] = np.sum(np.exp(-e)) / len(e)
        kept.append(best)
        order = others[oks <= threshold]
    return kept


class People:
    """Maps of 64 people of one image, and of their mirrored crops, for both."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.maps, self.mirrored = rng.uniform(0, 255, (2, PEOPLE, 17, 64, 48)).astype(np.float32)
        self.theirs = [np.ascontiguousarray(one.transpose(0, 2, 3, 1)) for one in (self.maps, self.mirrored)]
        self.affines = crop_affines(boxes_of(rng))
        back = np.stack([np.linalg.inv(np.vstack([one, [0, 0, 1]]))[:2] for one in self.affines])
        self.grown = np.concatenate([back[:, :, 2], back[:, [0, 1], [0, 1]] * [192, 256]], axis=1)

    def decode(self, flip, **changes):
        more = {"mirrored": self.mirrored} if flip else {}
        return decode_simple_baseline(
            self.maps, self.affines, **more, options=SimpleBaselineOptions.original(**changes)
        )

    def loop(self, flip):
        return original_loop(self.theirs[0], self.theirs[1] if flip else None, self.grown)


@pytest.fixture(scope="module")
def people():
    return People()


def test_decoding_takes_a_fiftieth_of_the_originals_time(gate, people):
    """From maps to the poses of an image: keypoints, values, scores, OKS-NMS. The maps lie in the caches."""

    def loop():
        poses = people.loop(flip=False)
        scores = original_scores(poses)
        kept = original_suppression(poses, scores, people.grown[:, 2] * people.grown[:, 3])
        return poses[kept], scores[kept]

    own, (poses, scores) = people.decode(flip=False), loop()
    np.testing.assert_allclose(own.keypoints, poses[..., :2], atol=1e-2)
    np.testing.assert_allclose(own.scores, scores, rtol=1e-5)
    gate(
        f"simple baseline, decoding {PEOPLE} people", lambda: people.decode(flip=False), loop, "original", 1 / 50,
        rounds=5, warm=3,
    )  # fmt: skip


@pytest.mark.parametrize("flip", [True, False])
def test_keypoints_and_values_alone(gate, people, flip):
    """Without scores and OKS-NMS, both from memory: most of the core's time is reading the maps once."""

    def decode():
        return people.decode(flip, oks_threshold=1.0)

    np.testing.assert_allclose(decode().keypoints, people.loop(flip)[..., :2], atol=1e-2)
    what = f"simple baseline, keypoints of {PEOPLE} people, flip {flip}"
    gate(what, decode, lambda: people.loop(flip), "original", 1 / 50, rounds=5)


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
