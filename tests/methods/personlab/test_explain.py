"""Explanations are of the poses that decoding gives, step by step; their images and tables say so."""

from __future__ import annotations

import numpy as np
import pytest
from scenes import (
    BY_SEED,
    OFF,
    PAIR,
    SKELETONS,
    decode_options,
    offsets,
    paper_options,
    pose_fields,
    random_fields,
    skeleton,
)

from personlab import DecodeOptions, Fields, decode_poses
from personlab import visualize as show

pytest.importorskip("cv2")


def check_explained(explained, poses):
    ranked = {e.rank: e for e in explained if e.rank is not None}
    assert sorted(ranked) == list(range(len(poses)))
    for j, explanation in ranked.items():
        assert np.abs(explanation.sharpened - poses.keypoints[j]).max() <= 1e-4
        assert np.abs(explanation.probabilities - poses.keypoint_probabilities[j]).max() <= 1e-5
        assert np.abs(explanation.keypoint_scores - poses.keypoint_scores[j]).max() <= 1e-5
        assert abs(explanation.score - poses.scores[j]) <= 1e-5


def check_steps(explanation, fields):
    """Each step leaves a keypoint reached before, along an edge of the skeleton, to the keypoint of the pose."""
    reached = [explanation.seed]
    assert np.array_equal(explanation.seed_position, explanation.keypoints[explanation.seed])
    for step in explanation.steps:
        assert (step.source, step.target) == explanation.skeleton.directed_edges[step.edge]
        assert step.source in reached
        assert step.target not in reached
        assert np.array_equal(step.start, explanation.keypoints[step.source])
        assert np.array_equal(step.path[-1], explanation.keypoints[step.target])
        assert step.path_probabilities[-1] == pytest.approx(explanation.probabilities[step.target], abs=1e-12)
        assert len(step.path) == len(step.path_probabilities)
        reached.append(step.target)
    assert (np.delete(explanation.probabilities, reached) == 0).all()


@pytest.mark.parametrize(
    "options",
    [DecodeOptions(), paper_options(scoring="heatmap"), DecodeOptions.posenet(0.3)],
    ids=["default", "heatmap", "posenet"],
)
@pytest.mark.parametrize("name", ["couple_641_s8", "soccer_641_s16"])
def test_real_poses_are_explained(load_fields, name, options):
    fields = load_fields(name)
    poses = decode_poses(*pose_fields(fields), stride=fields.stride, options=options)
    explained = show.explain_poses(fields, options=options)
    assert len(poses) > 0
    check_explained(explained, poses)
    for explanation in explained:
        check_steps(explanation, fields)
    assert [e.order for e in explained] == list(range(len(explained)))
    seeds = [e.seed_score for e in explained]
    assert seeds == sorted(seeds, reverse=True)


@pytest.mark.parametrize("name", SKELETONS)
@pytest.mark.parametrize("posenet", [False, True])
def test_poses_of_any_skeleton_are_explained(name, posenet):
    people = SKELETONS[name]
    fields = random_fields(3, people, 6, 9, 5)
    options = DecodeOptions.posenet(0.2, nms_radius=6.0) if posenet else decode_options()
    poses = decode_poses(*pose_fields(fields), stride=5, skeleton=people, options=options)
    explained = show.explain_poses(fields, skeleton=people, options=options)
    assert len(poses) > 0
    check_explained(explained, poses)
    for explanation in explained:
        check_steps(explanation, fields)


def by_hand():
    """Keypoint a at cell (1, 1); b is 16 pixels to its right, mid offsets aim 4 too far, short ones return 3."""
    heat = np.full((3, 5, 7), OFF, np.float32)
    heat[0, 1, 1] = heat[1, 1, 3] = 4.0
    heat[1, 1, 4] = 0.0
    return Fields(
        heatmaps=heat,
        short_offsets=offsets(5, 7, (0, 0), (-3, 0), (0, 0)),
        mid_offsets=offsets(5, 7, (20, 0), (0, 0), (-20, 0), (0, 0)),
        stride=8,
    )


THREE = skeleton(3, [(0, 1), (2, 1)], sigma=0.1)


def test_a_seed_by_hand():
    explanation = show.explain_seed(by_hand(), 0, 8, 8, skeleton=THREE, options=decode_options(refine_steps=1))
    assert explanation.rank is explanation.order is None
    first, second = explanation.steps
    assert (first.edge, first.source, first.target) == (0, 0, 1)
    assert first.start.tolist() == [8, 8]
    assert first.path.tolist() == [[28, 8], [25, 8]]
    at = [0.5 * 4.0 + 0.5 * 0.0, 7 / 8 * 4.0 + 1 / 8 * 0.0]
    assert first.path_probabilities == pytest.approx(1 / (1 + np.exp(-np.array(at))))
    assert (second.edge, second.source, second.target) == (3, 1, 2)
    assert explanation.score == pytest.approx(explanation.keypoint_scores.mean())


def test_a_seed_in_posenets_decoder_has_the_logit_as_its_score():
    explanation = show.explain_seed(by_hand(), 0, 8, 8, skeleton=THREE, options=DecodeOptions.posenet())
    assert explanation.seed_score == pytest.approx(4.0)
    assert np.array_equal(explanation.keypoint_scores, explanation.probabilities)


def side_by_side():
    """Two seeds of keypoint a; their b's are one: the better seed's pose takes it from the other's."""
    heat = np.full((2, 5, 9), OFF, np.float32)
    heat[0, 2, 2], heat[0, 2, 6], heat[1, 2, 4] = 4.0, 3.0, 2.0
    mid = offsets(5, 9, (0, 0), (0, 0))
    mid[0, 0] = np.where(np.arange(9) < 4, 16, -16)
    return Fields(heatmaps=heat, short_offsets=offsets(5, 9, (0, 0), (0, 0)), mid_offsets=mid, stride=8)


@pytest.mark.parametrize(
    ("scheme", "score", "part"),
    [
        ({}, (lambda a, b: (a + b) / 2), (lambda s: s / 2)),
        (BY_SEED, (lambda a, b: np.sqrt((a * a + b * b) / 2)), (lambda s: s * s / 2)),
    ],
)
def test_parts_of_the_score_by_hand(scheme, score, part):
    options = decode_options(scoring="heatmap", hough_stride=8, refine_steps=0, vote_threshold=0.9, **scheme)
    first, second = show.explain_poses(side_by_side(), skeleton=PAIR, options=options)
    a, b, other = 1 / (1 + np.exp(-np.array([4.0, 2.0, 3.0])))
    assert (first.ahead, second.ahead) == (first.order, second.order) == (0, 1)
    assert first.takers.tolist() == [-1, -1]
    assert second.takers.tolist() == [-1, 0]
    assert first.parts == pytest.approx([part(a), part(b)])
    assert second.parts == pytest.approx([part(other), 0])
    assert first.score == pytest.approx(score(a, b))
    assert second.score == pytest.approx(score(other, 0))
    assert "taken by" in str(second)
    assert "seed 1" in str(second).splitlines()[-1]


def test_the_shift_is_that_of_sharpening():
    people = SKELETONS["tree"]
    plain, sharp = (
        show.explain_poses(random_fields(3, people, 6, 9, 5), skeleton=people, options=decode_options(**scheme))
        for scheme in ({}, BY_SEED)
    )
    assert len(plain) == len(sharp) > 0
    for before, after in zip(plain, sharp, strict=True):
        assert np.array_equal(before.keypoints, after.keypoints)
        assert (before.shifts == 0).all()
        assert after.shifts == pytest.approx(np.hypot(*(after.sharpened - after.keypoints).T))
    assert max(explanation.shifts.max() for explanation in sharp) > 0.1


def test_the_seed_of_a_pose_grows_into_it_again(load_fields):
    fields = load_fields("couple_641_s8")
    pose = show.explain_pose(fields, 0)
    again = show.explain_seed(fields, pose.seed, *pose.seed_position)
    assert np.array_equal(again.keypoints, pose.keypoints)
    assert np.array_equal(again.keypoint_scores, pose.keypoint_scores)
    assert again.seed_score == pytest.approx(pose.seed_score, rel=1e-6)


def test_the_table_names_every_keypoint(load_fields):
    pose = show.explain_pose(load_fields("couple_641_s8"), 1)
    lines = str(pose).splitlines()
    place = pose.order + 1
    assert lines[0] == f"person 2: score {pose.score:.3f}, seeded as number {place}, ranked as number {place}"
    assert lines[1].startswith(f"seed: {pose.skeleton.names[pose.seed]} at (")
    assert len(lines) == 2 + 1 + 16
    assert len({len(line) for line in lines[2:]}) == 1
    for line, step in zip(lines[3:], pose.steps, strict=True):
        words = line.split()
        assert words[1:3] == [pose.skeleton.names[step.target], pose.skeleton.names[step.source]]
        s, taken, part, shift = words[-4:] if pose.takers[step.target] < 0 else (*words[-5:-3], *words[-2:])
        assert s == f"{pose.keypoint_scores[step.target]:.3f}"
        assert taken == ("-" if pose.takers[step.target] < 0 else "seed")
        assert part == f"{pose.parts[step.target]:.4f}"
        assert shift == f"{np.hypot(*(pose.sharpened - pose.keypoints)[step.target]):.1f}"


def test_the_table_says_what_was_not_reached():
    people = SKELETONS["unjoined"]
    fields = random_fields(3, people, 6, 9, 5)
    text = str(show.explain_seed(fields, 0, 8, 8, skeleton=people, options=decode_options()))
    assert text.startswith("a seed of your own: score ")
    assert text.endswith("not reached: b, c")
    assert len(text.splitlines()) == 3


def test_scaling_moves_everything():
    explanation = show.explain_seed(by_hand(), 0, 8, 8, skeleton=THREE, options=decode_options(refine_steps=1))
    twice = explanation.scaled(2.0, 3.0)
    assert twice.seed_position.tolist() == [16, 24]
    assert twice.steps[0].start.tolist() == [16, 24]
    assert twice.steps[0].path.tolist() == [[56, 24], [50, 24]]
    assert np.array_equal(twice.keypoints, explanation.keypoints * (2, 3))
    assert explanation.steps[0].path.tolist() == [[28, 8], [25, 8]]


def test_nobody_is_no_explanation():
    fields = Fields(
        heatmaps=np.full((17, 4, 5), OFF, np.float32), short_offsets=np.zeros((17, 2, 4, 5), np.float32),
        mid_offsets=np.zeros((32, 2, 4, 5), np.float32), stride=8,
    )  # fmt: skip
    for options in (DecodeOptions(), DecodeOptions.posenet()):
        assert show.explain_poses(fields, options=options) == []
        with pytest.raises(IndexError, match="pose: expected a number under 0, got 0"):
            show.explain_pose(fields, options=options)


@pytest.mark.parametrize(
    ("arguments", "error", "named"),
    [
        ((0, -1, 8), ValueError, "x:"),
        ((0, 8, 33), ValueError, "y:"),
        ((3, 8, 8), ValueError, "keypoint:"),
        ((0.5, 8, 8), TypeError, "keypoint:"),
    ],
)
def test_wrong_seeds_are_named(arguments, error, named):
    with pytest.raises(error, match=named):
        show.explain_seed(by_hand(), *arguments, skeleton=THREE)


def test_fields_of_another_skeleton_are_refused():
    with pytest.raises(ValueError, match="heatmaps"):
        show.explain_poses(by_hand())


def test_the_order_numbers_the_seeds_of_the_poses_kept(load_fields):
    fields = load_fields("couple_641_s8")
    explained = show.explain_poses(fields)
    width, height = fields.input_size
    image = np.zeros((height, width, 3), np.uint8)
    drawn = show.draw_order(image, explained)
    assert drawn.shape == image.shape
    assert not image.any()
    colours = show.person_colours(2)
    for e in explained:
        x, y = np.rint(e.seed_position).astype(int)
        if e.rank is not None:
            assert np.array_equal(drawn[y, x], colours[e.rank])
    assert np.array_equal(show.draw_order(image, [])[: height // 2], image[: height // 2])


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (3, 2), (0, 5), (16, 9), (900, 30)])
def test_any_size_of_image(size):
    explanation = show.explain_seed(by_hand(), 0, 8, 8, skeleton=THREE)
    image = np.full((*size, 3), 7, np.uint8)
    image.flags.writeable = False
    assert show.draw_order(image, [explanation]).shape == image.shape
    drawn = show.draw_explanation(image, explanation)
    assert drawn.dtype == np.uint8
    assert drawn.ndim == 3
    assert drawn.shape[2] == 3
    assert max(drawn.shape) >= 480 or 0 in size


def test_an_explanation_shows_the_part_of_the_image_around_the_pose():
    explanation = show.explain_seed(by_hand(), 0, 8, 8, skeleton=THREE, options=decode_options())
    image = np.zeros((60, 80, 3), np.uint8)
    image[50:, 60:] = 255  # far from the pose
    near = image.copy()
    near[8:12, 12:16] = 255
    assert not (show.draw_explanation(image, explanation)[:, :100] > 250).all(axis=2).all()
    without = show.draw_explanation(np.zeros_like(image), explanation)
    assert np.array_equal(show.draw_explanation(image, explanation), without)
    assert not np.array_equal(show.draw_explanation(near, explanation), without)
