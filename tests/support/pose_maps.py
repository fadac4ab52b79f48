"""Maps of keypoints and limbs for tests: perfect ones of labelled people, random ones, and the golden files."""

from __future__ import annotations

import json

import numpy as np

from personlab.methods.simple_pose.grid import MapGrid
from personlab.methods.simple_pose.options import SimplePoseOptions
from personlab.methods.simple_pose.parts import BODY, COCO_PARTS, BodyParts

# The originals' names of options.
_NAMES = {
    "thre1": "peak_threshold", "thre2": "limb_threshold", "connect_ration": "min_support",
    "connection_tole": "merge_ratio", "mid_num": "max_samples", "len_rate": "length_ratio",
    "offset_radius": "box_radius", "remove_recon": "resolve_shared",
}  # fmt: skip
FIXED = {"position": "centroid"}  # the exchange of x and y repaired


def original(parameters, **changes):
    """The options of a golden case."""
    options = {_NAMES[name]: value for name, value in parameters.items()}
    options["resolve_shared"] = bool(options["resolve_shared"])
    return SimplePoseOptions.original(**{**options, **changes})


def golden(data, name):
    """A golden file of Simple Pose, JSON or .npz."""
    path = data / "simple_pose" / name
    return json.loads(path.read_text()) if name.endswith(".json") else np.load(path)


def planes(array):
    """Maps (h, w, C) as (C, h, w)."""
    return np.ascontiguousarray(array.transpose(2, 0, 1))


def body_keypoints(keypoints):
    """COCO's keypoints (P, 17, 3) as those of `BODY`, (P, 18, 3): the neck between two labelled shoulders."""
    joints = np.zeros((len(keypoints), 18, 3))
    joints[:, list(COCO_PARTS.keypoints)] = keypoints
    left, right = keypoints[:, 5], keypoints[:, 6]
    both = (left[:, 2] > 0) & (right[:, 2] > 0)
    joints[both, 1] = ((left + right) / 2)[both]
    joints[both, 1, 2] = np.minimum(left, right)[both, 2]
    return joints


def perfect_maps(keypoints, size, *, stride=4, height=640, pad=64, sigma=9.0, limb_sigma=7.0):
    """Maps (18, h, w), (30, h, w) float32 and the grid of an image of (H, W) pixels with people (P, 17, 3).

    Gaussians around keypoints, and across limbs of the distance to the segment; the highest of all people.
    """
    scale = height / size[0]
    inner = tuple(round(side * scale) for side in size)
    h, w = (-(-side // pad) * pad // stride for side in inner)
    people = body_keypoints(np.asarray(keypoints, float))
    people[..., :2] = (people[..., :2] + 0.5) * (inner[1] / size[1], inner[0] / size[0]) - 0.5
    x, y = ((np.arange(n) + 0.5) * stride - 0.5 for n in (w, h))
    heat, limbs = np.zeros((18, h, w)), np.zeros((30, h, w))

    def near(low, high, count):
        first = np.clip(np.floor(low / stride).astype(int), 0, count)
        return slice(first, max(first, min(int(np.ceil(high / stride)) + 1, count)))

    for person in people:
        labelled = person[:, 2] > 0
        for k in np.flatnonzero(labelled):
            px, py = person[k, :2]
            box = near(py - 30, py + 30, h), near(px - 30, px + 30, w)
            d2 = (y[box[0], None] - py) ** 2 + (x[box[1]] - px) ** 2
            heat[k][box] = np.maximum(heat[k][box], np.exp(-d2 / (2 * sigma**2)))
        for e, (a, b) in enumerate(BODY.edges):
            if not (labelled[a] and labelled[b]):
                continue
            start, along = person[a, :2], person[b, :2] - person[a, :2]
            low, high = np.minimum(0, along) + start - 21, np.maximum(0, along) + start + 21
            box = near(low[1], high[1], h), near(low[0], high[0], w)
            dx, dy = x[box[1]] - start[0], y[box[0], None] - start[1]
            t = np.clip((dx * along[0] + dy * along[1]) / max(along @ along, 1e-9), 0, 1)
            d2 = (dx - t * along[0]) ** 2 + (dy - t * along[1]) ** 2
            value = np.exp(-d2 / (2 * limb_sigma**2))
            limbs[e][box] = np.maximum(limbs[e][box], np.where(value > 0.015, value, 0))
    grid = MapGrid(stride=stride, input_size=inner, size=tuple(size))
    return heat.astype(np.float32), limbs.astype(np.float32), grid


def crowd(people, *, size=(640, 960), seed=0, tall=160):
    """Keypoints (P, 17, 3) of people of one shape, at places of their own on an image of (H, W) pixels."""
    rng = np.random.default_rng(seed)
    shape = np.array([
        (0, -48), (3, -51), (-3, -51), (7, -49), (-7, -49), (14, -33), (-14, -33), (20, -13), (-20, -13), (22, 6),
        (-22, 6), (9, 5), (-9, 5), (10, 36), (-10, 36), (10, 64), (-10, 64),
    ], float) / 130 * tall  # fmt: skip
    columns = int(np.ceil(np.sqrt(people * size[1] / size[0])))
    rows = -(-people // columns)
    keypoints = np.ones((people, 17, 3))
    for n in range(people):
        centre = (n % columns + 0.5) * size[1] / columns, (n // columns + 0.5) * size[0] / rows
        keypoints[n, :, :2] = centre + shape + rng.normal(0, tall / 60, (17, 2))
    return keypoints


def small_parts():
    """Four keypoints in a ring of limbs with one across, of which come people of three."""
    from scenes import skeleton

    ring = skeleton(4, [(0, 1), (1, 2), (2, 3), (3, 0), (0, 2)])
    return BodyParts(skeleton=ring, person=skeleton(3), keypoints=(2, 0, 1))


def random_maps(seed, parts, h, w, *, smooth=1.2):
    """Noise that decodes to many people: (K, h, w) and (E, h, w) float32, about 0..1."""
    rng = np.random.default_rng(seed)

    def noise(count):
        maps = rng.normal(0, 1, (count, h, w))
        for axis, length in ((1, h), (2, w)):
            distance = np.arange(length)[:, None] - np.arange(length)
            weights = np.exp(-(distance**2) / (2 * smooth**2))
            maps = np.moveaxis(np.tensordot(weights / weights.sum(0), maps, (0, axis)), 0, axis)
        return maps / max(maps.std(), 1e-9)

    k, e = parts.skeleton.n_keypoints, parts.skeleton.n_edges
    return (0.3 * noise(k)).astype(np.float32), (0.45 + 0.3 * noise(e)).astype(np.float32)
