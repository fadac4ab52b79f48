"""The one reading of annotation files: what is derived, what is left out, and how files are matched."""

from __future__ import annotations

import json

import numpy as np
import pytest
from annotation_files import LEFT, NAMES, SIZE, good, write, write_changed

pytest.importorskip("cv2")
pytest.importorskip("pycocotools")

from personlab.data.annotations import Content, join, read_annotations
from personlab.data.images import CocoImages
from personlab.metrics.coco import load_annotations

HUGE = 10**400  # too large for a float


@pytest.fixture
def read_changed(tmp_path):
    """What is read of the good file but for some values of one annotation."""

    def call(place=0, entries="annotations", **values):
        return read_annotations(write_changed(tmp_path, place, entries, **values)[0])

    return call


def index_of(path):
    return load_annotations(str(path)).anns


def test_a_file_without_fault_is_read_as_it_stands(tmp_path):
    path, _ = write(tmp_path, good())
    entries = index_of(path)
    assert sorted(entries) == [1, 2]
    for entry in good()["annotations"]:
        for name in ("image_id", "category_id", "iscrowd", "keypoints", "num_keypoints", "bbox", "area"):
            assert entries[entry["id"]][name] == entry[name], name
    assert read_annotations(path).notes == ()
    assert read_annotations(write(tmp_path, {**good(), "info": {"year": 2017}})[0]).info == {"year": 2017}


@pytest.mark.parametrize(
    "ids", [(0, 1), (1, 1), (None, None), (-3, 5), ("a", "b"), (True, 7), (HUGE, 2), (1.5, 3), (7, ...)]
)
def test_ids_that_are_no_ids_are_counted_anew(tmp_path, ids):
    content = good()
    for entry, number in zip(content["annotations"], ids, strict=True):
        entry["id"] = number
        if number is ...:
            del entry["id"]
    entries = index_of(write(tmp_path, content)[0])
    assert sorted(entries) == [1, 2]
    assert [entries[number]["area"] for number in (1, 2)] == [416, 600]


def test_ids_of_whole_numbers_are_numbers(tmp_path):
    content = good()
    content["images"][0]["id"] = 3.0
    content["annotations"][0].update(id=11.0, image_id=3.0, category_id=1.0)
    assert sorted(index_of(write(tmp_path, content)[0])) == [2, 11]


def test_an_annotation_that_stands_there_twice_counts_once(tmp_path):
    content = good()
    content["annotations"].append(content["annotations"][0])
    path, _ = write(tmp_path, content)
    read = read_annotations(path)
    assert len(read.people) == 2
    assert read.notes == (f"{path}: left out 1 annotations that stand in the file twice: annotations[2]",)
    with pytest.warns(RuntimeWarning, match="that stand in the file twice"):
        load_annotations(str(path))


@pytest.mark.parametrize("value", [..., None, []])
def test_a_person_without_keypoints_has_none_labelled(tmp_path, value):
    path, _ = write_changed(tmp_path, 0, keypoints=value, num_keypoints=3)
    entry = index_of(path)[1]
    assert (entry["keypoints"], entry["num_keypoints"]) == ([0] * 9, 0)


@pytest.mark.parametrize("value", [..., None, 0, -1, 99, "many", [1]])
def test_labelled_keypoints_are_counted(tmp_path, value):
    path, _ = write_changed(tmp_path, 1, num_keypoints=value)
    assert index_of(path)[2]["num_keypoints"] == 2


def test_nothing_is_asked_of_coordinates_without_label(tmp_path):
    path, _ = write_changed(tmp_path, 1, keypoints=[40, 10, 2, float("nan"), 1e9, 0, 1e400, -1e400, 0])
    assert index_of(path)[2]["keypoints"] == [40, 10, 2, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("value", [..., None, [], [4, 4, 0, 0]])
def test_boxes_follow_from_outlines(read_changed, value):
    assert read_changed(0, bbox=value).people[0].box == (4, 4, 16, 26)


def test_boxes_follow_from_labelled_keypoints_where_there_is_no_outline(read_changed):
    # x 6 .. 18, y 8 .. 20, and the pixels at the ends
    assert read_changed(0, bbox=..., segmentation=...).people[0].box == (6, 8, 13, 13)


@pytest.mark.parametrize("value", [..., None, 0])
def test_areas_follow_from_outlines_else_from_boxes(read_changed, value):
    assert read_changed(0, area=value).people[0].area == 16 * 26
    assert read_changed(0, area=value, segmentation=...).people[0].area == pytest.approx(0.53 * 16 * 26)


@pytest.mark.parametrize("value", [..., None, 0, False, 0.0])
def test_nobody_is_a_crowd_unless_it_says_so(read_changed, value):
    assert [person.crowd for person in read_changed(0, iscrowd=value).people] == [False, False]


@pytest.mark.parametrize(
    "outline", [..., None, [], [[]], {}, [[], [1, 2]], [[4, 4, 9, 9]], [[-9, -9, -5, -9, -5, -5]], [[7, 7] * 4]]
)
def test_an_outline_that_covers_no_pixel_is_none(read_changed, outline):
    assert [bool(person.runs) for person in read_changed(0, segmentation=outline).people] == [False, True]


def test_one_polygon_may_stand_alone(read_changed):
    assert read_changed(0, segmentation=LEFT[0]).people[0].runs == read_changed(0).people[0].runs


@pytest.mark.parametrize("counts", [[100, 5, 0, 5, 0, 0, 2290], [100, 10, 2290]])
def test_run_lengths_of_nothing_change_nothing(read_changed, counts):
    assert (
        read_changed(0, segmentation={"size": list(SIZE), "counts": counts}).people[0].runs
        == read_changed(0, segmentation={"size": list(SIZE), "counts": [100, 10, 2290]}).people[0].runs
    )
    everything = {"size": list(SIZE), "counts": [0, 0, 0, 2400]}
    assert read_changed(0, area=..., segmentation=everything).people[0].area == 2400


def test_annotations_that_lead_nowhere_are_left_out_with_a_word(tmp_path):
    content = good()
    content["annotations"] += [
        {"id": 7, "image_id": 99, "category_id": 1, "bbox": [1, 2, 3, 4]},
        {"id": 8, "image_id": 3, "category_id": 1, "bbox": [1, 2, 0, 0], "keypoints": [5, 5, 0] * 3},
        {"id": 9, "image_id": 99, "category_id": 55},
    ]
    path, images = write(tmp_path, content)
    assert CocoImages(path, images).notes == (
        f"{path}: left out 1 annotations of images that are not listed: annotation 7",
        f"{path}: left out 1 annotations without box, outline and labelled keypoints: annotation 8",
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le"])
def test_text_may_be_any_unicode(tmp_path, encoding):
    content = good()
    content["categories"][0]["name"] = "þjóð"
    path, _ = write(tmp_path, json.dumps(content, ensure_ascii=False).encode(encoding))
    assert read_annotations(path).category["name"] == "þjóð"


def test_the_same_image_may_be_listed_twice_but_not_two_of_one_id(tmp_path):
    content = good()
    content["images"].append(content["images"][0])
    path, _ = write(tmp_path, content)
    assert list(read_annotations(path).images) == [3]
    content["images"][1] = {**content["images"][0], "file_name": "b.png"}
    write(tmp_path, content)
    with pytest.raises(ValueError, match=r"a\.json: image 3: expected one image of this id, got two that differ"):
        read_annotations(path)


def test_files_that_are_none_are_errors_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_annotations(tmp_path / "nowhere.json")
    with pytest.raises(IsADirectoryError):
        read_annotations(tmp_path)


def test_every_category_is_read_where_none_is_named(tmp_path):
    content = good()
    content["categories"].append({"id": 5, "name": "boat"})
    content["annotations"].append({"id": 9, "image_id": 3, "category_id": 5, "segmentation": LEFT})
    path, _ = write(tmp_path, content)
    index = load_annotations(str(path))
    assert {entry["id"]: entry["category_id"] for entry in index.anns.values()} == {1: 1, 2: 1, 9: 5}
    assert "keypoints" not in index.anns[9]
    assert sorted(load_annotations(str(path), category="person").anns) == [1, 2]
    assert sorted(load_annotations(str(path), category="5").anns) == [9]


def test_keypoints_without_names_are_counted(tmp_path):
    content = good()
    del content["categories"][0]["keypoints"]
    path, images = write(tmp_path, content)
    assert read_annotations(path).n_keypoints == 3
    with pytest.raises(ValueError, match=r"a\.json: category 'person': expected the names of its keypoints, got none"):
        CocoImages(path, images)


def test_others_are_matched_by_ids_that_come_once(tmp_path):
    first, _ = write(tmp_path, good(), name="first.json")
    for ids, got in (((1, 1), "1"), ((None, 2), "none")):
        content = good()
        for entry, number in zip(content["annotations"], ids, strict=True):
            entry["id"] = number
        other, _ = write(tmp_path, content, name="other.json")
        with pytest.raises(ValueError, match=rf"other\.json: expected annotation ids that come once, .*, got {got}$"):
            join(read_annotations(first), read_annotations(other))


def test_others_are_of_images_of_the_same_size(tmp_path):
    first, _ = write(tmp_path, good(), name="first.json")
    content = good()
    content["images"][0].update(height=41)
    other, _ = write(tmp_path, content, name="other.json")
    with pytest.raises(
        ValueError, match=r"other\.json: image 3: expected \(H, W\) = \(40, 60\) as in .*, got \(41, 60\)"
    ):
        join(read_annotations(first), read_annotations(other))


def test_what_others_say_fills_in_what_is_missing(tmp_path):
    content = good()
    for entry in content["annotations"]:
        for name in ("segmentation", "bbox", "area"):
            del entry[name]
    first, _ = write(tmp_path, content, name="first.json")
    other, _ = write(tmp_path, good(), name="other.json")
    joined = join(read_annotations(first), read_annotations(other, n_keypoints=0))
    whole = read_annotations(other)
    for person, expected in zip(joined.people, whole.people, strict=True):
        assert (person.runs, person.box, person.area) == (expected.runs, expected.box, expected.area)
        np.testing.assert_array_equal(person.keypoints, expected.keypoints)


def test_the_content_of_a_file_can_be_read_by_category(tmp_path):
    content = Content(write(tmp_path, good())[0])
    assert content.counts == {1: 2}
    assert [category["name"] for category in content.categories] == ["person"]
    assert content.categories[0]["keypoints"] == NAMES
