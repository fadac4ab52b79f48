"""The tracker on people who walk, cross, hide, leave and return, and on frames that are hard to read."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from personlab import COCO_PERSON, Poses, Tracker, TrackOptions
from personlab.data.synthetic import DrawnVideo, detect
from personlab.track import NO_ID

BODY = np.random.default_rng(3).uniform(0, 1, (17, 2)) * (60, 160)  # of size 98


def poses(*places, scores=None, chances=None):
    """People of one body, moved to these places."""
    points = np.array([BODY + place for place in places], np.float32).reshape(-1, 17, 2)
    chances = np.full(points.shape[:2], 0.9, np.float32) if chances is None else np.asarray(chances, np.float32)
    scores = np.full(len(points), 0.8, np.float32) if scores is None else np.asarray(scores, np.float32)
    return Poses(points, chances, scores)


def test_people_keep_their_ids_whatever_their_order():
    tracker = Tracker()
    assert tracker.update(poses((0, 0), (300, 0))).tolist() == [1, 2]
    assert tracker.update(poses((305, 0), (5, 0))).tolist() == [2, 1]
    assert tracker.update(poses((10, 0), (310, 0))).tolist() == [1, 2]


def test_people_who_cross_keep_their_ids():
    tracker = Tracker()
    ids = [tracker.update(poses((8 * t, 0), (403 - 8 * t, 0))).tolist() for t in range(50)]
    assert ids == [[1, 2]] * 50


def test_who_was_behind_another_is_not_seen_whole_before_them():
    """Two people cross; the one in front is missed for two frames, and comes back where the other could be, too."""
    chances = np.full((2, 17), 0.9)
    tracker = Tracker()
    for t in range(20):
        if t > 15:
            chances[1, :11] = 0.2  # behind the other
        both = poses((8 * t, 0), (320 - 8 * t, 0), chances=chances)
        assert tracker.update(both).tolist() == [1, 2]
    tracker.update(poses())
    tracker.update(poses())
    assert tracker.update(poses((158, 0))).tolist() == [1]  # predicted: 176 and 144
    tracker.update(poses((184, 0)))
    assert tracker.update(poses((192, 0), (128, 0))).tolist() == [1, 2]


def test_a_second_pose_takes_no_hidden_persons_identity():
    """The double of one who walks past a hidden person is nobody, however near that person should be."""
    tracker = Tracker()
    for t in range(15):
        tracker.update(poses((8 * t, 0), (200 - 5 * t, 0)))
    assert tracker.update(poses((8 * 15, 0))).tolist() == [1]
    for t in range(16, 20):
        ids = tracker.update(poses((8 * t, 0), (8 * t - 10, 3), scores=[0.9, 0.6])).tolist()
        assert ids == [1, NO_ID]
    assert tracker.update(poses((8 * 20, 0), (200 - 5 * 20, 0))).tolist() == [1, 2]


@pytest.mark.parametrize("gap", [1, 10, 30])
def test_a_hidden_person_is_followed(gap):
    tracker = Tracker()
    for t in range(10):
        tracker.update(poses((8 * t, 0)))
    for _ in range(gap):
        assert tracker.update(poses()).tolist() == []
    assert tracker.update(poses((8 * (9 + gap + 1), 0))).tolist() == [1]


def test_frames_left_out_count():
    tracker = Tracker()
    for t in range(10):
        tracker.update(poses((8 * t, 0), (8 * t, 300)))
    assert tracker.update(poses((8 * 29, 300), (8 * 29, 0)), frames=20).tolist() == [2, 1]


def test_one_who_returns_to_the_place_of_leaving_is_the_same_person_until_max_away():
    for away, expected in ((200, 1), (260, 2)):
        tracker = Tracker()
        for t in range(30):
            tracker.update(poses((8 * t, 0)))
        for _ in range(away):
            tracker.update(poses())
        assert tracker.update(poses((250, 0))).tolist() == [NO_ID]  # the first frame of a track
        assert tracker.update(poses((245, 0))).tolist() == [expected]


def test_someone_elsewhere_or_of_another_size_is_another_person():
    for place, factor in (((900, 0), 1.0), ((240, 0), 2.5)):
        tracker = Tracker()
        for t in range(30):
            tracker.update(poses((8 * t, 0)))
        for _ in range(60):
            tracker.update(poses())
        one = poses(place).scaled(factor, factor) if factor != 1 else poses(place)
        tracker.update(one)
        assert tracker.update(one).tolist() == [2]


def test_a_second_pose_of_a_person_and_a_weak_one_get_no_id():
    tracker = Tracker()
    for t in range(5):
        places = (2 * t, 0), (2 * t + 3, 2), (500, 0)
        ids = tracker.update(poses(*places, scores=[0.9, 0.6, 0.2])).tolist()
        assert ids == [1, NO_ID, NO_ID]
    assert tracker.update(poses((10, 0), (500, 0), scores=[0.1, 0.9])).tolist() == [1, NO_ID]  # continues, starts
    assert tracker.update(poses((12, 0), (500, 0))).tolist() == [1, 2]


def test_masks_tell_apart_whom_poses_do_not():
    """Two people close together, where each might be the other: the masks of the frame before decide."""
    masks = np.zeros((2, 200, 300), bool)
    masks[0, :, :100], masks[1, :, 200:] = True, True
    with_masks, without = Tracker(), Tracker()
    both = poses((104, 20), (136, 20))
    for tracker, order in ((with_masks, masks), (without, None)):
        tracker.update(both, masks=order)
    other = poses((122, 20), (118, 20))
    assert without.update(other).tolist() == [2, 1]
    assert with_masks.update(other, masks=masks).tolist() == [1, 2]


def test_boxes_alone_are_tracked():
    tracker = Tracker()
    unknown = Poses(np.full((2, 17, 2), np.nan, np.float32), np.zeros((2, 17), np.float32), np.full(2, 0.9, np.float32))
    for t in range(5):
        boxes = np.array([[5 * t, 0, 5 * t + 60, 150], [400, 0, 460, 150]], np.float32)
        assert tracker.update(unknown, boxes=boxes[::-1] if t % 2 else boxes).tolist() == ([2, 1] if t % 2 else [1, 2])


def test_frames_of_another_size_are_the_same_place():
    tracker = Tracker()
    for t in range(5):
        tracker.update(poses((8 * t, 0), (300, 100)), size=(480, 640))
    half = poses((8 * 5, 0), (300, 100)).scaled(0.5, 0.5)
    assert tracker.update(half[np.array([1, 0])], size=(240, 320)).tolist() == [2, 1]


def test_keypoints_that_are_not_finite_or_far_away_are_left_out():
    tracker = Tracker()
    tracker.update(poses((0, 0), (300, 0)))
    for value in (np.nan, np.inf, -np.inf, 3e38):
        broken = poses((0, 0), (300, 0))
        broken.keypoints[:, :10] = value
        with np.errstate(all="raise", under="ignore"):
            assert tracker.update(broken).tolist() == [1, 2]
    nothing = Poses(
        np.full((1, 17, 2), np.nan, np.float32), np.ones((1, 17), np.float32), np.array([np.nan], np.float32)
    )
    assert tracker.update(nothing).tolist() == [NO_ID]
    assert tracker.update(poses((0, 0), (300, 0))).tolist() == [1, 2]


def test_many_empty_frames_end_all_tracks():
    tracker = Tracker()
    tracker.update(poses((0, 0)))
    tracker.skip(1_000_000)
    for _ in range(300):
        assert tracker.update(poses()).tolist() == []
    tracker.update(poses((0, 0)))
    assert tracker.update(poses((0, 0))).tolist() == [2]


def test_masks_of_another_size_or_left_out_count_for_nothing():
    tracker, both = Tracker(), poses((0, 0), (300, 0))
    for size in ((60, 80), (30, 40), None, (0, 0), (1, 500)):
        masks = None if size is None else np.ones((2, *size), bool)
        assert tracker.update(both, masks=masks).tolist() == [1, 2]


def test_masks_without_pixels_and_frames_whose_masks_no_track_has_count_for_nothing():
    tracker, both = Tracker(), poses((0, 0), (300, 0))
    whole, empty = np.ones((2, 60, 80), bool), np.zeros((2, 60, 80), bool)
    for masks in (whole, empty, empty, whole, whole):
        assert tracker.update(both, masks=masks).tolist() == [1, 2]
    left, right = whole.copy(), whole[:1].copy()
    left[:, :, 30:], right[:, :, :60] = False, False
    assert tracker.update(both, masks=left).tolist() == [1, 2]
    weak = poses((900, 0), scores=[0.1])
    assert tracker.update(weak, masks=right).tolist() == [NO_ID]  # its mask is the only one of the frame
    assert tracker.update(both, masks=left).tolist() == [1, 2]


def test_a_person_of_one_keypoint_is_followed():
    tracker = Tracker()
    chances = np.full((1, 17), 0.9)
    for t in range(5):
        tracker.update(poses((5 * t, 0)))
    chances[:, 1:] = 0.0
    assert tracker.update(poses((25, 0), chances=chances)).tolist() == [1]
    assert tracker.update(poses((30, 0))).tolist() == [1]


def test_the_first_frames_may_be_empty_and_reset_begins_anew():
    tracker = Tracker()
    assert tracker.update(poses()).shape == (0,)
    assert tracker.update(poses((0, 0))).tolist() == [NO_ID]
    assert tracker.update(poses((0, 0))).tolist() == [1]
    tracker.reset()
    assert tracker.update(poses((900, 0))).tolist() == [1]


def test_ids_are_unique_in_a_frame_and_inputs_are_not_written_to():
    video = DrawnVideo(4, "crowd", people=8, frames=40)
    tracker = Tracker()
    for one, _ in detect(video):
        for array in (one.keypoints, one.keypoint_probabilities, one.scores):
            array.flags.writeable = False
        ids = tracker.update(one, size=video.size)
        given = ids[ids != NO_ID]
        assert len(set(given.tolist())) == len(given)
        assert (given >= 1).all()


def test_trackers_in_threads_share_nothing():
    video = DrawnVideo(5, "crowd", people=6, frames=40)
    frames = [one for one, _ in detect(video)]

    def track(into):
        tracker = Tracker()
        into.extend(tracker.update(one).tolist() for one in frames)

    results = [[] for _ in range(4)]
    threads = [threading.Thread(target=track, args=(one,)) for one in results]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [results[0]] * 4
    assert len(results[0]) == 40


def test_wrong_arguments_are_named():
    tracker = Tracker()
    one = poses((0, 0))
    mask = np.zeros((1, 4, 4), bool)
    for more, error, text in (
        ({"boxes": np.zeros((2, 4), np.float32)}, ValueError, "boxes"),
        ({"masks": mask.astype(np.uint8)}, TypeError, "masks"),
        ({"masks": mask[0]}, ValueError, "masks"),
        ({"frames": 0}, ValueError, "frames"),
        ({"frames": -1}, ValueError, "frames"),  # back in time
        ({"frames": 1.5}, TypeError, "frames"),
        ({"image": [[1]]}, (TypeError, ValueError), "image"),
        ({"size": (0, 4)}, ValueError, "size"),
    ):
        with pytest.raises(error, match=text):
            tracker.update(one, **more)
    with pytest.raises(TypeError, match="poses"):
        tracker.update([one])
    with pytest.raises(ValueError, match=r"poses\.keypoints"):
        tracker.update(Poses(np.zeros((1, 5, 2), np.float32), np.zeros((1, 5), np.float32), np.zeros(1, np.float32)))
    with pytest.raises(TypeError, match="skeleton"):
        Tracker(17)
    with pytest.raises(ValueError, match="min_similarity"):
        TrackOptions(min_similarity=2)
    with pytest.raises(TypeError, match="flow"):
        TrackOptions(flow=1)
    assert tracker.update(one).tolist() == [1]  # what was refused has left no trace
    assert tracker.skeleton is COCO_PERSON


@pytest.mark.parametrize("people", [2, 4, 6])
def test_nobody_changes_identity_in_drawn_crossings(people):
    video = DrawnVideo(1, "crossing", people=people, frames=100)
    tracker, last = Tracker(), {}
    for one, made in detect(video):
        ids = tracker.update(one, size=video.size).tolist()
        for person in set(made.tolist()) - {0}:
            own = ids[made.tolist().index(person)]  # of the first pose of a person
            if own != NO_ID:
                assert last.setdefault(person, own) == own
    assert len(last) == people
