"""Units of work without Ray: rows equal those of `Predictor`, and a run mends what a crash at any write has left."""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from batch_runs import Killed, Remembering, make_predictor, run_here, scene, write_scenes, write_tar, write_walk

from personlab.batch import read_errors, read_manifest, read_people
from personlab.batch.setup import EngineError, Setup
from personlab.batch.turns import Turns
from personlab.batch.work import Worker
from personlab.io.images import write_image
from personlab.io.sources import Source
from personlab.io.video import Video
from personlab.track import TrackOptions


@pytest.fixture(autouse=True)
def _unsynced(monkeypatch):
    """Does not wait for the disk, which takes most of the time of these jobs."""
    monkeypatch.setattr("personlab.io.files._sync", lambda _: None)
    monkeypatch.setattr("personlab.batch.storage._sync_folder", lambda _: None)


@pytest.fixture(scope="module")
def predictor():
    return make_predictor()


@pytest.fixture(scope="module")
def worker(predictor, tmp_path_factory):
    """A worker that jobs share, which predicts each image once; each job gives it its own folder."""
    remembering = Remembering(predictor)
    setup = Setup(
        output=str(tmp_path_factory.mktemp("none")), make_predictor=lambda: remembering, part=4, piece=6, column=None,
        track=None,
    )  # fmt: skip
    return Worker(setup)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return write_scenes(tmp_path_factory.mktemp("scenes"), 10)


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    return write_walk(tmp_path_factory.mktemp("videos") / "walk.mp4")


def tables(output):
    """All three tables as lists of rows."""
    return [read(output).to_pylist() for read in (read_people, read_manifest, read_errors)]


def test_images_equal_the_predictor(predictor, scenes, tmp_path):
    run_here([scenes], tmp_path / "o", predictor=lambda: predictor)
    people, manifest, errors = tables(tmp_path / "o")
    assert errors == []
    files = sorted(map(str, scenes.iterdir()))
    assert [row["file"] for row in manifest] == files
    rows = iter(people)
    for file, done in zip(files, manifest, strict=True):
        prediction = predictor(file)
        assert (done["height"], done["width"], done["people"]) == (121, 161, len(prediction.poses))
        for number, pose in enumerate(prediction.poses):
            row = next(rows)
            assert (row["file"], row["person"], row["frame"], row["source"]) == (file, number, None, str(scenes))
            triples = np.concatenate([pose.keypoints[0], pose.keypoint_scores[0][:, None]], axis=1)
            np.testing.assert_array_equal(np.float32(row["keypoints"]), triples.ravel())
            np.testing.assert_array_equal(np.float32(row["box"]), pose.boxes[0])
            assert np.float32(row["score"]) == pose.scores[0]
    assert next(rows, None) is None
    assert people


def test_masks_are_run_lengths(scenes, tmp_path):
    predictor = make_predictor(masks=True)
    run_here([scenes], tmp_path / "o", predictor=lambda: predictor)
    rows = read_people(tmp_path / "o").to_pylist()
    expected = [result for file in sorted(scenes.iterdir()) for result in predictor(str(file)).masks_to_coco(0)]
    assert [row["mask"] for row in rows] == [result["segmentation"] for result in expected]
    assert [row["mask_score"] for row in rows] == [result["score"] for result in expected]


def test_images_without_people_are_done(worker, tmp_path):
    (tmp_path / "i").mkdir()
    write_image(tmp_path / "i" / "1.png", np.zeros((64, 96, 3), np.uint8))
    run_here([tmp_path / "i"], tmp_path / "o", worker=worker)
    people, manifest, errors = tables(tmp_path / "o")
    assert (people, errors) == ([], [])
    assert [(row["people"], row["failed"]) for row in manifest] == [(0, False)]


@pytest.mark.parametrize("keys", [6, 100])
def test_pieces_equal_one_pass(predictor, worker, walk, tmp_path, keys):
    video = write_walk(tmp_path / "v.mp4", keys=keys)
    outcomes = run_here([video], tmp_path / "o", worker=worker)
    assert len(outcomes) == (4 if keys == 6 else 1)
    frames = list(Video(Source(str(video), "video")))
    people, manifest, errors = tables(tmp_path / "o")
    assert errors == []
    assert [(row["frame"], row["time"]) for row in manifest] == [(n, one.time) for n, one in enumerate(frames)]
    rows = iter(people)
    for number, (frame, done) in enumerate(zip(frames, manifest, strict=True)):
        prediction = predictor(frame.image)
        assert done["people"] == len(prediction.poses)
        for pose in prediction.poses:
            row = next(rows)
            assert (row["frame"], row["time"]) == (number, frame.time)
            assert np.float32(row["score"]) == pose.scores[0]
            np.testing.assert_array_equal(np.float32(row["keypoints"])[::3], pose.keypoints[0, :, 0])
    assert next(rows, None) is None
    assert people
    assert not (tmp_path / "o" / "_pieces" / "x").exists()


def test_tracks_of_pieces_equal_those_of_predict(predictor, worker, walk, tmp_path):
    from personlab.predict.tracks import VideoTracks

    run_here([walk], tmp_path / "o", worker=worker, track=TrackOptions())
    tracks = VideoTracks(TrackOptions(), predictor)
    frames = [frame.image for frame in Video(Source(str(walk), "video"))]
    ids = [number for frame in frames for number in tracks.add(predictor(frame), None).track_ids.tolist()]
    assert [row["track_id"] for row in tables(tmp_path / "o")[0]] == [one if one > 0 else None for one in ids]
    assert set(ids) - {-1}


def test_a_damaged_video_is_predicted_as_a_whole(worker, walk, tmp_path):
    content = bytearray(walk.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 400] = bytes(400)
    (tmp_path / "v.mp4").write_bytes(content)
    run_here([tmp_path / "v.mp4"], tmp_path / "o", worker=worker)
    run_here([tmp_path / "v.mp4"], tmp_path / "whole", worker=worker, piece=0)
    assert tables(tmp_path / "o") == tables(tmp_path / "whole")
    assert len(read_manifest(tmp_path / "o")) > 0


def members(scenes, tmp_path):
    files = sorted(scenes.iterdir())
    content = [(f"s/{file.stem}.png", file.read_bytes()) for file in files]
    return files, [one for pair in zip(content, [("s/x.json", b"{}")] * 10, strict=True) for one in pair]


def test_tars_equal_their_files(worker, scenes, tmp_path):
    files, content = members(scenes, tmp_path)
    tar = write_tar(tmp_path / "a.tar", content)
    outcomes = run_here([tar], tmp_path / "o", worker=worker)
    assert [outcome.inputs for outcome in outcomes] == [4, 4, 2]
    run_here([scenes], tmp_path / "f", worker=worker)
    own, other = tables(tmp_path / "o"), tables(tmp_path / "f")
    assert [(row["file"], row["index"]) for row in own[1]] == [
        (f"{tar}/s/{file.stem}.png", number) for number, file in enumerate(files)
    ]
    for one, two in zip(own[0], other[0], strict=True):
        assert {**one, "file": 0, "index": 0, "source": 0} == {**two, "file": 0, "index": 0, "source": 0}


def test_a_tar_cut_short_gives_what_is_whole(worker, scenes, tmp_path):
    _, content = members(scenes, tmp_path)
    whole = write_tar(tmp_path / "a.tar", content).read_bytes()
    tar = tmp_path / "b.tar"
    tar.write_bytes(whole[: len(whole) // 2])
    run_here([tar], tmp_path / "o", worker=worker)
    _, manifest, errors = tables(tmp_path / "o")
    done = [row["file"] for row in manifest if not row["failed"]]
    assert done == [f"{tar}/{name}" for name, _ in content if name.endswith("png")][: len(done)]
    assert len(done) > 2
    assert [row["file"] for row in errors] == [str(tar)] * len(errors)
    assert "damaged after" in errors[0]["reason"]


@pytest.mark.parametrize("kind", ["bytes", "struct"])
def test_parquet_equals_its_files(worker, scenes, tmp_path, kind):
    files = sorted(scenes.iterdir())
    content = [file.read_bytes() for file in files]
    if kind == "bytes":
        table = pa.table({"name": [file.name for file in files], "n": list(range(10)), "picture": content})
    else:
        table = pa.table({"image": [{"bytes": one, "path": f.name} for one, f in zip(content, files, strict=True)]})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=3)
    outcomes = run_here([tmp_path / "a.parquet"], tmp_path / "o", worker=worker)
    assert [outcome.inputs for outcome in outcomes] == [3, 3, 4]
    run_here([scenes], tmp_path / "f", worker=worker)
    own, other = tables(tmp_path / "o"), tables(tmp_path / "f")
    assert [row["file"] for row in own[1]] == [f"{tmp_path}/a.parquet/{file.name}" for file in files]
    assert [row["keypoints"] for row in own[0]] == [row["keypoints"] for row in other[0]]


def test_bad_inputs_are_rows(worker, scenes, tmp_path):
    folder = write_scenes(tmp_path / "i", 2)
    sound = (folder / "000001.png").read_bytes()
    write_image(folder / "c.jpg", scene(2))
    (folder / "a.png").write_bytes(b"")
    (folder / "b.jpg").write_bytes(b"no image")
    (folder / "c.jpg").write_bytes((folder / "c.jpg").read_bytes()[:-900])
    (folder / "d.mp4").write_bytes(b"no video")
    (folder / "e.tar").write_bytes(b"no tar" * 200)
    (folder / "f.parquet").write_bytes(b"no table")
    pq.write_table(pa.table({"x": [1]}), folder / "g.parquet")
    pq.write_table(pa.table({"x": pa.array([None, b"1", sound], pa.binary())}), folder / "h.parquet")
    run_here([folder], tmp_path / "o", worker=worker)
    _, manifest, errors = tables(tmp_path / "o")
    reasons = {(row["file"].removeprefix(f"{folder}/"), row["skipped"]): row["reason"] for row in errors}
    assert set(reasons) == {
        ("a.png", True), ("b.jpg", True), ("c.jpg", False), ("d.mp4", True), ("e.tar", True), ("f.parquet", True),
        ("g.parquet", True), ("h.parquet/0", True), ("h.parquet/1", True),
    }  # fmt: skip
    assert all(reason and "\n" not in reason and str(folder) not in reason for reason in reasons.values()), reasons
    assert len(manifest) == 12
    assert sum(row["failed"] for row in manifest) == 8


def test_every_crash_is_mended(worker, scenes, tmp_path):
    folder = tmp_path / "i"
    folder.mkdir()
    for file in sorted(scenes.iterdir())[:4]:
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "b.jpg").write_bytes(b"no image")
    write_walk(folder / "v.mp4", 12)
    run_here([folder], tmp_path / "whole", worker=worker)
    expected = tables(tmp_path / "whole")
    files = sorted(str(path.relative_to(tmp_path / "whole")) for path in (tmp_path / "whole").rglob("*.parquet"))
    for step in itertools.count():
        output = tmp_path / f"o{step}"
        try:
            run_here([folder], output, worker=worker, dies=step)
        except Killed:
            run_here([folder], output, worker=worker)
            assert tables(output) == expected, step
            assert sorted(str(path.relative_to(output)) for path in output.rglob("*.parquet")) == files
        else:
            break
    assert step > 15


def test_a_later_run_adds_what_is_new_alone(worker, scenes, tmp_path):
    folder = write_scenes(tmp_path / "i", 3)
    assert sum(one.inputs for one in run_here([folder], tmp_path / "o", worker=worker)) == 3
    write_scenes(folder, 2, first=4)
    assert sum(one.inputs for one in run_here([folder], tmp_path / "o", worker=worker)) == 2
    assert run_here([folder], tmp_path / "o", worker=worker) == []
    run_here([folder], tmp_path / "one", worker=worker)
    assert tables(tmp_path / "o") == tables(tmp_path / "one")


def test_evaluate_reads_the_folder_of_a_job(worker, tmp_path, capsys):
    from personlab.cli import main

    assert main(["scenes", "--output", str(tmp_path / "s"), "--count", "6", "--size", "121", "161"]) == 0
    run_here([tmp_path / "s" / "images"], tmp_path / "o", worker=worker)
    people = read_people(tmp_path / "o").to_pylist()
    listed = [
        {
            "image_id": int(row["file"][-16:-4]),
            "category_id": 1,
            "keypoints": [round(value, 4) for value in row["keypoints"]],
            "score": row["score"],
        }
        for row in people
    ]
    (tmp_path / "r.json").write_text(json.dumps(listed))
    printed = []
    for results in (tmp_path / "o", tmp_path / "r.json"):
        capsys.readouterr()
        annotations = str(tmp_path / "s" / "person_keypoints.json")
        assert main(["evaluate", "--annotations", annotations, "--results", str(results)]) == 0
        printed.append([line.split()[:3] for line in capsys.readouterr().out.splitlines()[1:]])
    assert printed[0] == printed[1]
    assert float(printed[0][0][2]) > 0.1


def test_other_options_and_other_folders_are_refused(worker, scenes, tmp_path):
    run_here([scenes], tmp_path / "o", worker=worker)
    with pytest.raises(ValueError, match=r"another part \(4, now 5\): give the same options"):
        run_here([scenes], tmp_path / "o", worker=worker, part=5)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(ValueError, match="expected a new or empty folder, or one of a job, got x in it"):
        run_here([scenes], tmp_path / "full", worker=worker)
    with pytest.raises(ValueError, match="expected the folder of a job"):
        read_people(tmp_path / "full")


def test_units_with_errors_are_done_again_on_demand(worker, tmp_path):
    folder = write_scenes(tmp_path / "i", 2)
    (folder / "bad.png").write_bytes(b"no image")
    run_here([folder], tmp_path / "o", worker=worker)
    write_image(folder / "bad.png", scene(5))
    assert run_here([folder], tmp_path / "o", worker=worker) == []
    assert len(run_here([folder], tmp_path / "o", worker=worker, retry_errors=True)) == 1
    people, manifest, errors = tables(tmp_path / "o")
    assert (len(manifest), errors) == (3, [])
    assert str(folder / "bad.png") in {row["file"] for row in people}


def test_a_network_that_fails_on_all_images_stops_the_job(predictor, worker, scenes, tmp_path):
    class Broken(Remembering):
        @contextlib.contextmanager
        def stream(self, images):
            yield _Failing(map(str, images))

    setup = replace(worker.setup, make_predictor=lambda: Broken(predictor))
    with pytest.raises(EngineError, match="the network fails on all images: no memory left"):
        run_here([scenes], tmp_path / "o", worker=Worker(setup))
    assert read_manifest(tmp_path / "o").num_rows == 0


class _Failing:
    """Raises at each image, and goes on."""

    def __init__(self, images):
        self._images = images

    def __next__(self):
        next(self._images)
        raise RuntimeError("no memory\nleft")


def test_units_at_once_equal_one_after_another(worker, scenes, walk, tmp_path):
    words = [scenes, walk, write_tar(tmp_path / "a.tar", [("1.png", (scenes / "000001.png").read_bytes())])]
    run_here(words, tmp_path / "o", worker=worker)
    run_here(words, tmp_path / "two", worker=worker, threads=2)
    assert tables(tmp_path / "o") == tables(tmp_path / "two")


def test_a_unit_is_read_while_the_one_before_is_predicted_and_written():
    turns, steps, waits = Turns(), [], threading.Event()

    def second():
        waits.set()
        with turns.take() as turn:
            steps.append("second")
            turn.wait_alone()
            steps.append("alone")

    with turns.take() as turn:
        thread = threading.Thread(target=second)
        thread.start()
        assert waits.wait(10)
        for number in turn.pass_after(range(2)):
            thread.join(0.05)
            steps.append(number)
        for _ in range(1000):
            if "second" not in steps:
                thread.join(0.01)
        thread.join(0.05)
        steps.append("predicted")
    thread.join(10)
    assert steps == [0, 1, "second", "predicted", "alone"]


def test_the_turn_passes_on_after_an_error():
    turns = Turns()
    with pytest.raises(OSError, match="disk"), turns.take():
        raise OSError("disk")
    with turns.take() as turn:
        turn.wait_alone()


def test_an_image_that_ends_the_process_is_a_row(predictor, worker, tmp_path):
    class Ending(Remembering):
        def _predict(self, source):
            if str(source).endswith("000003.png"):
                raise Killed
            return super()._predict(source)

    folder = write_scenes(tmp_path / "i", 4)
    setup = replace(worker.setup, make_predictor=lambda: Ending(predictor))
    for _ in range(4):
        with pytest.raises(Killed):
            run_here([folder], tmp_path / "o", worker=Worker(setup))
    run_here([folder], tmp_path / "o", worker=Worker(setup))
    _, manifest, errors = tables(tmp_path / "o")
    assert [row["failed"] for row in manifest] == [False, False, True, False], errors
    assert [row["reason"] for row in errors] == ["expected an image, got a file at which the process ends"]
    assert list((tmp_path / "o" / "_tries").iterdir()) == []
