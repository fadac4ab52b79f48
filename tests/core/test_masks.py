"""Mask association: by hand on rows of a few pixels, then the core against the reference."""

import functools

import numpy as np
import pytest
from agreement import CPU, assert_same_masks, core_poses
from backends import Backend
from scenes import GRIDS, OFF, SKELETONS, array, mask_options, offsets, paper_options, random_fields, sprinkled

from personlab import Fields, Poses, decode_masks
from personlab.methods.personlab.bench import crowd

REFERENCE = Backend("reference")


def poses_of(keypoints, weights):
    keypoints, weights = array(keypoints), array(weights)
    return Poses(keypoints, weights, weights.mean(axis=1), weights)


def masks_of(backend, poses, segmentation, long_offsets, short_offsets, **how):
    """Masks by the stage; `decode_masks` is asserted to give the same."""
    masks = backend.compute("associate_pixels", poses, segmentation, long_offsets, short_offsets, **how)
    if backend != "reference":
        arrays = backend.put((segmentation, long_offsets))
        whole = decode_masks(poses, *arrays, short_offsets=backend.put(short_offsets), **how)
        np.testing.assert_array_equal(backend.get(whole), masks)
    return masks


def row(poses, long_offsets, backend, *, segmentation=(0,) * 5, short=None, size=(1, 5), stride=1, **options):
    """Masks of a row of pixels as strings: # where a pixel belongs."""
    options = {"long_refine_steps": 0, "short_refine_steps": 0, "distance_threshold": 1.0, **options}
    masks = masks_of(
        backend, poses, array([[segmentation]]), array(long_offsets), short,
        stride=stride, size=size, options=mask_options(**options),
    )  # fmt: skip
    assert masks.dtype == np.bool_
    assert masks.shape == (len(poses), *size)
    return ["".join(".#"[int(pixel)] for pixel in mask.ravel()) for mask in masks]


AT_TWO = poses_of([[[2, 0]]], [[1]])  # one keypoint: lambda = 1
NOWHERE = offsets(1, 5, (0, 0))


def test_pixels_that_point_at_the_keypoint_and_are_a_person(backend):
    # dx takes each pixel to x = 2; the second has p = 0.27, the third 0.5, which is enough.
    long_offsets = [[[[2, 1, 0, -1, -2]], [[0] * 5]]]
    assert row(AT_TWO, long_offsets, backend, segmentation=(9, -1, 0, 1, 9)) == ["#.###"]


def test_pixels_up_to_the_distance_threshold(backend):
    # Without offsets D = |x - 2|.
    assert row(AT_TWO, NOWHERE, backend, distance_threshold=1.0) == [".###."]
    assert row(AT_TWO, NOWHERE, backend, distance_threshold=0.99) == ["..#.."]
    assert row(AT_TWO, NOWHERE, backend, distance_threshold=0.0) == ["..#.."]
    assert row(AT_TWO, NOWHERE, backend, distance_threshold=2.0, mask_threshold=0.51) == ["....."]


def test_distances_are_euclidean(backend):
    # G - y = (x + 1, 4): 5 at x = 2.
    assert row(AT_TWO, offsets(1, 5, (3, 4)), backend, distance_threshold=5.0) == ["###.."]


def test_keypoints_weigh_by_their_probabilities(backend):
    # D = (0.75 x + 0.25 (4 - x)) / 1 = 1 + x / 2; the weights need not sum to 1.
    poses = poses_of([[[0, 0], [4, 0]]], [[0.375, 0.125]])
    assert row(poses, offsets(1, 5, (0, 0), (0, 0)), backend, distance_threshold=2.0) == ["###.."]


def test_probabilities_weigh_not_scores(backend):
    poses = Poses(array([[[0, 0], [4, 0]]]), array([[0, 0.5]]), array([0.25]), array([[0.5, 0]]))
    assert row(poses, offsets(1, 5, (0, 0), (0, 0)), backend) == ["##..."]


def test_distances_are_in_units_of_the_size_of_the_pose(backend):
    # Box 4 x 4: lambda = 4. D = (x + |(x, 0) - (4, 4)|) / 2 / 4: 0.707, 0.75, 0.809, 0.890, 1.
    poses = poses_of([[[0, 0], [4, 4]]], [[0.5, 0.5]])
    still = offsets(1, 5, (0, 0), (0, 0))
    assert row(poses, still, backend, distance_threshold=0.76) == ["##..."]
    assert row(poses, still, backend, distance_threshold=0.9) == ["####."]


@pytest.mark.parametrize(("steps", "expected"), [(0, "..###"), (1, ".###."), (2, "###.."), (3, "##...")])
def test_long_offsets_refine_themselves(backend, steps, expected):
    # dx = 1: G = x + 1 + steps, the keypoint at 4.
    poses = poses_of([[[4, 0]]], [[1]])
    assert row(poses, offsets(1, 5, (1, 0)), backend, long_refine_steps=steps) == [expected]


@pytest.mark.parametrize(("steps", "expected"), [(0, "##..."), (1, "###.."), (2, ".###.")])
def test_short_offsets_refine_after_that(backend, steps, expected):
    # L = 1 twice, then S = -1: G = x + 2 - steps, the keypoint at 2.
    short = offsets(1, 5, (-1, 0))
    assert row(AT_TWO, offsets(1, 5, (1, 0)), backend, short=short, long_refine_steps=1, short_refine_steps=steps) == [
        expected
    ]


def test_without_short_offsets_their_steps_do_nothing(backend):
    assert row(AT_TWO, NOWHERE, backend, short_refine_steps=5) == [".###."]


def test_offsets_are_read_where_refinement_has_come_to(backend):
    # L(x) = 2 at 0 and 0 elsewhere; from 0 to 2 and no further. S(2) = 1 once more: 3.
    long_offsets = [[[[2, 0, 0, 0, 0]], [[0] * 5]]]
    short = array([[[[9, 0, 1, 0, 0]], [[0] * 5]]])
    poses = poses_of([[[3, 0]]], [[1]])
    masks = row(
        poses, long_offsets, backend, short=short, long_refine_steps=2, short_refine_steps=1, distance_threshold=0.0
    )
    assert masks == ["#.##."]


def test_background_belongs_to_nobody(backend):
    assert row(AT_TWO, NOWHERE, backend, segmentation=(OFF,) * 5) == ["....."]


def two_poses(*scores):
    """One keypoint each, at 1 and at 3: D = |x - 1| and |x - 3|."""
    return Poses(array([[[1, 0]], [[3, 0]]]), array([[1], [1]]), array(scores), array([[1], [1]]))


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ((0.9, 0.5), ["####.", "..###"]),  # the second yields x = 1; at x = 2 none is nearer
        ((0.5, 0.9), ["###..", ".####"]),  # likewise, whatever stands first
        ((0.5, 0.5), ["####.", ".####"]),  # equal scores do not yield
        ((-0.5, 0.0), ["###..", ".####"]),
        ((np.nan, 0.9), ["####.", ".####"]),  # nor is NaN higher or lower than anything
    ],
)
def test_a_pose_yields_pixels_to_a_nearer_pose_of_a_higher_score(backend, scores, expected):
    assert row(two_poses(*scores), NOWHERE, backend, distance_threshold=2.0) == ["####.", ".####"]
    assert row(two_poses(*scores), NOWHERE, backend, distance_threshold=2.0, exclusive=True) == expected
    assert row(two_poses(*scores), NOWHERE, backend, distance_threshold=0.5, exclusive=True) == [".#...", "...#."]


def on_a_line(backend, places, scores):
    """Exclusive masks of poses of one keypoint on a line of five pixels, within two pixels of each."""
    weights = np.ones((len(places), 1), np.float32)
    poses = Poses(array([[[x, 0]] for x in places]), weights, array(scores), weights)
    return row(poses, NOWHERE, backend, long_refine_steps=2, distance_threshold=2.0, exclusive=True)


def test_a_pose_yields_pixels_to_nearer_poses_of_a_higher_score(backend):
    assert on_a_line(backend, [0, 3], [0.9, 0.5]) == ["###..", "..###"]
    assert on_a_line(backend, [0, 3], [0.5, 0.9]) == ["##...", ".####"]
    assert on_a_line(backend, [0, 2, 4], [0.5, 0.9, 0.7]) == ["##...", "#####", "...##"]
    # The middle one is as near as the others at pixels 1 and 3.
    assert on_a_line(backend, [0, 2, 4], [0.9, 0.5, 0.9]) == ["###..", ".###.", "..###"]


def test_poses_of_one_score_or_none_yield_nothing_to_each_other(backend):
    assert on_a_line(backend, [0, 3], [0.5, 0.5]) == ["###..", ".####"]
    assert on_a_line(backend, [0, 3], [np.nan, 0.5]) == ["###..", ".####"]
    assert on_a_line(backend, [0, 3], [0.5, np.nan]) == ["###..", ".####"]
    assert on_a_line(backend, [0, 3, 2], [np.nan, 0.9, 0.5]) == ["###..", ".####", "###.."]
    assert on_a_line(backend, [0, 3], [-np.inf, np.inf]) == ["##...", ".####"]


def test_a_pose_that_yields_takes_nothing_from_others(backend):
    # Keypoints at 0, 1 and 3, scores rising: the second yields x >= 3 to the third, the first all that the others are
    # nearer to. At x = 2 the second and the third are equally near.
    poses = Poses(array([[[0, 0]], [[1, 0]], [[3, 0]]]), array([[1]] * 3), array([0.1, 0.2, 0.3]), array([[1]] * 3))
    assert row(poses, NOWHERE, backend, distance_threshold=4.0, exclusive=True) == ["#....", "###..", "#####"]


def test_a_pose_that_owns_nothing_takes_nothing(backend):
    # The first has no weight, the third lies nowhere: neither excludes the second, though their scores are higher.
    poses = Poses(
        array([[[2, 0]], [[1, 0]], [[np.nan, 0]]]), array([[1]] * 3), array([3, 1, 2]), array([[0], [1], [1]])
    )
    assert row(poses, NOWHERE, backend, distance_threshold=2.0, exclusive=True) == [".....", "####.", "....."]


def test_fields_are_stretched_over_the_image(backend):
    # Three cells, stride 4: W = 9. Pixels of an image 5 wide lie at 0, 2, 4, 6, 8; of one 3 high and 1 wide at x = 0.
    poses = poses_of([[[8, 0]]], [[1]])
    options = {"segmentation": (0, 0, 0), "stride": 4}
    assert row(poses, offsets(1, 3, (0, 0)), backend, distance_threshold=2.0, **options) == ["...##"]
    assert row(poses, offsets(1, 3, (0, 0)), backend, distance_threshold=8.0, size=(3, 1), **options) == ["###"]
    assert row(poses, offsets(1, 3, (0, 0)), backend, distance_threshold=7.9, size=(3, 1), **options) == ["..."]


def test_segmentation_is_read_bilinearly_between_cells(backend):
    # Logits -2, 2 four pixels apart: 0 half way, which is enough.
    poses = poses_of([[[0, 0]]], [[1]])
    masks = row(poses, offsets(1, 2, (0, 0)), backend, segmentation=(-2, 2), stride=4, distance_threshold=9.0)
    assert masks == ["..###"]


def test_a_pose_without_weight_owns_nothing(backend):
    poses = poses_of([[[2, 0]], [[2, 0]]], [[0], [1]])
    assert row(poses, NOWHERE, backend) == [".....", ".###."]
    assert row(poses, NOWHERE, backend, exclusive=True) == [".....", ".###."]


def test_what_is_not_finite_counts_for_nothing(backend):
    # A NaN logit is no person; an offset with a NaN or infinite part is none.
    long_offsets = [[[[np.nan, 0, np.inf, 1, 0]], [[5, 0, 5, -np.inf, 0]]]]
    assert row(AT_TWO, long_offsets, backend, segmentation=(0, np.nan, 0, 0, np.inf), distance_threshold=2.0) == [
        "#.###"
    ]


def test_a_pixel_on_a_cell_reads_that_cell_alone(backend):
    # Pixel 11 of 23 lies at 11 * 30 / 22 = 15, on cell 3 of 7, which says -5; those beside it say nothing.
    long_offsets = [[[[0, 0, np.nan, -5, np.nan, 0, 0]], [[0] * 7]]]
    poses = poses_of([[[10, 0]]], [[1]])
    options = {"segmentation": (0,) * 7, "stride": 5, "size": (1, 23), "distance_threshold": 0.1}
    assert row(poses, long_offsets, backend, **options) == ["." * 11 + "#" + "." * 11]


@pytest.mark.parametrize("steps", [0, 2])
@pytest.mark.parametrize("far", [1e15, 1e25, 3e38])
def test_a_keypoint_without_weight_has_no_say_however_far_off(backend, far, steps):
    poses = poses_of([[[2, 0], [2, 0]]], [[1, 0]])
    assert row(poses, offsets(1, 5, (0, 0), (far, far)), backend, long_refine_steps=steps) == [".###."]


def test_no_poses_no_pixels_or_no_cells_give_empty_masks(backend):
    nobody = poses_of(np.zeros((0, 1, 2)), np.zeros((0, 1)))
    assert row(nobody, NOWHERE, backend) == []
    for size in ((0, 5), (5, 0), (0, 0)):
        assert row(AT_TWO, NOWHERE, backend, size=size) == [""]
    for h, w in ((0, 5), (3, 0)):
        masks = backend.run(
            "associate_pixels",
            AT_TWO, np.zeros((1, h, w), np.float32), np.zeros((1, 2, h, w), np.float32),
            stride=4, size=(3, 4),
        )  # fmt: skip
        assert masks.shape == (1, 3, 4)
        assert not masks.any()


def random_poses(rng, people, fields, count=6):
    width, height = fields.input_size
    keypoints = rng.uniform(-0.1, 1.1, (count, people.n_keypoints, 2)) * [max(width, 20), max(height, 20)]
    return poses_of(keypoints, rng.random((count, people.n_keypoints)))


def assert_equals_reference(backend, poses, fields, size, options, *, short=True, reference=REFERENCE.compute):
    short_offsets = fields.short_offsets if short else None
    arrays = poses, fields.segmentation, fields.long_offsets, short_offsets
    how = {"stride": fields.stride, "size": size, "options": options}
    masks = backend.compute("associate_pixels", *arrays, **how)
    for compute in (reference, CPU.compute) if backend.gpu else (reference,):
        expected = compute("associate_pixels", *arrays, **how)
        assert_same_masks(masks, expected, poses, fields, size=size, options=options, short_offsets=short_offsets)
    return masks


@pytest.fixture(scope="module")
def remembered(load_fields):
    """(name of real fields, options) -> their poses, and a reference that computes masks of these once."""

    @functools.cache
    def remember(name, options):
        known = {}

        def compute(stage, *arrays, **how):
            key = stage, *how.values()
            if key not in known:
                known[key] = REFERENCE.compute(stage, *arrays, **how)
            return known[key]

        return core_poses(load_fields(name), options), compute

    return remember


def noise_of_poses(seed, count=6):
    """Random fields of a tree, and poses over them."""
    people = SKELETONS["tree"]
    fields = random_fields(seed, people, 5, 8, 8)
    return fields, random_poses(np.random.default_rng(seed + 1), people, fields, count)


def noise_masks(backend, poses, fields, **options):
    return masks_of(
        backend, poses, fields.segmentation, fields.long_offsets, fields.short_offsets,
        stride=8, size=(31, 47), options=mask_options(distance_threshold=1.0, **options),
    )  # fmt: skip


def test_a_point_that_would_get_too_far_stays_where_it_is(backend):
    # To 3e38, where two more such steps would overflow, and back to 0 by the short offset: all point at the pose.
    masks = row(
        poses_of([[[0, 0]]], [[1]]), offsets(1, 5, (3e38, 3e38)), backend, short=offsets(1, 5, (-3e38, -3e38)),
        long_refine_steps=2, short_refine_steps=1, distance_threshold=0.5,
    )  # fmt: skip
    assert masks == ["#####"]


@pytest.mark.parametrize("power", [127, 40, 1, -30, -100])
def test_only_the_ratios_of_weights_count(backend, power):
    fields, poses = noise_of_poses(50)
    scaled = np.ldexp(poses.keypoint_probabilities, power).astype(np.float32)
    assert np.isfinite(scaled).all()
    large = Poses(poses.keypoints, poses.keypoint_scores, poses.scores, scaled)
    masks = noise_masks(backend, large, fields)
    assert masks.any()
    np.testing.assert_array_equal(masks, noise_masks(backend, poses, fields))


@pytest.mark.parametrize("exclusive", [False, True])
def test_poses_that_lie_nowhere_or_weigh_nothing_own_nothing(backend, exclusive):
    fields, sound = noise_of_poses(21, 7)
    keypoints, weights = sound.keypoints.copy(), sound.keypoint_probabilities.copy()
    keypoints[0, 1, 0], keypoints[1, 2, 1], keypoints[2, 0, 0] = np.nan, np.inf, 2e6
    weights[3], weights[4, 1], weights[5, 3] = 0, -0.1, np.nan
    poses = Poses(keypoints, weights, weights.mean(axis=1), weights)
    masks = noise_masks(backend, poses, fields, exclusive=exclusive)
    assert not masks[:6].any()
    np.testing.assert_array_equal(masks[6:], noise_masks(backend, sound[6], fields, exclusive=exclusive))
    assert masks[6].any()


@pytest.mark.parametrize("exclusive", [False, True])
def test_poses_as_near_all_have_the_pixel(backend, exclusive):
    fields, one = noise_of_poses(23, 1)
    twice = one[[0] * 12]
    twice = Poses(twice.keypoints, twice.keypoint_scores, array(range(12)), twice.keypoint_probabilities)
    masks = noise_masks(backend, twice, fields, exclusive=exclusive)
    assert masks[0].any()
    for mask in masks[1:]:
        np.testing.assert_array_equal(mask, masks[0])


@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize("short", [False, True])
@pytest.mark.parametrize("size", [(31, 47), (1, 20), (64, 9), (1, 1)], ids=str)
@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_equals_reference_on_noise(compiled, grid, size, short, exclusive):
    people, (h, w, stride) = SKELETONS["tree"], grid
    fields = random_fields(13, people, h, w, stride)
    poses = random_poses(np.random.default_rng(14), people, fields)
    options = mask_options(distance_threshold=1.0, exclusive=exclusive)
    assert_equals_reference(compiled, poses, fields, size, options, short=short)


@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (3, 40), (40, 3), (97, 131)], ids=str)
def test_equals_reference_where_all_is_foreground(compiled, size, exclusive):
    # Regions of several blocks, some without any pixel, whose points end up near one of two people or between them.
    people, rng = SKELETONS["tree"], np.random.default_rng(17)
    noise = random_fields(18, people, 9, 14, 8)
    y, x = np.mgrid[:9, :14] * 8.0
    left, right = (rng.uniform((start, 0), (start + 45, 64), (people.n_keypoints, 2)) for start in (0, 55))
    target = np.where(x < 52, left.T[:, :, None, None], right.T[:, :, None, None])  # (2, K, h, w)
    fields = Fields(
        heatmaps=noise.heatmaps, short_offsets=noise.short_offsets / 20, mid_offsets=noise.mid_offsets,
        segmentation=np.full((1, 9, 14), 5, np.float32),
        long_offsets=array((target - [x[None].repeat(len(left), 0), y[None].repeat(len(left), 0)]).swapaxes(0, 1)),
        stride=8,
    )  # fmt: skip
    poses = poses_of([left, right], rng.uniform(0.3, 1, (2, people.n_keypoints)))
    masks = assert_equals_reference(compiled, poses, fields, size, mask_options(exclusive=exclusive))
    assert masks.any()
    if size == (97, 131):
        assert 0.3 < masks[0].mean() < 0.7
        assert 0.3 < masks[1].mean() < 0.7


@pytest.mark.parametrize("stride", range(1, 7))
def test_no_cell_is_missed_where_offsets_spread_far(stride):
    # Pixel (x, y) of the first blocks points at cell (x + 7, y + 6), which alone points at the keypoint.
    h, w, first = 5 * stride + 8, 5 * stride + 9, 4 * stride
    y, x = np.mgrid[:h, :w] * stride
    segmentation = np.where((x <= first) & (y <= first), 5, OFF)[None]
    near = (x <= first + stride) & (y <= first + stride)
    target = np.where(near, [stride * (x + 7), stride * (y + 6)], [[[-100]], [[150]]])
    poses = poses_of([[[3, 5]]], [[1]])
    options = mask_options(long_refine_steps=1, short_refine_steps=0)
    for row, column in np.ndindex(first, first):
        pointing = target.copy()
        pointing[:, row + 6, column + 7] = 3, 5
        masks = decode_masks(
            poses, array(segmentation), array((pointing - [x, y])[None]), stride=stride,
            size=((h - 1) * stride + 1, (w - 1) * stride + 1), options=options,
        )  # fmt: skip
        assert np.argwhere(masks[0]).tolist() == [[row, column]]


def test_noise_has_pixels_inside_and_outside(compiled):
    people = SKELETONS["tree"]
    fields = random_fields(13, people, 5, 8, 8)
    poses = random_poses(np.random.default_rng(14), people, fields)
    masks = assert_equals_reference(compiled, poses, fields, (31, 47), mask_options(distance_threshold=1.0))
    assert 0.02 < masks.mean() < 0.98


@pytest.mark.parametrize("values", [(np.nan,), (np.inf,), (np.nan, np.inf, -np.inf), (1e38,), (-1e38,)], ids=str)
@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_equals_reference_where_fields_are_not_finite(compiled, grid, values):
    people, (h, w, stride) = SKELETONS["tree"], grid
    rng = np.random.default_rng(15)
    clean = random_fields(16, people, h, w, stride)
    fields = Fields(
        heatmaps=clean.heatmaps,
        short_offsets=sprinkled(clean.short_offsets, rng, values=values),
        mid_offsets=clean.mid_offsets,
        segmentation=sprinkled(clean.segmentation, rng, values=values),
        long_offsets=sprinkled(clean.long_offsets, rng, values=values),
        stride=stride,
    )
    assert_equals_reference(
        compiled, random_poses(rng, people, fields), fields, (24, 32), mask_options(distance_threshold=1.0)
    )


@pytest.mark.parametrize("exclusive", [False, True])
def test_equals_reference_on_real_fields(compiled, field_name, load_fields, remembered, exclusive):
    fields = load_fields(field_name)
    poses, reference = remembered(field_name, paper_options(hough_stride=2, min_score=0.05, max_poses=12))
    size = fields.image_size[1] // 2, fields.image_size[0] // 2
    given = compiled, poses, fields, size
    masks = assert_equals_reference(*given, mask_options(exclusive=exclusive), reference=reference)
    assert masks.any()
    if exclusive:
        everything = assert_equals_reference(*given, mask_options(), reference=reference)
        assert (masks <= everything).all()
        assert masks.sum() < everything.sum() or everything.sum(axis=0).max() == 1


def test_equals_reference_at_the_size_of_the_image(compiled, load_fields, remembered):
    name = "coco_000000114907_641_s8"
    fields = load_fields(name)
    poses, reference = remembered(name, paper_options(hough_stride=2, min_score=0.1))
    width, height = fields.image_size
    masks = assert_equals_reference(compiled, poses, fields, (height, width), mask_options(), reference=reference)
    assert masks.any()


@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize("size", [(161, 241), (100, 187)], ids=str)
def test_equals_reference_on_a_drawn_crowd(compiled, size, exclusive):
    # People thinner than two cells, and nothing between them: boxes of small blocks are wide there, pixels many.
    fields = crowd(20, size=(161, 241))
    poses = core_poses(fields, paper_options(hough_stride=2, min_score=0.05))
    assert len(poses) > 10
    masks = assert_equals_reference(compiled, poses, fields, size, mask_options(exclusive=exclusive))
    assert masks.any(axis=(1, 2)).sum() > 10
