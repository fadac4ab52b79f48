"""`personlab predict VIDEO --track`: identities in results and drawings, and runs that go on after a kill."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from fake_networks import SceneNetwork, loads
from json_lines import lines

from personlab import Predictor, TrackOptions, visualize
from personlab.cli import main
from personlab.data.synthetic import make_scene

pytest.importorskip("av")

from videos import write_video  # beside those that import PyAV

SIZE = (97, 129)
FRAMES = 6


@pytest.fixture(scope="module")
def scene():
    return make_scene(1, size=SIZE, people=2)


@pytest.fixture
def network(scene):
    return SceneNetwork(scene, stride=8)


@pytest.fixture
def run(tmp_path, monkeypatch, capfd, network, scene):
    """Run `personlab predict` in a folder with clip.mkv and a.png; gives the exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("personlab.predict.predictor.load_network", loads(network))
    visualize.write_image("a.png", scene.image)
    write_video("clip.mkv", [scene.image] * FRAMES, "ffv1", pix_fmt="bgr0", times=[0.1 * t for t in range(FRAMES)])

    def call(*argv):
        capfd.readouterr()
        code = main(["predict", *map(str, argv), "--weights", "W", "--long-edge", "129"])
        return code, *capfd.readouterr()

    return call


def ids_of(name="r.jsonl"):
    return [[person.get("track_id", "none") for person in one["people"]] for one in lines(name)]


def test_results_hold_the_identities_that_the_predictor_gives(run, network, scene):
    code, _, err = run("clip.mkv", "a.png", "--track", "--masks", "--jsonl", "r.jsonl", "--json", "r.json")
    assert code == 0, err
    expected = [one.track_ids.tolist() for one in Predictor(network, long_edge=129).track([scene.image] * FRAMES)]
    assert expected[0] == list(range(1, len(expected[0]) + 1))
    of_image, *of_video = ids_of()
    assert of_image == ["none"] * len(expected[0])  # an image alone has no identities
    assert of_video == expected
    results = json.loads(Path("r.json").read_text())
    assert [one["track_id"] for one in results if "track_id" in one] == [one for ids in expected for one in ids]
    assert all("track_id" in one for one in json.loads(Path("r.masks.json").read_text())[len(of_image) :])


def test_without_track_nothing_of_it_is_written(run):
    assert run("clip.mkv", "--jsonl", "r.jsonl", "--json", "r.json")[0] == 0
    assert "track_id" not in Path("r.jsonl").read_text() + Path("r.json").read_text()


@pytest.mark.parametrize("more", [[], ["--masks"], ["--tracking.flow", "true"]])
def test_a_run_that_goes_on_gives_the_same_bytes(run, more):
    arguments = ["clip.mkv", "--track", "--jsonl", "r.jsonl", "--output", "out", *more]
    assert run(*arguments)[0] == 0
    whole, drawn = Path("r.jsonl").read_bytes(), Path("out/clip.mp4").read_bytes()
    Path("r.jsonl").write_bytes(b"".join(whole.splitlines(keepends=True)[:3]))
    code, _, err = run(*arguments, "--resume")
    assert code == 0, err
    assert Path("r.jsonl").read_bytes() == whole
    assert Path("out/clip.mp4").read_bytes() == drawn


def test_lines_with_other_identities_and_a_run_without_track_are_refused(run):
    assert run("clip.mkv", "--track", "--jsonl", "r.jsonl")[0] == 0
    whole = Path("r.jsonl").read_text().splitlines(keepends=True)
    for broken in ('"track_id":7', '"track_id":"x"', '"track_id":null'):
        Path("r.jsonl").write_text("".join(whole[:3]).replace('"track_id":1', broken))
        code, _, err = run("clip.mkv", "--track", "--jsonl", "r.jsonl", "--resume")
        assert code == 2
        assert "frame 0 of clip.mkv has other track ids" in err
        assert "Traceback" not in err
    Path("r.jsonl").write_text("".join(whole[:3]))
    code, _, err = run("clip.mkv", "--jsonl", "r.jsonl", "--resume")
    assert code == 2
    assert "other options" in err


def test_flags_without_effect_are_refused_in_one_line(run):
    for arguments, text in (
        (["a.png", "--track"], "--track: expected a video"),
        (["clip.mkv", "--tracking.max_away", "3"], "--tracking.max_away: has no effect without --track"),
        (["clip.mkv", "--track", "--tracking.min_similarity", "3"], "min_similarity"),
    ):
        code, _, err = run(*arguments, "--jsonl", "r.jsonl")
        assert code == 2
        assert text in err


def test_a_frame_that_cannot_be_read_counts_as_one_without_people(network, scene):
    stream = Predictor(network, long_edge=129).track([scene.image, "missing.png", scene.image], TrackOptions())
    first = next(stream)
    with pytest.raises(FileNotFoundError):
        next(stream)
    assert next(stream).track_ids.tolist() == first.track_ids.tolist()
    assert next(stream, None) is None


def test_the_result_does_not_depend_on_threads(network, scene):
    frames = [scene.image, scene.image[:, ::-1].copy()] * 3
    results = [
        [one.track_ids.tolist() for one in Predictor(network, long_edge=129, threads=count).track(frames)]
        for count in (1, 3)
    ]
    assert results[0] == results[1]


def test_people_have_the_colour_and_the_number_of_their_identity(scene):
    poses = Predictor(SceneNetwork(scene, stride=8), long_edge=129)(scene.image).poses
    blank = np.full((*SIZE, 3), 128, np.uint8)
    colours = visualize.person_colours(9)
    drawn = visualize.draw_poses(blank, poses[:1], labels=False, track_ids=np.array([9]))
    assert (drawn == visualize.draw_poses(blank, poses[:1], labels=False, track_ids=np.array([9 + 35]))).all()
    assert not (drawn == visualize.draw_poses(blank, poses[:1], labels=False)).all()
    assert visualize.track_colours(np.array([1, 9, -1])).tolist() == [*colours[[0, 8]].tolist(), [150, 150, 150]]
    with pytest.raises(ValueError, match="track_ids"):
        visualize.draw_poses(blank, poses[:1], track_ids=np.array([1, 2]))
    with pytest.raises(TypeError, match="track_ids"):
        visualize.draw_poses(blank, poses[:1], track_ids=np.array([1.5]))
