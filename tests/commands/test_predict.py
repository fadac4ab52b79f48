"""`personlab predict` as a user meets it: images, folders and videos in; tables, results, drawings and videos out."""

from __future__ import annotations

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from fake_networks import OnePerson, SceneNetwork, bright_left, loads

from personlab import DecodeOptions, Fields, Predictor, visualize
from personlab.cli import main
from personlab.data.synthetic import make_scene
from personlab.io.sources import Source, drawing_names, find_sources, image_ids
from personlab.io.video import Video
from personlab.io.video_writer import VideoWriter

SIZE = (97, 129)


@pytest.fixture(scope="module")
def scene():
    return make_scene(1, size=SIZE, people=1)


@pytest.fixture
def network(monkeypatch, scene):
    """What --weights W stands for in these tests."""
    fake = SceneNetwork(scene, stride=8)

    def load(weights, **more):
        if weights == "none.safetensors":
            raise FileNotFoundError(2, "No such file or directory", weights)
        return loads(fake)(weights, **more)

    monkeypatch.setattr("personlab.predict.predictor.load_network", load)
    return fake


@pytest.fixture
def folder(tmp_path, monkeypatch, scene):
    """A working folder with images/: two images, a text, and an image that is none."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    for name in ("scene_000042.png", "first.jpg"):
        visualize.write_image(f"images/{name}", scene.image)
    (tmp_path / "images" / "notes.txt").write_text("no image")
    return tmp_path


@pytest.fixture
def run(capfd, network):
    """Run `personlab predict`; gives the exit code, stdout and stderr."""

    def call(*argv, edge=129):
        capfd.readouterr()
        code = main(["predict", *map(str, argv), "--weights", "W", "--long-edge", str(edge)])
        return code, *capfd.readouterr()

    return call


def write_video(path, frames, rate=12.5):
    writer = VideoWriter(path, rate)
    for frame in frames:
        writer.write(frame)
    writer.close()


def read_json(name):
    return json.loads(Path(name).read_text())


def rows(out):
    return [re.split(r"  +", line.strip()) for line in out.split("\n\n")[0].splitlines()[1:]]


@pytest.mark.usefixtures("folder")
def test_a_folder_of_images(run, network):
    code, out, err = run("images", "--masks", "--json", "r.json", "--output", "out")
    assert code == 0, err
    assert rows(out) == [
        ["images/first.jpg", "0", "129 x 97", "1"],
        ["images/scene_000042.png", "42", "129 x 97", "1"],
    ]
    for stage in ("read", "resize", "network", "decode", "masks", "draw", "write"):
        assert re.search(rf"^{stage} +[\d.]+ +[\d.]+$", out, re.MULTILINE)
    assert re.search(r"^2 images in [\d.]+ s .*the network ran for .* while the network ran$", out, re.MULTILINE)
    predictor = Predictor(network, long_edge=129)
    found = {name: predictor(f"images/{name}") for name in ("first.jpg", "scene_000042.png")}
    assert read_json("r.json") == found["first.jpg"].to_coco(0) + found["scene_000042.png"].to_coco(42)
    assert [m["image_id"] for m in read_json("r.masks.json")] == [0, 42]
    image = visualize.read_image("images/scene_000042.png")
    assert np.array_equal(visualize.read_image("out/scene_000042.png"), found["scene_000042.png"].draw(image))
    assert visualize.read_image("out/first.jpg").shape == image.shape


def test_results_load_into_pycocotools(run, folder, scene):
    from personlab.data.coco import People, make_annotations
    from personlab.metrics.coco import average_precision

    assert run("images/scene_000042.png", "--masks", "--json", "r.json")[0] == 0
    people = People(scene.keypoints, scene.masks, np.zeros(SIZE, bool))
    annotations = make_annotations({42: people})
    for name, kind in (("r.json", "keypoints"), ("r.masks.json", "segm")):
        precision = average_precision(annotations, read_json(name), kind)
        assert precision.ap50 == pytest.approx(1.0)


def test_a_link_to_nothing_is_an_image_that_is_missed(run, folder):
    (folder / "images" / "link.jpg").symlink_to("nowhere.jpg")
    (folder / "images" / "itself.png").symlink_to("itself.png")
    for name in ("images", "images/*"):
        code, out, err = run(name)
        assert code == 1
        assert [row[0] for row in rows(out)] == ["images/first.jpg", "images/scene_000042.png"]
        lines = sorted(err.splitlines())
        assert [line.partition(":")[2].partition(":")[0] for line in lines[1:]] == [
            " skipped images/itself.png",
            " skipped images/link.jpg",
        ]
        assert lines[0] == "personlab: error: 2 of the inputs failed; see above"


def test_one_bad_image_is_told_of_and_skipped(run, folder):
    (folder / "images" / "bad.png").write_text("no image")
    (folder / "images" / "empty.jpg").write_bytes(b"")
    code, out, err = run("images", "gone.png", "--json", "r.json", "--output", "out")
    assert code == 1
    lines = [line for line in err.splitlines() if "wrote" not in line]
    assert lines[0] == "personlab: skipped gone.png: no such file"
    assert lines[1].startswith("personlab: skipped images/bad.png: expected an image")
    assert lines[2].startswith("personlab: skipped images/empty.jpg: expected an image")
    assert lines[3] == "personlab: error: 3 of the inputs failed; see above"
    assert len(lines) == 4
    assert [row[0] for row in rows(out)] == ["images/first.jpg", "images/scene_000042.png"]
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["first.jpg", "scene_000042.png"]
    assert len(read_json("r.json")) == 2


def test_a_video_becomes_a_video(run, folder, scene):
    frames = [scene.image] * 11
    write_video(folder / "clip.mp4", frames)
    code, out, err = run("clip.mp4", "images/first.jpg", "--output", "out", "--json", "r.json", "--masks")
    assert code == 0, err
    drawn = Video(Source("out/clip.mp4", "video"))
    assert (drawn.rate, drawn.count) == (12.5, 11)
    shown = [frame.image for frame in drawn]
    assert len(shown) == 11
    assert shown[0].shape == (96, 128, 3)  # H.264 wants even sides
    original = [frame.image for frame in Video(Source("clip.mp4", "video"))]
    assert np.abs(shown[5].astype(int) - original[5]).mean() > 2
    ids = {result["image_id"] for result in read_json("r.json")}
    assert ids == set(range(12))
    assert rows(out) == [
        ["images/first.jpg", "0", "129 x 97", "1"],
        ["clip.mp4", "1-11", "128 x 96", "max 1 at once in 11 frames"],
    ]
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["clip.mp4", "first.jpg"]


def test_a_bad_video_is_told_of_and_skipped(run, folder):
    (folder / "bad.mp4").write_bytes(b"no video")
    code, out, err = run("bad.mp4", "images/first.jpg", "--output", "out")
    assert code == 1
    assert "personlab: skipped bad.mp4: expected a video, got another kind of file\n" in err
    assert [row[0] for row in rows(out)] == ["images/first.jpg"]
    assert [path.name for path in (folder / "out").iterdir()] == ["first.jpg"]


def test_fields_are_drawn_and_kept(run, folder):
    code, _, err = run("images/first.jpg", "--masks", "--fields", "--no-overlay", "--output", "out")
    assert code == 0, err
    names = {path.name for path in (folder / "out" / "first-fields").iterdir()}
    assert {"heatmaps.png", "hough.png", "mid_offsets.png", "fields.npz", "contact_sheet.png"} <= names
    assert not (folder / "out" / "first.jpg").exists()
    assert Fields.load(folder / "out" / "first-fields" / "fields.npz").image_size == (129, 97)
    assert main(["decode", "out/first-fields/fields.npz"]) == 0


def test_flags_reach_the_predictor(run, folder, network):
    flags = ["--scales", "0.5", "1", "--flip", "--batch-size", "2", "--threads", "2", "--decode.min_score", "0"]
    assert run("images", *flags, "--json", "r.json")[0] == 0
    assert {shape[0] for shape in network.shapes} == {2}
    assert [shape[2:] for shape in network.shapes] == [(97, 129)] * 2 + [(49, 65)] * 2
    options = DecodeOptions(min_score=0, threads=2)
    predictor = Predictor(network, long_edge=129, scales=(0.5, 1), flip=True, options=options)
    expected = predictor("images/first.jpg").to_coco(0)
    results = read_json("r.json")
    assert [r for r in results if r["image_id"] == 0] == expected
    assert run("images/first.jpg", "--posenet", "--json", "r.json")[0] == 0
    expected = Predictor(network, long_edge=129, options=DecodeOptions.posenet())("images/first.jpg").to_coco(0)
    assert read_json("r.json") == expected


@pytest.mark.usefixtures("folder")
def test_the_folder_of_results_is_looked_for_before_the_network_runs(run, monkeypatch):
    monkeypatch.setattr(Predictor, "stream", lambda *_: pytest.fail("the network ran"))
    code, out, err = run("images", "--json", "none/r.json")
    assert (code, out) == (1, "")
    assert "none/r.json: no such folder" in err


@pytest.mark.usefixtures("folder")
def test_warnings_are_lines(run):
    code, _, err = run("images", "--max-pixels", "5000")
    assert code == 0
    assert len(re.findall(r"^personlab: warning: images/\S+: a network input with", err, re.MULTILINE)) == 2


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("argv", "code", "text"),
    [
        (["images", "--fields"], 2, "--fields: has no effect without --output"),
        (["images", "--mask.exclusive", "true"], 2, "--mask.exclusive: has no effect without --masks"),
        (["images", "--output", "images"], 2, "would be written over, which is an input"),
        (["images", "--output", "images/notes.txt"], 2, "--output: expected a folder, got a file"),
        (["images", "--json", "images/first.jpg"], 2, "would be written over"),
        (["images", "--decode.nms_radius", "-1"], 2, "nms_radius"),
        (["images", "--scales", "0"], 2, "--scales"),
        (["images", "--batch-size", "0"], 2, "--batch-size"),
        (["images", "--device", "abacus"], 1, "device"),
        (["images", "--json", "none/r.json"], 1, "none/r.json: no such folder"),
        (["*.tif"], 1, "nothing to predict"),
    ],
)
def test_what_cannot_be_done_is_one_line(run, folder, argv, code, text):
    before = sorted(folder.rglob("*"))
    found, out, err = run(*argv)
    assert found == code
    assert out == ""
    last = err.splitlines()[-1]
    assert last.startswith("personlab: error: ")
    assert text in last
    assert "Traceback" not in err
    assert sorted(folder.rglob("*")) == before


@pytest.mark.usefixtures("folder")
def test_masks_from_a_network_without_them_are_refused(run, network):
    network.config.masks = False
    code, _, err = run("images", "--masks")
    assert code == 1
    assert "--masks: expected a network with masks, got W, which has none" in err


@pytest.mark.usefixtures("folder", "network")
def test_a_missing_network_is_one_line(capfd):
    assert main(["predict", "images", "--weights", "none.safetensors"]) == 1
    assert capfd.readouterr().err == "personlab: error: none.safetensors: No such file or directory\n"


def test_an_interruption_keeps_what_was_found(run, folder, monkeypatch):
    draw = visualize.overlay
    calls = iter(range(100))

    def interrupted(*arguments, **more):
        if next(calls) == 1:
            raise KeyboardInterrupt
        return draw(*arguments, **more)

    monkeypatch.setattr(visualize, "overlay", interrupted)
    code, _, err = run("images", "--output", "out", "--json", "r.json")
    assert code == 130
    assert err.endswith("personlab: error: interrupted\n")
    assert {r["image_id"] for r in read_json("r.part.json")} == {0}
    assert "personlab: wrote r.part.json: a part, as the run was interrupted\n" in err
    assert not Path("r.json").exists()


def test_sources_are_found_by_kind(folder):
    images = [Source("images/first.jpg", "image"), Source("images/scene_000042.png", "image")]
    assert find_sources(["images"]) == (images, [])
    assert find_sources(["images/*.png", "images"]) == (images[::-1], [])
    assert find_sources(["**/*.jpg"]) == (images[:1], [])
    assert find_sources(["images/notes.txt"]) == ([Source("images/notes.txt", "image")], [])
    assert find_sources(["0", "a.mp4"]) == ([Source("0", "camera")], ["a.mp4: no such file"])
    (folder / "7").write_bytes(b"")
    (folder / "odd[1].png").write_bytes(b"")
    (folder / "film.MOV").write_bytes(b"")
    assert find_sources(["7", "odd[1].png", "film.MOV"])[0] == [
        Source("7", "image"), Source("odd[1].png", "image"), Source("film.MOV", "video"),
    ]  # fmt: skip
    (folder / "empty").mkdir()
    assert find_sources(["empty", "*.none"]) == ([], [f"{n}: expected images or videos, got none" for n in
                                                       ("empty", "*.none")])  # fmt: skip


def test_image_ids_and_names_are_never_shared():
    assert image_ids(["a/000012.jpg", "b_3.png", "x.jpg", "c.d.jpg"]) == [12, 3, 0, 1]
    assert image_ids(["a/1.jpg", "b/1.jpg", "c0.jpg", "2.jpg"]) == [1, 3, 0, 2]
    images = [Source(name, "image") for name in ("a/x.jpg", "b/x.jpg", "c/X.jpg", "x.png", "y.pgm")]
    videos = [Source("v.avi", "video"), Source("w/v.mp4", "video"), Source("0", "camera")]
    names = ["x.jpg", "x-2.jpg", "X-3.jpg", "x.png", "y.pgm.png", "v.mp4", "v-2.mp4", "camera0.mp4"]
    assert drawing_names(images + videos) == names


def test_videos_are_whole_or_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        VideoWriter(tmp_path / "none" / "a.mp4", 25)
    writer = VideoWriter(tmp_path / "a.mp4", 25)
    writer.close()
    assert list(tmp_path.iterdir()) == []
    writer.write(np.zeros((32, 48, 3), np.uint8))
    writer.write(np.zeros((16, 24, 3), np.uint8))
    assert not (tmp_path / "a.mp4").exists()
    writer.close()
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
    capture = cv2.VideoCapture(str(tmp_path / "a.mp4"))
    assert int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) == 2
    with pytest.raises(FileNotFoundError, match=r"none\.mp4"):
        Video(Source(str(tmp_path / "none.mp4"), "video"))


@pytest.mark.usefixtures("folder")
def test_images_of_one_person_anywhere(capfd, monkeypatch):
    """The command's coordinates are the image's, whatever its size."""
    points = np.random.default_rng(1).uniform(0.2, 0.8, (17, 2))
    fake = OnePerson(points, stride=8)
    monkeypatch.setattr("personlab.predict.predictor.load_network", loads(fake))
    visualize.write_image("large_5.png", bright_left((300, 500)))
    assert main(["predict", "large_5.png", "--weights", "W", "--long-edge", "97", "--posenet", "--json", "r.json"]) == 0
    capfd.readouterr()
    (result,) = read_json("r.json")
    assert result["image_id"] == 5
    keypoints = np.array(result["keypoints"]).reshape(17, 3)
    assert np.abs(keypoints[:, :2] - points * (499, 299)).max() < 0.05
