"""A view moves an image, its keypoints and its masks alike, and shows what it promises."""

from __future__ import annotations

import numpy as np
import pytest

from personlab import COCO_PERSON, Skeleton, encode_targets
from personlab.data.augment import Augmentation, draw_view, jitter_colour, take_view
from personlab.data.coco import People
from personlab.data.images import Example
from personlab.data.synthetic import make_scene

pytest.importorskip("cv2")

SIZE = (121, 161)  # of images, (H, W)
CROP = (97, 129)
DOT = Skeleton(names=("dot",), edges=(), sigmas=(0.05,), flip=(0,))
GREY = 127  # what lies outside, and around a dot
FACTORS = (0.3, 0.4, 0.5, 0.7, 1.0, 1.6)


def people_at(points, masks=None, size=SIZE):
    """One person for each row of points (P, K, 2), all labelled."""
    points = np.asarray(points, np.float32)
    masks = np.zeros((len(points), *size), bool) if masks is None else np.asarray(masks)
    labels = np.full((*points.shape[:2], 1), 2, np.float32)
    return People(np.concatenate([points, labels], axis=2), masks, np.zeros(size, bool))


def distance_from(x, y, size=SIZE):
    rows, columns = np.indices(size)
    return np.hypot(columns - x, rows - y)


def dot_at(x, y):
    """An image of a soft white dot, and a disc around it as the mask."""
    distance = distance_from(x, y)
    image = np.rint(GREY + 128 * np.exp(-(distance**2) / 32)).astype(np.uint8)
    return Example(np.repeat(image[..., None], 3, axis=2), people_at([[(x, y)]], [distance <= 15]))


def centroid(weights):
    rows, columns = np.indices(weights.shape)
    return np.array([(weights * columns).sum(), (weights * rows).sum()]) / weights.sum()


def view_of(example, seed=0, crop=CROP, skeleton=DOT, **options):
    view = draw_view(np.random.default_rng(seed), example.people, crop, Augmentation(**options))
    return take_view(example, view, crop, skeleton)


def labelled(people):
    return people.keypoints[people.keypoints[..., 2] > 0][:, :2]


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("rotation", [0.0, 40.0, 180.0])
@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_a_dot_and_its_mask_land_on_their_keypoint(factor, rotation, flip):
    example = dot_at(76.3, 63.8)
    apart, areas = [], []
    for seed in range(20):
        seen = view_of(example, seed, scale=(factor, factor), rotation=rotation, flip=flip, shift=0.05)
        (point,) = labelled(seen.people)
        np.testing.assert_allclose(centroid(seen.image[..., 0] - float(GREY)), point, atol=0.1)
        apart.append(centroid(seen.people.masks[0]) - point)
        areas.append(seen.people.masks.sum())
    assert np.abs(apart).max() <= 0.5  # of a small disc whose straight sides fall on either side of a pixel
    np.testing.assert_allclose(np.mean(apart, axis=0), 0, atol=0.1)
    assert np.mean(areas) == pytest.approx(example.people.masks.sum() * factor**2, rel=0.02)


@pytest.mark.parametrize("factor", FACTORS)
def test_a_mask_is_cut_where_its_image_fades(factor):
    half = (distance_from(100, 20) < 60) & (distance_from(130, 30) > 20)  # reaches two sides of the image
    image = np.repeat((half * np.uint8(254))[..., None], 3, axis=2)
    for seed in range(8):
        seen = view_of(Example(image, people_at([[(100, 20)]], [half])), seed, scale=(factor, factor), rotation=20.0)
        whole = view_of(Example(image, people_at([[(0, 0)]], [np.ones(SIZE, bool)])), seed, scale=(factor, factor),
                        rotation=20.0)  # fmt: skip
        inside = whole.people.masks[0]
        differ = (seen.people.masks[0] != (seen.image[..., 0] >= 127)) & inside
        assert differ.sum() <= 0.02 * seen.people.masks.sum()
        assert not (seen.people.masks[0] & ~inside).any()


def test_crowds_and_hidden_masks_go_through_the_map_too():
    ring = (distance_from(80, 60) < 30) & (distance_from(80, 60) > 12)
    masks = np.stack([ring, np.zeros(SIZE, bool)])
    example = Example(np.zeros((*SIZE, 3), np.uint8), people_at([[(80, 60)], [(82, 61)]], masks)._replace(crowd=ring))
    for seed in range(4):
        seen = view_of(example, seed, scale=(0.5, 1.5), rotation=90.0, flip=0.5).people
        np.testing.assert_array_equal(seen.crowd, seen.masks[0])
        assert seen.crowd.any()
        assert len(seen.masks) == 2
        assert not seen.masks[1].any()


def test_nothing_given_is_changed():
    scene = make_scene(1, size=SIZE, people=2)
    example = Example(scene.image, People(scene.keypoints, scene.masks, np.zeros(SIZE, bool)))
    before = [array.copy() for array in (example.image, *example.people[:3])]
    view_of(example, skeleton=COCO_PERSON, scale=(0.5, 1.5), rotation=30.0, flip=1.0, colour=0.5)
    for array, copy in zip((example.image, *example.people[:3]), before, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("crop", [(97, 129), (96, 128), (97, 161), (129, 97), (141, 201)])
def test_by_default_pixels_go_to_pixels(crop):
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    mask = image[..., 0] > 128
    seen = view_of(Example(image, people_at([[(80, 60)]], [mask])), crop=crop)
    (x, y), (height, width) = labelled(seen.people)[0] - (80, 60), SIZE
    assert x == round(x)
    assert y == round(y)
    left, top, right, bottom = (
        int(v) for v in (max(x, 0), max(y, 0), min(x + width, crop[1]), min(y + height, crop[0]))
    )
    from_top, from_left = int(top - y), int(left - x)
    rows, columns = slice(from_top, from_top + bottom - top), slice(from_left, from_left + right - left)
    np.testing.assert_array_equal(seen.image[top:bottom, left:right], image[rows, columns])
    np.testing.assert_array_equal(seen.people.masks[0, top:bottom, left:right], mask[rows, columns])
    assert abs((left + right) - crop[1]) <= 1
    assert abs((top + bottom) - crop[0]) <= 1
    outside = np.ones(crop, bool)
    outside[top:bottom, left:right] = False
    assert (seen.image[outside] == GREY).all()
    assert not seen.people.masks[0][outside].any()


@pytest.mark.parametrize("factor", [0.45, 0.5, 0.7, 1.0, 1.6])
def test_a_view_of_a_larger_image_shows_nothing_beyond_its_sides(factor):
    white = Example(np.full((*SIZE, 3), 255, np.uint8), people_at([[(3, 118)], [(150, 7)]], np.ones((2, *SIZE), bool)))
    for seed in range(20):
        seen = view_of(
            white, seed, crop=(49, 65), scale=(factor, factor), flip=0.5, centre="person", shift=seed % 3 / 2
        )
        assert (seen.image == 255).all()
        assert (~seen.people.masks).sum(axis=(1, 2)).max() <= 1  # a pixel at the image's corner


@pytest.mark.parametrize("factor", [0.3, 0.5, 0.7, 0.8])
def test_a_view_of_a_smaller_image_shows_all_of_it(factor):
    corners = [(0, 0), (160, 0), (0, 120), (160, 120)]
    example = Example(np.full((*SIZE, 3), 255, np.uint8), people_at([[c] for c in corners], np.ones((4, *SIZE), bool)))
    for seed in range(20):
        seen = view_of(example, seed, scale=(factor, factor), flip=0.5, centre="person", shift=1.0)
        assert len(labelled(seen.people)) == 4
        assert seen.people.masks[0].sum() == pytest.approx(np.prod(SIZE) * factor**2, rel=0.05)


@pytest.mark.parametrize("size", [(200, 1281), (1001, 333)])
def test_long_edge_puts_the_outermost_pixels_on_those_of_the_view(size):
    height, width = size
    corners = [(0, 0), (width - 1, height - 1)]
    example = Example(np.full((*size, 3), 255, np.uint8), people_at([corners], np.ones((1, *size), bool), size))
    skeleton = Skeleton(names=("a", "b"), edges=(), sigmas=(0.05,) * 2, flip=(0, 1))
    seen = view_of(example, crop=(401, 401), skeleton=skeleton, long_edge=401)
    spread = np.ptp(labelled(seen.people), axis=0)
    np.testing.assert_allclose(spread, (np.array([width, height]) - 1) * 400 / (max(size) - 1), atol=1e-3)
    assert (seen.image[:, 200] if height > width else seen.image[200]).min() == 255


@pytest.mark.parametrize("factor", [0.5, 0.3, 0.24])
def test_a_image_that_shrinks_is_averaged(factor):
    noise = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    seen = view_of(Example(noise, people_at([[(80, 60)]])), crop=(25, 33), scale=(factor, factor))
    assert seen.image.std() < 0.6 * noise.std()  # pixels read here and there would keep it, or two thirds of it
    assert seen.image.mean() == pytest.approx(noise.mean(), abs=3)


def test_keypoints_outside_the_view_lose_their_label():
    points = [(16, 12), (144, 108), (15.9, 60), (144.1, 60), (80, 11.9), (80, 108.1), (80, 60)]
    seen = view_of(Example(np.zeros((*SIZE, 3), np.uint8), people_at([[point] for point in points])))
    np.testing.assert_allclose(labelled(seen.people), [(0, 0), (128, 96), (64, 48)], atol=1e-4)


def test_who_is_not_seen_at_all_is_left_out_and_who_has_no_labels_stays():
    people = people_at([[(2, 2)], [(80, 60)], [(80, 60)]], [np.zeros(SIZE, bool), *[distance_from(80, 60) < 9] * 2])
    people.keypoints[2] = 0
    people.keypoints[0, 0, 2] = 1  # occluded, and outside the view
    seen = view_of(Example(np.zeros((*SIZE, 3), np.uint8), people)).people
    np.testing.assert_array_equal(seen.keypoints, [[(64, 48, 2)], [(0, 0, 0)]])
    assert seen.masks.any(axis=(1, 2)).all()


def test_unlabelled_coordinates_of_any_kind_come_out_as_zero():
    people = people_at([[(np.nan, np.inf)]], [distance_from(80, 60) < 9])
    people.keypoints[..., 2] = 0
    with np.errstate(invalid="ignore"):
        seen = view_of(Example(np.zeros((*SIZE, 3), np.uint8), people), rotation=30.0).people
    np.testing.assert_array_equal(seen.keypoints, [[(0, 0, 0)]])


def test_nobody_is_an_answer():
    people = People(np.zeros((0, 17, 3), np.float32), np.zeros((0, *SIZE), bool), np.zeros(SIZE, bool))
    seen = view_of(
        Example(np.zeros((*SIZE, 3), np.uint8), people), skeleton=COCO_PERSON, centre="person", flip=1.0, rotation=9.0
    )
    assert seen.image.shape == (*CROP, 3)
    assert [array.shape for array in seen.people[:3]] == [(0, 17, 3), (0, *CROP), CROP]


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 1)])
@pytest.mark.parametrize("factor", [0.01, 0.3, 1.0, 3.0])
def test_a_image_of_a_few_pixels_has_views(size, factor):
    example = Example(np.full((*size, 3), 255, np.uint8), people_at([[(0, 0)]], np.ones((1, *size), bool), size))
    seen = view_of(example, scale=(factor, factor))
    assert seen.image.shape == (*CROP, 3)
    assert len(labelled(seen.people)) == 1


def mirrored_targets(targets):
    """What targets become in a mirror: left and right change names, dx its sign."""
    flip, directed = list(COCO_PERSON.flip), list(COCO_PERSON.directed_flip)
    sign = np.array([-1, 1], np.float32)[:, None, None]
    return {
        "heatmaps": targets.heatmaps[flip][..., ::-1],
        "short_offsets": targets.short_offsets[flip][..., ::-1] * sign,
        "mid_offsets": targets.mid_offsets[directed][..., ::-1] * sign,
        "segmentation": targets.segmentation[..., ::-1],
        "long_offsets": targets.long_offsets[flip][..., ::-1] * sign,
        "heatmap_valid": targets.heatmap_valid[..., ::-1],
        "short_valid": targets.short_valid[flip][..., ::-1],
        "mid_valid": targets.mid_valid[directed][..., ::-1],
        "segmentation_valid": targets.segmentation_valid[..., ::-1],
        "long_valid": targets.long_valid[flip][..., ::-1],
    }


@pytest.mark.parametrize("seed", range(5))
def test_the_mirror_image_has_the_mirrored_targets(seed):
    scene = make_scene(seed, size=(200, 260), people=3)
    crowd = distance_from(50, 100, (200, 260)) < 20
    example = Example(scene.image, People(scene.keypoints, scene.masks, crowd))
    crop = (161, 193)
    plain, mirror = (view_of(example, crop=crop, skeleton=COCO_PERSON, flip=flip) for flip in (0.0, 1.0))
    np.testing.assert_array_equal(mirror.image, plain.image[:, ::-1])
    one, other = (
        encode_targets(
            seen.people.keypoints, seen.people.masks, size=crop, stride=16, disk_radius=32, crowd=seen.people.crowd
        )
        for seen in (plain, mirror)
    )
    assert one.heatmaps.any()
    assert one.long_valid.any()
    expected = mirrored_targets(one)
    for name, mirrored in expected.items():
        found, counts = getattr(other, name), np.ones(1, bool)
        if name in ("short_offsets", "mid_offsets"):  # where they do not count, they may stand for either side
            counts = expected[name.replace("offsets", "valid")][:, None]
        np.testing.assert_allclose(found * counts, mirrored * counts, rtol=0, atol=1e-4, err_msg=name)


def test_left_and_right_change_names_in_a_mirror_and_nowhere_else():
    points = np.stack([np.linspace(40, 120, 17), np.full(17, 60)], axis=1)
    example = Example(np.zeros((*SIZE, 3), np.uint8), people_at([points]))
    plain, mirror = (view_of(example, skeleton=COCO_PERSON, flip=flip).people.keypoints[0] for flip in (0.0, 1.0))
    np.testing.assert_allclose(plain[:, 0], points[:, 0] - 16, atol=1e-4)
    np.testing.assert_allclose(mirror[:, 0], 128 - plain[list(COCO_PERSON.flip), 0], atol=1e-4)


def test_flip_is_a_probability():
    people = people_at([[(80, 60)]])
    flips = [draw_view(np.random.default_rng(i), people, CROP, Augmentation(flip=0.3)).flipped for i in range(300)]
    assert 60 <= sum(flips) <= 120


def test_a_view_centred_on_people_looks_at_each_of_them():
    people = people_at([[(30, 40)], [(130, 40)], [(80, 90)]])
    people.keypoints[2] = 0
    options = Augmentation(centre="person")
    views = [draw_view(np.random.default_rng(i), people, (33, 49), options) for i in range(40)]
    assert {tuple(np.round((24, 16) - view.shift).astype(int).tolist()) for view in views} == {(30, 40), (130, 40)}


def test_colour_is_left_alone_by_default_and_else_varies_within_bounds():
    image = np.full((3, 4, 3), 127, np.uint8)
    rng = np.random.default_rng(0)
    assert jitter_colour(rng, image, 0.0) is image
    colours = np.stack([jitter_colour(rng, image, 0.4)[0, 0] for _ in range(200)]).astype(float)
    assert np.abs(colours - 127).max() <= 127 * 0.4 * 1.25 + 1
    assert colours.std(axis=0).min() > 10
    assert 0 < np.ptp(colours, axis=1).max() <= 127 * 0.4 * 0.5 + 1
    assert (image == 127).all()


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"scale": (1.5, 0.5)}, ValueError, "scale"),
        ({"scale": (0.0, 1.0)}, ValueError, "scale"),
        ({"scale": (1.0,)}, ValueError, "scale"),
        ({"long_edge": 1}, ValueError, "long_edge"),
        ({"long_edge": 641.5}, TypeError, "long_edge"),
        ({"rotation": -1.0}, ValueError, "rotation"),
        ({"flip": 1.5}, ValueError, "flip"),
        ({"shift": "0.1"}, TypeError, "shift"),
        ({"colour": 2.0}, ValueError, "colour"),
        ({"centre": "crowd"}, ValueError, "centre"),
    ],
)
def test_wrong_options_are_named(options, error, match):
    with pytest.raises(error, match=match):
        Augmentation(**options)
