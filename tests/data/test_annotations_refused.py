"""Annotation files that make no sense are refused in one line that names file, entry and field."""

from __future__ import annotations

import contextlib
import re

import pytest
from annotation_files import SIZE, good, write, write_changed

pytest.importorskip("cv2")
pytest.importorskip("pycocotools")

from personlab.data import coco_file
from personlab.data.annotations import read_annotations
from personlab.data.images import CocoImages
from personlab.metrics.coco import load_annotations

HUGE = 10**400  # too large for a float
ANNOTATIONS = [
    ("keypoints", [1, 2] * 3, "expected 9 numbers for the 3 keypoints, got 6"),
    ("keypoints", [[1, 2, 2]] * 3, "expected 9 numbers for the 3 keypoints, got a list of 3 among them"),
    ("keypoints", ["1"] * 9, 'expected 9 numbers for the 3 keypoints, got "1" among them'),
    ("keypoints", [True] * 9, "expected 9 numbers for the 3 keypoints, got true among them"),
    ("keypoints", [None] * 9, "expected 9 numbers for the 3 keypoints, got none among them"),
    ("keypoints", {"x": 1}, "expected 9 numbers for the 3 keypoints, got an object of 1"),
    ("keypoints", False, "expected 9 numbers for the 3 keypoints, got false"),
    ("keypoints", [HUGE] * 9, "expected 9 numbers for the 3 keypoints, got one of hundreds of digits"),
    ("keypoints", [1e9, 2, 2] * 3, "expected keypoints of at most 1048576 pixels, got 1e+09"),
    ("keypoints", [float("nan"), 2, 2] * 3, "expected finite keypoints, got NaN or infinity"),
    ("keypoints", [1, 2, float("nan")] * 3, "expected finite keypoints, got NaN or infinity"),
    ("keypoints", [1, 2, 1e400] * 3, "expected finite keypoints, got NaN or infinity"),
    ("bbox", [1, 2, 3], "expected 4 numbers x, y, w, h as bbox, got 3"),
    ("bbox", "1 2 3 4", 'expected 4 numbers x, y, w, h as bbox, got "1 2 3 4"'),
    ("bbox", [1, 2, -3, 4], "expected a bbox of at most 1048576 pixels, w and h not negative, got [1.0, 2"),
    ("bbox", [1, float("nan"), 3, 4], "expected a bbox of at most 1048576 pixels"),
    ("bbox", [float("nan"), 1, 3, 4], "expected a bbox of at most 1048576 pixels"),
    ("bbox", [1, 2, 3, 1e400], "expected a bbox of at most 1048576 pixels"),
    ("bbox", [1, 2, 3, HUGE], "expected 4 numbers x, y, w, h as bbox, got one of hundreds of digits"),
    ("area", -1, "area: expected a number of pixels from 0 to 1e+10, got -1"),
    ("area", float("nan"), "area: expected a number of pixels from 0 to 1e+10, got NaN"),
    ("area", 1e300, "area: expected a number of pixels from 0 to 1e+10, got 1e+300"),
    ("area", "12", 'area: expected a number of pixels from 0 to 1e+10, got "12"'),
    ("area", True, "area: expected a number of pixels from 0 to 1e+10, got true"),
    ("iscrowd", 2, "iscrowd: expected 0 or 1, got 2"),
    ("iscrowd", "0", 'iscrowd: expected 0 or 1, got "0"'),
    ("iscrowd", float("nan"), "iscrowd: expected 0 or 1, got NaN"),
    ("image_id", ..., "image_id: expected an integer, got none"),
    ("image_id", "3", 'image_id: expected an integer, got "3"'),
    ("image_id", 3.5, "image_id: expected an integer, got 3.5"),
    ("image_id", HUGE, "image_id: expected an integer, got 1000"),
    ("category_id", ..., "category_id: expected an integer, got none"),
    ("category_id", [1], "category_id: expected an integer, got a list of 1"),
    ("segmentation", [[1, 2, 3, 4, 5, 6, 7]], "expected an outline of pairs x, y in segmentation, got 7"),
    ("segmentation", [[10, 10, float("nan"), 10, 50, 50]], "expected an outline of finite numbers in seg"),
    ("segmentation", [[10, 10, 1e400, 10, 50, 50]], "expected an outline of finite numbers in seg"),
    ("segmentation", [[10, 10, 1e9, 10, 50, 50]], "expected an outline of finite numbers in segmentation, at most"),
    ("segmentation", [[10, 10, HUGE, 10, 50, 50]], "expected an outline of numbers in segmentation, got one"),
    ("segmentation", [["x"] * 6], 'expected an outline of numbers in segmentation, got "x" among them'),
    ("segmentation", [[1, 2, 3, 4, 5, 6], 7], "expected an outline of numbers in segmentation, got 7"),
    ("segmentation", [[[1, 2], [3, 4], [5, 6]]], "expected an outline of numbers in segmentation, got a li"),
    ("segmentation", "outline", 'expected an outline in segmentation, polygons or run lengths, got "outl'),
    ("segmentation", True, "expected an outline in segmentation, polygons or run lengths, got true"),
    ("segmentation", [[0, 0, 59, 39] * 30_000], "expected an outline of at most 67936 pixels in segmentati"),
    ("segmentation", {"counts": [2400]}, "expected run lengths of 40 x 60 pixels in segmentation, got none"),
    ("segmentation", {"size": [60, 40], "counts": [2400]}, "expected run lengths of 40 x 60 pixels in segm"),
    ("segmentation", {"size": [40], "counts": [2400]}, "expected run lengths of 40 x 60 pixels in segmenta"),
    ("segmentation", {"size": list(SIZE)}, "expected run lengths as counts in segmentation, got none"),
    *[
        ("segmentation", {"size": list(SIZE), "counts": counts}, "expected run lengths of 40 x 60 pixels in seg")
        for counts in (
            [5, 5], [], [2400, 1], [-5, 2405], [1.5, 2398.5], [2**32, 2400 - 2**32], [float("nan"), 2400], [1e400],
            "0", "PPPPPP", "zzzz~~~~zzzzzzzzzzzzzzzzzz0", "\ud800", "é", "@@@@", "Q" * 5000, "o" * 90 + "0", " ",
        )
    ],
]  # fmt: skip


@pytest.mark.parametrize(("field", "value", "message"), ANNOTATIONS)
def test_what_is_wrong_with_an_annotation_is_one_line(tmp_path, field, value, message):
    path, images = write_changed(tmp_path, **{field: value})
    for read in (read_annotations, lambda path: load_annotations(str(path)), lambda path: CocoImages(path, images)):
        with pytest.raises(ValueError, match=f"^{re.escape(f'{path}: annotation 1: {message}')}") as error:
            read(path)
        assert "\n" not in str(error.value)
        assert len(str(error.value)) < len(str(path)) + 250


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("id", ..., "images[0]: id: expected an integer, got none"),
        ("id", "3", 'images[0]: id: expected an integer, got "3"'),
        *[
            (name, value, f"image 3: {name}: expected an integer from 1 to 32766, got ")
            for name in ("height", "width")
            for value in (..., None, 0, -40, 10**9, 1e400, float("nan"), 40.5, "40", True, HUGE, [40])
        ],
        *[
            ("file_name", value, "image 3: file_name: expected the name of a file, got ")
            for value in ("", 7, True, ["a.png"], "a\0.png", "\ud800.png")
        ],
        *[
            ("file_name", value, "image 3: file_name: expected a name inside the folder of images, got ")
            for value in (
                "/etc/passwd", "..", "../a.png", "x/../a.png", "x/..", "\\a.png", "..\\a.png", "x\\..\\a.png",
                "C:a.png", "c:\\a.png", "\\\\server\\a.png",
            )
        ],
        *[
            ("file_name", value, "image 3: file_name: expected a name that a file can have, got ")
            for value in ("a" * 252 + ".png", "é" * 126 + ".png", "x/" * 1600 + "a.png")
        ],
    ],
)  # fmt: skip
def test_what_is_wrong_with_an_image_is_one_line(tmp_path, field, value, message):
    path, _ = write_changed(tmp_path, 0, "images", **{field: value})
    with pytest.raises(ValueError, match=f"^{re.escape(f'{path}: {message}')}"):
        read_annotations(path)


def test_an_image_has_a_limit_of_pixels(tmp_path):
    path, _ = write_changed(tmp_path, 0, "images", height=32_766, width=32_766)
    with pytest.raises(ValueError, match=r"image 3: expected an image of at most 178956970 pixels, got 32766 x 32766"):
        read_annotations(path)


@pytest.mark.parametrize("name", ["a..b.png", "..a.png", "x/a.png", "a.b/..c", "é.png", "x\\a.png"])
def test_names_inside_the_folder_are_names(tmp_path, name):
    path, _ = write_changed(tmp_path, 0, "images", file_name=name)
    assert read_annotations(path).names() == [name]


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (b"", "no JSON: Expecting value: line 1 column 1 (char 0)"),
        (b"\xff\xff", "no JSON: 'utf-8' codec can't decode"),
        (b"\x89PNG\r\n", "no JSON: "),
        (b"[1, 2]", "a list of 2"),
        (b"null", "none"),
        (b"{}", "none as images"),
        (b'{"images": {}, "annotations": [], "categories": []}', "an object of 0 as images"),
        (b'{"images": [], "annotations": [], "categories": [7]}', "7 as categories[0]"),
        (b'{"images": [[]], "annotations": [], "categories": []}', "a list of 0 as images[0]"),
        (b'{"images": [], "annotations": [null], "categories": []}', "none as annotations[0]"),
        (b'{"images": ' + b"[" * 100_000, "JSON nested too deep"),
        (b'{"images": ' + b'{"a": ' * 100_000, "JSON nested too deep"),
        (b'{"images": [' + b"9" * 5000 + b"]}", "no JSON: Exceeds the limit"),
        (b'{"images": ["' + b"x" * 5000 + b'"], "annotations": [], "categories": []}', '"xxxxx'),
    ],
)
def test_files_of_something_else_are_one_short_line(tmp_path, content, got):
    path = tmp_path / "other.json"
    path.write_bytes(content)
    with pytest.raises(
        ValueError, match=f"^{re.escape(f'{path}: expected annotations in COCO')}'s format, got "
    ) as error:
        read_annotations(path)
    assert str(error.value).partition(", got ")[2].startswith(got)
    assert len(str(error.value)) < len(str(path)) + 200


def test_annotations_nested_as_deep_as_python_reads_are_no_traceback(tmp_path):
    content = good()
    deep = []
    for _ in range(900):
        deep = [deep]
    content["annotations"] = [{**entry, "id": 1, "extra": deep} for entry in content["annotations"]]
    path, _ = write(tmp_path, content)
    with contextlib.suppress(ValueError):  # as deep as Python reads, and perhaps not as deep as it compares
        assert len(read_annotations(path).people) == 2


def test_a_file_has_a_limit_of_bytes(tmp_path, monkeypatch):
    path, _ = write(tmp_path, good())
    size = path.stat().st_size
    monkeypatch.setattr(coco_file, "MAX_BYTES", size)
    assert len(read_annotations(path).people) == 2
    monkeypatch.setattr(coco_file, "MAX_BYTES", size - 1)
    with pytest.raises(ValueError, match=f"expected a file of at most {size - 1} bytes, got {size} or more"):
        read_annotations(path)


def test_names_with_line_breaks_stay_on_one_line(tmp_path):
    path, images = write_changed(tmp_path, 0, "images", file_name="a\nb.png")
    with pytest.raises(ValueError, match=re.escape(f'{images}: 1 of 1 images cannot be read: "a\\nb.png" (missing)')):
        CocoImages(path, images)
    content = good()
    content["categories"][0].update(keypoints=["no\nse", "left\thand", "right_hand"], skeleton=[])
    path, images = write(tmp_path, content)
    with pytest.raises(ValueError, match=re.escape(r': "no\nse" | "left\thand" | right_hand')):
        CocoImages(path, images)
