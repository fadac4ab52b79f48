"""The rules of the originals: equal to what the original programs made of the same maps, number for number."""

import numpy as np
import pytest
from pose_maps import FIXED, golden, original, planes

from personlab import BodyParts, SimplePoseOptions, decode_simple_pose
from personlab.methods.simple_pose.backends import reference
from personlab.methods.simple_pose.grid import MapGrid
from personlab.methods.simple_pose.parts import BODY, BODY_A, COCO_PARTS
from personlab.methods.simple_pose.stages import decode_steps

CASES = (
    "01_single", "02_two", "03_picture", "04_crowd_picture", "05_crowd_overlap", "06_dense_noise", "07_false_limbs",
    "08_broken_bodies", "09_other_params", "10_long_thin", "11_ties_edges", "12_empty", "13_weak",
)  # fmt: skip
PART_A = ("01_single", "02_two", "03_picture", "05_crowd_overlap", "07_false_limbs", "08_broken_bodies", "10_long_thin")
PREDICT = ("predict_1_one_scale", "predict_2_three_scales", "predict_3_five_scales")
VARIANTS = {"orig": {}, "fixed": FIXED}


def assert_steps(steps, expected, prefix, tolerance):
    """Peaks, connections and bodies in the layout of the golden files."""
    peaks, n = steps.peaks, len(steps.peaks.scores)
    parts = [peaks.keypoints[:, None], peaks.positions, peaks.scores[:, None], np.arange(n)[:, None]]
    rows = np.array([one[:7] for one in steps.connections]).reshape(-1, 7)
    subset = np.full((len(steps.bodies), 20, 2), -1.0)
    for row, body in zip(subset, steps.bodies, strict=True):
        for k, held in body.slots.items():
            row[k] = held
        row[18, 0] = body.total
        row[19] = body.count, body.longest
    for name, actual in (("peaks", np.concatenate(parts, 1)), ("connections", rows), ("subset", subset)):
        wanted = expected[f"{prefix}{name}"]
        assert actual.shape == wanted.shape, name
        np.testing.assert_allclose(actual, wanted, rtol=0, atol=tolerance, err_msg=name)


def people_in_order(steps, poses):
    """Which of `poses`, best first, each body became."""
    totals = np.array([1 - 1 / body.total for body in steps.bodies])
    order = np.argsort(-totals, kind="stable")
    assert len(poses) == len(order)
    return np.argsort(order, kind="stable")


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", CASES)
def test_decode(data, host_backend, name, variant):
    file = golden(data, f"decode_{name}.npz")
    heat, limbs = planes(file["heat"]), planes(file["limb"])
    options = original(golden(data, "decode_params.json")[f"decode_{name}"]["params"], **VARIANTS[variant])
    steps = decode_steps(heat, limbs, stride=1, options=options, backend=host_backend)
    np.testing.assert_array_equal(
        np.concatenate([steps.peaks.keypoints[:, None], steps.peaks.anchors], 1), file["anchors"]
    )
    assert_steps(steps, file, f"{variant}_", 1e-9)
    special = [e for e, ends in enumerate(BODY.edges) if not all((steps.peaks.keypoints == k).any() for k in ends)]
    if len(steps.peaks.scores):
        assert special == file[f"{variant}_special"].tolist()


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", CASES)
def test_people(data, name, variant):
    file = golden(data, f"decode_{name}.npz")
    heat, limbs = planes(file["heat"]), planes(file["limb"])
    options = original(golden(data, "decode_params.json")[f"decode_{name}"]["params"], **VARIANTS[variant])
    steps = decode_steps(heat, limbs, stride=1, options=options, backend="reference")
    grid = MapGrid.of(heat, "heat", 1)
    keypoints, scores, _, totals = reference.people_of(steps, grid=grid, parts=COCO_PARTS, options=options)
    poses = decode_simple_pose(heat, limbs, stride=1, options=options)
    order = people_in_order(steps, poses)
    expected = file[f"{variant}_keypoints"], file[f"{variant}_scores"]
    np.testing.assert_allclose(keypoints[order], expected[0], rtol=0, atol=1e-9)
    np.testing.assert_allclose(totals[order], expected[1], rtol=0, atol=1e-9)
    np.testing.assert_allclose(poses.keypoints[order], expected[0], rtol=0, atol=1e-4)
    np.testing.assert_allclose(poses.scores[order], expected[1], rtol=0, atol=1e-5)
    np.testing.assert_array_equal(scores[order] > 0, (expected[0] > 0).any(2))
    np.testing.assert_array_equal(poses.keypoint_scores, scores)


@pytest.mark.parametrize("name", PART_A)
def test_part_a(data, host_backend, name):
    file = golden(data, f"decode_{name}.npz")
    limbs = planes(file["limb"])[[*range(21), 29, 27, 28]]
    steps = decode_steps(
        planes(file["heat"]), limbs, stride=1, parts=BodyParts.of(BODY_A), options=SimplePoseOptions.original("A"),
        backend=host_backend,
    )  # fmt: skip
    assert_steps(steps, golden(data, "parta_decode.npz"), f"{name}_", 1e-9)


def network_maps(data, name):
    """Keypoint maps, limb maps and grids of each scale: the mean of an image and its mirror image."""
    case, file = golden(data, "predict_params.json")[name], golden(data, f"{name}.npz")
    size = case["image_height"], case["image_width"]
    number = {frozenset(limb): e for e, limb in enumerate(BODY.edges)}
    mirror = [number[frozenset((BODY.flip[a], BODY.flip[b]))] for a, b in BODY.edges]
    heats, limbs, grids = [], [], []
    for q, scale in enumerate(case["scales"]):
        image, mirrored = file[f"net_{q}"].astype(np.float32)
        limbs.append((image[:30] + mirrored[:30][mirror, :, ::-1]) / 2)
        heats.append((image[30:48] + mirrored[30:48][list(BODY.flip), :, ::-1]) / 2)
        factor = scale * case["boxsize"] / size[0]
        grids.append(MapGrid(stride=4, input_size=tuple(round(side * factor) for side in size), size=size))
    return case, file, heats, limbs, grids


# The originals merge maps in float32: these are equal to the precision of that.
@pytest.mark.parametrize("name", PREDICT)
def test_merged_maps(data, name):
    _, file, heats, limbs, grids = network_maps(data, name)
    for prefix, scales, channels in (("heat", heats, 18), ("limb", limbs, 30)):
        mean = sum(reference.enlarge(maps.astype(float), grid) for maps, grid in zip(scales, grids, strict=True))
        mean = mean / len(grids)
        y, x, c = file[f"{prefix}_samples_yxc"].astype(int).T
        own = c < channels  # the person mask and the highest keypoint are not decoded
        np.testing.assert_allclose(mean[c[own], y[own], x[own]], file[f"{prefix}_samples"][own], rtol=0, atol=1e-6)
        sums = file[f"{prefix}_channel_sums"][:channels]
        np.testing.assert_allclose(mean.sum((1, 2)), sums, rtol=0, atol=1e-9 * mean[0].size * 10)
        whole = {"heat": "heat_channel_0", "limb": "limb_channel_9"}[prefix]
        np.testing.assert_allclose(mean[int(whole[-1])], file[whole], rtol=0, atol=1e-6)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", PREDICT)
def test_predict(data, host_backend, name, variant):
    case, file, heats, limbs, grids = network_maps(data, name)
    where = {"stride": 4, "input_size": [grid.input_size for grid in grids], "size": grids[0].size}
    options = original(case["params"], **VARIANTS[variant])
    steps = decode_steps(heats, limbs, **where, options=options, backend=host_backend)
    assert_steps(steps, file, f"{variant}_", 1e-6)
    poses = decode_simple_pose(heats, limbs, **where, options=options)
    order = people_in_order(steps, poses)
    np.testing.assert_allclose(poses.keypoints[order], file[f"{variant}_keypoints"], rtol=0, atol=1e-4)
    np.testing.assert_allclose(poses.scores[order], file[f"{variant}_scores"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", PREDICT)
def test_demo_script(data, host_backend, name):
    case, file, heats, limbs, grids = network_maps(data, name)
    steps = decode_steps(
        heats, limbs, stride=4, input_size=[grid.input_size for grid in grids], size=grids[0].size,
        options=original(case["params"], demo=True), backend=host_backend,
    )  # fmt: skip
    subset = np.full((len(steps.bodies), 20, 2), -1.0)
    for row, body in zip(subset, steps.bodies, strict=True):
        for k, held in body.slots.items():
            row[k] = held
        row[18, 0] = body.total
        row[19] = body.count, body.longest
    np.testing.assert_allclose(subset, file["demo_subset"], rtol=0, atol=1e-6)
