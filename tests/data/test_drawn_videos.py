"""Drawn videos and their detected poses are reproducible, and what happens in them is what their kind says."""

from __future__ import annotations

import numpy as np
import pytest

from personlab.data.synthetic import DetectorNoise, DrawnVideo, detect
from personlab.data.synthetic.paths import HIDDEN_FRAMES, KINDS

QUIET = {"jitter": 0.0, "hidden_jitter": 0.0, "shift": 0.0, "miss": 0.0, "capture": 0.0, "double": 0.0, "ghost": 0.0}


def seen(video, least=0.25):
    """(F, P) who is seen in each frame."""
    flags = np.zeros((len(video), video.people), bool)
    for number in range(len(video)):
        truth = video.truth(number)
        flags[number, truth.ids - 1] = truth.visible >= least
    return flags


def gaps(flags):
    """Lengths of the gaps between frames in which a person is seen."""
    frames = [np.flatnonzero(column) for column in flags.T]
    return np.concatenate([np.diff(one)[np.diff(one) > 1] - 1 for one in frames])


@pytest.mark.parametrize("kind", KINDS)
def test_equal_arguments_give_equal_frames_and_poses_in_any_order(kind):
    first, second = (DrawnVideo(3, kind, people=3, frames=12, size=(120, 200)) for _ in range(2))
    assert (first.image(7) == second.image(7)).all()
    assert (first.image(2) == second.image(2)).all()
    assert not (first.image(2) == DrawnVideo(4, kind, people=3, frames=12, size=(120, 200)).image(2)).all()
    for one, other in zip(detect(first), detect(second), strict=True):
        assert (one.poses.keypoints == other.poses.keypoints).all()
        assert (one.people == other.people).all()


def test_visible_keypoints_lie_on_the_masks_of_their_people():
    video = DrawnVideo(1, "crowd", people=5, frames=20, size=(270, 480))
    image, masks = video.draw(10)
    truth = video.truth(10)
    assert image.shape == (270, 480, 3)
    assert masks.shape == (len(truth), 270, 480)
    assert (masks.sum(axis=0) <= 1).all()
    on = total = 0
    for points, mask in zip(truth.keypoints, masks, strict=True):
        x, y = np.rint(points[points[:, 2] == 2, :2].T).astype(int)
        on, total = on + mask[y, x].sum(), total + len(x)
    assert on > 0.9 * total > 0


def test_people_cross_hide_leave_and_return():
    crossing = DrawnVideo(1, "crossing", people=2, frames=150)
    left = crossing.paths.x[:, 0] < crossing.paths.x[:, 1]
    assert left[0]
    assert not left.all()
    hidden = DrawnVideo(1, "hidden", people=2, frames=150)
    lengths = gaps(seen(hidden))
    assert (lengths >= HIDDEN_FRAMES).sum() >= 2
    assert np.median(lengths[lengths >= HIDDEN_FRAMES]) <= 2 * HIDDEN_FRAMES
    returning = DrawnVideo(1, "returning", people=3, frames=200)
    outside = np.array([[one not in returning.truth(t).ids for one in (1, 2, 3)] for t in range(200)])
    assert outside.any(axis=0).all()
    assert (gaps(seen(returning)) >= 20).any()


def test_people_move_by_less_than_a_tenth_of_their_height_a_frame():
    for kind in KINDS:
        paths = DrawnVideo(2, kind, people=6, frames=100).paths
        assert (np.abs(np.diff(paths.x, axis=0)) < 0.1 * paths.heights[1:]).all()


def test_without_noise_poses_are_the_truth():
    video = DrawnVideo(1, "crowd", people=3, frames=10)
    for number, (poses, people) in enumerate(detect(video, DetectorNoise(min_visible=0.0, **QUIET))):
        truth = video.truth(number)
        for keypoints, person in zip(poses.keypoints, people, strict=True):
            labels = truth.keypoints[truth.ids == person][0]
            np.testing.assert_allclose(keypoints[labels[:, 2] > 0], labels[labels[:, 2] > 0, :2], atol=1e-3)


def test_noise_has_the_shares_that_it_says():
    video = DrawnVideo(1, "crowd", people=4, frames=100)
    shown = int(seen(video, 0.6).sum())
    count = {}
    for name, value in (("double", 0.5), ("miss", 0.5), ("ghost", 2.0)):
        found = detect(video, DetectorNoise(**{**QUIET, name: value}))
        count[name] = sum(len(one.people) for one in found)
        if name == "ghost":
            assert sum((one.people == 0).sum() for one in found) == pytest.approx(200, rel=0.3)
    plain = sum(len(one.people) for one in detect(video, DetectorNoise(**QUIET)))
    assert count["double"] == pytest.approx(1.5 * plain, rel=0.15)
    assert count["miss"] < 0.7 * plain
    assert plain >= 0.95 * shown


def test_wrong_arguments_are_named():
    for more, error, text in (
        ({"kind": "dancing"}, ValueError, "kind"),
        ({"people": 0}, ValueError, "people"),
        ({"frames": 1}, ValueError, "frames"),
        ({"size": (4, 4)}, ValueError, "size"),
        ({"seed": -1}, ValueError, "seed"),
    ):
        with pytest.raises(error, match=text):
            DrawnVideo(**{"seed": 1, **more})
    with pytest.raises(IndexError, match="frame"):
        DrawnVideo(1, frames=5).truth(5)
    with pytest.raises(ValueError, match="miss"):
        DetectorNoise(miss=2.0)
