"""Fields, skeletons and options for tests: small, seeded, never square."""

from __future__ import annotations

import numpy as np

from personlab import DecodeOptions, Fields, MaskOptions, Skeleton

OFF = -50.0  # a logit whose probability is 2e-22: nobody is here


def skeleton(count, edges=(), sigma=0.05, flip=None):
    """A skeleton of `count` keypoints named a, b, c ..."""
    return Skeleton(
        names=tuple("abcdefghijklmnopq"[:count]),
        edges=tuple(edges),
        sigmas=(sigma,) * count if isinstance(sigma, float) else tuple(sigma),
        flip=tuple(range(count)) if flip is None else tuple(flip),
    )


PAIR = skeleton(2, [(0, 1)])
SKELETONS = {
    "single": skeleton(1),
    "pair": PAIR,
    "tree": skeleton(4, [(0, 1), (1, 2), (0, 3)], sigma=(0.03, 0.05, 0.1, 0.07), flip=(0, 1, 2, 3)),
    "cycle": skeleton(4, [(0, 1), (1, 2), (2, 3), (3, 0), (2, 0)], sigma=(0.1, 0.05, 0.08, 0.04)),
    "loose": skeleton(4, [(0, 1), (2, 1)], sigma=(0.06, 0.05, 0.04, 0.09)),  # no edge reaches keypoint 3
    "unjoined": skeleton(3),
}

# (h, w, stride): never square, with the thin grids, stride 1 and odd strides among them.
GRIDS = ((5, 8, 8), (9, 4, 16), (7, 5, 5), (12, 17, 1), (6, 9, 3), (1, 9, 8), (7, 1, 4), (1, 1, 8))
HOUGH_STRIDES = (1, 2, 3, 7)  # 3 and 7 do not divide most of the strides

# Every option that a test can depend on, spelled out: the library's defaults may change.
_DECODE = {
    "hough_stride": 1,
    "disk_radius": 8.0,
    "vote_threshold": 0.5,
    "peak_threshold": 0.01,
    "nms_radius": 4.0,
    "refine_steps": 2,
    "scoring": "expected_oks",
    "ranking": "mean",
    "instance_score": "mean",
    "sharpen": 0.0,
    "min_score": 0.0,
    "max_poses": 1000,
    "threads": 1,
}
_PAPER = {**_DECODE, "disk_radius": 32.0, "vote_threshold": 0.1, "nms_radius": 10.0}
BY_SEED = {"ranking": "seed", "instance_score": "rms", "sharpen": 4.0}  # the scheme of the library's defaults
_MASKS = {
    "mask_threshold": 0.5,
    "distance_threshold": 0.25,
    "long_refine_steps": 2,
    "short_refine_steps": 2,
    "exclusive": False,
    "score_power": 3.0,
    "threads": 1,
}


def decode_options(**changes):
    """Options for small scenes, all stated."""
    return DecodeOptions(**{**_DECODE, **changes})


def paper_options(**changes):
    """Options at the paper's scale, for real fields, all stated."""
    return DecodeOptions(**{**_PAPER, **changes})


def mask_options(**changes):
    """Options for masks, all stated."""
    return MaskOptions(**{**_MASKS, **changes})


def array(values):
    """float32."""
    return np.array(values, np.float32)


def offsets(h, w, *pairs):
    """(len(pairs), 2, h, w): fields that are (dx, dy) everywhere."""
    field = np.empty((len(pairs), 2, h, w), np.float32)
    for channel, pair in zip(field, pairs, strict=True):
        channel[0], channel[1] = pair
    return field


def random_fields(seed, people, h, w, stride):
    """Noise that decodes to many poses: the worst case for agreement, no two candidates alike."""
    rng = np.random.default_rng(seed)

    def noise(scale, *shape):
        return rng.normal(0.0, scale, shape).astype(np.float32)

    k, e2 = people.n_keypoints, 2 * people.n_edges
    return Fields(
        heatmaps=noise(2.5, k, h, w),
        short_offsets=noise(1.5 * stride, k, 2, h, w),
        mid_offsets=noise(3.0 * stride, e2, 2, h, w),
        segmentation=noise(2.0, 1, h, w),
        long_offsets=noise(3.0 * stride, k, 2, h, w),
        stride=stride,
    )


def sprinkled(field, rng, share=0.1, values=(np.nan, np.inf, -np.inf, 1e38, -1e38)):
    """A copy with some values replaced by ones that no network should say."""
    field = field.copy()
    hit = rng.random(field.shape) < share
    field[hit] = rng.choice(np.array(values, np.float32), hit.sum())
    return field


def pose_fields(fields):
    """What `decode_poses` takes, in its order."""
    return fields.heatmaps, fields.short_offsets, fields.mid_offsets


def people_keypoints(centres, people, rng, size=60.0):
    """(P, K, 3) fully labelled people, their keypoints scattered within `size` pixels of their centres."""
    keypoints = np.ones((len(centres), people.n_keypoints, 3), np.float32)
    spread = rng.uniform(-size, size, (len(centres), people.n_keypoints, 2))
    keypoints[..., :2] = np.asarray(centres, float)[:, None] + spread
    return keypoints
