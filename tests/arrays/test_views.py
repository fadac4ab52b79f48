"""Views that show a little memory again and again: refused before anything is allocated, where a copy would be huge."""

import tracemalloc

import numpy as np
import pytest
from scenes import PAIR

from personlab import Fields, Poses, decode_masks, decode_poses, encode_targets, stages
from personlab.arrays.host import check_copy, take_on_host

HUGE = 2**20  # cells each way: 68 TiB of heatmaps
POSE = Poses(np.zeros((1, 2, 2), np.float32), np.ones((1, 2), np.float32), np.ones(1, np.float32))


def wide(*shape, kind=np.float32):
    return np.broadcast_to(np.zeros((), kind), shape)


def huge(*shape, kind=np.float32):
    return wide(*shape, HUGE, HUGE, kind=kind)


def fields(*batch):
    return huge(*batch, 2), huge(*batch, 2, 2), huge(*batch, 2, 2)


def small():
    return np.zeros((2, 3, 4), np.float32), np.zeros((2, 2, 3, 4), np.float32)


PEAKS = np.zeros(0, np.int32), np.zeros((0, 2), np.float32), np.zeros(0, np.float32)
CALLS = {
    "decode_poses": lambda: decode_poses(*fields(), stride=1, skeleton=PAIR),
    "decode_poses of a batch": lambda: decode_poses(*fields(3), stride=1, skeleton=PAIR),
    "decode_poses of a wide batch": lambda: decode_poses(
        wide(2**40, 2, 3, 4), wide(2**40, 2, 2, 3, 4), wide(2**40, 2, 2, 3, 4), stride=1, skeleton=PAIR
    ),
    "decode_poses of halves": lambda: decode_poses(
        *(wide(*array.shape, kind=np.float16) for array in fields()), stride=1, skeleton=PAIR
    ),
    "one field": lambda: decode_poses(small()[0], small()[1], huge(2, 2), stride=1, skeleton=PAIR),
    "decode_masks": lambda: decode_masks(POSE, huge(1), huge(2, 2), stride=1, size=(3, 4)),
    "decode_masks of a batch": lambda: decode_masks([POSE], huge(1, 1), huge(1, 2, 2), stride=1, size=(3, 4)),
    "hough_vote": lambda: stages.hough_vote(huge(2), huge(2, 2), stride=1),
    "hough_vote of the reference": lambda: stages.hough_vote(huge(2), huge(2, 2), stride=1, backend="reference"),
    "find_peaks": lambda: stages.find_peaks(huge(2)),
    "find_peaks of doubles": lambda: stages.find_peaks(wide(17, 30_000, 30_000, kind=np.float64)),
    "group_poses": lambda: stages.group_poses(PEAKS, *fields(), stride=1, skeleton=PAIR),
    "score_poses": lambda: stages.score_poses((POSE.keypoints, POSE.keypoint_scores), huge(2), skeleton=PAIR),
    "poses": lambda: stages.score_poses((wide(2**40, 2, 2), wide(2**40, 2)), small()[0], skeleton=PAIR),
    "associate_pixels": lambda: stages.associate_pixels(POSE, huge(1), huge(2, 2), stride=1, size=(3, 4)),
    "refine_offsets": lambda: stages.refine_offsets(huge(2, 2), huge(2, 2), [0, 1], stride=1),
    "keypoints": lambda: encode_targets(wide(2**40, 2, 3), None, size=(9, 9), stride=4, skeleton=PAIR),
    "Fields": lambda: Fields(heatmaps=huge(2), short_offsets=huge(2, 2), mid_offsets=huge(2, 2), stride=1),
    "from_tfjs": lambda: Fields.from_tfjs(
        wide(HUGE, HUGE, 2), wide(HUGE, HUGE, 4), wide(HUGE, HUGE, 2), wide(HUGE, HUGE, 2), stride=1
    ),
    "Poses": lambda: Poses(wide(2**40, 2, 2), wide(2**40, 2), wide(2**40)),
}


@pytest.mark.parametrize("name", CALLS)
def test_no_call_copies_what_is_not_there(name):
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="expected"):
            CALLS[name]()
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_masks_of_one_byte_are_not_copied():
    masks = wide(2**12, 1025, 1025, kind=bool)
    people = np.zeros((2**12, 2, 3), np.float32)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"masks: expected an array with memory of its own, .* got shape \(4096, "):
            encode_targets(people, masks, size=(1025, 1025), stride=4, skeleton=PAIR)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_tensors_that_are_expanded_are_not_copied():
    torch = pytest.importorskip("torch")
    zero = torch.zeros(())
    with pytest.raises(ValueError, match="heatmaps: expected an array with memory of its own"):
        decode_poses(
            zero.expand(2, HUGE, HUGE), zero.expand(2, 2, HUGE, HUGE), zero.expand(2, 2, HUGE, HUGE),
            stride=1, skeleton=PAIR,
        )  # fmt: skip
    with pytest.raises(ValueError, match="heatmaps: expected"):
        decode_poses(
            zero.bfloat16().expand(2, HUGE, HUGE), zero.bfloat16().expand(2, 2, HUGE, HUGE),
            zero.bfloat16().expand(2, 2, HUGE, HUGE), stride=1, skeleton=PAIR,
        )  # fmt: skip


def test_images_of_one_pixel_are_not_copied():
    from personlab import visualize
    from personlab.io.images import read_image

    image = wide(HUGE, HUGE, 3, kind=np.uint8)
    with pytest.raises(ValueError, match="image: expected an array with memory of its own"):
        read_image(image)
    with pytest.raises(ValueError, match="image: expected an array with memory of its own"):
        visualize.write_image("never.png", image)


def test_small_ones_and_large_ones_with_memory_of_their_own_are_taken():
    heat, short = wide(2, 3, 4), wide(2, 2, 3, 4)
    assert len(decode_poses(heat, short, short, stride=8, skeleton=PAIR)) >= 0
    reversed_ = np.arange(24, dtype=np.float32).reshape(2, 3, 4)[::-1, ::-1, ::-1]
    np.testing.assert_array_equal(take_on_host(reversed_, "a").contiguous(), reversed_)
    own = np.empty((17, 2**13, 2**12), np.float32)  # 2 GiB that nothing is written to
    for view in (own, own.transpose(2, 0, 1), own[:, ::2], own[::-1]):
        check_copy(view, "a")
    with pytest.raises(ValueError, match="a: expected"):
        check_copy(np.lib.stride_tricks.sliding_window_view(own, 8, axis=2), "a")


def test_shapes_are_checked_before_anything_is_copied():
    every_second = np.zeros((2, 1024, 2048), np.float32)[..., ::2]
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="short_offsets: expected shape"):
            decode_poses(every_second, every_second, every_second, stride=1, skeleton=PAIR)
        with pytest.raises(ValueError, match="long_offsets: expected shape"):
            decode_masks(POSE, every_second[:1], every_second, stride=1, size=(3, 4))
        with pytest.raises(ValueError, match="short_offsets: expected shape"):
            stages.hough_vote(every_second, every_second, stride=1)
        with pytest.raises(ValueError, match="offsets: expected shape"):
            stages.refine_offsets(every_second, every_second, [0], stride=1)
        with pytest.raises(ValueError, match="short_offsets: expected shape"):
            Fields(heatmaps=every_second, short_offsets=every_second, mid_offsets=every_second, stride=1)
        with pytest.raises(ValueError, match="keypoints: expected shape"):
            encode_targets(every_second, None, size=(9, 9), stride=4, skeleton=PAIR)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
