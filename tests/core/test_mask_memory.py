"""Memory of large masks: used again once nobody holds it, and an ordinary array all the while."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from personlab import MaskOptions, Poses, decode_masks, decode_poses
from personlab.methods.personlab.bench import crowd

STRIDE, CELLS = 8, 5
SIZE = (1500, 1500)  # two masks of it are 4.3 MiB, one is less than the smallest block


def masks_of(people, *, size=SIZE):
    """Return masks of so many people who all own the upper left half of a small scene, enlarged to the size."""
    keypoints = np.zeros((people, 3, 2), np.float32)
    keypoints[:, 1:] = (16, 16), (32, 0)
    ones = np.ones((people, 3), np.float32)
    poses = Poses(
        keypoints=keypoints, keypoint_scores=ones, keypoint_probabilities=ones, scores=np.ones(people, np.float32)
    )
    segmentation = np.full((1, CELLS, CELLS), -9, np.float32)
    segmentation[0, :2] = 9
    cells = np.stack(np.meshgrid(np.arange(CELLS), np.arange(CELLS)), 0) * np.float32(STRIDE)
    long_offsets = (keypoints[0][:, :, None, None] - cells).astype(np.float32)
    return decode_masks(poses, segmentation, long_offsets, stride=STRIDE, size=size)


def address(array):
    return array.ctypes.data


def test_a_block_is_used_again_once_no_view_of_it_is_left():
    first = masks_of(2)
    expected, where = first.copy(), address(first)
    assert expected.any()
    assert not expected.all()
    first[:] = True
    view = first[1, 5:]
    del first
    second = masks_of(2)
    assert address(second) != where  # a view holds that block
    assert view.all()
    del view
    third = masks_of(2)
    assert address(third) == where
    np.testing.assert_array_equal(third, expected)  # nothing is left of what was written to it
    np.testing.assert_array_equal(second, expected)


def test_masks_in_a_used_block_are_ordinary_arrays():
    masks_of(2)[:] = True  # leaves a used block
    masks = masks_of(2)
    assert (masks.dtype, masks.shape) == (np.bool_, (2, *SIZE))
    assert masks.flags.c_contiguous
    assert masks.flags.aligned
    assert masks.flags.writeable
    masks.flags.writeable = False
    masks.flags.writeable = True
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(masks)), masks)


@pytest.mark.parametrize("people", [1, 5])
def test_a_block_that_does_not_fit_is_not_used(people):
    """One mask is below the smallest size; five take more than twice what two of them left."""
    expected = masks_of(2).sum(axis=(1, 2))[0]
    masks = masks_of(people)
    assert (masks.sum(axis=(1, 2)) == expected).all()
    assert len(masks) == people


def test_a_smaller_result_uses_a_part_of_a_block():
    held = masks_of(2)  # takes the block that other tests left, or frees it
    block = masks_of(3)
    block[:] = True
    where = address(block)
    del block
    masks = masks_of(2)
    assert address(masks) == where
    np.testing.assert_array_equal(masks, held)


@pytest.mark.parametrize("people", [12, 30], ids=["7 MB", "18 MB"])
@pytest.mark.parametrize("threads", [1, 3])
def test_a_used_block_is_cleared_in_every_row(people, threads):
    """Wherever a pose has pixels, and where it has none, past the caches in the larger result."""
    fields = crowd(people, size=(481, 641))
    poses = decode_poses(fields.heatmaps, fields.short_offsets, fields.mid_offsets, stride=fields.stride)[: people // 3]
    poses = poses[np.r_[0 : len(poses), 0 : len(poses), 0 : len(poses)]]
    how = {"stride": fields.stride, "size": (961, 641), "options": MaskOptions(threads=threads)}
    arrays = fields.segmentation, fields.long_offsets
    used = decode_masks(poses, *arrays, short_offsets=fields.short_offsets, **how)
    expected = used.copy()
    assert not expected.any(axis=2).all()
    where = address(used)
    used[:] = True
    del used
    masks = decode_masks(poses, *arrays, short_offsets=fields.short_offsets, **how)
    assert address(masks) == where
    np.testing.assert_array_equal(masks, expected)
