"""The commands that reach Simple Pose by its record: demo, decode, bench and the ceiling."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from personlab import Poses, SimplePoseOptions, decode_simple_pose, visualize  # noqa: E402
from personlab.cli import main  # noqa: E402
from personlab.data.coco import People, make_annotations  # noqa: E402
from personlab.data.synthetic import make_scene  # noqa: E402
from personlab.methods import get_method  # noqa: E402
from personlab.methods.simple_pose.bench import crowd, time_decoding  # noqa: E402
from personlab.methods.simple_pose.ceiling import perfect_fields  # noqa: E402
from personlab.methods.simple_pose.config import SimplePoseConfig  # noqa: E402
from personlab.methods.simple_pose.network import SimplePose  # noqa: E402
from personlab.methods.simple_pose.published import PUBLISHED  # noqa: E402
from personlab.metrics.coco import average_precision  # noqa: E402
from personlab.metrics.oks import match_people  # noqa: E402
from personlab.predict.ceiling import evaluate_ceiling  # noqa: E402
from personlab.weights import save_model  # noqa: E402

pytestmark = pytest.mark.torch
METHOD = get_method("simple_pose")
SIZE = (192, 256)


@pytest.fixture(scope="module")
def scene():
    return make_scene(3, size=SIZE, people=2)


@pytest.fixture
def maps(tmp_path, monkeypatch, scene):
    """A working folder with maps.npz of a perfect network, and image.png."""
    monkeypatch.chdir(tmp_path)
    perfect_fields(scene.keypoints, size=SIZE, input_size=(384, 512), stride=4).save("maps.npz")
    visualize.write_image("image.png", scene.image)
    return tmp_path


@pytest.fixture
def run(capfd):
    def call(*argv):
        capfd.readouterr()
        code = main([argv[0], "--method", "simple_pose", *map(str, argv[1:])])
        return code, *capfd.readouterr()

    return call


@pytest.fixture
def lacking(monkeypatch):
    """The method without what its record need not have."""
    bare = replace(METHOD, demo=None, bench=None, ceiling=None, load=None, canvas=None)
    monkeypatch.setattr("personlab.methods.simple_pose.method.METHOD", bare)


# --- demo -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def random_network(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("network") / "stand-in.safetensors"
    save_model(SimplePose(SimplePoseConfig(width=0.5)), path)
    return path


@pytest.fixture
def stand_in(random_network, monkeypatch):
    """A network of random weights in place of the one of the package."""
    monkeypatch.setitem(PUBLISHED.shipped, METHOD.demo.weights, random_network)
    monkeypatch.setenv("PERSONLAB_CACHE", str(random_network.parent))  # exported once


@pytest.mark.usefixtures("stand_in")
def test_the_demo_runs_the_methods_own_network(run, maps):
    code, out, err = run("demo", "--people", 2, "--fields", "gallery", "--output", "demo.png", "--threads", 2)
    assert code == 0, err
    assert re.match(r"\d of 2 people found by \d+ poses", out)
    table = out.split("\n\n")[1].splitlines()[1:]
    assert [line.split()[0] for line in table] == ["network", "decode_simple_pose"]  # it has no masks
    height, width = METHOD.demo.size
    assert visualize.read_image("demo.png").shape == (height, 2 * width, 3)
    assert (maps / "gallery" / "order.png").is_file()


@pytest.mark.usefixtures("maps")
def test_the_demo_of_a_network_that_knows_the_scene(run, monkeypatch, stand_in):
    """The same way through the record, with maps of a perfect network."""
    del stand_in
    scene = make_scene(5, size=METHOD.demo.size, people=5)
    true = perfect_fields(scene.keypoints, size=METHOD.demo.size, input_size=METHOD.demo.size, stride=8)

    def merge(outputs, ways, setup, to_host):
        list(outputs)
        return [true]

    monkeypatch.setattr("personlab.methods.simple_pose.method.METHOD", replace(METHOD, merge=merge))
    code, out, err = run("demo")
    assert code == 0, err
    assert re.match(r"5 of 5 people found by 5 poses, mean keypoint error \d\.\d\d px\n", out)


# --- decode -----------------------------------------------------------------------------------------------------------


def test_a_file_of_maps_is_decoded(run, maps, scene):
    code, out, err = run(
        "decode", "maps.npz", "--image", "image.png", "--output", "out.png", "--json", "r.json", "--fields", "gallery"
    )
    assert code == 0, err
    assert out.startswith("2 people in 256 x 192 pixels\n")
    assert "decode_simple_pose" in out
    results = json.loads((maps / "r.json").read_text())
    keypoints = np.array([one["keypoints"] for one in results], np.float32).reshape(2, 17, 3)
    poses = Poses(keypoints[..., :2], np.ones((2, 17), np.float32), np.ones(2, np.float32))
    matched, error = match_people(poses, scene.keypoints)
    assert matched == 2
    assert error < 0.5
    assert visualize.read_image("out.png").shape == scene.image.shape
    names = {path.stem for path in (maps / "gallery").iterdir()}
    assert {"order", "bodies", "body_1", "keypoint_neck", "limb_neck_nose", "people", "contact_sheet"} <= names
    assert run("decode", "maps.npz", "--output", "plain.png")[0] == 0  # on a stand-in for the image
    assert visualize.read_image("plain.png").shape == scene.image.shape


@pytest.mark.usefixtures("maps")
def test_flags_and_presets_are_the_options(run):
    fields = METHOD.load("maps.npz", False)
    arrays, where = fields.arguments
    for flags, options in (
        ([], SimplePoseOptions()),
        (["--decode.position", "cell", "--decode.min_score", "0.1"], SimplePoseOptions(position="cell", min_score=0.1)),
        (["--preset", "original"], SimplePoseOptions.original()),
        (["--preset", "original_demo"], SimplePoseOptions.original(demo=True)),
        (["--preset", "original_a", "--decode.position", "cell"], SimplePoseOptions.original("A", position="cell")),
    ):
        code, out, err = run("decode", "maps.npz", *flags, "--json", "-")
        assert code == 0, err
        expected = decode_simple_pose(*arrays, **where, options=options).to_coco(0)
        assert json.loads(out) == json.loads(json.dumps(expected)), flags


@pytest.mark.usefixtures("maps")
@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["--masks"], 2, "--masks: has no effect on a network of simple_pose"),
        (["--posenet"], 2, "--posenet: has no effect on a network of simple_pose"),
        (["--decode.hough_stride", "2"], 2, "--decode.hough_stride: has no effect on a network of simple_pose"),
        (["--decode.disk_radius", "2"], 2, "--decode.disk_radius: has no effect on a network of simple_pose"),
        (["--mask.exclusive", "true"], 2, "--mask.exclusive: has no effect on a network of simple_pose"),
        (["--decode.min_support", "3"], 2, "min_support: expected a finite number >= 0 and <= 1, got 3.0"),
        (["--preset", "original", "--posenet"], 2, "--preset: has no effect"),
        (["--output", "maps.npz"], 2, "--output: maps.npz is the file of FIELDS, too"),
        (["--method", "personlab"], 1, "maps.npz: expected an array 'heatmaps', got keypoints, limbs, stride"),
        (["--method", "personlab", "--preset", "original"], 2, "--preset: has no effect on a network of personlab"),
        (["--method", "personlab", "--decode.limb_threshold", "0.1"], 2, "--decode.limb_threshold: has no effect on"),
        (["--image", "large.png"], 1, "large.png: expected the image of (256, 192) pixels in maps.npz, got (20, 10)"),
    ],
)
def test_what_does_not_fit_is_one_line(run, argv, code, message):
    visualize.write_image("large.png", np.zeros((10, 20, 3), np.uint8))
    assert_refused(run("decode", "maps.npz", *argv), code, message)


def assert_refused(done, code, message):
    got, out, err = done
    assert (got, out) == (code, "")
    line = err.splitlines()[-1]  # after the note that a network is exported
    assert re.fullmatch(r"personlab: error: [^\n]+", line)
    assert message in line


def test_maps_of_other_keypoints_are_refused(run, maps):
    with np.load("maps.npz") as content:
        arrays = dict(content)
    np.savez("other.npz", **{**arrays, "keypoints": arrays["keypoints"][:17]})
    assert_refused(run("decode", "other.npz"), 1, "other.npz: keypoint_maps: expected shape (K, h, w)")


# --- bench ------------------------------------------------------------------------------------------------------------


def test_times_are_of_what_was_decoded():
    fields = crowd(3, size=SIZE)
    timing = time_decoding(fields, options=SimplePoseOptions(), rounds=3)
    assert timing.people == 3
    assert timing.connections >= 3 * 17
    assert timing.peaks >= 3 * 17
    assert timing.call > timing.scan > 0
    assert timing.floor > 0
    with pytest.raises(ValueError, match="rounds: expected an integer from 1"):
        time_decoding(fields, options=SimplePoseOptions(), rounds=0)


@pytest.mark.usefixtures("maps")
def test_a_row_for_each_file_and_crowd(run):
    flags = ("--people", 0, 2, "--size", 192, 256, "--rounds", 2, "--decode.threads", 2)
    code, out, err = run("bench", "maps.npz", *flags)
    assert code == 0, err
    head, _, header, *rows = out.splitlines()
    assert re.fullmatch(r"microseconds, rules default, max_samples 10, threads 2, instruction set \w+", head)
    assert re.split(r"  +", header) == ["fields", "grid", "people", "peaks", "connections", "scan / floor", "decode"]
    assert [re.split(r"  +", row)[:3] for row in rows] == [
        ["maps", "96x128", "2"], ["crowd of 0", "48x64", "0"], ["crowd of 2", "48x64", "2"],
    ]  # fmt: skip


@pytest.mark.slow
def test_networks_are_timed_at_sizes_that_they_take(run, random_network, monkeypatch, capfd):
    monkeypatch.setenv("PERSONLAB_CACHE", str(random_network.parent))
    network = ("bench", "--network", random_network)
    assert_refused(run(*network, "--size", 90, 128), 2, "--size: expected multiples of 16, got 90 128")
    assert main(["bench", "--network", str(random_network), "--method", "personlab"]) == 2
    assert "--method: expected simple_pose for" in capfd.readouterr().err
    code, out, err = run(*network, "--size", 64, 128, "--rounds", 1, "--batches", 1)
    assert code == 0, err
    assert "milliseconds for each image of 64 x 128, stride 8, 2 outputs" in out


def test_crowds_of_a_size_off_the_grid_are_wrong_usage(run):
    assert_refused(run("bench", "--size", 90, 128), 2, "--size: expected multiples of 4, got 90 128")


# --- the ceiling ------------------------------------------------------------------------------------------------------


@pytest.fixture
def annotated(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["scenes", "--output", "scenes", "--count", "3", "--size", "192", "256", "--people", "1", "2"]) == 0
    return ["--annotations", "scenes/person_keypoints.json", "--ceiling"]


def column(out, label):
    (line,) = (line for line in out.splitlines() if line.startswith(label + " "))
    return [float(value) for value in line[len(label) :].split()]


def test_the_ceiling_is_scored(run, annotated):
    code, out, err = run("evaluate", *annotated)
    assert code == 0, err
    assert re.split(r"  +", out.splitlines()[0].strip()) == ["ceiling, stride 4", "ceiling, stride 8"]
    assert min(column(out, "keypoint AP")) > 0.95
    assert "mask" not in out
    _, coarse, _ = run("evaluate", *annotated, "--long-edge", 64, "--stride", 8)
    assert column(coarse, "keypoint AP")[0] < 0.9 * column(out, "keypoint AP")[0]
    scores = []
    for flags in ((), ("--preset", "original")):
        code, listed, _ = run("evaluate", *annotated, "--stride", 4, "--json", "-", *flags)
        assert code == 0
        scores.append({one["score"] for one in json.loads(listed)})
    assert len(scores[0]) > 0
    assert scores[0].isdisjoint(scores[1])
    assert_refused(run("evaluate", *annotated, "--decode.hough_stride", 1), 2, "--decode.hough_stride: has no effect")
    assert_refused(run("evaluate", *annotated, "--posenet"), 2, "--posenet: has no effect on")


def test_people_of_coco_mini_come_back(data):
    """Above the original's 0.84 on perfect maps of the same people."""
    from personlab.data.coco import load_people
    from personlab.metrics.coco import load_annotations

    annotations = load_annotations(str(data / "coco-mini" / "annotations" / "person_keypoints.json"))
    images = {number: load_people(annotations, number) for number in annotations.imgs}
    images = {number: people for number, people in images.items() if (people.keypoints[..., 2] > 0).any()}
    results = evaluate_ceiling("simple_pose", images, stride=4)
    assert average_precision(annotations, results.keypoints, "keypoints").ap >= 0.92
    assert not results.masks


def test_the_ceiling_of_another_skeleton():
    from scenes import skeleton

    line = skeleton(3, [(0, 1), (1, 2)])
    keypoints = np.array([[(20, 30, 2), (60, 34, 2), (100, 60, 2)], [(30, 90, 2), (70, 90, 2), (120, 80, 2)]], float)
    people = People(keypoints, np.zeros((2, 120, 160), bool), np.zeros((120, 160), bool))
    people.masks[0, 20:70, 10:110] = people.masks[1, 75:100, 20:130] = True
    results = evaluate_ceiling("simple_pose", {1: people}, stride=4, skeleton=line)
    got = np.array(sorted(one["keypoints"][:2] for one in results.keypoints if one["score"] > 0.6))
    np.testing.assert_allclose(got, keypoints[:, 0, :2], atol=0.5)
    assert make_annotations({1: people}, skeleton=line) is not None


# --- a method that lacks a thing --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("lacking", "maps")
@pytest.mark.parametrize(
    ("argv", "what"),
    [
        (["demo"], "a network in the package"),
        (["decode", "maps.npz"], "files of fields"),
        (["bench"], "times of decoding"),
        (["evaluate", "--annotations", "a.json", "--ceiling"], "a ceiling"),
    ],
)
def test_it_says_so_in_one_line(run, argv, what):
    assert_refused(run(*argv), 2, f"--method: expected a method with {what}, got simple_pose")
