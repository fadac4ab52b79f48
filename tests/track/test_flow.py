"""Optical flow of drawn frames: moved points, boxes for a detector, and tracks that follow the image."""

from __future__ import annotations

import numpy as np
import pytest

from personlab import Poses, Tracker, TrackOptions
from personlab.track.flow import Flow, propagate_boxes

cv2 = pytest.importorskip("cv2")

SIZE = (120, 200)


def texture(shift=(0, 0)):
    """A smooth random image (H, W, 3), moved by whole pixels (x, y)."""
    coarse = np.random.default_rng(0).integers(0, 256, (15, 20), np.uint8)
    large = cv2.resize(coarse, None, fx=16, fy=16, interpolation=cv2.INTER_CUBIC)
    grey = large[40 - shift[1] : 40 - shift[1] + SIZE[0], 40 - shift[0] : 40 - shift[0] + SIZE[1]]
    return np.repeat(grey[..., None], 3, axis=2)


def person(place=(80.0, 60.0)):
    points = np.random.default_rng(1).uniform(-20, 20, (1, 17, 2)) + place
    return Poses(points.astype(np.float32), np.full((1, 17), 0.9, np.float32), np.full(1, 0.9, np.float32))


def test_points_and_boxes_move_with_the_image():
    flow, one = Flow(), person()
    assert flow.advance(texture()) is None  # there is no frame before
    boxes = propagate_boxes(one, flow, texture((6, -3)), margin=0.0)
    np.testing.assert_allclose(boxes, one.boxes + np.array([6, -3, 6, -3]), atol=0.7)
    flow.reset()
    flow.advance(texture())
    grown = propagate_boxes(one, flow, texture((6, -3)), margin=0.5)
    sides = boxes[0, 2:] - boxes[0, :2]
    np.testing.assert_allclose(grown[0], boxes[0] + [*-0.5 * sides, *0.5 * sides], atol=1e-3)


def test_boxes_stay_in_the_image_and_are_nan_without_a_keypoint():
    flow = Flow()
    unknown = Poses(np.full((1, 17, 2), np.nan, np.float32), np.ones((1, 17), np.float32), np.ones(1, np.float32))
    assert np.isnan(propagate_boxes(unknown, flow, texture())).all()
    boxes = propagate_boxes(person((2.0, 2.0)), flow, texture((4, 4)))
    assert (boxes[0] >= 0).all()
    none = Poses(np.zeros((0, 17, 2), np.float32), np.zeros((0, 17), np.float32), np.zeros(0, np.float32))
    assert propagate_boxes(none, flow, texture()).shape == (0, 4)


@pytest.mark.parametrize("image", [None, np.zeros((4, 4, 3), np.uint8), np.zeros((60, 100, 3), np.uint8)])
def test_there_is_no_flow_across_a_frame_without_image_or_of_another_size(image):
    flow = Flow()
    flow.advance(texture())
    assert flow.advance(image) is None
    assert flow.advance(texture()) is None


def test_a_tracker_follows_a_jump_that_the_motion_so_far_does_not_tell():
    """The camera turns: all people move by 20 pixels, so that each is where the other was."""
    first, second = person((70.0, 60.0)), person((90.0, 60.0))

    def both(one, two):
        return Poses(
            *(np.concatenate([getattr(p, n) for p in (one, two)]) for n in ("keypoints", "keypoint_scores", "scores"))
        )

    moved = both(second, person((110.0, 60.0)))
    for options, expected in ((TrackOptions(), [2, -1]), (TrackOptions(flow=True), [1, 2])):
        tracker = Tracker(options=options)
        for _ in range(4):
            tracker.update(both(first, second), image=texture())
        assert tracker.update(moved, image=texture((20, 0))).tolist() == expected


def test_wrong_images_are_named():
    tracker = Tracker(options=TrackOptions(flow=True))
    with pytest.raises(ValueError, match="image"):
        tracker.update(person(), image=np.zeros((4, 4), np.uint8))
    with pytest.raises(ValueError, match="margin"):
        propagate_boxes(person(), Flow(), texture(), margin=-1)
