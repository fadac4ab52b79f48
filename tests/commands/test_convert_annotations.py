"""`personlab convert-annotations`: files, lines and exit codes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from posetrack_files import person, sequence

pytest.importorskip("jsonargparse")
pytest.importorskip("scipy")
pytest.importorskip("cv2")
from personlab import visualize
from personlab.cli import main
from personlab.data import mat_file, mpii


def error(capsys, *argv):
    """The line of an error, and its exit code."""
    code = main(["convert-annotations", *map(str, argv)])
    captured = capsys.readouterr()
    assert not captured.out
    assert len(captured.err.splitlines()) == 1
    return captured.err.strip(), code


def test_mpii(data, tmp_path, capsys, monkeypatch):
    folder = data / "top_down"
    for name, (w, h) in json.loads((folder / "mpii2coco_image_sizes_wh.json").read_text()).items():
        visualize.write_image(tmp_path / name.replace(".jpg", ".png"), np.zeros((h, w, 3), np.uint8))
        (tmp_path / name.replace(".jpg", ".png")).rename(tmp_path / name)  # formats go by content
    argv = [str(folder / "mpii2coco_input.mat"), str(tmp_path / "a.json"), "--images", str(tmp_path)]
    assert main(["convert-annotations", "mpii", *argv]) == 0
    captured = capsys.readouterr()
    assert captured.out == "6 images, 10 people\n"
    assert captured.err.splitlines()[-1] == f"personlab: wrote {tmp_path / 'a.json'}"
    assert len([line for line in captured.err.splitlines() if line.startswith("personlab: warning: ")]) == 3
    release = mat_file.read_mat(argv[0], "RELEASE")
    monkeypatch.setattr(mpii, "read_mat", lambda *_: release)
    assert main(["convert-annotations", "mpii", *argv, "--original", "--split", "test"]) == 0
    assert json.loads((tmp_path / "a.json").read_text()) == json.loads((folder / "mpii2coco_test.json").read_text())
    capsys.readouterr()
    (tmp_path / "000001164.jpg").unlink()
    line, code = error(capsys, "mpii", *argv)
    assert (line, code) == (f"personlab: error: {tmp_path / '000001164.jpg'}: No such file or directory", 1)
    line, code = error(capsys, "mpii", *argv[:2])
    assert code == 2
    assert "--images: expected the folder of the images, as 000001164.jpg has no size, got none" in line


def test_posetrack(tmp_path, capsys):
    source = tmp_path / "in"
    source.mkdir()
    people = [person(n, 3, nose=(10, 20), head_top=(13, 8)) for n in (1, 1, 2)]
    (source / "one.json").write_text(json.dumps(sequence(people, frames=3, unlabelled=(3,), size=(320, 240))))
    target = tmp_path / "a.json"
    assert main(["convert-annotations", "posetrack", str(source), str(target)]) == 0
    captured = capsys.readouterr()
    assert captured.out == "3 images, 3 people, 1 regions without annotations\n"
    assert "warning: " in captured.err
    assert "2 people of id 3 in image 1" in captured.err
    first = target.read_bytes()
    assert main(["convert-annotations", "posetrack", str(source), str(target)]) == 0
    assert target.read_bytes() == first
    capsys.readouterr()
    assert main(["convert-annotations", "posetrack17", str(source), str(tmp_path / "old")]) == 0
    assert capsys.readouterr().out == "1 sequences, 3 images\n"
    assert len(json.loads((tmp_path / "old" / "one.json").read_text())["annolist"]) == 3


def test_wrong_usage_and_bad_files(tmp_path, capsys):
    (tmp_path / "a.json").write_text("[")
    line, code = error(capsys, "posetrack", tmp_path / "a.json", tmp_path / "b.json")
    assert code == 1
    assert line.startswith(f"personlab: error: {tmp_path / 'a.json'}: expected annotations")
    for argv, message in (
        (("posetrack", "a", "b", "--split", "test"), "--split: has no effect on posetrack"),
        (("posetrack17", "a", "b", "--original"), "--images and --original: have no effect on posetrack17"),
        (("coco", "a", "b"), "mpii"),
        (("mpii", tmp_path / "a.json", tmp_path / "a.json"), "is SRC, too"),
    ):
        line, code = error(capsys, *argv)
        assert code == 2
        assert message in line
    for argv in (
        ("mpii", tmp_path / "none.mat", tmp_path / "b.json"),
        ("posetrack", tmp_path / "none", tmp_path / "b.json"),
        ("mpii", tmp_path / "a.json", tmp_path / "none" / "b.json"),
        ("mpii", tmp_path / "a.json", tmp_path / "b.json", "--images", tmp_path / "none"),
    ):
        line, code = error(capsys, *argv)
        assert code == 1
        assert "none" in line
    assert not (tmp_path / "b.json").exists()
