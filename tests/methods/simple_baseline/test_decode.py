"""Decoding heatmaps of people: by hand, the core against the reference, and both against the originals' own."""

from __future__ import annotations

import dataclasses
import json
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import skeleton

from personlab import (
    COCO_PERSON,
    MPII_PERSON,
    POSETRACK_PERSON,
    SimpleBaselineOptions,
    decode_simple_baseline,
)
from personlab.methods.simple_baseline.boxes import crop_affines, map_points
from personlab.methods.simple_baseline.options import CropOptions
from personlab.methods.simple_baseline.stages import find_peaks, rescore_poses, suppress_poses
from personlab.methods.simple_baseline.targets import encode_targets

BACKENDS = ("cpu", "reference")
ONE = skeleton(1, [])
PAIR = skeleton(2, [(0, 1)], flip=(1, 0))
PLAIN = np.array([[[1.0, 0, 0], [0, 1, 0]]])
EARS = list(POSETRACK_PERSON.flip)
EARS[3:5] = 3, 4  # the original exchanges all but the ears
SETS = {
    "coco": COCO_PERSON, "mpii": MPII_PERSON, "posetrack": dataclasses.replace(POSETRACK_PERSON, flip=tuple(EARS)),
}  # fmt: skip


def peak_of(backend, plane, **options):
    """The position and the value of the peak of one map."""
    maps = np.array(plane, np.float32)[None, None]
    places, values = find_peaks(maps, skeleton=ONE, options=SimpleBaselineOptions(**options), backend=backend)
    assert places.dtype == np.float64
    assert values.dtype == np.float32
    return (*places[0, 0].tolist(), float(values[0, 0]))


def gaussian(x, y, size=(9, 12), sigma=2.0):
    i, j = np.mgrid[: size[0], : size[1]]
    return np.exp(-((j - x) ** 2 + (i - y) ** 2) / (2 * sigma**2)).astype(np.float32)


# --- peaks by hand ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_first_of_equal_cells_is_the_peak(backend):
    plane = np.zeros((5, 40))
    plane[3, 37] = plane[3, 2] = plane[4, 1] = 0.5
    assert peak_of(backend, plane, position="cell") == (2, 3, 0.5)
    assert peak_of(backend, -1 - plane, position="cell") == (0, 0, -1)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_quarter_cell_towards_the_higher_neighbour_but_not_at_the_border(backend):
    plane = np.zeros((6, 7))
    plane[2, 2:5] = 0.1, 1, 0.2
    plane[1, 3] = 0.3
    assert peak_of(backend, plane, position="quarter") == (3.25, 1.75, 1)
    plane[1, 3] = 0
    assert peak_of(backend, plane, position="quarter") == (3.25, 2, 1)  # equal ones: nowhere
    for y, x in ((1, 3), (5, 3), (3, 1), (3, 6)):
        plane = np.zeros((6, 7))
        plane[y, x] = 1
        plane[min(y + 1, 5), x] = 0.5
        plane[y, min(x + 1, 6)] = 0.5
        plane[y, x] = 1
        assert peak_of(backend, plane, position="quarter") == (x, y, 1)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "place", [(4.3, 5.2), (0, 0.2), (0.49, 8.4), (11, 3), (11.7, 8.7), (6, 4), (-1.9, 5), (12.9, -1.5)]
)
def test_the_parabola_is_exact_for_a_gaussian_up_to_the_borders(backend, place):
    x, y, value = peak_of(backend, gaussian(*place))
    assert (x, y) == pytest.approx(place, abs=1e-5)
    assert value <= 1
    far = peak_of(backend, gaussian(-3, 20))
    assert far[:2] == pytest.approx((-2, 10), abs=1e-5)  # no further than 2 cells


@pytest.mark.parametrize("backend", BACKENDS)
def test_dark_follows_the_smoothed_map(backend):
    plane = gaussian(10.3, 9.6, size=(20, 24))
    plane[9, 10] *= 1.02  # noise that a parabola of three cells takes for a peak
    plane[10, 10] *= 0.99
    x, y, _ = peak_of(backend, plane, position="dark")
    assert (x, y) == pytest.approx((10.3, 9.6), abs=0.03)
    assert abs(peak_of(backend, plane)[1] - 9.6) > 0.05
    assert peak_of(backend, gaussian(1, 1), position="dark")[:2] == pytest.approx((1, 1), abs=1e-5)  # at the border
    assert peak_of(backend, np.full((9, 9), 0.5), position="dark") == (0, 0, 0.5)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("position", ["parabola", "dark", "quarter", "cell"])
def test_cells_that_are_not_finite_are_no_peaks(backend, position):
    plane = gaussian(5, 4)
    plane[4, 6:9] = np.nan, np.inf, -np.inf
    x, y, value = peak_of(backend, plane, position=position)
    assert abs(x - 5) <= 1
    assert abs(y - 4) <= 1
    assert value == 1
    assert peak_of(backend, np.full((9, 9), np.nan), position=position) == (0, 0, 0)
    assert peak_of(backend, np.full((3, 50), np.inf), position=position) == (0, 0, 0)
    assert peak_of(backend, np.full((9, 9), -np.inf), position=position) == (0, 0, 0)
    for shape in ((1, 1), (1, 5), (2, 2), (5, 1)):
        assert peak_of(backend, np.ones(shape), position=position) == (0, 0, 1)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_pytorch_original_puts_absent_keypoints_into_the_first_cell(backend):
    plane = np.full((5, 7), -1.0)
    plane[2, 3] = 0
    assert peak_of(backend, plane, position="quarter", rules="tensorflow") == (3, 2, 0)
    assert peak_of(backend, plane, position="quarter", rules="pytorch") == (0, 0, 0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_maps_of_the_mirrored_crop_are_turned_back_exchanged_and_moved(backend):
    maps, mirrored = np.zeros((2, 1, 2, 3, 20), np.float32)
    maps[0, 0, 1, 5] = 1
    mirrored[0, 1, 1, 20 - 1 - 4] = 1  # mirrored back it lies at column 4
    for shift, expected in ((1, [5, 1]), (0, [4, 1])):
        options = SimpleBaselineOptions(position="cell", flip_shift=shift)
        places, values = find_peaks(maps, mirrored, skeleton=PAIR, options=options, backend=backend)
        assert places[0, 0].tolist() == expected
        assert values[0].tolist() == ([1, 0] if shift else [0.5, 0])
    mirrored[:] = 0
    mirrored[0, 1, 2, 19] = 3  # column 0 stays, and moves to column 1 as well
    places, values = find_peaks(maps, mirrored, skeleton=PAIR, options=options, backend=backend)
    assert (places[0, 0].tolist(), values[0, 0]) == ([0, 2], 1.5)


# --- poses by hand ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_cells_become_pixels_of_the_image(backend):
    maps = gaussian(5.5, 3.25, size=(8, 12))[None, None]
    affine = np.array([[[2.0, 0, 10], [0, 2, -4]]])  # of an image half as large as its crop
    poses = decode_simple_baseline(maps, affine, skeleton=ONE, backend=backend)
    np.testing.assert_allclose(poses.keypoints, [[[(22 - 10) / 2, (13 + 4) / 2]]], atol=1e-4)
    assert poses.scores[0] == poses.keypoint_scores[0, 0] == poses.keypoint_probabilities[0, 0] == maps.max()
    stretched = decode_simple_baseline(maps, affine, skeleton=ONE, size=(16, 48), backend=backend)
    np.testing.assert_allclose(stretched.keypoints, [[[(22 - 10) / 2, (6.5 + 4) / 2]]], atol=1e-4)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_score_of_a_pose(backend):
    values, boxes = np.array([[0.9, 0.5, 0.2], [0.1, 0.2, 0.0]]), np.array([0.5, 1.0])
    for rescoring, expected in (("confident", [0.35, 0]), ("mean", [1.6 / 3, 0.1]), ("box", [0.5, 1])):
        options = SimpleBaselineOptions(rescoring=rescoring)
        np.testing.assert_allclose(rescore_poses(values, boxes, options=options, backend=backend), expected)


@pytest.mark.parametrize("backend", BACKENDS)
def test_poses_are_best_first_and_all_in_the_order_of_boxes_without_suppression(backend):
    maps = np.stack([0.5 * gaussian(5, 4), 0.8 * gaussian(5.01, 4), 0.7 * gaussian(1, 1)])[:, None]
    affines = np.repeat(PLAIN, 3, axis=0)
    poses = decode_simple_baseline(maps, affines, skeleton=ONE, backend=backend)
    np.testing.assert_allclose(poses.scores, [0.8, 0.7], atol=1e-3)
    scored = decode_simple_baseline(maps, affines, box_scores=np.array([1, 0.5, 1]), skeleton=ONE, backend=backend)
    np.testing.assert_allclose(scored.scores, [0.7, 0.5], atol=1e-3)
    everyone = decode_simple_baseline(
        maps, affines, skeleton=ONE, options=SimpleBaselineOptions(oks_threshold=1.0), backend=backend
    )
    np.testing.assert_allclose(everyone.scores, [0.5, 0.8, 0.7], atol=1e-3)


@pytest.mark.parametrize("backend", BACKENDS)
def test_values_are_probabilities_by_default(backend):
    maps = np.concatenate([gaussian(5, 4) * 300, gaussian(5, 4) - 2])[None].reshape(1, 2, 9, 12)
    poses = decode_simple_baseline(maps, PLAIN, skeleton=PAIR, backend=backend,
                                   options=SimpleBaselineOptions(full_value=255))  # fmt: skip
    np.testing.assert_array_equal(poses.keypoint_scores, [[1, 0]])
    raw = SimpleBaselineOptions.original(full_value=100)
    np.testing.assert_allclose(
        decode_simple_baseline(maps, PLAIN, skeleton=PAIR, backend=backend, options=raw).keypoint_scores, [[3, -0.01]]
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_is_an_answer(backend):
    for shape in ((0, 17, 64, 48), (0, 17, 0, 0)):
        poses = decode_simple_baseline(np.zeros(shape, np.float32), np.zeros((0, 2, 3)), backend=backend)
        assert (poses.keypoints.shape, poses.keypoint_scores.shape, poses.scores.shape) == ((0, 17, 2), (0, 17), (0,))
    for shape in ((2, 17, 0, 5), (2, 17, 5, 0)):
        affines = PLAIN + np.array([[[0, 0, 0], [0, 0, 0]], [[0, 0, 500], [0, 0, 500]]])
        poses = decode_simple_baseline(np.zeros(shape, np.float32), affines, size=(20, 20), backend=backend)
        assert not poses.scores.any()
        assert np.isfinite(poses.keypoints).all()


# --- the core ---------------------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 2**32 - 1), position=st.sampled_from(["parabola", "dark", "quarter", "cell"]))
@settings(max_examples=15, deadline=None)
def test_the_core_equals_the_reference(seed, position):
    rng = np.random.default_rng(seed)
    h, w = rng.integers(1, 40, 2)
    maps = rng.normal(0.2, 0.3, (2, 3, 2, h, w)).astype(rng.choice([np.float16, np.float32]))
    maps[rng.random(maps.shape) < 0.02] = rng.choice([np.nan, np.inf, -np.inf, 0])
    affines = crop_affines(rng.uniform(10, 90, (3, 4)))
    options = SimpleBaselineOptions(
        position=position, flip_shift=int(rng.integers(0, 2)), oks_threshold=float(rng.choice([0.5, 0.9, 1])),
        rules=str(rng.choice(["default", "tensorflow", "pytorch"])), threads=2,
    )  # fmt: skip
    made, expected = (
        find_peaks(maps[0], maps[1], skeleton=PAIR, options=options, backend=backend) for backend in BACKENDS
    )
    np.testing.assert_array_equal(made[1], expected[1])
    np.testing.assert_allclose(made[0], expected[0], rtol=0, atol=1e-9)
    poses, reference = (
        decode_simple_baseline(maps[0], affines, mirrored=maps[1], box_scores=np.array([0.5, 0.7, 0.5]), skeleton=PAIR,
                               options=options, backend=backend)
        for backend in BACKENDS
    )  # fmt: skip
    for name in ("keypoints", "keypoint_scores", "keypoint_probabilities", "scores"):
        np.testing.assert_allclose(getattr(poses, name), getattr(reference, name), rtol=1e-6, atol=1e-6, err_msg=name)


def test_perfect_maps_lead_back_to_the_keypoints():
    rng = np.random.default_rng(0)
    people = rng.uniform(100, 300, (5, 17, 2))
    boxes = np.concatenate([people.min(axis=1), np.ptp(people, axis=1)], axis=1)
    affines = crop_affines(boxes)
    crops = np.concatenate([np.stack(list(map(map_points, people, affines))), np.ones((5, 17, 1))], axis=2)
    targets = encode_targets(crops)
    maps = targets.heatmaps
    assert targets.weights.all()
    options = SimpleBaselineOptions(oks_threshold=1.0)
    poses = decode_simple_baseline(maps, affines, options=options)
    np.testing.assert_allclose(poses.keypoints, people, atol=1e-3)
    dark = decode_simple_baseline(maps, affines, options=SimpleBaselineOptions(oks_threshold=1.0, position="dark"))
    assert np.median(abs(dark.keypoints - people)) < 0.05
    # A mirrored crop whose maps are those of x -> 4 (w - 1) - x needs no shift.
    crops[..., 0] = 4 * 47 - crops[..., 0]
    mirrored = encode_targets(crops[:, list(COCO_PERSON.flip)]).heatmaps
    both = decode_simple_baseline(
        maps, affines, mirrored=mirrored, options=SimpleBaselineOptions(oks_threshold=1.0, flip_shift=0)
    )
    np.testing.assert_allclose(both.keypoints, people, atol=2e-3)


@pytest.mark.torch
def test_any_array_and_any_number_of_threads_give_the_same_bytes():
    import torch

    rng = np.random.default_rng(0)
    maps = rng.random((6, 17, 24, 18)).astype(np.float16).astype(np.float32)
    affines = crop_affines(rng.uniform(10, 90, (6, 4)), options=CropOptions(size=(96, 72)))

    def decode(heat, other, **options):
        poses = decode_simple_baseline(heat, affines, mirrored=other, options=SimpleBaselineOptions(**options))
        return poses.keypoints.tobytes() + poses.keypoint_scores.tobytes() + poses.scores.tobytes()

    for position in ("parabola", "dark"):
        expected = decode(maps, maps, position=position)
        apart = np.repeat(maps, 2, axis=3)[..., ::2]
        for heat in (maps.astype(np.float16), torch.from_numpy(maps), torch.from_numpy(maps).half(), apart):
            for threads in (1, 2, 5):
                assert decode(heat, maps, position=position, threads=threads) == expected
    narrow = torch.from_numpy(maps).bfloat16()
    assert decode(narrow, narrow) == decode(narrow.float(), narrow.float())


# --- faults -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"heatmaps": np.zeros((1, 2, 3, 4))}, TypeError, "heatmaps: expected float32, float16 or bfloat16, got fl"),
        ({"heatmaps": np.zeros((2, 3, 4), np.float32)}, ValueError, r"heatmaps: expected shape \(N, K, h, w\) with"),
        ({"heatmaps": np.zeros((1, 3, 3, 4), np.float32)}, ValueError, r"heatmaps: expected shape \(N, K, h, w\)"),
        ({"heatmaps": [[1.0]]}, TypeError, "heatmaps: expected an array or tensor, got list"),
        ({"mirrored": np.zeros((1, 2, 3, 5), np.float32)}, ValueError, r"mirrored: expected shape \(N, K, h, w\)"),
        ({"affines": np.zeros((2, 2, 3))}, ValueError, r"affines: expected shape \(N, 2, 3\) = \(1, 2, 3\)"),
        ({"affines": PLAIN * 0}, ValueError, r"affines\[0\]: expected a finite map with an inverse"),
        ({"box_scores": np.array([1, 2])}, ValueError, r"box_scores: expected shape \(N,\) = \(1\), got \(2,\)"),
        ({"box_scores": np.array([np.nan])}, ValueError, "box_scores: expected finite numbers, got NaN"),
        ({"size": 5}, TypeError, r"size: expected \(H, W\), got 5"),
        ({"skeleton": None}, TypeError, "skeleton: expected Skeleton, got NoneType"),
        ({"options": {}}, TypeError, "options: expected SimpleBaselineOptions, got dict"),
        ({"backend": "cuda"}, ValueError, "backend: expected one of cpu, reference, got 'cuda'"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_named(arguments, error, message):
    right = {"heatmaps": np.zeros((1, 2, 3, 4), np.float32), "affines": PLAIN, "skeleton": PAIR}
    with pytest.raises(error, match=message):
        decode_simple_baseline(**{**right, **arguments})


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"position": "mean"}, ValueError, "position: expected one of parabola, dark, quarter, cell, got 'mean'"),
        ({"rescoring": "sum"}, ValueError, "rescoring: expected one of confident, mean, box, got 'sum'"),
        ({"rules": "ms"}, ValueError, "rules: expected one of default, tensorflow, pytorch, got 'ms'"),
        ({"oks_threshold": 1.1}, ValueError, "oks_threshold: expected a finite number >= 0 and <= 1, got 1.1"),
        ({"flip_shift": 2}, ValueError, "flip_shift: expected an integer from 0 to 1, got 2"),
        ({"full_value": "1"}, TypeError, "full_value: expected a number, got '1'"),
        ({"blur": 0}, ValueError, "blur: expected a finite number >= 0.1"),
        ({"threads": 0}, ValueError, "threads: expected an integer from 1"),
        ({"nms": 0.5}, TypeError, "nms"),
    ],
)
def test_wrong_options_are_named(changes, error, message):
    with pytest.raises(error, match=message):
        SimpleBaselineOptions(**changes)


def test_options_pickle_without_the_core_s_copy():
    options = SimpleBaselineOptions.original("pytorch", data_set="mpii", threads=2)
    assert options.native is options.native
    assert pickle.loads(pickle.dumps(options)) == options
    assert (options.full_value, options.oks_threshold, options.rescoring, options.threads) == (1, 1, "box", 2)
    with pytest.raises(ValueError, match="part: expected tensorflow or pytorch, got 'caffe'"):
        SimpleBaselineOptions.original("caffe")
    with pytest.raises(ValueError, match="data_set: expected one of coco, mpii, posetrack, got 'crowdpose'"):
        SimpleBaselineOptions.original(data_set="crowdpose")


# --- golden -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", SETS)
def test_golden_decoding(data, backend, name):
    arrays = np.load(data / "top_down" / f"decode_{name}.npz")
    case = json.loads((data / "top_down" / f"decode_{name}.json").read_text())
    maps, mirrored = (
        np.ascontiguousarray(arrays[one].transpose(0, 3, 1, 2)) for one in ("heatmaps_f16", "flipped_heatmaps_f16")
    )
    options = SimpleBaselineOptions.original(
        "tensorflow", data_set=name, keypoint_threshold=case["score_thr"],
        **({} if name == "mpii" else {"oks_threshold": case["oks_nms_thr"]}),
    )  # fmt: skip
    rows, first = [], 0
    for image_id in dict.fromkeys(one["image_id"] for one in case["detections"]):
        people = [one for one in case["detections"] if one["image_id"] == image_id]
        own = slice(first, first + len(people))
        first += len(people)
        affines = crop_affines(np.array([one["bbox"] for one in people]), options=CropOptions.original())
        poses = decode_simple_baseline(
            maps[own], affines, mirrored=mirrored[own], box_scores=np.array([one["score"] for one in people]),
            skeleton=SETS[name], options=options, backend=backend,
        )  # fmt: skip
        rows += [(image_id, pose) for pose in poses]
    assert first == len(maps)
    assert len(rows) == len(case["results"])
    for (image_id, pose), expected in zip(rows, case["results"], strict=True):
        assert image_id == expected["image_id"]
        points = np.array(expected["keypoints"]).reshape(-1, 3)[:, :2]
        np.testing.assert_allclose(pose.keypoints[0], points, rtol=0, atol=6e-4)  # written to three places
        if name == "coco":
            np.testing.assert_allclose(pose.scores[0], expected["score"], rtol=0, atol=6e-5)
        else:
            np.testing.assert_allclose(pose.keypoint_scores[0], expected["scores"], rtol=0, atol=6e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_golden_decoding_of_the_pytorch_original(data, backend):
    file = np.load(data / "top_down" / "ms_topdown.npz")
    options = SimpleBaselineOptions.original("pytorch", oks_threshold=1.0)
    maps, mirrored = file["ms_heatmaps_f16"], file["ms_flipped_f16"]
    boxes = np.concatenate([file["ms_center"], 200 * file["ms_scale_200px"]], axis=1).astype(np.float64)
    affines = crop_affines(
        np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, 2:]], axis=1), options=CropOptions(padding=1.0)
    )
    poses = decode_simple_baseline(maps, affines, mirrored=mirrored, options=options, backend=backend)
    np.testing.assert_allclose(poses.keypoint_scores, file["ms_maxvals"][..., 0], rtol=0, atol=1e-6)
    np.testing.assert_allclose(poses.keypoints, file["ms_preds"], rtol=0, atol=1e-4)
    cells, _ = find_peaks(
        maps, mirrored, options=SimpleBaselineOptions.original("pytorch", position="cell"), backend=backend
    )
    np.testing.assert_array_equal(cells, file["ms_argmax"])


@pytest.mark.parametrize("backend", BACKENDS)
def test_golden_rescoring_of_the_pytorch_original(data, backend):
    file = np.load(data / "top_down" / "ms_topdown.npz")
    poses, boxes, images = (file[f"ms_eval_{one}"] for one in ("preds", "boxes", "image_ids"))
    scores = rescore_poses(
        poses[..., 2], boxes[:, 5], options=SimpleBaselineOptions.original("pytorch"), backend=backend
    )
    chosen = []
    for image in np.unique(images):
        own = np.flatnonzero(images == image)
        chosen += own[suppress_poses(poses[own], scores[own], boxes[own, 4], original=True, backend=backend)].tolist()
    np.testing.assert_array_equal(images[chosen], file["ms_eval_out_image"])
    np.testing.assert_allclose(scores[chosen], file["ms_eval_out_score"], rtol=0, atol=1e-7)
    np.testing.assert_array_equal(poses[chosen], file["ms_eval_out_keypoints"])


@pytest.mark.parametrize("width", [1, 2, 5, 15, 16, 17, 18, 31, 33, 48])
def test_mirrored_maps_of_any_width_are_merged_as_by_the_reference(width):
    rng = np.random.default_rng(width)
    for shift, kind in ((0, np.float32), (1, np.float32), (1, np.float16)):
        maps, mirrored = rng.normal(0, 1, (2, 2, 17, 5, width)).astype(kind)
        options = SimpleBaselineOptions(flip_shift=shift, position="cell")
        own, expected = (find_peaks(maps, mirrored, options=options, backend=one) for one in ("cpu", "reference"))
        np.testing.assert_array_equal(own[0], expected[0])
        np.testing.assert_allclose(own[1], expected[1], rtol=1e-6)


@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_the_first_of_equal_cells_is_the_peak_of_maps_of_any_size(kind):
    rng = np.random.default_rng(3)
    options = SimpleBaselineOptions(position="cell")
    for levels in (1, 3, 200):  # all equal; many of the highest; few
        for height, width in ((1, 1), (3, 5), (16, 16), (15, 17), (32, 48), (64, 48), (96, 71)):
            maps = (rng.integers(0, levels, (2, 17, height, width)) - 1).astype(kind)
            maps[1][rng.random(maps[1].shape) < 0.5] = rng.choice([np.nan, np.inf, -np.inf])
            (at, values) = find_peaks(maps, options=options)
            finite = np.where(np.isfinite(maps), maps, -np.inf).reshape(2, 17, -1).astype(np.float32)
            cells, some = finite.argmax(axis=2), np.isfinite(finite).any(axis=2)
            np.testing.assert_array_equal(values, np.where(some, finite.max(axis=2), 0))
            np.testing.assert_array_equal(at[..., 0], np.where(some, cells % width, 0))
            np.testing.assert_array_equal(at[..., 1], np.where(some, cells // width, 0))
