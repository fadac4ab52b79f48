"""MPII's annotations: the original's output in every number, and by default people in pixels from 0, none lost."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("scipy")
pytest.importorskip("pycocotools")
from mpii_files import point, rect, write
from scipy.io import loadmat, savemat

from personlab.data import mat_file, mpii
from personlab.data.annotations import read_annotations
from personlab.data.mpii import KEYPOINTS, convert_mpii

CRASH = 480  # the byte that makes scipy 1.17 end the process, if it is 255


def size_of(_):
    return 300, 200


@pytest.fixture
def here(monkeypatch):
    """MATLAB files are read in this process, which saves the start of another."""

    def read(path, variable):
        return mat_file._plain(loadmat(path, struct_as_record=False)[variable])

    monkeypatch.setattr(mpii, "read_mat", read)


def convert(path, **more):
    return convert_mpii(path, size_of, **more)


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_original(data, split):
    folder = data / "top_down"
    sizes = json.loads((folder / "mpii2coco_image_sizes_wh.json").read_text())
    made = convert_mpii(folder / "mpii2coco_input.mat", lambda name: tuple(sizes[name]), split=split, original=True)
    assert made.dataset == json.loads((folder / f"mpii2coco_{split}.json").read_text())


def test_a_person_by_hand(tmp_path, here):
    """Joints at (10, 20) and (29, 39) from 0: a box of 20 x 20 pixels, 24 x 24 about its middle."""
    people = [rect([point(0, 11, 21), point(9, 30, 40, np.zeros((0, 0))), point(15, 12, 22, 0)], scale=2.5)]
    made = convert(write(tmp_path / "a.mat", people)).dataset
    assert made["images"] == [{"id": 0, "file_name": "0.jpg", "width": 300, "height": 200}]
    (person,) = made["annotations"]
    keypoints = np.reshape(person["keypoints"], (16, 3))
    assert keypoints[[0, 9, 15]].tolist() == [[10, 20, 2], [29, 39, 2], [11, 21, 1]]
    assert not keypoints[[k for k in range(16) if k not in (0, 9, 15)]].any()
    assert person["bbox"] == pytest.approx([19.5 - 12, 29.5 - 12, 24, 24])
    assert (person["id"], person["num_keypoints"], person["scale"]) == (1, 3, 2.5)
    assert person["bbox_head"] == [10, 20, 30, 40]
    assert made["categories"][0]["keypoints"] == list(KEYPOINTS)


def test_the_loader_reads_it(data, tmp_path, here):
    made = convert(data / "top_down" / "mpii2coco_input.mat")
    path = tmp_path / "a.json"
    path.write_text(json.dumps(made.dataset))
    annotations = read_annotations(path)
    assert annotations.n_keypoints == 16
    assert annotations.skeleton().flip == (5, 4, 3, 2, 1, 0, 6, 7, 8, 9, 15, 14, 13, 12, 11, 10)
    assert len(annotations.people) == 10  # the original has 7
    assert not annotations.notes
    path.write_text(json.dumps(convert(data / "top_down" / "mpii2coco_input.mat", original=True).dataset))
    original = read_annotations(path)
    with pytest.raises(ValueError, match="COCO counts from 1"):
        original.skeleton()


def test_nobody_is_lost_and_what_is_odd_is_a_line_each(tmp_path, here):
    place = {"objpos": {"x": 51.0, "y": 41.0}, "scale": 0.2}
    path = write(
        tmp_path / "a.mat",
        [rect([point(3, 5, 5)], **place)] * 7,
        [rect([], **place)],
        [rect([], scale=2.0)],
        [rect([], None, scale=2.0)],
        [rect([point(3, 5, 5), point(3, 9, 8)], **place)],
        [],
        [rect([], **place)],
        train=[1, 1, 1, 1, 1, 1, 0],
    )
    made = convert(path)
    boxes = [person["bbox"] for person in made.dataset["annotations"]]
    assert boxes[0] == pytest.approx([4 - 0.6, 4 - 0.6, 1.2, 1.2])
    assert boxes[7:10] == [pytest.approx([30, 20, 40, 40]), [10, 20, 30, 40], [0, 0, 0, 0]]
    assert made.dataset["annotations"][10]["keypoints"][9:12] == [8, 7, 2]
    assert len(boxes) == 11
    lines = [note.removeprefix(f"{path}: ") for note in made.notes]
    first = ", ".join(f"annolist[0].annorect[{n}]" for n in range(5))
    assert lines == [
        f"8 people with one joint: a box around it alone: {first} and 3 more",
        "1 people without joints: a box by their center and scale: annolist[1].annorect[0]",
        "1 people without joints: the box of their head: annolist[2].annorect[0]",
        "1 people with neither joints nor a place: a box of size 0: annolist[3].annorect[0]",
        "1 people with a joint twice, of which the last counts: annolist[4].annorect[0]",
        "1 images without annorect left out: annolist[5]",
    ]
    test = convert(path, split="test").dataset
    assert [image["id"] for image in test["images"]] == [6]
    assert test["annotations"][0]["bbox"] == pytest.approx([30, 20, 40, 40])


@pytest.mark.parametrize(
    ("people", "message"),
    [
        ([rect([point(16, 5, 5)])], r"annolist\[0\].annorect\[0\].annopoints.point\[0\].id: expected 0 to 15, got 16"),
        ([rect([point(1.5, 5, 5)])], r"point\[0\].id: expected 0 to 15, got 1.5"),
        ([rect([point(1, np.nan, 5)])], r"point\[0\].x: expected one number, got .*nan"),
        ([rect([point(1, np.zeros((0, 0)), 5)])], r"point\[0\]: expected x and y, got none"),
        ([rect([point(1, 5, "a")])], r"point\[0\].y: expected one number, got .*a"),
        ([rect([point(1, np.zeros((1, 2)), 5)])], r"point\[0\].x: expected one number, got 2 values"),
        ([{"annopoints": np.ones((1, 2))}], r"annorect\[0\].annopoints: expected structs, got another value"),
    ],
)
def test_faults_are_named(tmp_path, here, people, message):
    with pytest.raises(ValueError, match=message):
        convert(write(tmp_path / "a.mat", people))


def test_other_and_damaged_files(tmp_path, data):
    path = tmp_path / "a.mat"
    with pytest.raises(FileNotFoundError):
        convert(path)
    whole = (data / "top_down" / "mpii2coco_input.mat").read_bytes()
    crash = bytearray(whole)
    crash[CRASH] = 255
    for content in (b"", whole[: len(whole) // 2], crash):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"{path}: expected a MATLAB file with RELEASE, got another or a damaged"):
            convert(path)


def test_files_of_other_content(tmp_path, here):
    path = tmp_path / "a.mat"
    savemat(path, {"RELEASE": np.zeros(3)})
    with pytest.raises(ValueError, match="RELEASE: expected structs, got another value"):
        convert(path)
    write(path, [rect([point(1, 2, 3)])], train=[1, 1])
    with pytest.raises(ValueError, match="img_train: expected 1 flags, got 2"):
        convert(path)
