"""`personlab predict --jsonl`: lines as results come, the JSON made of them, and runs that go on after a kill."""

from __future__ import annotations

import json
import os
import resource
import sys
from pathlib import Path

import numpy as np
import pytest
from fake_networks import SceneNetwork, loads
from json_lines import lines

from personlab import Predictor, visualize
from personlab.cli import main
from personlab.commands import journal
from personlab.data.synthetic import make_scene
from personlab.io.locks import try_lock
from personlab.io.reader import Reader
from personlab.io.sources import Source
from personlab.io.video import Video

av = pytest.importorskip("av")

from servers import give, serve  # noqa: E402  # beside those that import PyAV
from videos import write_video  # noqa: E402

SIZE = (97, 129)
TIMES = [0.0, 0.1, 0.15, 0.6, 0.7, 1.3, 1.35]  # of the frames of clip.mkv


@pytest.fixture(scope="module")
def scene():
    return make_scene(1, size=SIZE, people=1)


@pytest.fixture
def network(scene):
    return SceneNetwork(scene, stride=8)


@pytest.fixture
def run(tmp_path, monkeypatch, capfd, network, scene):
    """Run `personlab predict` in a folder with images/ and clip.mkv; gives the exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("personlab.predict.predictor.load_network", loads(network))
    Path("images").mkdir()
    for name in ("images/a_7.png", "images/b.png"):
        visualize.write_image(name, scene.image)
    write_video("clip.mkv", [scene.image] * len(TIMES), "ffv1", pix_fmt="bgr0", times=TIMES)

    def call(*argv):
        capfd.readouterr()
        code = main(["predict", *map(str, argv), "--weights", "W", "--long-edge", "129"])
        return code, *capfd.readouterr()

    return call


def read_json(name):
    return json.loads(Path(name).read_text())


def interrupt(monkeypatch, after, error=KeyboardInterrupt):
    """Break the drawing of the image or frame with this number."""
    draw, calls = visualize.overlay, iter(range(10**6))

    def overlay(*arguments, **more):
        if next(calls) == after:
            raise error
        return draw(*arguments, **more)

    monkeypatch.setattr(visualize, "overlay", overlay)


def frames_of(path):
    return [frame.image for frame in Video(Source(str(path), "video"))]


def test_a_line_holds_file_frame_time_and_people(run, network):
    code, _, err = run("images", "clip.mkv", "--jsonl", "r.jsonl", "--masks")
    assert code == 0, err
    records = lines()
    assert [(one["file"], one["frame"], one["image_id"]) for one in records] == [
        ("images/a_7.png", None, 7), ("images/b.png", None, 0), *[("clip.mkv", i, 8 + i) for i in range(len(TIMES))]
    ]  # fmt: skip
    assert [one["time"] for one in records[2:]] == pytest.approx(TIMES, abs=1e-3)
    assert records[0]["time"] is None
    assert [one.get("last", False) for one in records] == [False] * (len(TIMES) + 1) + [True]
    prediction = Predictor(network, long_edge=129)("images/a_7.png")
    (person,) = records[0]["people"]
    (keypoints,), (mask,) = prediction.to_coco(7), prediction.masks_to_coco(7)
    assert person["keypoints"] == keypoints["keypoints"]
    assert person["score"] == keypoints["score"]
    assert person["box"] == pytest.approx(prediction.poses.boxes[0].tolist(), abs=1e-4)
    assert person["probabilities"] == pytest.approx(prediction.poses.keypoint_probabilities[0].tolist(), abs=1e-4)
    assert (person["mask"], person["mask_score"]) == (mask["segmentation"], mask["score"])
    assert records[0]["size"] == [129, 97]


def test_json_is_the_same_with_and_without_lines(run, network):
    predictor = Predictor(network, long_edge=129)
    expected, masks = [], []
    for name, image_id in (("images/a_7.png", 7), ("images/b.png", 0)):
        expected += predictor(name).to_coco(image_id)
        masks += predictor(name).masks_to_coco(image_id)
    assert run("images", "--json", "r.json", "--masks")[0] == 0
    assert Path("r.json").read_text() == json.dumps(expected) + "\n"
    assert Path("r.masks.json").read_text() == json.dumps(masks) + "\n"
    assert sorted(path.name for path in Path().iterdir()) == ["clip.mkv", "images", "r.json", "r.masks.json"]
    assert run("images", "--json", "s.json", "--masks", "--jsonl", "s.jsonl")[0] == 0
    for ending in ("json", "masks.json"):
        assert Path(f"r.{ending}").read_bytes() == Path(f"s.{ending}").read_bytes()


def test_lines_appear_while_the_run_goes_on(run, monkeypatch):
    """Each is there, whole, while the next images are drawn, of which a thread does two ahead."""
    seen = []
    draw = visualize.overlay

    def overlay(*arguments, **more):
        text = Path("r.jsonl").read_text() if Path("r.jsonl").exists() else ""
        assert not text or text.endswith("\n")
        seen.append(len(text.splitlines()))
        return draw(*arguments, **more)

    monkeypatch.setattr(visualize, "overlay", overlay)
    assert run("images", "clip.mkv", "--jsonl", "r.jsonl", "--output", "out")[0] == 0
    assert len(seen) == 2 + len(TIMES)
    assert all(i - 3 <= count <= i for i, count in enumerate(seen)), seen
    assert seen[-1] > 3


def test_lines_may_go_to_standard_output(run):
    code, out, err = run("images", "--jsonl", "-", "--json", "r.json")
    assert code == 0
    assert [json.loads(line)["file"] for line in out.splitlines()] == ["images/a_7.png", "images/b.png"]
    assert "ms an image" in err
    assert len(read_json("r.json")) == 2
    assert not Path("-").exists()


@pytest.mark.skipif(not Path("/dev/null").exists(), reason="no /dev/null")
def test_lines_may_go_to_a_device(run):
    assert run("images", "--jsonl", "/dev/null", "--json", "r.json")[0] == 0
    assert len(read_json("r.json")) == 2
    if Path("/dev/full").exists():
        code, _, err = run("images", "--jsonl", "/dev/full")
        assert code == 1
        assert err.endswith("personlab: error: /dev/full: No space left on device\n")


@pytest.mark.parametrize("kept", [0, 1, 2, 4, 8])
@pytest.mark.parametrize("half", ["", "\0" * 500, '{"fi\0\0', '{"file":"clip.mkv","frame":3,"time":0.6,"ima'])
def test_a_killed_run_goes_on_where_it_was(run, network, kept, half):
    """Whole lines are kept, half a line is dropped, and the result is that of a run that was not killed."""
    argv = ["images", "clip.mkv", "--masks", "--output", "out", "--json", "r.json", "--jsonl", "r.jsonl"]
    assert run(*argv)[0] == 0
    whole, results, drawn = lines(), read_json("r.json"), frames_of("out/clip.mp4")
    for path in (*Path("out").iterdir(), Path("r.json"), Path("r.masks.json")):
        path.unlink()
    text = Path("r.jsonl").read_text().splitlines(keepends=True)
    Path("r.jsonl").write_text("".join(text[:kept]) + half)
    network.shapes.clear()
    code, out, err = run(*argv, "--resume")
    assert code == 0, err
    assert lines() == whole
    assert read_json("r.json") == results
    # Of a video, the frame of the last line is predicted or drawn once more; nothing else is predicted twice.
    assert len(network.shapes) == len(whole) - kept
    again = frames_of("out/clip.mp4")  # drawn whole, from the lines and from new predictions
    assert len(again) == len(drawn)
    assert max(np.abs(a.astype(int) - b).max() for a, b in zip(again, drawn, strict=True)) <= 40
    assert max(np.abs(a.astype(int) - b).mean() for a, b in zip(again, drawn, strict=True)) <= 1
    assert not [line for line in out.splitlines() if line.startswith("images/a_7.png")] or kept < 1


def test_a_resumed_run_that_was_complete_predicts_nothing(run, network):
    argv = ["images", "clip.mkv", "--output", "out", "--json", "r.json", "--jsonl", "r.jsonl"]
    assert run(*argv)[0] == 0
    before, results = Path("r.jsonl").read_bytes(), Path("r.json").read_bytes()
    network.shapes.clear()
    code, _, err = run(*argv, "--resume")
    assert code == 0, err
    assert network.shapes == []
    assert (Path("r.jsonl").read_bytes(), Path("r.json").read_bytes()) == (before, results)


@pytest.mark.parametrize("after", [0, 2, 5, 8])
def test_an_interrupted_run_goes_on(run, monkeypatch, after):
    argv = ["images", "clip.mkv", "--output", "out", "--json", "r.json", "--jsonl", "r.jsonl"]
    with monkeypatch.context() as patch:
        interrupt(patch, after)
        assert run(*argv)[0] == 130
    assert len(lines() if Path("r.jsonl").exists() else []) == after
    assert not Path("r.json").exists()
    assert Path("out/clip.part.mp4").exists() is (after > 2)
    assert run(*argv, "--resume")[0] == 0
    assert [one["image_id"] for one in lines()] == [7, 0, *range(8, 8 + len(TIMES))]
    assert len(frames_of("out/clip.mp4")) == len(TIMES)
    assert len(read_json("r.json")) == 2 + len(TIMES)


def test_a_run_that_resumes_is_interrupted_and_resumed_again(run, monkeypatch):
    argv = ["clip.mkv", "images", "--output", "out", "--jsonl", "r.jsonl"]
    for after in (3, 2, 4):  # images, frames; then frames that are drawn again count, too
        with monkeypatch.context() as patch:
            interrupt(patch, after)
            assert run(*argv, "--resume")[0] == 130
    assert run(*argv, "--resume")[0] == 0
    assert [(one["file"], one["frame"]) for one in lines()[2:]] == [("clip.mkv", i) for i in range(len(TIMES))]


def test_an_image_that_failed_is_tried_again_and_a_done_video_is_not(run, network):
    argv = ["images", "clip.mkv", "--jsonl", "r.jsonl", "--json", "r.json"]
    good = Path("images/b.png").read_bytes()
    Path("images/b.png").write_bytes(b"no image")
    assert run(*argv)[0] == 1
    Path("images/b.png").write_bytes(good)
    network.shapes.clear()
    assert run(*argv, "--resume")[0] == 0
    assert len(network.shapes) == 1
    assert {one["image_id"] for one in read_json("r.json")} == {0, 7, *range(8, 8 + len(TIMES))}
    # The line of an image now stands after those of the video, whose last line can be marked no more.
    records = lines()
    assert records[-1]["file"] == "images/b.png"
    rest = [one for one in records if not one.get("last")]
    Path("r.jsonl").write_text("".join(json.dumps(one, separators=(",", ":")) + "\n" for one in rest))
    assert run(*argv, "--resume")[0] == 0
    assert [one["frame"] for one in lines() if one["file"] == "clip.mkv"] == list(range(len(TIMES)))


def test_frames_that_fail_keep_their_numbers(run, network, monkeypatch):
    see, calls = network.see, iter(range(10**6))

    def broken(image):
        if next(calls) in (2, 6):
            raise RuntimeError("out of order")
        return see(image)

    monkeypatch.setattr(network, "see", broken)
    code, _, err = run("clip.mkv", "--jsonl", "r.jsonl", "--json", "r.json")
    assert code == 1
    assert "personlab: skipped clip.mkv, frame 2: out of order\n" in err
    records = lines()
    assert [one["frame"] for one in records] == list(range(7))
    assert [one["frame"] for one in records if "error" in one] == [2, 6]
    assert records[6]["last"] is True
    assert [one["image_id"] for one in read_json("r.json")] == [0, 1, 3, 4, 5]


def test_a_video_whose_reading_breaks_is_one_line_and_is_tried_again(run, monkeypatch):
    count, calls = Reader._frames, iter(range(10**6))

    def breaks(self):
        for frame in count(self):
            if next(calls) == 3:
                raise OSError(5, "Input/output error", "clip.mkv")
            yield frame

    monkeypatch.setattr(Reader, "_frames", breaks)
    code, out, err = run("clip.mkv", "images", "--jsonl", "r.jsonl", "--output", "out")
    assert code == 1
    assert err.splitlines()[0] == "personlab: skipped clip.mkv: Input/output error"
    assert "max 1 at once in 3 frames" in out
    assert "images/b.png" in out
    assert [one.get("last") for one in lines()] == [None] * 5
    code, out, err = run("clip.mkv", "images", "--jsonl", "r.jsonl", "--output", "out", "--resume")
    assert code == 0, err
    assert [one["frame"] for one in lines()[2:]] == list(range(len(TIMES)))
    assert lines()[-1]["last"]


@pytest.mark.parametrize(
    ("more", "what"),
    [
        (["images", "--masks"], "options"),
        (["images", "--decode.min_score", "0.3"], "options"),
        (["images", "--flip"], "options"),
        (["images", "--output", "out"], "options"),
        (["images/a_7.png"], "inputs"),
        (["images", "clip.mkv"], "inputs"),
    ],
)
def test_other_options_and_inputs_are_refused_in_one_line(run, more, what):
    assert run("images", "--jsonl", "r.jsonl")[0] == 0
    before = Path("r.jsonl").read_bytes()
    code, out, err = run(*more, "--jsonl", "r.jsonl", "--resume")
    assert (code, out) == (2, "")
    assert f"personlab: error: --resume: r.jsonl comes from a run with other {what}: give the same" in err
    assert err.count("\n") == 1
    assert Path("r.jsonl").read_bytes() == before


def test_flags_that_change_no_result_may_differ(run):
    assert run("images", "--jsonl", "r.jsonl")[0] == 0
    code, _, err = run(
        "images", "--jsonl", "r.jsonl", "--resume", "--batch-size", "2", "--threads", "2", "--decode.threads", "2",
        "--json", "r.json",
    )  # fmt: skip
    assert code == 0, err
    assert len(read_json("r.json")) == 2


def test_a_frame_that_is_missing_among_the_lines_is_named(run):
    argv = ["clip.mkv", "--jsonl", "r.jsonl"]
    assert run(*argv)[0] == 0
    text = Path("r.jsonl").read_text().splitlines(keepends=True)
    Path("r.jsonl").write_text("".join([*text[:1], *text[2:]]))
    code, _, err = run(*argv, "--resume")
    assert code == 1
    assert err.endswith("personlab: error: r.jsonl: expected frame 1 of clip.mkv in line 2, got 2\n")


def test_lines_of_another_version_are_refused(run):
    assert run("images", "--jsonl", "r.jsonl")[0] == 0
    text = Path("r.jsonl").read_text()
    Path("r.jsonl").write_text(text.replace('"run":"1-', '"run":"0-'))
    code, _, err = run("images", "--jsonl", "r.jsonl", "--resume")
    assert code == 2
    assert "--resume: r.jsonl comes from another version of personlab: write to another file" in err


def test_flags_that_do_not_go_together_are_refused(run, monkeypatch):
    for argv, line in (
        (["images", "--resume"], "--resume: has no effect without --jsonl FILE"),
        (["images", "--resume", "--jsonl", "-"], "--resume: has no effect without --jsonl FILE"),
        (["images", "--json", "-", "--jsonl", "-"], "--jsonl: standard output is taken by --json"),
        (["images", "--json", "r", "--jsonl", "r"], "--jsonl: r is the file of --json, too"),
        (["images", "--jsonl", "images/b.png"], "would be written over, which is an input"),
        (["0", "--resume", "--jsonl", "r.jsonl"], "--resume: expected inputs that can be read again, got camera 0"),
        (["rtsp://a:b@h/x", "--resume", "--jsonl", "r.jsonl"], "got stream rtsp://a:***@h/x"),
    ):
        code, out, err = run(*argv)
        assert (code, out) == (2, "")
        assert line in err
        assert "Traceback" not in err
    code, _, err = run("images", "--jsonl", "images")
    assert code == 1
    assert err.endswith("personlab: error: images: Is a directory\n")
    code, _, err = run("images", "--jsonl", "none/r.jsonl")
    assert code == 1
    assert "none/r.jsonl: no such folder" in err


@pytest.mark.skipif(os.name != "posix", reason="locks as POSIX has them")
def test_two_runs_do_not_write_one_file(run):
    assert run("images", "--jsonl", "r.jsonl")[0] == 0
    before = Path("r.jsonl").read_bytes()
    with Path("r.jsonl").open("rb") as file:
        assert try_lock(file.fileno())
        for argv in ([], ["--resume"]):
            code, _, err = run("images", "--jsonl", "r.jsonl", *argv)
            assert code == 1
            assert "r.jsonl: another run writes this file" in err
    assert Path("r.jsonl").read_bytes() == before


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="RLIMIT_FSIZE is POSIX's")
def test_a_full_disk_leaves_whole_lines_and_half_a_one(run):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    assert run("clip.mkv", "--jsonl", "r.jsonl")[0] == 0
    size = len(Path("r.jsonl").read_bytes()) * 2 // 3
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        code, _, err = run("clip.mkv", "--jsonl", "r.jsonl", "--json", "r.json")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert code == 1
    assert err.endswith("personlab: error: r.jsonl: File too large\n")
    assert not Path("r.json").exists()
    assert run("clip.mkv", "--jsonl", "r.jsonl", "--resume")[0] == 0
    assert [one["frame"] for one in lines()] == list(range(len(TIMES)))


def test_a_new_run_replaces_the_lines_of_another(run):
    assert run("images", "clip.mkv", "--jsonl", "r.jsonl")[0] == 0
    assert run("images", "--jsonl", "r.jsonl")[0] == 0
    assert len(lines()) == 2


def test_results_are_not_held_in_memory(run, monkeypatch):
    """While frames come, what the report and the journal hold does not grow."""
    sizes = []
    add = journal.Journal.add

    def watch(self, record):
        add(self, record)
        sizes.append((len(self.progress), len(vars(self))))

    monkeypatch.setattr(journal.Journal, "add", watch)
    assert run("clip.mkv", "--jsonl", "r.jsonl")[0] == 0
    assert len(sizes) == len(TIMES)
    assert len(set(sizes)) == 1


def test_a_live_stream_writes_its_lines_at_once_and_ends_by_ctrl_c(run, scene, monkeypatch):
    write_video(Path("v.ts"), [scene.image[:96, :128]] * 30, "libx264", rate=25)
    content = Path("v.ts").read_bytes()
    seen = []
    draw = visualize.overlay

    def overlay(*arguments, **more):
        seen.append(len(lines()) if Path("r.jsonl").exists() else 0)
        if len(seen) == 6:
            raise KeyboardInterrupt
        return draw(*arguments, **more)

    monkeypatch.setattr(visualize, "overlay", overlay)
    with serve(give(content, stalls=True)) as port:
        argv = [f"tcp://127.0.0.1:{port}/cam", "--output", "out", "--jsonl", "r.jsonl", "--json", "r.json"]
        code, out, err = run(*argv)
    assert code == 130
    assert seen == list(range(6))
    assert [one.get("last") for one in lines()] == [None] * 5
    assert len(read_json("r.json")) == 5
    assert len(frames_of("out/cam.mp4")) == 5
    assert "max 1 at once in 5 frames" in out
    assert err.endswith("personlab: error: interrupted\n")


def test_standard_input_is_predicted(run, scene, monkeypatch):
    for name in ("images/b.png", "clip.mkv"):
        with Path(name).open() as file:
            monkeypatch.setattr("sys.stdin", file)
            code, _, err = run("-", "--output", "out", "--jsonl", f"{Path(name).stem}.jsonl")
        assert code == 0, err
    assert [one["file"] for one in lines("b.jsonl")] == ["-"]
    assert [one["frame"] for one in lines("clip.jsonl")] == list(range(len(TIMES)))
    assert sorted(path.name for path in Path("out").iterdir()) == ["stdin.mp4", "stdin.png"]


def test_without_pyav_images_go_on_and_videos_say_what_to_install(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    code, out, err = run("images", "clip.mkv", "--output", "out", "--jsonl", "r.jsonl")
    assert code == 1
    assert "personlab: skipped clip.mkv: videos need PyAV: pip install 'personlab[video]'\n" in err
    assert len(lines()) == 2
    assert "images/a_7.png" in out
