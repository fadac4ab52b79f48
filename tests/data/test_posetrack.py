"""PoseTrack's files: read, converted as the original does in every number, and by default with nothing lost."""

from __future__ import annotations

import json

import numpy as np
import pytest
from posetrack_files import person, sequence

pytest.importorskip("pycocotools")
from personlab.data.annotations import read_annotations
from personlab.data.posetrack import JOINTS, KEYPOINTS, layout_of, read_2018
from personlab.data.posetrack_2017 import read_2017, to_2017
from personlab.data.posetrack_coco import convert_posetrack, results_2018
from personlab.data.posetrack_files import frames_of_results, read_sequences

NOSE = JOINTS.index("nose")


def size_of(_):
    return 320, 240


def write(path, content):
    path.write_text(json.dumps(content))
    return path


def test_the_original(data, tmp_path):
    content = json.loads((data / "top_down" / "posetrack2coco.json").read_text())
    sizes = {}
    for (name, one), size in zip(content["sequences"].items(), content["image_size_wh"], strict=True):
        write(tmp_path / f"{name}.json", one)
        sizes |= {image["file_name"]: tuple(size) for image in one["images"]}
    made = convert_posetrack(tmp_path, sizes.__getitem__, original=True)
    assert made.dataset == content["expected"]
    assert not made.notes
    default = convert_posetrack(tmp_path, sizes.__getitem__)
    people = [entry for entry in default.dataset["annotations"] if not entry["iscrowd"]]
    assert [entry["id"] for entry in people] == [entry["id"] for entry in content["expected"]["annotations"]]
    assert len(default.dataset["annotations"]) - len(people) == 4  # a frame that is not labelled, three regions
    loaded = read_annotations(write(tmp_path / "made", default.dataset))
    assert (len(loaded.people), sum(one.crowd for one in loaded.people), loaded.notes) == (20, 4, ())


def test_the_layout_of_2017(data):
    content = json.loads((data / "top_down" / "poseval_convert_18_to_17.json").read_text())
    made = to_2017(content["posetrack18"], "a.json")
    assert made == content["posetrack17"]
    pckh = json.loads((data / "top_down" / "poseval_pckh.json").read_text())
    assert made == pckh["ground_truth"]
    for one, other in zip(
        read_2017(made, "a.json"), next(iter(read_2018(content["posetrack18"], "a.json").values())), strict=True
    ):
        for name in ("points", "present", "heads"):
            np.testing.assert_allclose(getattr(one, name), getattr(other, name))
        assert (one.name, one.labelled, one.tracks) == (other.name, other.labelled, other.tracks)
        assert [polygon.tolist() for polygon in one.ignored] == [polygon.tolist() for polygon in other.ignored]


def test_joints_and_heads_by_hand():
    frames = read_2018(sequence([person(1, 4, nose=(3, 4), head_top=(5, 6, 0)), person(1, 7)]), "a.json")["one"]
    (frame,) = frames
    assert frame.points[0, NOSE].tolist() == [3, 4]
    assert [JOINTS[k] for k in np.flatnonzero(frame.present[0])] == ["nose", "head_top"]
    assert not frame.present[1].any()
    assert frame.heads.tolist() == [30, 30]
    assert frame.tracks == (4, 7)
    assert np.isnan(frame.scores).all()


def test_names_in_any_spelling():
    short = [name.replace("left_", "l_").replace("right_", "r_").replace("head_bottom", "neck") for name in KEYPOINTS]
    assert layout_of(short) == layout_of(KEYPOINTS)
    assert layout_of(JOINTS) == (list(range(15)), 15)
    with pytest.raises(ValueError, match="keypoints: expected PoseTrack's, got none called 'head_bottom'"):
        layout_of(["nose", "head_top", *KEYPOINTS[3:]])


def test_what_is_odd_is_a_line_each_and_nothing_is_lost(tmp_path):
    people = [
        {**person(1, 3, nose=(10, 20), head_top=(13, 8)), "bbox": [0, 0, 0, 9]},
        person(1, 3, nose=(110, 20), head_top=(113, 8)),
        person(2, 0, head=None),
        person(2, 1),
    ]
    write(tmp_path / "b.json", sequence(people, frames=3, unlabelled=(3,), size=(320, 240)))
    made = convert_posetrack(tmp_path, size_of)
    entries = made.dataset["annotations"]
    assert [entry["bbox"] for entry in entries] == [
        [10, 8, 4, 13], [110, 8, 4, 13], [0, 0, 0, 0], [0, 0, 30, 40], [0, 0, 320, 240],
    ]  # fmt: skip
    assert [entry["track_id"] for entry in entries[:4]] == [3, 3, 0, 1]
    assert (entries[4]["iscrowd"], entries[4]["image_id"]) == (1, 3)
    lines = [note.removeprefix(f"{tmp_path}: ") for note in made.notes]
    assert lines == [
        "1 people with a box of size 0, which is made of their keypoints: b.json annotations[0]",
        "1 people without box, which is made of their keypoints: b.json annotations[1]",
        "1 people without box and without keypoints: a box of size 0: b.json annotations[2]",
        "1 people without box and without keypoints: a box which is that of their head: b.json annotations[3]",
        "1 times that people of a frame share a track id: 2 people of id 3 in image 1",
    ]
    with pytest.raises(ValueError, match=r"b.json: annotations\[1\]: bbox: expected one, as in the original"):
        convert_posetrack(tmp_path, size_of, original=True)


def test_the_order_is_that_of_names_and_ids_stay(tmp_path):
    for number, name in ((20, "b"), (10, "a"), (30, "c")):
        content = sequence([], name=name)
        content["images"][0]["id"] = number
        write(tmp_path / f"{name}.json", {**content, "annotations": [{**person(number, nose=(1, 2)), "id": number}]})
    made = convert_posetrack(tmp_path, size_of).dataset
    assert [entry["id"] for entry in made["images"]] == [entry["id"] for entry in made["annotations"]] == [10, 20, 30]
    write(tmp_path / "d.json", sequence([{**person(1, nose=(1, 2)), "id": 10}]))
    again = convert_posetrack(tmp_path, size_of)
    assert [entry["id"] for entry in again.dataset["annotations"]] == [1, 2, 3, 4]
    assert "numbered anew" in again.notes[-1]


BAD = [
    ({"keypoints": [1, 2]}, r"keypoints: expected 51 numbers, got 2"),
    ({"keypoints": [float("nan")] * 51}, r"keypoints: expected at most 1048576 pixels, got nan"),
    ({"keypoints": ["a"] * 51}, r"keypoints: expected 51 numbers, got \"a\" among them"),
    ({"track_id": 1.5}, "track_id: expected an integer from 0, got 1.5"),
    ({"track_id": -1}, "track_id: expected an integer from 0, got -1"),
    ({"bbox_head": [1, 2, 3]}, "bbox_head: expected 4 numbers x, y, w, h, got"),
    ({"scores": [1.0]}, "scores: expected 17 finite numbers, got 1"),
    ({"image_id": 9}, "image_id: expected an image of the file, got 9"),
    ({"image_id": None}, "image_id: expected an integer, got none"),
    ({"bbox": [1, 2, -3, 4]}, "bbox: expected 4 numbers x, y, w, h, w and h not negative, got"),
    ({"bbox": [10**30, 2, 3, 4]}, "bbox: expected 4 numbers x, y, w, h, w and h not negative, got"),
    ({"bbox": "a"}, "bbox: expected 4 numbers x, y, w, h, got"),
]


@pytest.mark.parametrize(("change", "message"), BAD)
def test_faults_name_file_annotation_and_field(tmp_path, change, message):
    write(tmp_path / "a.json", sequence([{**person(1, 0, nose=(1, 2)), **change}]))
    with pytest.raises(ValueError, match=rf"a.json: annotations\[0\]: {message}"):
        convert_posetrack(tmp_path, size_of)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": 3}, "as images"),
        ({"categories": 1.5, "images": 3}, "as "),
        ({"images": [{"id": 1}]}, "image 1: file_name: expected the name of a file, got none"),
        ({"categories": [{"id": 1, "name": "person", "keypoints": ["nose"]}]}, "expected PoseTrack's, got none called"),
        (
            {"images": [{"id": 1, "file_name": "a", "ignore_regions_x": [[1, 2, 3]], "ignore_regions_y": []}]},
            "image 1: ignore_regions: expected as many polygons of x as of y, got 1 and 0",
        ),
    ],
)
def test_faults_of_files(tmp_path, change, message):
    write(tmp_path / "a.json", {**sequence([]), **change})
    for read in (lambda path: convert_posetrack(path, size_of), read_sequences):
        with pytest.raises(ValueError, match=message):
            read(tmp_path)


def test_a_folder_without_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected JSON files, a file a sequence, got none"):
        read_sequences(tmp_path)


def test_a_converted_file_has_the_same_sequences(tmp_path):
    region = {"ignore_regions_x": [[0, 5, 5]], "ignore_regions_y": [[0, 0, 5]]}
    for name, first in (("a", 0), ("b", 10)):
        content = sequence([person(1, 4, nose=(30, 40))], name=name, **region)
        content["images"][0]["id"] = content["annotations"][0]["image_id"] = 1 + first
        write(tmp_path / f"{name}.json", content)
    folder = read_sequences(tmp_path)
    made = write(tmp_path / "made", convert_posetrack(tmp_path, size_of).dataset)
    for name, frames in read_sequences(made).items():
        for one, other in zip(frames, folder[name], strict=True):
            assert one.points.tolist() == other.points.tolist()
            assert (one.name, one.tracks, len(one.ignored)) == (other.name, other.tracks, 1)


def test_results_go_to_frames_and_to_files_that_poseval_takes(tmp_path):
    truth = sequence([person(1, 0, nose=(1, 2))], frames=2)
    keypoints = [float(k) for k in range(51)]
    results = [{"image_id": 2, "category_id": 1, "track_id": 5, "keypoints": keypoints, "score": 0.5}]
    frames = frames_of_results(results, read_2018(truth, "t"), "r", layout_of(KEYPOINTS))["one"]
    assert [frame.people for frame in frames] == [0, 1]
    assert frames[1].scores[0, NOSE] == 2  # the third number
    made = results_2018(truth, results)
    assert made["images"] == truth["images"]
    (entry,) = made["annotations"]
    assert entry["scores"] == keypoints[2::3]
    assert entry["keypoints"][:6] == [0, 1, 1, 3, 4, 1]
    (read,) = read_2018(made, "m").values()
    assert read[1].points.tolist() == frames[1].points.tolist()
    assert read[1].scores.tolist() == frames[1].scores.tolist()
    with pytest.raises(ValueError, match=r"r: results\[0\]: image_id: expected an image of the annotations, got 9"):
        frames_of_results([{**results[0], "image_id": 9}], read_2018(truth, "t"), "r", layout_of(KEYPOINTS))
