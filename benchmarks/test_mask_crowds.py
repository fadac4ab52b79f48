"""Speed gates of masks of drawn crowds, against resizing their long offsets."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from yardsticks import resized

from personlab import MaskOptions, decode_masks, decode_poses
from personlab.methods.personlab.bench import crowd

SMALL, LARGE = (481, 641), (961, 1281)  # (H, W) pixels


@functools.cache
def draw_crowd(people, size):
    """Return the fields of a crowd, and its poses."""
    fields = crowd(people, size=size)
    return fields, decode_poses(fields.heatmaps, fields.short_offsets, fields.mid_offsets, stride=fields.stride)


def masks_of(people, size, **more):
    fields, poses = draw_crowd(people, size)
    return decode_masks(
        poses, fields.segmentation, fields.long_offsets, short_offsets=fields.short_offsets, stride=fields.stride,
        size=size, **more,
    )  # fmt: skip


def resizing(people, size):
    """Return the yardstick: a call that resizes the long offsets to the image."""
    long_offsets = draw_crowd(people, size)[0].long_offsets
    return resized(long_offsets.reshape(-1, *long_offsets.shape[2:]), size[1], size[0])


@pytest.mark.parametrize(("people", "size", "max_ratio"), [(50, SMALL, 6), (50, LARGE, 5), (100, LARGE, 6)])
def test_masks_of_a_crowd(gate, people, size, max_ratio):
    assert masks_of(people, size).any(axis=(1, 2)).sum() > 0.8 * people
    name = f"masks, crowd of {people}, {size[0]} x {size[1]}"
    gate(name, lambda: masks_of(people, size), resizing(people, size), "Y34", max_ratio)


@pytest.mark.parametrize(("people", "size"), [(50, SMALL), (100, LARGE)])
def test_two_threads_share_the_masks_of_a_crowd(gate, people, size):
    def call(threads):
        return masks_of(people, size, options=MaskOptions(threads=threads))

    np.testing.assert_array_equal(call(1), call(2))
    name = f"masks, crowd of {people}, {size[0]} x {size[1]}, two threads"
    gate(name, lambda: call(2), lambda: call(1), "one thread", 1 / 1.5)


@pytest.mark.parametrize(("people", "size"), [(50, SMALL), (100, LARGE)])
def test_scores_of_masks_take_little_beside_the_masks(gate, people, size):
    def call(*, scored):
        return masks_of(people, size, return_scores=scored)

    masks, scores = call(scored=True)
    np.testing.assert_array_equal(masks, call(scored=False))
    assert (scores > 0).tolist() == masks.any(axis=(1, 2)).tolist()
    name = f"mask scores too, crowd of {people}, {size[0]} x {size[1]}"
    gate(name, lambda: call(scored=True), lambda: call(scored=False), "without", 1.2)
