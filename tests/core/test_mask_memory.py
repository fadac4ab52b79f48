"""The memory of large masks, which is that of earlier ones."""

import numpy as np
import pytest

from personlab import MaskOptions, decode_masks, decode_poses
from personlab.methods.personlab.bench import crowd


@pytest.mark.parametrize("people", [12, 30], ids=["7 MB", "18 MB"])
@pytest.mark.parametrize("threads", [1, 3])
def test_memory_of_earlier_masks_is_cleared(people, threads):
    """Wherever a pose has pixels in it, and where it has none: large masks are made in the memory of those before."""
    fields = crowd(people, size=(481, 641))
    poses = decode_poses(fields.heatmaps, fields.short_offsets, fields.mid_offsets, stride=fields.stride)[: people // 3]
    poses = poses[np.r_[0 : len(poses), 0 : len(poses), 0 : len(poses)]]
    how = {"stride": fields.stride, "size": (961, 641), "options": MaskOptions(threads=threads)}
    arrays = fields.segmentation, fields.long_offsets
    used = decode_masks(poses, *arrays, short_offsets=fields.short_offsets, **how)
    expected = used.copy()
    assert not expected.any(axis=2).all()
    address = used.__array_interface__["data"][0]
    used[:] = True
    del used
    masks = decode_masks(poses, *arrays, short_offsets=fields.short_offsets, **how)
    assert masks.__array_interface__["data"][0] == address
    np.testing.assert_array_equal(masks, expected)
