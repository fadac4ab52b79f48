"""The steps of decoding maps, by hand on tiny maps: peaks, positions, limbs, bodies, people; core and reference."""

import numpy as np
import pytest
from scenes import skeleton

from personlab import BodyParts, SimplePoseOptions, decode_simple_pose
from personlab.methods.simple_pose.backends.reference.arithmetic import logarithm
from personlab.methods.simple_pose.backends.reference.peaks import gaussian_weights
from personlab.methods.simple_pose.stages import decode_steps

ONE, TWO = BodyParts.of(skeleton(1)), BodyParts.of(skeleton(2, [(0, 1)]))
CELL = {"position": "cell"}


def peaks_of(plane, backend, **options):
    """Anchors of the peaks of one map, their positions and scores."""
    rules = options.pop("rules", "default")
    make = SimplePoseOptions if rules == "default" else SimplePoseOptions.original
    maps = np.array(plane, np.float32)[None]
    steps = decode_steps(
        maps, np.zeros((0, *maps.shape[1:]), np.float32), stride=1, parts=ONE, options=make(**options), backend=backend
    )
    return steps.peaks.anchors.tolist(), steps.peaks.positions, steps.peaks.scores


def maps_of(parts, size, points, lines):
    """Maps with single cells (k, x, y, value) and horizontal lines (e, y, x0, x1, value)."""
    keypoints = np.zeros((parts.skeleton.n_keypoints, *size), np.float32)
    limbs = np.zeros((parts.skeleton.n_edges, *size), np.float32)
    for k, x, y, value in points:
        keypoints[k, y, x] = value
    for e, y, x0, x1, value in lines:
        limbs[e, y, x0 : x1 + 1] = value
    return keypoints, limbs


# --- peaks ------------------------------------------------------------------------------------------------------------


def test_the_threshold_itself_is_enough(host_backend):
    anchors, _, scores = peaks_of([[0, 0.25, 0], [0, 0, 0.2499]], host_backend, peak_threshold=0.25)
    assert anchors == [[1, 0]]
    assert scores.tolist() == [0.25]


def test_of_equal_neighbours_the_first_alone(host_backend):
    plane = [[0, 0.5, 0.5, 0], [0, 0.5, 0.5, 0], [0.75, 0, 0, 0]]
    assert peaks_of(plane, host_backend)[0] == [[1, 0], [0, 2]]
    plane[2][0] = 0
    assert peaks_of(plane, host_backend)[0] == [[1, 0]]


def test_by_the_originals_rules_all_of_them(host_backend):
    plane = [[0, 0.5, 0.5, 0], [0, 0.5, 0.5, 0], [0, 0, 0, 0]]
    assert peaks_of(plane, host_backend, rules="original")[0] == [[1, 0], [2, 0], [1, 1], [2, 1]]


def test_corners_can_be_peaks(host_backend):
    anchors, positions, _ = peaks_of([[0.5, 0, 0.25], [0, 0, 0], [0, 0.25, 0]], host_backend)
    assert anchors == [[0, 0], [2, 0], [1, 2]]
    np.testing.assert_array_equal(positions, anchors)  # no parabola over a border, or over values that are 0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_no_peak_and_hides_none(host_backend, value):
    assert peaks_of([[value, 0.5, value], [value] * 3, [0.5, value, 0]], host_backend)[0] == [[1, 0], [0, 2]]
    assert peaks_of([[0.5, value], [value, value]], host_backend, rules="original")[0] == [[0, 0]]


def test_a_parabola_through_logarithms_is_exact_for_a_gaussian(host_backend):
    y, x = np.mgrid[:7, :9]
    plane = 0.8 * np.exp(-((x - 3.3) ** 2 + (y - 2.6) ** 2) / (2 * 1.5**2))
    anchors, positions, scores = peaks_of(plane, host_backend)
    assert anchors == [[3, 3]]
    np.testing.assert_allclose(positions, [[3.3, 2.6]], atol=1e-5)
    np.testing.assert_allclose(scores, plane[3, 3], rtol=1e-6)


@pytest.mark.parametrize(
    ("position", "offset"), [("centroid", (0.25, 0)), ("swapped_centroid", (0, 0.25)), ("cell", (0, 0))]
)
def test_a_centroid_of_the_box(host_backend, position, offset):
    plane = np.zeros((4, 5))
    plane[1, 1:4] = 0.125, 0.5, 0.375  # sum 1: (0.375 - 0.125) / 1
    _, positions, scores = peaks_of(plane, host_backend, rules="original", position=position, box_radius=1)
    np.testing.assert_allclose(positions, [(2 + offset[0], 1 + offset[1])], atol=1e-12)
    np.testing.assert_allclose(scores, 0.5 if position == "cell" else 1 / 9, atol=1e-7)


def test_a_box_that_leaves_the_map_leaves_the_peak_at_its_cell(host_backend):
    plane = np.zeros((4, 5))
    plane[0, 1:4] = 0.125, 0.5, 0.375
    _, positions, scores = peaks_of(plane, host_backend, rules="original", box_radius=1)
    assert positions.tolist() == [[2, 0]]
    assert scores.tolist() == [0.5]


def test_a_centroid_is_bound_to_its_box_by_the_default_rules(host_backend):
    plane = np.full((5, 7), -0.0625)
    plane[2, 3], plane[2, 4] = 0.5, 0.0
    _, positions, _ = peaks_of(plane, host_backend, position="centroid", box_radius=1)
    assert np.abs(positions - (3, 2)).max() <= 1
    assert np.abs(peaks_of(plane, host_backend, rules="original", box_radius=1)[1] - (3, 2)).max() > 0


def test_the_highest_peaks_are_kept(host_backend):
    plane = [[0.5, 0, 0.75, 0, 0.5, 0, 0.25]]
    assert peaks_of(plane, host_backend, max_peaks=2, **CELL)[0] == [[0, 0], [2, 0]]  # a tie: the first
    assert peaks_of(plane, host_backend, max_peaks=0)[0] == []


def test_padding_is_no_part_of_the_image(host_backend):
    maps = np.zeros((1, 3, 4), np.float32)
    maps[0, 0, 3] = maps[0, 1, 1] = 0.5
    steps = decode_steps(
        maps, np.zeros((0, 3, 4), np.float32), stride=4, input_size=(12, 12), parts=ONE, backend=host_backend
    )
    assert steps.peaks.anchors.tolist() == [[1, 1]]


def test_logarithms_are_exact_to_their_last_digits():
    values = np.random.default_rng(0).uniform(-100, 38, 3000)
    values = np.concatenate([10**values, np.linspace(0.5, 2, 3001), [5e-324, 1.4e-45, 3.4e38]])
    values = values[np.abs(values - 1) > 1e-6]
    np.testing.assert_allclose([logarithm(float(v)) for v in values], np.log(values), rtol=2e-15)
    assert logarithm(1.0) == 0


def test_the_filter_of_part_a_is_a_gaussian_of_three_pixels():
    weights = np.exp(-0.5 * (np.arange(-12, 13) / 3) ** 2)
    np.testing.assert_allclose(gaussian_weights(), (weights / weights.sum())[12:], rtol=1e-14)


def test_lone_pixels_of_part_a_are_filtered(host_backend):
    plane = np.zeros((41, 45))
    plane[20, 15], plane[20, 18] = 1, 0.5  # the filter merges them into one maximum, nearer to the higher
    anchors, _, scores = peaks_of(plane, host_backend, rules="original", part="A", peak_threshold=1e-3)
    assert anchors == [[16, 20]]
    assert scores.tolist() == [0]


# --- limbs ------------------------------------------------------------------------------------------------------------


def test_a_limb_longer_than_half_the_height_scores_less(host_backend):
    maps = maps_of(TWO, (12, 20), [(0, 4, 5, 0.875), (1, 14, 5, 0.75)], [(0, 5, 4, 14, 0.75)])
    (one,) = decode_steps(*maps, stride=1, parts=TWO, backend=host_backend).connections
    assert one[:3] == (0, 0, 1)
    assert one.length == 10
    np.testing.assert_allclose(one.score, 0.75 + 0.5 * 12 / 10 - 1)
    np.testing.assert_allclose(one.rank, 0.5 * one.score + 0.25 * (0.875 + 0.75))


@pytest.mark.parametrize(("misses", "joined"), [(1, True), (2, False)])
def test_enough_samples_have_to_support_a_limb(host_backend, misses, joined):
    # Ten samples, every third cell from 2 to 29, of which nine have to be above the threshold.
    maps = maps_of(TWO, (60, 32), [(0, 2, 2, 1.0), (1, 29, 2, 1.0)], [(0, 2, 2, 29, 1.0)])
    maps[1][0, 2, 13 : 13 + 3 * misses] = 0.0625
    options = SimplePoseOptions(min_support=0.9, **CELL)
    steps = decode_steps(*maps, stride=1, parts=TWO, options=options, backend=host_backend)
    assert bool(steps.connections) is joined


@pytest.mark.parametrize(("reach", "partner"), [(1.5, 14), (1.6, 80)])
def test_much_longer_limbs_than_a_sure_one_are_not_tried(host_backend, reach, partner):
    # Of 10 and 76 pixels; a twentieth of the height is 50, the shortest that a sure limb counts as.
    maps = maps_of(TWO, (40, 90), [(0, 4, 5, 1.0), (1, 14, 5, 0.5), (1, 80, 5, 1.0)], [(0, 5, 4, 80, 1.0)])
    options = SimplePoseOptions(max_reach=reach, **CELL)
    steps = decode_steps(*maps, stride=1, size=(1000, 90), parts=TWO, options=options, backend=host_backend)
    assert [int(steps.peaks.anchors[one.b, 0]) for one in steps.connections] == [partner]


def test_two_peaks_in_one_place_are_no_limb(host_backend):
    maps = maps_of(TWO, (5, 6), [(0, 2, 2, 1.0), (1, 2, 2, 1.0)], [(0, 2, 0, 5, 1.0)])
    assert decode_steps(*maps, stride=1, parts=TWO, backend=host_backend).connections == []


# --- bodies and people ------------------------------------------------------------------------------------------------


def test_scores_of_two_keypoints(host_backend):
    maps = maps_of(TWO, (40, 20), [(0, 4, 5, 0.875), (1, 14, 7, 0.75)], [])
    maps[1][:] = 0.5
    (body,) = decode_steps(*maps, stride=1, parts=TWO, backend=host_backend).bodies
    assert body.slots == {0: (0, 0.5), 1: (1, 0.5)}
    np.testing.assert_allclose(body.total, 0.5 * (0.875 + 0.5) + 0.5 * (0.75 + 0.5))
    options = SimplePoseOptions.original(position="cell")
    (body,) = decode_steps(*maps, stride=1, parts=TWO, options=options, backend=host_backend).bodies
    np.testing.assert_allclose(body.total, 0.875 + 0.75 + 0.5)
    poses = decode_simple_pose(*maps, stride=1, parts=TWO)
    assert poses.keypoints.tolist() == [[[4, 5], [14, 7]]]
    np.testing.assert_allclose(poses.keypoint_scores, [[0.6875, 0.625]])
    np.testing.assert_allclose(poses.scores, [(0.6875 + 0.625) / 2])
    poses = decode_simple_pose(*maps, stride=1, parts=TWO, options=options)
    np.testing.assert_allclose(poses.scores, [1 - 1 / 2.125])


@pytest.mark.parametrize(("rules", "size"), [("default", 3), ("original", 2)])
def test_the_first_end_of_a_limb_is_attached_too(host_backend, rules, size):
    parts = BodyParts.of(skeleton(3, [(1, 2), (0, 1)]))  # the second limb begins at a keypoint that is free
    maps = maps_of(
        parts, (40, 30), [(0, 2, 5, 1.0), (1, 12, 5, 1.0), (2, 22, 5, 1.0)], [(0, 5, 2, 22, 1.0), (1, 5, 2, 22, 1.0)]
    )
    options = SimplePoseOptions() if rules == "default" else SimplePoseOptions.original(position="cell")
    bodies = decode_steps(*maps, stride=1, parts=parts, options=options, backend=host_backend).bodies
    assert [body.count for body in bodies] == [size]


def test_a_body_has_one_keypoint_of_a_type(host_backend):
    maps = maps_of(TWO, (40, 40), [(0, 4, 5, 1.0), (1, 14, 5, 1.0), (1, 20, 5, 1.0)], [(0, 5, 0, 39, 1.0)])
    bodies = decode_steps(*maps, stride=1, parts=TWO, backend=host_backend).bodies
    assert [sorted(body.slots) for body in bodies] == [[0, 1], [1]]


def test_a_lone_keypoint_is_a_person_where_it_is_almost_certain(host_backend):
    maps = maps_of(TWO, (40, 20), [(0, 4, 5, 0.875), (1, 14, 5, 0.9375)], [])
    bodies = decode_steps(*maps, stride=1, parts=TWO, backend=host_backend).bodies
    assert [body.slots for body in bodies] == [{1: (1, 0.0)}]
    options = SimplePoseOptions(min_keypoints=2)
    assert decode_steps(*maps, stride=1, parts=TWO, options=options, backend=host_backend).bodies == []


def test_an_absent_keypoint_has_score_0_and_lies_amid_the_others():
    parts = BodyParts.of(skeleton(3, [(0, 1), (1, 2)]))
    maps = maps_of(parts, (40, 30), [(0, 2, 6, 1.0), (1, 12, 6, 1.0)], [(0, 6, 2, 12, 1.0)])
    poses = decode_simple_pose(*maps, stride=1, parts=parts)
    assert poses.keypoints[0, 2].tolist() == [7, 6]
    assert poses.keypoint_scores[0, 2] == poses.keypoint_probabilities[0, 2] == 0
    assert poses.boxes.tolist() == [[2, 6, 12, 6]]
    poses = decode_simple_pose(*maps, stride=1, parts=parts, options=SimplePoseOptions.original(position="cell"))
    assert poses.keypoints[0, 2].tolist() == [0, 0]


def test_people_have_the_keypoints_that_are_asked_for():
    parts = BodyParts(skeleton=TWO.skeleton, person=skeleton(3), keypoints=(1, 0, 1))
    maps = maps_of(TWO, (40, 20), [(0, 4, 5, 0.5), (1, 14, 5, 0.75)], [(0, 5, 4, 14, 1.0)])
    assert decode_simple_pose(*maps, stride=1, parts=parts).keypoints[0].tolist() == [[14, 5], [4, 5], [14, 5]]


def test_pixels_of_the_image_from_cells_of_a_padded_input():
    # 24 x 16 input pixels show an image of 48 x 64 pixels: a cell of 4 pixels is 8 pixels high and 16 wide.
    maps = maps_of(TWO, (8, 8), [(0, 1, 2, 1.0), (1, 3, 2, 1.0)], [(0, 2, 0, 7, 1.0)])
    poses = decode_simple_pose(*maps, stride=4, input_size=(24, 16), size=(48, 64), parts=TWO)
    assert poses.keypoints.tolist() == [[[1.5 * 16 - 0.5, 2.5 * 8 - 0.5], [3.5 * 16 - 0.5, 2.5 * 8 - 0.5]]]
