"""Drawings show what they should where they should, and never touch what they are given."""

from __future__ import annotations

import numpy as np
import pytest

from personlab import COCO_PERSON, Fields, Poses, Skeleton
from personlab import visualize as show

pytestmark = pytest.mark.usefixtures("imaging")

PAIR = Skeleton(names=("a", "b"), edges=((0, 1),), sigmas=(0.05, 0.05), flip=(0, 1))


def grey(height=90, width=120):
    return np.full((height, width, 3), 100, np.uint8)


def pair(points, probabilities=(0.9, 0.9), score=0.8):
    values = np.array([probabilities], np.float32)
    return Poses(np.array([points], np.float32), values, np.array([score], np.float32))


def no_poses(k=17):
    return Poses(np.zeros((0, k, 2), np.float32), np.zeros((0, k), np.float32), np.zeros(0, np.float32))


def random_poses(count, size, seed=0):
    rng = np.random.default_rng(seed)
    keypoints = rng.uniform(-0.2, 1.2, (count, 17, 2)) * (size[1], size[0])
    scores = rng.random((count, 17), np.float32)
    return Poses(keypoints.astype(np.float32), scores, scores.mean(axis=1))


def changed(before, after):
    return (before != after).any(axis=2)


def test_keypoints_and_edges_are_drawn_where_they_are():
    image = grey()
    drawn = show.draw_poses(image, pair([[20, 60], [100, 30]]), skeleton=PAIR, labels=False)
    touched = changed(image, drawn)
    for x, y in ((20, 60), (100, 30), (60, 45)):
        assert touched[y, x]
    rows, columns = np.nonzero(touched)
    assert columns.min() > 10
    assert columns.max() < 110
    assert rows.min() > 20
    assert rows.max() < 70


def test_a_person_is_drawn_in_their_colour():
    drawn = show.draw_poses(grey(), pair([[20, 60], [100, 30]]), skeleton=PAIR, labels=False)
    assert np.array_equal(drawn[60, 20], show.person_colours(1)[0])


def test_the_best_person_is_drawn_on_top():
    keypoints = np.array([[[20, 60], [100, 30]]] * 2, np.float32)
    poses = Poses(keypoints, np.full((2, 2), 0.9, np.float32), np.array([0.9, 0.2], np.float32))
    drawn = show.draw_poses(grey(), poses, skeleton=PAIR, labels=False)
    assert np.array_equal(drawn[60, 20], show.person_colours(2)[0])


def test_unsure_keypoints_are_white_inside_and_unlikely_ones_left_out():
    points = [[20, 60], [100, 30]]
    hollow = show.draw_poses(grey(), pair(points, (0.9, 0.3)), skeleton=PAIR, labels=False)
    assert np.array_equal(hollow[30, 100], (255, 255, 255))
    absent = changed(grey(), show.draw_poses(grey(), pair(points, (0.9, 0.05)), skeleton=PAIR, labels=False))
    assert absent[60, 20]
    assert not absent[:, 40:].any()
    every = changed(grey(), show.draw_poses(grey(), pair(points, (0.9, 0.05)), skeleton=PAIR, min_probability=0.0))
    assert every[30, 100]


def test_the_least_probability_is_one_that_leaves_guesses_out():
    points = [[20, 60], [100, 30]]
    for draw in (show.draw_poses, show.overlay):
        drawn = changed(grey(), draw(grey(), pair(points, (0.9, 0.19)), skeleton=PAIR))
        assert not drawn[20:40, 90:].any()
        assert changed(grey(), draw(grey(), pair(points, (0.9, 0.19)), skeleton=PAIR, min_probability=0.1))[30, 100]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("both", [True, False])
def test_keypoints_that_are_not_finite_are_left_out(bad, both):
    points = [[20, 60], [bad, bad if both else 30]]
    drawn = show.draw_poses(grey(), pair(points), skeleton=PAIR)
    assert np.array_equal(drawn[60, 20], show.person_colours(1)[0])
    assert not changed(grey(), drawn)[:, 70:].any()
    nobody = pair([[bad, bad]] * 2)
    assert np.array_equal(show.overlay(grey(), nobody, np.zeros((1, 90, 120), np.bool_), skeleton=PAIR), grey())
    unknown = pair([[20, 60], [100, 30]], (0.9, np.nan))
    assert not changed(grey(), show.draw_poses(grey(), unknown, skeleton=PAIR))[:, 70:].any()


SIDES = Skeleton(
    names=("nose", "left_hip", "right_hip"), edges=((0, 1), (0, 2)), sigmas=(0.05,) * 3, flip=(0, 2, 1)
)  # fmt: skip


@pytest.mark.parametrize("names", [("nose", "left_hip", "right_hip"), ("head", "a", "b")])
def test_the_left_side_is_lighter_and_the_right_one_darker(names):
    skeleton = Skeleton(names=names, edges=SIDES.edges, sigmas=SIDES.sigmas, flip=SIDES.flip)
    points = np.array([[[60, 10], [100, 80], [20, 80]]], np.float32)
    poses = Poses(points, np.ones((1, 3), np.float32), np.ones(1, np.float32))
    drawn = show.draw_poses(grey(), poses, skeleton=skeleton, labels=False).astype(int)
    own = show.person_colours(1)[0].astype(int)
    left, right = drawn[80, 100], drawn[80, 20]
    assert (left >= own).all()
    assert (right <= own).all()
    assert left.sum() > own.sum() + 60 > right.sum() + 120
    assert np.abs(drawn[45, 80] - left).sum() < 90  # the edge, too
    assert np.abs(drawn[45, 40] - right).sum() < 90


def test_marks_on_a_face_are_smaller_than_those_on_a_body():
    def covered(spread):
        offsets = np.array([[0, 0], [1, -1], [-1, -1], [2, 0], [-2, 0]], np.float32) * spread
        points = np.full((1, 17, 2), np.nan, np.float32)
        points[0, :5] = offsets + np.float32([300, 200])
        ones = np.ones((1, 17), np.float32)
        image = np.full((400, 600, 3), 100, np.uint8)
        return changed(image, show.draw_poses(image, Poses(points, ones, ones[:, 0]), labels=False)).sum() / spread**2

    assert covered(8) < 3.2 * 8  # pixels; a face of 32 x 16 pixels is seen between the marks
    assert covered(8) * 8**2 < 0.25 * covered(100) * 100**2


def two_heads(height=300, width=400):
    """Two people whose heads reach beyond their keypoints, one before the other's body."""
    masks = np.zeros((2, height, width), np.bool_)
    masks[0, 60:280, 100:200] = True
    masks[1, 150:290, 180:300] = True
    points = np.full((2, 17, 2), np.nan, np.float32)
    points[0, :3] = [[150, 100], [158, 92], [142, 92]]
    points[1, :3] = [[240, 190], [248, 182], [232, 182]]
    ones = np.ones((2, 17), np.float32)
    return Poses(points, ones, np.array([0.9, 0.5], np.float32)), masks


def label_boxes(image, poses, masks):
    """Where the labels are: what is changed by them, in the colour of each person."""
    from personlab.visualize import people

    boxes = []

    def noted(drawn, text, box, colour, busy):
        before = busy.copy()
        real(drawn, text, box, colour, busy)
        rows, columns = np.nonzero(before != busy)
        boxes.append((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) if len(rows) else None)

    real, people.draw_label = people.draw_label, noted
    try:
        show.overlay(image, poses, masks)
    finally:
        people.draw_label = real
    return boxes


def test_labels_stand_above_the_mask_and_on_no_head():
    poses, masks = two_heads()
    first, second = label_boxes(np.zeros((300, 400, 3), np.uint8), poses, masks)
    assert 30 < first[3] <= 60  # right above
    assert 100 <= (first[0] + first[2]) / 2 <= 200
    assert second[3] <= 150
    bare = label_boxes(np.zeros((300, 400, 3), np.uint8), poses, None)
    assert bare[0][3] <= 92
    for boxes in ((first, second), bare):
        for x0, y0, x1, y1 in boxes:
            for x, y in ((150, 96), (240, 186)):
                assert not (x0 - 8 < x < x1 + 8 and y0 - 8 < y < y1 + 8)


def test_labels_stay_inside_the_image_beside_a_head_at_its_edge():
    poses, masks = two_heads()
    up = Poses(
        poses.keypoints - np.float32([0, 85]), poses.keypoint_scores, poses.scores
    )  # the noses at y = 15 and 105
    raised = np.zeros_like(masks)
    raised[:, :215] = masks[:, 85:]  # the first mask reaches the upper edge
    for box in label_boxes(np.zeros((300, 400, 3), np.uint8), up, raised):
        assert min(box) >= 0
        assert box[2] <= 400
        assert not (box[0] - 8 < 150 < box[2] + 8 and box[1] - 8 < 11 < box[3] + 8)


def test_overlapping_masks_keep_the_colour_of_the_better_one_and_all_outlines():
    masks = np.zeros((2, 90, 120), np.bool_)
    masks[0, 20:70, 20:70] = masks[1, 30:80, 40:100] = True
    drawn = show.draw_masks(grey(), masks, opacity=0.5).astype(int)
    first, second = show.person_colours(2).astype(int)
    assert np.abs(drawn[50, 30] - (100 + first) / 2).max() <= 1
    assert np.abs(drawn[50, 55] - (100 + first) / 2).max() <= 1  # both are there
    assert np.abs(drawn[75, 90] - (100 + second) / 2).max() <= 1
    assert np.abs(drawn[50, 40] - second).max() < 45  # the outline of the lower one on the upper one


def test_many_people_are_labelled_in_a_short_time():
    import time

    poses = random_poses(60, (1000, 1500))  # each as large as the image, so that a label has many places to go to

    def seconds(*, labels):
        start = time.thread_time()
        show.draw_poses(np.zeros((1000, 1500, 3), np.uint8), poses, labels=labels)
        return time.thread_time() - start

    bare = seconds(labels=False)
    assert seconds(labels=True) - bare < 2  # it takes a quarter of a second


def test_labels_are_drawn_beside_each_other():
    poses = random_poses(1, (300, 400))
    three = Poses(*(np.repeat(a, 3, axis=0) for a in (poses.keypoints, poses.keypoint_scores, poses.scores)))
    bare = show.draw_poses(np.zeros((300, 400, 3), np.uint8), three, labels=False)
    labelled = show.draw_poses(np.zeros((300, 400, 3), np.uint8), three)
    for colour in show.person_colours(3):
        added = (labelled == colour).all(axis=2) & (bare != labelled).any(axis=2)
        assert added.sum() > 200


def test_masks_are_filled_and_outlined():
    masks = np.zeros((1, 90, 120), np.bool_)
    masks[0, 20:50, 30:80] = True
    image = grey()
    drawn = show.draw_masks(image, masks, opacity=0.5)
    colour = show.person_colours(1)[0].astype(int)
    assert np.abs(drawn[35, 55].astype(int) - (100 + colour) / 2).max() <= 1
    assert np.abs(drawn[20, 55].astype(int) - colour).max() < 20
    assert not changed(image, drawn)[:15].any()
    assert not changed(image, drawn)[:, 90:].any()


def test_a_hole_in_a_mask_stays_open():
    masks = np.zeros((1, 90, 120), np.bool_)
    masks[0, 10:80, 10:110] = True
    masks[0, 30:60, 40:80] = False
    assert np.array_equal(show.draw_masks(grey(), masks)[45, 60], (100, 100, 100))


@pytest.mark.parametrize("read_only", [False, True])
def test_drawing_does_not_touch_its_input(read_only):
    image, masks = grey(), np.ones((2, 90, 120), np.bool_)
    poses = random_poses(2, (90, 120))
    image.flags.writeable = masks.flags.writeable = not read_only
    before = image.copy()
    drawn = show.overlay(image, poses, masks)
    assert np.array_equal(image, before)
    assert masks.all()
    assert not np.shares_memory(image, drawn)
    assert not np.shares_memory(image, show.draw_poses(image, no_poses()))
    assert not np.shares_memory(image, show.draw_masks(image, np.zeros((0, 90, 120), np.bool_)))


def test_strided_images_are_drawn_like_contiguous_ones():
    image, poses = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8), random_poses(2, (90, 120))
    strided = np.ascontiguousarray(image[:, ::-1])[:, ::-1]
    assert np.array_equal(show.overlay(strided, poses), show.overlay(image, poses))


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (3, 2), (0, 5), (16, 9), (900, 30)])
def test_any_size_of_image(size):
    image = np.zeros((*size, 3), np.uint8)
    assert show.overlay(image, random_poses(3, size), np.ones((3, *size), np.bool_)).shape == image.shape


def test_nobody_is_nothing_drawn():
    assert np.array_equal(show.overlay(grey(), no_poses(), np.zeros((0, 90, 120), np.bool_)), grey())


def test_keypoints_far_outside_the_image_do_no_harm():
    far = pair([[1e9, -1e9], [60, 45]])
    assert show.draw_poses(grey(), far, skeleton=PAIR).shape == (90, 120, 3)


def test_lines_discs_and_letters_reach_beyond_the_image():
    from personlab.visualize import marks

    image = grey()
    for start, end in (((-50, 40), (300, 50)), ((60, -1e6), (61, 1e6)), ((-9, -9), (-1, -40)), ((5, 5), (5, 5))):
        marks.line(image, start, end, (255, 0, 0), 3)
    assert (image[40:50, ::20, 0] > 200).any(axis=0).all()
    assert (image[::10, 58:64, 0] > 200).any(axis=1).all()
    marks.circle(image, (118, 88), 12, (0, 255, 0), 2)
    marks.disc(image, (-500, 20), 30, (0, 0, 255))
    marks.arrow(image, (100, 20), (150, 20), (0, 0, 255), 1.0)
    assert image[18:23, 105:, 2].max() > 220
    before = image.copy()
    for left, baseline in ((-500, 40), (40, -100), (400, 40), (40, 400)):
        marks.write_text(image, "text", left, baseline, (255, 255, 255), 1.0)
    assert np.array_equal(image, before)
    for left, baseline in ((-10, 40), (40, 3), (110, 60), (40, 95)):
        part = image.copy()
        marks.write_text(part, "text", left, baseline, (255, 255, 255), 1.0)
        assert not np.array_equal(image, part)


def test_long_lines_have_no_seams_and_their_width():
    from personlab.visualize import marks

    for end in ((390, 150), (150, 390), (390, 390), (390, 10)):
        image = np.zeros((400, 400, 3), np.uint8)
        marks.line(image, (10, 10), end, (255, 255, 255), 4, outline=0)
        lit = image[..., 0].astype(float) / 255
        length = np.hypot(end[0] - 10, end[1] - 10)
        assert 3.5 < lit.sum() / length < 6
        along = np.linspace(0.05, 0.95, 200)[:, None] * np.subtract(end, (10, 10)) + 10
        columns, rows = np.rint(along).astype(int).T
        assert lit[rows, columns].min() > 0.99


def test_colours_are_distinct():
    colours = show.person_colours(35).astype(int)
    nearest = [np.abs(a - b).sum() for i, a in enumerate(colours) for b in colours[:i]]
    assert min(nearest) > 20
    assert show.person_colours(0).shape == (0, 3)
    assert len(show.person_colours(100)) == 100


@pytest.mark.parametrize(
    ("call", "error", "named"),
    [
        (lambda: show.draw_poses(grey().astype(np.float32), no_poses()), TypeError, "image"),
        (lambda: show.draw_poses(grey()[..., 0], no_poses()), ValueError, "image"),
        (lambda: show.draw_poses(grey(), no_poses(3)), ValueError, "poses"),
        (lambda: show.draw_masks(grey(), np.zeros((1, 4, 4), np.bool_)), ValueError, "masks"),
        (lambda: show.draw_masks(grey(), np.zeros((1, 90, 120), np.uint8)), TypeError, "masks"),
        (lambda: show.overlay(grey(), no_poses(), np.zeros((1, 90, 120), np.bool_)), ValueError, "masks"),
    ],
)
def test_wrong_arguments_are_named(call, error, named):
    with pytest.raises(error, match=named):
        call()


@pytest.mark.parametrize("name", ["a.png", "b.bmp"])
def test_images_come_back_as_they_were_written(tmp_path, name):
    image = np.random.default_rng(0).integers(0, 256, (7, 11, 3), np.uint8)
    show.write_image(tmp_path / name, image)
    assert np.array_equal(show.read_image(tmp_path / name), image)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    show.write_image(path, grey())

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        show.write_image(path, np.zeros((3, 3, 3), np.uint8))
    assert show.read_image(path).shape == (90, 120, 3)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_image_is_named(tmp_path, content):
    path = tmp_path / "bad.png"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"bad\.png: expected an image"):
        show.read_image(path)


def test_files_that_cannot_be_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.png"):
        show.read_image(tmp_path / "none.png")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        show.write_image(tmp_path / "no" / "a.png", grey())
    for name in ("a", "a.xyz"):
        with pytest.raises(ValueError, match="expected a name that ends in"):
            show.write_image(tmp_path / name, grey())


def fields(segmentation, image_size=None):
    h, w = segmentation.shape[1:]
    k, e2 = COCO_PERSON.n_keypoints, 2 * COCO_PERSON.n_edges
    return Fields(
        heatmaps=np.zeros((k, h, w), np.float32),
        short_offsets=np.zeros((k, 2, h, w), np.float32),
        mid_offsets=np.zeros((e2, 2, h, w), np.float32),
        segmentation=segmentation.astype(np.float32),
        stride=8,
        image_size=image_size,
    )


def test_the_canvas_is_brighter_where_a_person_is():
    segmentation = np.full((1, 5, 7), -20.0)
    segmentation[0, 1, 4] = 20.0
    canvas = show.canvas(fields(segmentation))
    assert canvas.shape == (33, 49, 3)
    assert canvas[8, 32, 0] == canvas.max()
    assert canvas[8, 24, 0] == canvas[8, 40, 0] == canvas.min()


def test_the_canvas_has_the_size_of_the_image():
    assert show.canvas(fields(np.zeros((1, 5, 7)), (100, 60))).shape == (60, 100, 3)
    assert show.canvas(fields(np.zeros((1, 1, 1)), (10, 6))).shape == (6, 10, 3)
    assert show.canvas(fields(np.full((1, 5, 7), np.nan))).max() == 96
    assert show.canvas(fields(np.zeros((1, 0, 7)))).shape == (0, 49, 3)
