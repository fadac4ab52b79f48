"""Properties that hold for any scene: moving, mirroring, adding far-away people, batching, encoding and decoding."""

import numpy as np
from agreement import assert_same_bytes, assert_same_masks, assert_same_poses, core_poses
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import (
    BY_SEED,
    OFF,
    array,
    decode_options,
    mask_options,
    people_keypoints,
    pose_fields,
    random_fields,
    skeleton,
)

from personlab import COCO_PERSON, Fields, Poses, decode_masks, decode_poses, encode_targets

PEOPLE = skeleton(4, [(0, 1), (0, 2), (1, 3), (2, 3)], sigma=(0.05, 0.08, 0.08, 0.1), flip=(0, 2, 1, 3))
NAMES = ("heatmaps", "short_offsets", "mid_offsets", "segmentation", "long_offsets")
STRIDE = 8

few = settings(derandomize=True, deadline=None, max_examples=40, database=None)
seeds = st.integers(0, 2**32 - 1)
hough_strides = st.sampled_from([1, 2, 4, 8])
scorings = st.sampled_from(["expected_oks", "heatmap"])
schemes = st.sampled_from([{}, BY_SEED])


def options_of(scoring, g, scheme):
    return decode_options(
        hough_stride=g, disk_radius=16.0, peak_threshold=0.001, nms_radius=6.0, max_poses=10000, scoring=scoring,
        **scheme,
    )  # fmt: skip


def patch(seed, h=5, w=7):
    """Noise whose offsets lead at most some cells away."""
    fields = random_fields(seed, PEOPLE, h, w, STRIDE)
    near = {name: np.clip(getattr(fields, name), -2 * STRIDE, 2 * STRIDE) for name in NAMES if "offsets" in name}
    return Fields(heatmaps=fields.heatmaps, segmentation=fields.segmentation, stride=STRIDE, **near)


def canvas(h, w, *patches):
    """Patches of fields laid on an empty grid: (fields, row, column) each; nobody is elsewhere."""
    arrays = {}
    for name in NAMES:
        arrays[name] = np.full(
            (*getattr(patches[0][0], name).shape[:-2], h, w), 0 if "offsets" in name else OFF, np.float32
        )
        for fields, i, j in patches:
            piece = getattr(fields, name)
            arrays[name][..., i : i + piece.shape[-2], j : j + piece.shape[-1]] = piece
    return Fields(**arrays, stride=STRIDE)


def moved(poses, dx, dy):
    return Poses(poses.keypoints + array([dx, dy]), poses.keypoint_scores, poses.scores, poses.keypoint_probabilities)


@few
@given(
    seed=seeds, g=hough_strides, scoring=scorings, scheme=schemes, rows=st.integers(-4, 5), columns=st.integers(-3, 6)
)
def test_moving_the_fields_by_whole_cells_moves_the_poses(seed, g, scoring, scheme, rows, columns):
    noise, options = patch(seed), options_of(scoring, g, scheme)
    # Twelve cells of margin: nothing comes to the border, where positions are clamped.
    here = core_poses(canvas(30, 37, (noise, 12, 14)), options, PEOPLE)
    there = core_poses(canvas(30, 37, (noise, 12 + rows, 14 + columns)), options, PEOPLE)
    assert len(here) > 0
    assert_same_poses(there, moved(here, columns * STRIDE, rows * STRIDE))


def mirrored(fields):
    """The fields of the mirrored image."""

    def mirror(offsets, order):
        return offsets[list(order)][..., ::-1] * array([-1, 1])[:, None, None]

    return Fields(
        heatmaps=fields.heatmaps[list(PEOPLE.flip)][..., ::-1],
        short_offsets=mirror(fields.short_offsets, PEOPLE.flip),
        mid_offsets=mirror(fields.mid_offsets, PEOPLE.directed_flip),
        segmentation=fields.segmentation[..., ::-1],
        long_offsets=mirror(fields.long_offsets, PEOPLE.flip),
        stride=fields.stride,
    )


def mirrored_poses(poses, width):
    order = list(PEOPLE.flip)
    keypoints = poses.keypoints[:, order] * array([-1, 1]) + array([width - 1, 0])
    return Poses(keypoints, poses.keypoint_scores[:, order], poses.scores, poses.keypoint_probabilities[:, order])


@few
@given(seed=seeds, g=hough_strides, scoring=scorings, scheme=schemes, h=st.integers(2, 9), w=st.integers(2, 9))
def test_the_mirrored_image_has_the_mirrored_poses(seed, g, scoring, scheme, h, w):
    fields, options = patch(seed, h, w + (h == w)), options_of(scoring, g, scheme)
    poses = core_poses(fields, options, PEOPLE)
    assert_same_poses(core_poses(mirrored(fields), options, PEOPLE), mirrored_poses(poses, fields.input_size[0]))


@few
@given(seed=seeds)
def test_the_mirrored_image_has_the_mirrored_masks(seed):
    fields = patch(seed)
    poses = core_poses(fields, options_of("expected_oks", 2, {}), PEOPLE)[:5]
    width, height = fields.input_size
    options = mask_options(distance_threshold=1.0)

    def masks_of(poses, fields):
        return decode_masks(
            poses, fields.segmentation, fields.long_offsets, short_offsets=fields.short_offsets,
            stride=STRIDE, size=(height, width), options=options,
        )  # fmt: skip

    masks, mirror, turned = masks_of(poses, fields), mirrored(fields), mirrored_poses(poses, width)
    assert masks.any()
    assert_same_masks(
        masks_of(turned, mirror), masks[..., ::-1], turned, mirror,
        size=(height, width), options=options, short_offsets=mirror.short_offsets,
    )  # fmt: skip


@few
@given(seed=seeds, g=hough_strides, scoring=scorings, scheme=schemes)
def test_people_far_apart_do_not_interact(seed, g, scoring, scheme):
    one, other, options = patch(seed), patch(seed ^ 0x5A5A5A5A), options_of(scoring, g, scheme)
    places = (one, 12, 12), (other, 14, 45)
    alone = [core_poses(canvas(30, 64, place), options, PEOPLE) for place in places]
    together = core_poses(canvas(30, 64, *places), options, PEOPLE)
    scores = np.concatenate([poses.scores for poses in alone])
    order = np.argsort(-scores, kind="stable")
    union = Poses(*(
        np.concatenate([getattr(poses, name) for poses in alone])[order]
        for name in ("keypoints", "keypoint_scores", "scores", "keypoint_probabilities")
    ))  # fmt: skip
    assert min(len(poses) for poses in alone) > 0
    assert_same_poses(together, union)


@few
@given(
    seed=seeds, g=hough_strides, scoring=scorings, ranking=st.sampled_from(["seed", "mean"]),
    instance_score=st.sampled_from(["rms", "mean"]), min_score=st.floats(0, 0.5), max_poses=st.integers(0, 12),
    radius=st.sampled_from([0.0, 3.0, 12.0, 1e6]), threads=st.sampled_from([1, 3]),
)  # fmt: skip
def test_what_is_not_scored_changes_no_byte(
    seed, g, scoring, ranking, instance_score, min_score, max_poses, radius, threads
):
    fields, single = patch(seed, 9, 13), float(np.float32(min_score))
    how = {"hough_stride": g, "scoring": scoring, "ranking": ranking, "instance_score": instance_score}
    how |= {"disk_radius": 16.0, "peak_threshold": 1e-4, "nms_radius": radius, "sharpen": 4.0}
    every = core_poses(fields, decode_options(**how, min_score=0.0, max_poses=10**6), PEOPLE)
    # Scores are rounded to float32 after they are compared: one that is as near as that may fall on either side.
    if (np.abs(every.scores - single) < 1e-7).any():
        return
    kept = every[every.scores >= single][:max_poses]
    options = decode_options(**how, min_score=min_score, max_poses=max_poses, threads=threads)
    assert_same_bytes(core_poses(fields, options, PEOPLE), kept)


@few
@given(seed=seeds, count=st.integers(0, 4), threads=st.integers(1, 6), g=hough_strides)
def test_a_batch_is_its_images(seed, count, threads, g):
    images = [patch(seed ^ n) for n in range(count)]
    options = decode_options(hough_stride=g, threads=threads)
    batch = [np.stack([a, *b]) for a, *b in zip(*map(pose_fields, [patch(seed), *images]), strict=True)]
    found = decode_poses(*batch, stride=STRIDE, skeleton=PEOPLE, options=options)
    assert len(found) == count + 1
    for poses, fields in zip(found, [patch(seed), *images], strict=True):
        assert_same_bytes(poses, core_poses(fields, decode_options(hough_stride=g), PEOPLE))


def assert_recovered(keypoints, size, stride, people, bound):
    fields = encode_targets(keypoints, None, size=size, stride=stride, skeleton=people).to_fields()
    options = decode_options(
        hough_stride=1, disk_radius=32.0, vote_threshold=0.1, nms_radius=10.0, refine_steps=2, min_score=0.1
    )
    poses = core_poses(fields, options, people)
    assert len(poses) == len(keypoints)
    away = np.abs(poses.keypoints[:, None] - keypoints[None, :, :, :2]).max(axis=(2, 3))  # (found, person)
    assert sorted(away.argmin(axis=1)) == list(range(len(keypoints)))
    assert away.min(axis=1).max() < bound


@few
@given(seed=seeds, count=st.integers(1, 3), stride=st.sampled_from([4, 8, 16]))
def test_what_was_encoded_is_decoded(seed, count, stride):
    # People 200 pixels apart, their keypoints within 60 of their middle: discs of one type never touch.
    rng = np.random.default_rng(seed)
    centres = [(100 + 200 * n + rng.uniform(-5, 5), 96 + rng.uniform(-20, 20)) for n in range(count)]
    keypoints = people_keypoints(centres, COCO_PERSON, rng, size=50)
    assert_recovered(keypoints, (193, 16 * 13 * count + 1), stride, COCO_PERSON, 1.0)


@few
@given(seed=seeds, count=st.integers(1, 3))
def test_what_was_encoded_is_decoded_whatever_the_skeleton(seed, count):
    rng = np.random.default_rng(seed)
    centres = [(100 + 200 * n, 96) for n in range(count)]
    assert_recovered(people_keypoints(centres, PEOPLE, rng, size=50), (193, 209 * count // 8 * 8 + 1), 8, PEOPLE, 1.0)
