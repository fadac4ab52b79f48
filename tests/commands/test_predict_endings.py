"""What `personlab predict` leaves and says where something goes wrong: parts, full disks, damage, odd inputs."""

from __future__ import annotations

import errno
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from fake_networks import SceneNetwork, loads

import personlab.methods.personlab.views
import personlab.predict.predictor
from personlab import visualize
from personlab.cli import main
from personlab.data.synthetic import make_scene
from personlab.io import video
from personlab.io.sources import SCHEMES, Source, drawing_names, fields_folders, find_sources, image_ids, skipped_files
from personlab.settings import DRAWN, PHOTOGRAPHS, Settings
from personlab.weights import known_names, load_model

SIZE = (97, 129)


@pytest.fixture(scope="module")
def scene():
    return make_scene(1, size=SIZE, people=1)


@pytest.fixture
def network(scene):
    """What --weights stands for in these tests."""
    return SceneNetwork(scene, stride=8)


@pytest.fixture
def run(tmp_path, monkeypatch, capfd, network):
    """Run `personlab predict` in an empty folder; gives the exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(personlab.predict.predictor, "load_network", loads(network))

    def call(*argv, weights="W"):
        capfd.readouterr()
        code = main(["predict", *map(str, argv), "--weights", weights, "--long-edge", "129"])
        return code, *capfd.readouterr()

    return call


def draw(name, scene):
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    visualize.write_image(name, scene.image)


def make_video(name, scene, count=12):
    writer = cv2.VideoWriter(str(name), cv2.VideoWriter.fourcc(*"MJPG"), 10, (128, 96))
    for _ in range(count):
        writer.write(np.ascontiguousarray(scene.image[:96, :128, ::-1]))
    writer.release()


def read_json(name):
    return json.loads(Path(name).read_text())


def interrupt_drawing(monkeypatch, after, error=KeyboardInterrupt):
    draw_people, calls = visualize.overlay, iter(range(1000))

    def overlay(*arguments, **more):
        if next(calls) == after:
            raise error
        return draw_people(*arguments, **more)

    monkeypatch.setattr(visualize, "overlay", overlay)


def test_json_goes_to_stdout_and_tables_to_stderr(run, scene):
    draw("a_7.png", scene)
    code, out, err = run("a_7.png", "--json", "-")
    assert code == 0
    results = json.loads(out)
    assert [result["image_id"] for result in results] == [7]
    assert "a_7.png" in err
    assert "ms an image" in err
    assert not Path("-").exists()
    assert run("a_7.png", "--json", "r.json", "--masks")[0] == 0
    code, out, _ = run("a_7.png", "--json", "-", "--masks")
    assert json.loads(out) == {"keypoints": read_json("r.json"), "masks": read_json("r.masks.json")}


def test_a_name_of_twenty_digits_gets_a_free_number(run, scene):
    names = ["20231125173904123456.jpg", "b.jpg", "0.jpg"]
    assert image_ids(names) == [1, 2, 0]
    for name in names:
        draw(f"in/{name}", scene)
    code, _, err = run("in", "--json", "r.json")
    assert code == 0, err
    assert {result["image_id"] for result in read_json("r.json")} == {0, 1, 2}


def test_frames_have_room_beside_the_largest_number(run, scene):
    draw(f"x{2**63 - 1}.png", scene)
    make_video("v.avi", scene, count=2)
    assert run(f"x{2**63 - 1}.png", "v.avi", "--json", "r.json")[0] == 0
    assert {result["image_id"] for result in read_json("r.json")} == {2**63 - 1, 0, 1}


def test_images_of_one_stem_get_a_folder_of_fields_each(run, scene):
    for name in ("in/a.jpg", "in/a.png", "in/a-2.png"):
        draw(name, scene)
    assert run("in", "--fields", "--no-overlay", "--output", "out")[0] == 0
    folders = sorted(path.name for path in Path("out").iterdir())
    assert len(folders) == 3
    assert all((Path("out") / folder / "fields.npz").is_file() for folder in folders)
    assert fields_folders(["a.jpg", "a.png", "a.b.png", "A.tif"]) == [
        "a-fields", "a-2-fields", "a.b-fields", "A-3-fields"
    ]  # fmt: skip


def test_names_of_drawings_are_never_shared():
    images = [Source(name, "image") for name in ("a/v-2.jpg", "b/v.jpg", "c/v.jpg", "v.jpg")]
    names = drawing_names(images)
    assert names == ["v-2.jpg", "v.jpg", "v-3.jpg", "v-4.jpg"]


def test_two_things_are_not_written_to_one_file(run, scene):
    draw("in/a.png", scene)
    code, _, err = run("in", "--output", "out", "--json", "out/a.png")
    assert code == 2
    assert "out/a.png is the file of" in err
    assert not Path("out").exists()


def test_hidden_files_are_skipped_and_what_is_left_out_is_named(run, scene):
    draw("in/x.jpg", scene)
    draw("in/sub/y.jpg", scene)
    for name in ("._x.jpg", ".hidden.png", "a.heic", "b.HEIC", "notes.txt"):
        (Path("in") / name).write_bytes(b"no image")
    assert find_sources(["in"]) == ([Source("in/x.jpg", "image")], [])
    assert skipped_files(["in", "in"]) == ["in: left out: folder sub, 2 .heic files"]
    code, out, err = run("in")
    assert code == 0
    assert err == "personlab: in: left out: folder sub, 2 .heic files\n"
    assert "sub" not in out
    for n in range(5):
        (Path("many") / f"f{n}").mkdir(parents=True)
    assert skipped_files(["many"]) == ["many: left out: folder f0, folder f1, folder f2, 2 more folders"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are POSIX's")
def test_an_image_may_come_through_a_pipe(run, scene):
    visualize.write_image("a.png", scene.image)
    content = Path("a.png").read_bytes()
    os.mkfifo("pipe")
    writer = threading.Thread(target=Path("pipe").write_bytes, args=(content,))
    writer.start()
    code, out, _ = run("pipe")
    writer.join()
    assert code == 0
    assert "129 x 97" in out


def test_inputs_that_are_not_supported_say_so(run, scene, monkeypatch):
    draw("a.png", scene)
    monkeypatch.setattr("sys.stdin", None)
    code, _, err = run("-", "gopher://example.org/a.mp4", "file:///none/a.mp4", "http://[::1/x", "a.png", "-")
    assert code == 1
    assert err.splitlines() == [
        "personlab: skipped -: expected an image or a video on standard input, got a terminal",
        "personlab: skipped gopher://example.org/a.mp4: expected a file or an address that begins with "
        + ", ".join(SCHEMES)
        + " or file, got gopher",
        "personlab: skipped file:///none/a.mp4: no such file",
        "personlab: skipped http://[::1/x: expected an address, got a malformed one: Invalid IPv6 URL",
        "personlab: error: 4 of the inputs failed; see above",
    ]


def test_a_damaged_image_is_named_and_its_people_are_kept(run, scene):
    draw("a.jpg", scene)
    content = Path("a.jpg").read_bytes()
    Path("b_5.jpg").write_bytes(content[: len(content) * 3 // 4])
    Path("c.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(50))
    code, out, err = run("a.jpg", "b_5.jpg", "c.png", "--json", "r.json")
    assert code == 1
    lines = err.splitlines()
    assert "personlab: warning: b_5.jpg: the JPEG file is damaged (the file ends too early)" in lines
    assert any(line.startswith("personlab: skipped c.png: expected an image, got a damaged PNG file") for line in lines)
    assert lines[-1] == "personlab: error: 1 of the inputs failed, 1 of the inputs is damaged; see above"
    assert len(lines) == 4  # and nothing that decoders have to say
    assert {result["image_id"] for result in read_json("r.json")} == {0, 5}
    assert "b_5.jpg" in out


def test_a_damaged_video_is_read_on_and_said_to_lack_frames(run, scene):
    make_video("v.avi", scene)
    content = Path("v.avi").read_bytes()
    Path("v.avi").write_bytes(content[: len(content) * 2 // 3])
    code, out, err = run("v.avi", "--output", "out")
    assert code == 1
    read = len(list(video.Video(Source("out/v.mp4", "video"))))
    assert 3 < read < 12
    assert f"max 1 at once in {read} frames" in out
    assert f"personlab: warning: v.avi: the video is damaged: {12 - read} of 12 frames are missing\n" in err
    assert err.endswith("personlab: error: 1 of the inputs is damaged; see above\n")


def test_an_interruption_replaces_nothing_whole(run, scene, monkeypatch):
    for n in range(3):
        draw(f"in/{n}.png", scene)
    for name in ("r.json", "r.masks.json"):
        Path(name).write_text("whole")
    interrupt_drawing(monkeypatch, after=2)
    code, _, err = run("in", "--output", "out", "--json", "r.json", "--masks")
    assert code == 130
    for name in ("r.json", "r.masks.json"):
        assert Path(name).read_text() == "whole"
    assert {r["image_id"] for r in read_json("r.part.json")} == {0, 1}
    assert {r["image_id"] for r in read_json("r.part.masks.json")} == {0, 1}
    assert "personlab: wrote r.part.json: a part, as the run was interrupted\n" in err
    assert err.endswith("personlab: error: interrupted\n")


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")
def test_ctrl_c_keeps_the_results_of_all_images_that_are_drawn(tmp_path, scene):
    count = 3000
    (tmp_path / "in").mkdir()
    draw(tmp_path / "in" / "0.png", scene)
    for n in range(1, count):
        (tmp_path / "in" / f"{n}.png").symlink_to("0.png")
    command = [sys.executable, "-m", "personlab", "predict", "in", "--weights", "drawn-mobilenet-050", "--masks"]
    command += ["--engine", "torch", "--long-edge", "129", "--output", "out", "--json", "r.json"]
    running = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while len(list((tmp_path / "out").glob("[0-9]*.png"))) < 5 and running.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 130, err
    assert out == ""
    assert err.endswith("personlab: error: interrupted\n")
    assert "Traceback" not in err
    drawn = {int(path.stem) for path in (tmp_path / "out").glob("[0-9]*.png")}
    order = sorted(range(count), key=lambda n: f"{n}.png")
    assert drawn == set(order[: len(drawn)])
    assert 5 <= len(drawn) < count
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]
    people = {result["image_id"] for result in json.loads((tmp_path / "r.part.json").read_text())}
    assert len(people ^ drawn) <= 1  # Ctrl-C may come between a drawing and its results
    assert not (tmp_path / "r.json").exists()


def test_a_part_of_results_without_an_ending_replaces_nothing_whole(run, scene, monkeypatch):
    for n in range(2):
        draw(f"in/{n}.png", scene)
    Path("r.masks.json").write_text("whole")
    interrupt_drawing(monkeypatch, after=1)
    assert run("in", "--output", "out", "--json", "r", "--masks")[0] == 130
    assert Path("r.masks.json").read_text() == "whole"
    assert sorted(path.name for path in Path().glob("r*")) == ["r.masks.json", "r.part.json", "r.part.masks.json"]


def test_an_interruption_writes_no_part_to_stdout(run, scene, monkeypatch):
    draw("a.png", scene)
    interrupt_drawing(monkeypatch, after=0)
    code, out, _ = run("a.png", "--json", "-", "--output", "out")
    assert (code, out) == (130, "")
    assert list(Path().glob("*part*")) == []


def test_an_interrupted_video_replaces_nothing_whole(run, scene, monkeypatch):
    make_video("v.avi", scene)
    Path("out").mkdir()
    Path("out/v.mp4").write_bytes(b"whole")
    interrupt_drawing(monkeypatch, after=5)
    code, _, err = run("v.avi", "--output", "out", "--json", "r.json")
    assert code == 130
    assert Path("out/v.mp4").read_bytes() == b"whole"
    assert sorted(path.name for path in Path("out").iterdir()) == ["v.mp4", "v.part.mp4"]
    assert len(list(video.Video(Source("out/v.part.mp4", "video")))) == 5
    assert "personlab: wrote out/v.part.mp4: a part, as the run was interrupted\n" in err
    assert len(read_json("r.part.json")) == 5


def test_another_error_in_a_video_leaves_no_video(run, scene, monkeypatch):
    make_video("v.avi", scene)
    interrupt_drawing(monkeypatch, after=5, error=OSError(errno.ENOSPC, "No space left on device", "out/v.mp4"))
    code, _, err = run("v.avi", "--output", "out", "--json", "r.json")
    assert code == 1
    assert err.endswith("personlab: error: out/v.mp4: No space left on device\n")
    assert list(Path("out").iterdir()) == []
    assert not Path("r.json").exists()


class Camera:
    """A camera that gives frames until Ctrl-C."""

    rate, count, missing, damaged, problem, end, pixel_aspect, is_live = 10.0, None, 0, 0, "", None, None, True

    def __init__(self, source):
        pass

    def __iter__(self):
        for number in itertools.count():
            yield video.VideoFrame(np.zeros((*SIZE, 3), np.uint8), number / 10)

    def stop(self):
        pass

    def describe_damage(self, _):
        return []


def test_ctrl_c_ends_a_camera_whose_results_are_whole(run, monkeypatch):
    monkeypatch.setattr(video, "Video", Camera)
    interrupt_drawing(monkeypatch, after=4)
    code, out, err = run("0", "--output", "out", "--json", "r.json")
    assert code == 130
    assert sorted(path.name for path in Path("out").iterdir()) == ["camera0.mp4"]
    assert Path("r.json").exists()
    assert "4 frames" in out
    assert err.endswith("personlab: error: interrupted\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_named_as_the_user_named_it(run, scene, monkeypatch):
    draw("a.png", scene)
    code, _, err = run("a.png", "--json", "/dev/full")
    assert code == 1
    assert err.endswith("personlab: error: /dev/full: No space left on device\n")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    code, _, err = run("a.png", "--output", "out", "--json", "r.json")
    assert code == 1
    assert err.endswith("personlab: error: out/a.png: No space left on device\n")
    assert list(Path("out").iterdir()) == []
    assert not Path("r.json").exists()


def test_memory_that_runs_out_on_one_image_is_told_and_the_rest_done(run, scene, monkeypatch):
    draw("b.png", scene)
    visualize.write_image("a.png", np.zeros((33, 49, 3), np.uint8))
    resize = personlab.methods.personlab.views.resize

    def hungry(image, size):
        if image.shape == (33, 49, 3):
            raise MemoryError("Unable to allocate 10.0 GiB")
        return resize(image, size)

    monkeypatch.setattr(personlab.methods.personlab.views, "resize", hungry)
    code, out, err = run("a.png", "b.png")
    assert code == 1
    assert "personlab: skipped a.png: out of memory: Unable to allocate 10.0 GiB\n" in err
    assert "b.png" in out


def test_a_network_of_drawn_people_warns_of_photographs_once(run, scene, network):
    for name in ("photos/a.png", "photos/b.png"):
        draw(name, scene)
    assert run("photos")[2] == ""
    network.settings = Settings(domain=PHOTOGRAPHS)
    assert run("photos")[2] == ""
    network.settings = Settings(domain=DRAWN)
    assert run("photos", weights="own.safetensors")[2] == (
        "personlab: warning: own.safetensors knows drawn people only: for photographs use --weights "
        "people-mobilenet-075 or another\n"
    )
    assert main(["scenes", "--output", "drawn", "--count", "2", "--size", "97", "129"]) == 0
    assert run("drawn/images")[2] == ""
    assert "knows drawn people only" in run("drawn/images", "photos")[2]
    assert load_model("drawn-mobilenet-050").settings.domain == DRAWN


def test_a_missing_network_lists_the_names(capfd):
    assert main(["predict", "a.jpg", "--method", "simple_pose"]) == 2  # which has none for photographs
    err = capfd.readouterr().err
    assert err.startswith("personlab: error: --weights: expected ")
    assert err.count("\n") == 1
    for name in known_names():
        assert name in err


def test_keypoints_under_a_probability_are_not_drawn(run, scene):
    draw("a.png", scene)
    drawn = {}
    for least in ("0", "1"):
        assert run("a.png", "--output", "out", "--min-keypoint", least)[0] == 0
        drawn[least] = visualize.read_image("out/a.png")
    image = visualize.read_image("a.png")
    assert np.array_equal(drawn["1"], image)
    assert not np.array_equal(drawn["0"], image)
    assert run("a.png", "--min-keypoint", "2")[0] == 2


def test_the_inputs_of_users(run, data):
    faults = data / "faults"
    code, out, err = run(faults / "20-twenty-digits-in-a-name" / "images", "--json", "r.json")
    assert code == 0, err
    assert len(out.split("\n\n")[0].splitlines()) == 3
    assert run(faults / "28-jpeg-damaged-inside" / "images")[0] == 1
    folder = faults / "22-damaged-video"
    code, out, err = run(folder / "v.mp4", folder / "cut.avi", "--output", "out")
    assert code == 1
    assert "5 of 60 frames are missing" in err
    assert "14 of 30 frames are missing" in err
    assert "in 55 frames" in out
    assert "in 16 frames" in out
