"""`personlab evaluate --metric` and `--results`: what is printed, of files and of the encoding."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
from posetrack_files import person, sequence

pytest.importorskip("jsonargparse")
pytest.importorskip("scipy")
pytest.importorskip("pycocotools")
from personlab.cli import main
from personlab.commands import metric
from personlab.commands.flags import UsageError
from personlab.data import mpii
from personlab.data.mat_file import _plain
from personlab.data.posetrack_coco import convert_posetrack
from personlab.data.posetrack_files import read_sequences
from personlab.data.result_files import read_results


def figures(capsys, *argv):
    """The printed table as numbers by name."""
    assert main(["evaluate", *map(str, argv)]) == 0, capsys.readouterr().err
    lines = capsys.readouterr().out.splitlines()[1:]
    return {name.strip(): float(value) for name, value in (line.rsplit(maxsplit=1) for line in lines)}


def error(capsys, *argv):
    code = main(["evaluate", *map(str, argv)])
    captured = capsys.readouterr()
    assert not captured.out
    return captured.err.splitlines()[-1], code


def write(path, content):
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def people(data, tmp_path, monkeypatch):
    """MPII's golden people, as a converted file, and results: their own keypoints, moved by a pixel."""
    from scipy.io import loadmat

    path = data / "top_down" / "mpii2coco_input.mat"
    release = _plain(loadmat(path, struct_as_record=False)["RELEASE"])
    monkeypatch.setattr(mpii, "read_mat", lambda *_: release)
    content = mpii.convert_mpii(path, lambda _: (300, 300)).dataset
    results = []
    for entry in content["annotations"]:
        keypoints = np.reshape(entry["keypoints"], (-1, 3)) + np.array([1, 0, 0])
        if entry["num_keypoints"]:
            pose = {"image_id": entry["image_id"], "category_id": 1, "score": 0.5}
            results.append({**pose, "keypoints": keypoints.ravel().tolist()})
    return write(tmp_path / "a.json", content), write(tmp_path / "r.json", results)


def test_mpii(people, tmp_path, capsys):
    from scipy.io import loadmat

    annotations, results = people
    target = tmp_path / "pred.mat"
    argv = ("--metric", "mpii", "--annotations", annotations, "--results", results)
    printed = figures(capsys, *argv, "--benchmark-results", target)
    assert printed["PCKh Mean"] == printed["PCKh Mean@0.1"] == printed["PCKh Head"] == 100
    written = loadmat(target, struct_as_record=False)
    assert written["preds"].shape == (9, 16, 2)
    (rect,) = written["pred"][0, 8].annorect.ravel()
    points = {int(p.id[0, 0]): (p.x[0, 0], p.y[0, 0]) for p in rect.annopoints[0, 0].point.ravel()}
    assert points[0] == pytest.approx((125.92642499583533 + 1, 64.21819615423263))  # from 1, as in the release
    listed = json.loads(results.read_text())
    write(results, listed[1:])  # without one of the people, whose joints are wrong then
    lost = figures(capsys, *argv)
    assert 70 < lost["PCKh Mean"] < 100
    moved = [{**r, "keypoints": (np.array(r["keypoints"]) + [2.0, 0, 0] * 16).tolist()} for r in listed]
    write(results, moved)  # 3 pixels: for some heads between a tenth and 0.11 of their size
    assert figures(capsys, *argv)["PCKh Mean@0.1"] < figures(capsys, *argv, "--original")["PCKh Mean@0.1"]


def test_results_of_other_categories_are_left_out(people, capsys):
    annotations, results = people
    content = json.loads(results.read_text())
    whole = figures(capsys, "--annotations", annotations, "--results", write(results, content))
    assert whole == figures(
        capsys, "--annotations", annotations, "--results",
        write(results, [{k: v for k, v in one.items() if k != "category_id"} for one in content]),
    )  # fmt: skip
    fewer = figures(capsys, "--annotations", annotations, "--results", write(results, content[1:]))
    write(results, [{**content[0], "category_id": 2}, *content[1:]])
    assert figures(capsys, "--annotations", annotations, "--results", results) == fewer
    assert main(["evaluate", "--annotations", str(annotations), "--results", str(results)]) == 0
    said = f"warning: {results}: left out: 1 of {len(content)} results, which are of other categories"
    assert said in capsys.readouterr().err


def test_coco(people, capsys):
    annotations, results = people
    printed = figures(capsys, "--annotations", annotations, "--results", results)
    assert list(printed) == ["keypoint AP", "keypoint AP50", "keypoint AP75", "keypoint AR"]
    assert printed["keypoint AP50"] > 0.7
    content = json.loads(annotations.read_text())
    first = content["annotations"][0]["image_id"]
    for entry in content["annotations"]:
        if entry["image_id"] == first:
            entry.pop("keypoints")
    write(annotations, content)  # results of an image without labels are wrong, or do not count
    wrong = figures(capsys, "--annotations", annotations, "--results", results)
    left_out = figures(capsys, "--annotations", annotations, "--results", results, "--labelled-only")
    assert wrong["keypoint AP50"] <= left_out["keypoint AP50"]


def test_crowdpose(people, capsys):
    annotations, results = people
    content = json.loads(annotations.read_text())
    for place, image in enumerate(content["images"]):
        image["crowdIndex"] = (0.05, 0.15, 0.95)[place % 3]
    line, code = error(capsys, "--metric", "crowdpose", "--annotations", annotations, "--results", results)
    assert code == 1
    assert "images[0]: crowdIndex: expected a number from 0 to 1, got none" in line
    write(annotations, content)
    printed = figures(capsys, "--metric", "crowdpose", "--annotations", annotations, "--results", results)
    assert list(printed)[-3:] == ["keypoint AP easy", "keypoint AP medium", "keypoint AP hard"]
    assert printed["keypoint AP50"] > 0.8


GOLDEN = {"2_noisy": ("61.78", "43.90", "45.35"), "4_ignore_regions": ("84.40", "56.14", "50.36")}


@pytest.mark.parametrize("case", GOLDEN)
def test_posetrack_as_poseval_prints_it(data, tmp_path, capsys, case):
    content = json.loads((data / "top_down" / f"poseval_{case}.json").read_text())
    for kind in ("ground_truth", "predictions"):
        (tmp_path / kind).mkdir()
        for name, one in content[kind].items():
            write(tmp_path / kind / f"{name}.json", one)
    found = ("--results", tmp_path / "predictions")
    argv = ("--metric", "posetrack", "--annotations", tmp_path / "ground_truth")
    printed = figures(capsys, *argv, *found, "--original")
    expected = content["expected"]["total_AP_metrics"]["ap"]
    assert (printed["AP total"], printed["MOTA total"], printed["MOTP total"]) == tuple(map(float, GOLDEN[case]))
    assert printed["AP head"] == pytest.approx(np.mean(expected[12:15]), abs=0.006)
    assert printed["AP knee"] == pytest.approx((expected[1] + expected[4]) / 2, abs=0.006)
    right = figures(capsys, *argv, *found)
    assert right["MOTP total"] > 70
    # the same figures of a converted file, of a list of results, and of what is written for poseval
    made = convert_posetrack(tmp_path / "ground_truth", lambda _: (640, 480)).dataset
    converted = write(tmp_path / "converted.json", made)
    listed = [dict(entry) for one in content["predictions"].values() for entry in one["annotations"]]
    results = write(tmp_path / "results.json", listed)
    target = tmp_path / "written"
    argv = ("--metric", "posetrack", "--annotations", converted, "--results")
    assert figures(capsys, *argv, results, "--original", "--benchmark-results", target) == printed
    assert figures(capsys, *argv, target, "--original") == printed
    assert figures(capsys, *argv, tmp_path / "predictions") == right
    assert set(read_sequences(target)) == set(content["ground_truth"])


def test_two_people_of_one_track_id_are_a_line(data, tmp_path, capsys):
    content = json.loads((data / "top_down" / "poseval_7_same_track_id_twice.json").read_text())
    files = [write(tmp_path / f"{k}.json", next(iter(content[k].values()))) for k in ("ground_truth", "predictions")]
    argv = ("--metric", "posetrack", "--annotations", files[0], "--results", files[1])
    line, code = error(capsys, *argv, "--original")
    assert code == 1
    assert "000201_mpii_test/000000.jpg: expected track ids that differ in a frame, got" in line
    assert main(["evaluate", *map(str, argv)]) == 0
    captured = capsys.readouterr()
    assert "AP total" in captured.out
    assert "MOTA total" in captured.out
    (line,) = captured.err.splitlines()
    assert line.startswith("personlab: warning: predictions: sequence 000201_mpii_test")


def test_results_without_tracks_have_no_mota(tmp_path, capsys):
    truth = write(tmp_path / "t.json", sequence([person(1, 0, nose=(100, 50))], size=(320, 240)))
    found = write(tmp_path / "r.json", [{**person(1, nose=(101, 50)), "score": 0.5}])
    printed = figures(capsys, "--metric", "posetrack", "--annotations", truth, "--results", found)
    assert printed["AP total"] == 100
    assert not any("MOT" in name for name in printed)


def test_the_encoding_is_scored_by_every_metric(tmp_path, capsys):
    """PersonLab's own 17 keypoints are not those of MPII and PoseTrack: one line says so."""
    from personlab.data.coco import People, make_annotations
    from personlab.data.synthetic import make_scene

    scene = make_scene(1, size=(161, 209), people=2)
    dataset = make_annotations({1: People(scene.keypoints, scene.masks, np.zeros((161, 209), bool))}).dataset
    for entry in dataset["annotations"]:
        entry.pop("segmentation")
    dataset["images"][0] |= {"crowdIndex": 0.5, "file_name": "1.png"}
    path = write(tmp_path / "a.json", dataset)
    argv = ("--annotations", path, "--ceiling", "--stride", "8", "--metric")
    printed = figures(capsys, *argv, "crowdpose")
    assert printed["keypoint AP medium"] > 0.9
    assert printed["keypoint AP easy"] == -1
    for name, missing in (("mpii", "pelvis"), ("posetrack", "head_bottom")):
        line, code = error(capsys, *argv, name)
        assert code == 1
        assert f"got none called '{missing}'" in line


def test_wrong_usage(tmp_path, capsys):
    path = write(tmp_path / "a.json", sequence([], size=(320, 240)))
    plain = {"metric": "coco", "original": False, "results": "r.json", "benchmark_results": None, "only": None}
    for more, message in (
        ({"weights": "a"}, "--weights: has no effect with --results"),
        ({"ceiling": True}, "--ceiling: has no effect with --results"),
        ({"json": "-"}, "--json: has no effect with --results"),
        ({"metric": "posetrack", "only": "a"}, "--only: has no effect"),
        ({"original": True}, "--original: has no effect on --metric coco"),
        ({"benchmark_results": "a"}, "--benchmark-results: has no effect with --metric coco"),
        ({"metric": "mpii", "benchmark_results": "a"}, "--benchmark-results: expected a file name in .mat, got a"),
        ({"metric": "posetrack", "benchmark_results": path}, f"expected a folder, got the file {path}"),
    ):
        with pytest.raises(UsageError, match=re.escape(message)):
            metric.check(SimpleNamespace(**{**plain, **more}))
    with pytest.raises(FileNotFoundError, match="no such folder"):
        metric.check(SimpleNamespace(**plain | {"metric": "mpii", "benchmark_results": str(tmp_path / "no" / "a.mat")}))
    line, code = error(capsys, "--annotations", path, "--results", path, "--ceiling")
    assert (code, "--ceiling: has no effect with --results" in line) == (2, True)
    line, code = error(capsys, "--annotations", path, "--metric", "hota", "--results", path)
    assert (code, "hota" in line) == (2, True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": 1}, "r.json: expected a list of COCO results, got an object of 1"),
        ("[", None),
        ([3], r"results[0]: expected an object, got 3"),
        ([{"image_id": 99}], "results[0]: image_id: expected an image of the annotations, got 99"),
        ([{"image_id": 0, "category_id": "1"}], 'results[0]: category_id: expected an integer, got "1"'),
        ([{"image_id": 0, "keypoints": [1, 2]}], "results[0]: keypoints: expected 48 numbers, got 2"),
        ([{"image_id": 0, "keypoints": [float("nan")] * 48}], "results[0]: keypoints: expected at most 1048576 pixels"),
        ([{"image_id": 0, "keypoints": [1] * 48, "score": "a"}], 'results[0]: score: expected a number, got "a"'),
    ],
)
def test_faults_of_results(tmp_path, content, message):
    results = write(tmp_path / "r.json", content)
    with pytest.raises(ValueError, match=re.escape(message or "r.json: expected a list of COCO results, got")):
        read_results(results, {0: None}, 16)


def test_people_without_heads_are_named(people, capsys):
    annotations, results = people
    content = json.loads(annotations.read_text())
    del content["annotations"][0]["bbox_head"]
    write(annotations, content)
    line, code = error(capsys, "--metric", "mpii", "--annotations", annotations, "--results", results)
    assert code == 1
    assert "annotations[0]: bbox_head: expected the box of a head" in line
