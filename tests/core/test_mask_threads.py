"""Masks are the same bytes on any number of threads."""

from agreement import core_poses
from scenes import mask_options, paper_options

from personlab import decode_masks


def test_masks_do_not_depend_on_threads(load_fields):
    fields = load_fields("couple_641_s16")
    poses = core_poses(fields, paper_options(hough_stride=2))
    one, *others = (
        decode_masks(
            poses, fields.segmentation, fields.long_offsets, short_offsets=fields.short_offsets,
            stride=fields.stride, size=(200, 300), options=mask_options(threads=threads),
        ).tobytes()
        for threads in (1, 2, 5)
    )  # fmt: skip
    assert others == [one, one]
    assert any(one)
