"""`personlab evaluate`: COCO's figures, setting beside setting, and those that a published network reaches."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from fake_networks import FakeNetwork, SceneNetwork, loads

from personlab import DecodeOptions, Predictor, visualize
from personlab.cli import main
from personlab.data.coco import People, make_annotations
from personlab.data.synthetic import make_scene
from personlab.metrics.coco import average_precision, load_annotations
from personlab.predict.dataset import predict_dataset

SIZE = (161, 209)


class ScenesNetwork(FakeNetwork):
    """Says what is true of whichever of its scenes it is shown."""

    def __init__(self, scenes, **more):
        super().__init__(**more)
        self.networks = [SceneNetwork(scene, **more) for scene in scenes]

    def see(self, image):
        height, width = image.shape[1:]
        rows = np.rint(np.linspace(0, SIZE[0] - 1, height)).astype(int)
        columns = np.rint(np.linspace(0, SIZE[1] - 1, width)).astype(int)
        pixels = image.permute(1, 2, 0).numpy()

        def difference(network):
            seen = network.scene.image[rows[:, None], columns].astype(float)
            return min(np.abs(pixels - seen).mean(), np.abs(pixels - seen[:, ::-1]).mean())

        return min(self.networks, key=difference).see(image)


def plain(value):
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [plain(one) for one in value]
    return value.decode() if isinstance(value, bytes) else value


@pytest.fixture(scope="module")
def scenes():
    return [make_scene(seed, size=SIZE, people=2) for seed in (1, 2, 3)]


@pytest.fixture
def folder(tmp_path, monkeypatch, scenes):
    """A working folder with images/ and annotations.json."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    images = {n: People(s.keypoints, s.masks, np.zeros(SIZE, bool)) for n, s in enumerate(scenes, 1)}
    dataset = make_annotations(images).dataset
    for n, scene in enumerate(scenes, 1):
        visualize.write_image(f"images/{n}.png", scene.image)
        dataset["images"][n - 1]["file_name"] = f"{n}.png"
    (tmp_path / "annotations.json").write_text(json.dumps(plain(dataset)))
    return tmp_path


@pytest.fixture
def network(monkeypatch, scenes):
    fake = ScenesNetwork(scenes, stride=8)
    monkeypatch.setattr("personlab.predict.predictor.load_network", loads(fake))
    return fake


@pytest.fixture
def run(capfd):
    def call(*argv):
        capfd.readouterr()
        code = main(["evaluate", "--annotations", "annotations.json", *map(str, argv)])
        return code, *capfd.readouterr()

    return call


def settings(out):
    return re.split(r"  +", out.splitlines()[0].strip())


def column(out, label):
    (line,) = (line for line in out.splitlines() if line.startswith(label + " "))
    return [float(value) for value in line[len(label) :].split()]


def test_a_network_is_scored(run, folder, network):
    argv = ("--images", "images", "--weights", "W", "--long-edge", 209)
    code, out, err = run(*argv, "--json", "r.json")
    assert code == 0, err
    assert column(out, "keypoint AP")[0] > 0.85
    assert column(out, "mask AP50")[0] > 0.9
    annotations = load_annotations("annotations.json")
    predictor = Predictor(network, long_edge=209, options=DecodeOptions(min_score=0.0))
    results = predict_dataset(predictor, annotations, "images")
    assert json.loads((folder / "r.json").read_text()) == results.keypoints
    assert json.loads((folder / "r.masks.json").read_text()) == results.masks
    expected = average_precision(annotations, results.keypoints, "keypoints")
    assert column(out, "keypoint AP") == [round(expected.ap, 3)]
    for stage in ("read", "resize", "network", "decode", "masks"):
        assert column(out, f"{stage}, ms an image")[0] >= 0


@pytest.mark.usefixtures("folder")
def test_settings_stand_side_by_side(run, network):
    argv = ("--images", "images", "--weights", "W", "--long-edge", 209)
    code, out, _ = run(*argv, "--compare")
    assert code == 0
    assert settings(out) == ["single scale", "scales 0.75 1 1.5 + flip"]
    assert len(column(out, "keypoint AP")) == 2
    assert min(column(out, "keypoint AP50")) > 0.95
    assert {shape[3] for shape in network.shapes} == {153, 209, 313}
    code, out, _ = run(*argv, "--scales", "1", "1.25")
    assert code == 0
    assert settings(out) == ["scales 1 1.25"]
    code, out, _ = run(*argv, "--flip", "--compare")
    assert settings(out) == ["single scale", "flip"]


def test_missing_images_are_told_of_and_the_rest_is_scored(run, folder, network):
    (folder / "images" / "2.png").unlink()
    code, out, err = run("--images", "images", "--weights", "W", "--long-edge", 209)
    assert code == 1
    assert err == (
        "personlab: skipped images/2.png: No such file or directory\n"
        "personlab: error: 1 of 3 images failed; see above\n"
    )
    assert 0.3 < column(out, "keypoint AP")[0] < 0.75
    assert len(network.shapes) == 2


@pytest.mark.usefixtures("folder")
def test_the_ceiling_is_scored(run):
    code, out, _ = run("--ceiling")
    assert code == 0
    assert settings(out) == ["ceiling, stride 8", "ceiling, stride 16"]
    assert min(column(out, "keypoint AP")) > 0.85
    code, out, _ = run("--ceiling", "--stride", "4", "--json", "c.json")
    assert code == 0
    assert column(out, "keypoint AP")[0] > 0.9


def edited(folder, change):
    """The annotations as another file says them."""
    content = json.loads((folder / "annotations.json").read_text())
    change(content)
    (folder / "annotations.json").write_text(json.dumps(content))


def test_images_without_labels_can_be_left_out(folder, network, run):
    def unlabel(content):
        for annotation in content["annotations"]:
            if annotation["image_id"] == 3:
                annotation.update(keypoints=[0] * 51, num_keypoints=0)

    edited(folder, unlabel)
    command = ("--weights", "W", "--images", "images", "--json", "results.json")
    assert run(*command)[0] == 0
    assert {result["image_id"] for result in json.loads((folder / "results.json").read_text())} == {1, 2, 3}
    code, out, _ = run(*command, "--labelled-only")
    assert code == 0
    assert column(out, "keypoint AP")[0] > 0.9
    assert {result["image_id"] for result in json.loads((folder / "results.json").read_text())} == {1, 2}


def test_the_category_may_have_any_number(folder, network, run):
    def renumber(content):
        content["categories"][0]["id"] = 7
        for annotation in content["annotations"]:
            annotation["category_id"] = 7

    before = run("--weights", "W", "--images", "images")[1], run("--ceiling")[1]
    edited(folder, renumber)
    after = run("--weights", "W", "--images", "images")[1], run("--ceiling")[1]
    for one, other in zip(before, after, strict=True):
        assert column(one, "keypoint AP") == column(other, "keypoint AP")
        assert column(one, "mask AP") == column(other, "mask AP")
    assert run("--ceiling", "--stride", 8, "--category", "dancer", "--json", "results.json")[0] == 0
    assert {result["category_id"] for result in json.loads((folder / "results.json").read_text())} == {7}


def test_results_go_to_standard_output(folder, run):
    code, out, err = run("--ceiling", "--stride", 8, "--json", "-")
    assert code == 0
    assert run("--ceiling", "--stride", 8, "--json", "r.json")[0] == 0
    assert json.loads(out) == {
        name: json.loads((folder / file).read_text())
        for name, file in (("keypoints", "r.json"), ("masks", "r.masks.json"))
    }
    assert "keypoint AP" in err
    assert not (folder / "-").exists()


def keep_three_keypoints(content):
    """A skeleton of nose and shoulders, with sigmas of its own."""
    kept = (0, 5, 6)
    category = content["categories"][0]
    category.update(keypoints=[category["keypoints"][k] for k in kept], skeleton=[[1, 2], [1, 3]])
    for annotation in content["annotations"]:
        points = [annotation["keypoints"][3 * k : 3 * k + 3] for k in kept]
        annotation.update(
            keypoints=[value for point in points for value in point],
            num_keypoints=sum(point[2] > 0 for point in points),
        )


def test_the_ceiling_of_another_skeleton(folder, run):
    edited(folder, keep_three_keypoints)
    code, out, _ = run("--ceiling", "--stride", 8)
    assert code == 0
    assert column(out, "keypoint AP")[0] > 0.9


def test_annotations_of_another_skeleton_than_the_networks(folder, network, run):
    edited(folder, keep_three_keypoints)
    code, out, err = run("--weights", "W", "--images", "images")
    assert (code, out) == (1, "")
    assert err == "personlab: error: annotations.json: expected the network's 17 keypoints, got 3\n"


@pytest.mark.usefixtures("folder", "network")
@pytest.mark.parametrize(
    ("argv", "code", "text"),
    [
        (
            [],
            2,
            "one of --weights, --ceiling and --results, got none: --weights takes a network's file or one of",
        ),
        (["--weights", "W", "--ceiling"], 2, "one of --weights, --ceiling and --results, got both"),
        (["--weights", "W"], 2, "--images"),
        (["--ceiling", "--flip"], 2, "have no effect with --ceiling"),
        (["--ceiling", "--json", "annotations.json"], 2, "the file of --annotations, too"),
        (["--annotations", "a.masks.json", "--ceiling", "--json", "a.json"], 2, "a.masks.json is the file of --annot"),
        (["--weights", "W", "--images", "none"], 1, "none: no such folder"),
        (["--ceiling", "--json", "none/r.json"], 1, "no such folder"),
        (["--annotations", "none.json", "--ceiling"], 1, "none.json: No such file or directory"),
        (["--annotations", "images/1.png", "--ceiling"], 1, "images/1.png: expected annotations in COCO's format"),
    ],
)
def test_what_cannot_be_done_is_one_line(run, argv, code, text):
    found, out, err = run(*argv)
    assert (found, out) == (code, "")
    assert re.fullmatch(r"personlab: error: [^\n]+\n", err)
    assert text in err


@pytest.mark.slow
def test_posenet_on_coco_mini(data, capfd):
    """Above Google's own decoder on the same network (0.266), and several scales with mirror images above one."""
    coco = data / "coco-mini"
    weights = data / "weights" / "posenet-mobilenet-075" / "model-stride16.json"
    argv = ["--annotations", str(coco / "annotations" / "person_keypoints.json"), "--images", str(coco / "images")]
    assert main(["evaluate", *argv, "--weights", str(weights), "--compare"]) == 0
    single, several = column(capfd.readouterr().out, "keypoint AP")
    assert single >= 0.285
    assert several >= 0.32


@pytest.fixture
def networks(monkeypatch, scenes):
    """Networks by name: good, and blind, which knows the first scene alone."""
    loaders = {name: loads(ScenesNetwork(known, stride=8)) for name, known in (("good", scenes), ("blind", scenes[:1]))}

    def load(weights, **options):
        name = weights if isinstance(weights, str) else None
        return weights if name is None else loaders[name.rpartition("/")[2].removesuffix(".x")](weights, **options)

    monkeypatch.setattr("personlab.predict.predictor.load_network", load)


@pytest.mark.usefixtures("folder", "networks")
@pytest.mark.parametrize("flags", [("--compare", "good", "blind"), ("--weights", "good", "--compare", "blind")])
def test_networks_are_compared_by_a_paired_bootstrap(run, flags):
    code, out, err = run("--images", "images", *flags, "--long-edge", 209)
    assert code == 0, err
    assert settings(out) == ["good", "blind"]
    good, blind = column(out, "keypoint AP")
    assert good > blind + 0.3
    lines = [line for line in out.splitlines() if re.match(r"(good|blind) +(keypoint|mask) AP", line)]
    assert [tuple(line.split()[:3]) for line in lines] == [
        (name, kind, label)
        for kind in ("keypoint", "mask")
        for name in ("good", "blind")
        for label in ("AP", "AP50", "AP75")
    ]
    number = r"([-+]?\d\.\d{3})"
    interval = rf"{number} \[{number}, {number}\]"
    value, low, high, difference, worst, best = map(float, re.search(rf"{interval} +{interval}$", lines[3]).groups())
    assert (value, difference) == (blind, pytest.approx(blind - good, abs=0.0011))
    assert low <= value <= high
    assert worst <= difference <= best
    assert re.fullmatch(rf"good +keypoint AP +{interval}", lines[0])  # the first has no difference


@pytest.mark.usefixtures("folder", "networks")
def test_networks_of_one_name_are_told_apart_by_their_folders(run):
    argv = ("--images", "images", "--compare", "a/good.x", "b/good.x", "--long-edge", 209)
    code, out, err = run(*argv)
    assert code == 0, err
    assert settings(out) == ["a/good.x", "b/good.x"]
    assert "+0.000 [+0.000, +0.000]" in out


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("--compare", "W"), "--compare: expected two networks, with that of --weights, or no value, got one network"),
        (("--ceiling", "--compare", "V", "W"), "--compare: has no effect with --ceiling"),
        (
            ("--compare", "V", "W", "--calibrate", "c.safetensors"),
            "--calibrate: expected one network, got --compare with others",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused(run, argv, message):
    assert run("--images", "images", *argv) == (2, "", f"personlab: error: {message}\n")


@pytest.mark.usefixtures("folder", "networks")
def test_only_listed_images_are_scored(run, folder):
    (folder / "ids.txt").write_text("# first and third\n3\n\n1\n")
    code, out, _ = run("--images", "images", "--weights", "good", "--long-edge", 209, "--only", "ids.txt")
    assert code == 0
    whole = column(out, "keypoint AP")[0]
    assert whole > 0.85
    (folder / "ids.txt").write_text("1\n7\n")
    code, out, err = run("--images", "images", "--weights", "good", "--only", "ids.txt")
    assert (code, out) == (1, "")
    assert err.endswith("ids.txt: expected images of annotations.json, got 1 others, the first of id 7\n")
    (folder / "ids.txt").write_text("1\n-2\n")
    assert 'ids.txt: line 2: expected the id of an image, got "-2"' in run("--ceiling", "--only", "ids.txt")[2]
    assert "none.txt: no such file, and no list of the package" in run("--ceiling", "--only", "none.txt")[2]
