"""What the single stages say of arguments that do not fit."""

import numpy as np
import pytest
from scenes import PAIR, decode_options, mask_options, random_fields

from personlab import Poses, stages

FIELDS = random_fields(41, PAIR, 4, 6, 8)


def group(peaks, **changes):
    return stages.group_poses(
        peaks, FIELDS.heatmaps, FIELDS.short_offsets, FIELDS.mid_offsets, **{"stride": 8, "skeleton": PAIR, **changes}
    )


def peaks(keypoints=(0,), positions=((1, 2),), scores=(1,), kind=np.float32):
    return np.array(keypoints, np.int32), np.array(positions, kind), np.array(scores, kind)


@pytest.mark.parametrize("name", ["gpu", "", 3])
def test_an_unknown_backend_is_named(name):
    with pytest.raises(ValueError, match=r"backend: expected one of cpu, cuda, reference"):
        stages.hough_vote(FIELDS.heatmaps, FIELDS.short_offsets, stride=8, backend=name)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (peaks(keypoints=(2,)), ValueError, "peaks.keypoints: expected 0..1, got 2"),
        (peaks(keypoints=(-1,)), ValueError, "peaks.keypoints: expected 0..1, got -1"),
        (peaks(positions=((np.nan, 0),)), ValueError, "peaks: expected finite"),
        (peaks(scores=(np.inf,)), ValueError, "peaks: expected finite"),
        (peaks(scores=(1, 2)), ValueError, r"scores: expected .*\(1\), got \(2,\)"),
        (peaks(positions=(1, 2)), ValueError, r"positions: expected .*\(1, 2\), got \(2,\)"),
        ((np.zeros(1), *peaks()[1:]), TypeError, "keypoints: expected integers, got float64"),
        (([0], [[1, 2]], [1]), TypeError, "keypoints: expected an array or tensor, got list"),
        (peaks(positions=((1e300, 0),), kind=np.float64), ValueError, "peaks: expected finite"),
        (peaks()[:2], TypeError, r"peaks: expected Peaks or a tuple \(keypoints, positions, scores\), got 2 items"),
        (None, TypeError, "peaks: expected Peaks or a tuple .*, got NoneType"),
    ],
)
def test_wrong_peaks_are_named(host_backend, wrong, error, message):
    with pytest.raises(error, match=message):
        group(wrong, backend=host_backend)


@pytest.mark.parametrize("shape", [(0, 6), (4, 0)])
def test_peaks_where_there_are_no_cells_are_named(host_backend, shape):
    arrays = (np.zeros((2, *axes, *shape), np.float32) for axes in ((), (2,), (2,)))
    with pytest.raises(ValueError, match=r"peaks: expected none on a grid of shape .*, got 1"):
        stages.group_poses(peaks(), *arrays, stride=8, skeleton=PAIR, backend=host_backend)


@pytest.mark.parametrize(
    ("keypoints", "probabilities", "hough", "message"),
    [
        ((1, 3, 2), (1, 3), (2, 4, 5), r"groups.keypoints: expected .*, got \(1, 3, 2\)"),
        ((1, 2, 2), (2, 2), (2, 4, 5), r"groups.probabilities: expected .*\(1, 2\), got \(2, 2\)"),
        ((1, 2, 2), (1, 2), (3, 4, 5), r"hough: expected .*, got \(3, 4, 5\)"),
        ((1, 2, 2), (1, 2), (4, 5), r"hough: expected .*, got \(4, 5\)"),
    ],
)
def test_wrong_groups_are_named(host_backend, keypoints, probabilities, hough, message):
    groups = np.zeros(keypoints, np.float32), np.zeros(probabilities, np.float32)
    with pytest.raises(ValueError, match=message):
        stages.score_poses(groups, np.zeros(hough, np.float32), skeleton=PAIR, backend=host_backend)


def test_groups_that_are_not_finite_are_refused(host_backend):
    groups = np.full((1, 2, 2), np.nan, np.float32), np.zeros((1, 2), np.float32)
    with pytest.raises(ValueError, match="groups: expected finite"):
        stages.score_poses(groups, np.zeros((2, 4, 5), np.float32), skeleton=PAIR, backend=host_backend)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"channels": [0]}, ValueError, "channels: expected 2 entries, .* got 1"),
        ({"channels": [0, 2]}, ValueError, "channels: expected an integer from 0 to 1, got 2"),
        ({"channels": [0, 0.5]}, TypeError, "channels: expected an integer, got 0.5"),
        ({"by": np.zeros((2, 2, 6, 4), np.float32)}, ValueError, r"by: expected .*, got \(2, 2, 6, 4\)"),
        ({"steps": -1}, ValueError, "steps: expected .*, got -1"),
        ({"steps": 1.5}, TypeError, "steps: expected an integer, got 1.5"),
        ({"threads": 0}, ValueError, "threads: expected .*, got 0"),
        ({"stride": 0}, ValueError, "stride: expected .*, got 0"),
    ],
)
def test_wrong_arguments_of_refinement_are_named(host_backend, changes, error, message):
    arguments = {"by": FIELDS.short_offsets, "channels": [1, 0], "stride": 8, "backend": host_backend, **changes}
    with pytest.raises(error, match=message):
        stages.refine_offsets(FIELDS.mid_offsets, arguments.pop("by"), arguments.pop("channels"), **arguments)


def test_wrong_options_are_named(host_backend):
    hough = np.zeros((2, 4, 5), np.float32)
    groups = np.zeros((1, 2, 2), np.float32), np.zeros((1, 2), np.float32)
    for call in (
        lambda options: stages.hough_vote(
            FIELDS.heatmaps, FIELDS.short_offsets, stride=8, options=options, backend=host_backend
        ),
        lambda options: stages.find_peaks(hough, options=options, backend=host_backend),
        lambda options: group(peaks(), options=options, backend=host_backend),
        lambda options: stages.score_poses(groups, hough, skeleton=PAIR, options=options, backend=host_backend),
        lambda options: stages.sharpen_keypoints(groups[0], hough, options=options, backend=host_backend),
    ):
        call(decode_options())
        with pytest.raises(TypeError, match="options: expected DecodeOptions, got dict"):
            call({"hough_stride": 2})
        with pytest.raises(TypeError, match="options: expected DecodeOptions, got MaskOptions"):
            call(mask_options())


POSES = Poses(np.zeros((1, 2, 2), np.float32), np.ones((1, 2), np.float32), np.ones(1, np.float32))


def associate(backend, **changes):
    arguments = {"poses": POSES, "stride": 8, "size": (9, 7), "backend": backend, **changes}
    return stages.associate_pixels(
        arguments.pop("poses"), FIELDS.segmentation, FIELDS.long_offsets, FIELDS.short_offsets, **arguments
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"options": None}, "options: expected MaskOptions, got NoneType"),
        ({"options": decode_options()}, "options: expected MaskOptions, got DecodeOptions"),
        ({"poses": [POSES]}, "poses: expected Poses, got list"),
    ],
)
def test_wrong_arguments_of_masks_are_named(host_backend, changes, message):
    assert associate(host_backend).shape == (1, 9, 7)
    with pytest.raises(TypeError, match=message):
        associate(host_backend, **changes)


@pytest.mark.parametrize("wrong", [None, "coco"])
def test_a_wrong_skeleton_is_named(host_backend, wrong):
    message = f"skeleton: expected Skeleton, got {type(wrong).__name__}"
    groups = np.zeros((1, 2, 2), np.float32), np.zeros((1, 2), np.float32)
    with pytest.raises(TypeError, match=message):
        group(peaks(), skeleton=wrong, backend=host_backend)
    with pytest.raises(TypeError, match=message):
        stages.score_poses(groups, np.zeros((2, 4, 5), np.float32), skeleton=wrong, backend=host_backend)
    with pytest.raises(TypeError, match=message):
        stages.encode_targets(np.zeros((0, 2, 3)), None, size=(9, 9), stride=8, skeleton=wrong, backend=host_backend)


# 2^20 input pixels each way are the most: 257 cells of stride 4096 reach one further, 256 do not.
WIDE, TALL = (1, 257), (257, 1)


@pytest.mark.parametrize("shape", [WIDE, TALL], ids=str)
def test_a_grid_over_too_many_pixels_is_named(host_backend, shape):
    def cells(*axes):
        return np.zeros((*axes, *shape), np.float32)

    end = rf": expected a grid over at most 1048576 input pixels each way, got {shape[0]} x {shape[1]} cells of stride"
    with pytest.raises(ValueError, match=f"heatmaps{end} 4096"):
        stages.hough_vote(cells(2), cells(2, 2), stride=4096, backend=host_backend)
    with pytest.raises(ValueError, match=f"heatmaps{end} 4096"):
        stages.group_poses(
            peaks(), cells(2), cells(2, 2), cells(2, 2), stride=4096, skeleton=PAIR, backend=host_backend
        )  # fmt: skip
    with pytest.raises(ValueError, match=f"segmentation{end} 4096"):
        stages.associate_pixels(POSES, cells(1), cells(2, 2), stride=4096, size=(2, 3), backend=host_backend)
    with pytest.raises(ValueError, match=f"offsets{end} 4096"):
        stages.refine_offsets(cells(1, 2), cells(1, 2), [0], stride=4096, backend=host_backend)
    assert stages.refine_offsets(cells(1, 2), cells(1, 2), [0], stride=4095, backend=host_backend).shape == (
        1,
        2,
        *shape,
    )


def test_a_lattice_of_too_many_points_is_named(host_backend):
    # 9 x 9 cells of stride 4096 lie over 32769 x 32769 pixels: 2^30 points and some for g = 1.
    with pytest.raises(ValueError, match=r"hough_stride: expected at most 1073741824 lattice points .*, got 1"):
        stages.hough_vote(
            np.zeros((1, 9, 9), np.float32), np.zeros((1, 2, 9, 9), np.float32),
            stride=4096, options=decode_options(hough_stride=1), backend=host_backend,
        )  # fmt: skip


def test_backends_can_be_mixed_stage_by_stage():
    # What the reference gives is float64.
    options, arrays = decode_options(hough_stride=2), (FIELDS.heatmaps, FIELDS.short_offsets)
    hough, exact = (stages.hough_vote(*arrays, stride=8, options=options, backend=b) for b in ("cpu", "reference"))
    assert exact.dtype == np.float64
    found = stages.find_peaks(exact, options=options)
    assert found.scores.dtype == np.float32
    assert len(found.scores) > 3
    given = stages.find_peaks(exact, options=options, backend="reference")
    groups = group(given, options=options)
    np.testing.assert_allclose(groups.keypoints, group(found, options=options).keypoints, rtol=0, atol=1e-4)
    grown = group(found, options=options, backend="reference")
    for one, other in ((grown, exact), (groups, exact), (grown, hough)):
        ranked = stages.score_poses(one, other, skeleton=PAIR, options=options)
        assert ranked.scores.dtype == np.float32
        expected = stages.score_poses(groups, hough, skeleton=PAIR, options=options, backend="reference")
        np.testing.assert_allclose(ranked.scores, expected.scores, rtol=0, atol=1e-5)


def test_what_is_no_number_is_named(host_backend):
    groups = np.zeros((1, 2, 2), bool), np.zeros((1, 2), np.float32)
    hough = np.zeros((2, 4, 5), np.float32)
    with pytest.raises(TypeError, match="hough: expected numbers, got object"):
        stages.find_peaks(hough.astype(object), backend=host_backend)
    with pytest.raises(TypeError, match=r"groups\.keypoints: expected numbers, got bool"):
        stages.score_poses(groups, hough, skeleton=PAIR, backend=host_backend)
    with pytest.raises(TypeError, match=r"peaks\.scores: expected numbers, got <U1"):
        group((*peaks()[:2], np.array(["a"])), backend=host_backend)
