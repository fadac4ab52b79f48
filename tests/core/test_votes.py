"""Where very many votes meet: sums that overflow 32 bits, votes across tiles, large cells; and ties among seeds."""

from __future__ import annotations

import numpy as np
import pytest
from scenes import decode_options, random_fields, skeleton

from personlab import DecodeOptions, decode_poses, stages

CERTAIN = 50.0  # a logit whose probability is 1 in float32


def all_pointing_at(h, w, stride, x, y, logit=CERTAIN):
    """Fields of one keypoint type in which every lattice point votes for (x, y)."""
    rows, columns = np.mgrid[:h, :w] * float(stride)
    offsets = np.stack([x - columns, y - rows])[None].astype(np.float32)
    return np.full((1, h, w), logit, np.float32), offsets


def assert_equals_reference(heatmaps, offsets, stride, **options):
    core, reference = (
        stages.hough_vote(heatmaps, offsets, stride=stride, options=decode_options(**options), backend=backend)
        for backend in ("cpu", "reference")
    )
    assert reference.max() > 0
    np.testing.assert_allclose(core, reference, rtol=2e-6, atol=1e-5)
    return core


@pytest.mark.parametrize("vote_threshold", [0.5, 1e-6])  # packed sums at first, and wide ones at once
@pytest.mark.parametrize("logit", [CERTAIN, 0.3])
@pytest.mark.parametrize(
    "target", [(20, 20), (14.25, 14.75), (15, 15), (15.5, 20.5), (31.75, 0), (56, 32), (55.5, 31.5)], ids=str
)
def test_more_votes_than_a_disc_has_may_meet(target, logit, vote_threshold):
    # 33 x 57 votes, where R = 8 has sums made for 256 certain ones.
    heatmaps, offsets = all_pointing_at(5, 8, 8, *target, logit)
    if 1 / (1 + np.exp(-logit)) >= vote_threshold:
        assert_equals_reference(heatmaps, offsets, 8, vote_threshold=vote_threshold)


@pytest.mark.parametrize("height", [8, 16, 32, 64])
def test_sums_that_come_out_as_nothing_modulo_their_size_are_noticed(height):
    # With R = 8 a certain vote is 2^23: of 512 of them, 2^32, nothing stays but a carry into the next point.
    heatmaps, offsets = all_pointing_at(height, 32, 1, 5, 6)
    hough = assert_equals_reference(heatmaps, offsets, 1)
    assert np.count_nonzero(hough) == 1
    np.testing.assert_allclose(hough[0, 6, 5], height * 32 / (np.pi * 64), rtol=1e-6)


def test_one_crowded_type_leaves_the_others_as_they_are():
    crowded, offsets = all_pointing_at(12, 17, 8, 33.25, 47.5)
    calm = random_fields(41, skeleton(1), 12, 17, 8)
    heatmaps, both = np.concatenate([crowded, calm.heatmaps]), np.concatenate([offsets, calm.short_offsets])
    hough = assert_equals_reference(heatmaps, both, 8)
    alone = stages.hough_vote(calm.heatmaps, calm.short_offsets, stride=8, options=decode_options())
    np.testing.assert_array_equal(hough[1:], alone)


@pytest.mark.parametrize("threads", [2, 5])
def test_overflow_gives_the_same_bytes_on_any_number_of_threads(threads):
    pairs = [all_pointing_at(12, 17, 8, x, 40.3) for x in (3.3, 70.0, 111.9)]
    heatmaps, offsets = (np.concatenate(arrays) for arrays in zip(*pairs, strict=True))
    one, other = (
        stages.hough_vote(heatmaps, offsets, stride=8, options=decode_options(threads=n)) for n in (1, threads)
    )
    assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize("radius", [0.001, 1.0, 300.0, 4096.0])
@pytest.mark.parametrize("vote_threshold", [0.0, 0.01, 0.9])
def test_any_radius_and_threshold(radius, vote_threshold):
    fields = random_fields(42, skeleton(2), 9, 14, 8)
    scale = np.float32(np.pi * radius**2)  # undone, so that rounding is compared at the size of a vote
    core, reference = (
        scale * stages.hough_vote(
            fields.heatmaps, fields.short_offsets, stride=8, backend=backend,
            options=decode_options(disk_radius=radius, vote_threshold=vote_threshold),
        )
        for backend in ("cpu", "reference")
    )  # fmt: skip
    np.testing.assert_allclose(core, reference, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(("grid", "g"), [((3, 4, 40), 1), ((2, 3, 300), 1), ((3, 2, 300), 7), ((2, 2, 31), 2)], ids=str)
def test_cells_of_more_lattice_points_than_are_read_at_once(grid, g):
    h, w, stride = grid
    fields = random_fields(43, skeleton(1), h, w, stride)
    assert_equals_reference(fields.heatmaps, fields.short_offsets, stride, hough_stride=g, vote_threshold=0.3)


@pytest.mark.parametrize("shape", [(40, 61), (1, 300), (300, 1), (9, 64), (64, 9), (2, 70), (70, 2), (13, 33)], ids=str)
def test_seeds_of_the_posenet_decoder_among_ties(shape):
    # One keypoint type, no offsets, no radius: the poses are the seeds.
    h, w = shape
    logits = np.random.default_rng(44).integers(-3, 4, (1, h, w)).astype(np.float32)
    logits[np.random.default_rng(45).random(logits.shape) < 0.05] = np.nan
    options = DecodeOptions.posenet(0.3, 0.0, 0, 10**6)
    expected = {
        (8 * j, 8 * i)
        for i in range(h)
        for j in range(w)
        if logits[0, i, j] >= 0  # probabilities of whole logits: 0.27, 0.5, ...
        and not (logits[0, max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2] > logits[0, i, j]).any()
    }
    short_offsets, mid_offsets = np.zeros((1, 2, h, w), np.float32), np.zeros((0, 2, h, w), np.float32)
    poses = decode_poses(logits, short_offsets, mid_offsets, stride=8, skeleton=skeleton(1), options=options)
    assert {tuple(point) for point in poses.keypoints[:, 0].tolist()} == expected
    assert len(poses) == len(expected) > 5
