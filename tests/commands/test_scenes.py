"""`personlab scenes`: what it writes is COCO's format, reads back exactly, and is the same every time."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

import personlab
from personlab import COCO_PERSON, visualize
from personlab.cli import main
from personlab.data.coco import load_people
from personlab.data.synthetic import numbered_scene
from personlab.metrics.coco import load_annotations

for module in ("cv2", "jsonargparse", "pycocotools", "tqdm"):
    pytest.importorskip(module)

ARGV = ("--count", 4, "--seed", 3, "--size", 121, 161, "--people", 0, 3)


@pytest.fixture
def run(capsys):
    """Run `personlab scenes`; gives the exit code, stdout and stderr."""

    def call(*argv):
        code = main(["scenes", *map(str, argv)])
        return code, *capsys.readouterr()

    return call


def expected_scene(number):
    return numbered_scene(3, number, size=(121, 161), people=(0, 3))


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_images_and_people_come_back_exactly(run, tmp_path):
    folder = tmp_path / "new" / "folder"
    code, out, err = run("--output", folder, *ARGV)
    scenes = {number: expected_scene(number) for number in range(1, 5)}
    people = sum(len(scene.masks) for scene in scenes.values())
    assert (code, out, err) == (0, f"4 scenes, {people} people\n", f"personlab: wrote {folder}\n")
    annotations = load_annotations(str(folder / "person_keypoints.json"))
    assert sorted(annotations.imgs) == [1, 2, 3, 4]
    assert len(annotations.anns) == people > 0
    for number, scene in scenes.items():
        image = annotations.imgs[number]
        assert image == {"id": number, "height": 121, "width": 161, "file_name": f"{number:012d}.png"}
        assert np.array_equal(visualize.read_image(folder / "images" / image["file_name"]), scene.image)
        loaded = load_people(annotations, number)
        np.testing.assert_array_equal(loaded.keypoints, scene.keypoints)
        np.testing.assert_array_equal(loaded.masks, scene.masks)
        assert not loaded.crowd.any()
    assert len(contents(folder)) == 5


def test_annotations_have_what_coco_s_have(run, tmp_path):
    assert run("--output", tmp_path, *ARGV)[0] == 0
    dataset = json.loads((tmp_path / "person_keypoints.json").read_text())
    assert dataset["info"]["generator"] == "personlab scenes"
    assert dataset["info"]["version"] == personlab.__version__
    assert [dataset["info"][name] for name in ("seed", "size", "people")] == [3, [121, 161], [0, 3]]
    (category,) = dataset["categories"]
    assert (category["id"], category["name"], category["keypoints"]) == (1, "person", list(COCO_PERSON.names))
    assert tuple((a - 1, b - 1) for a, b in category["skeleton"]) == COCO_PERSON.edges
    assert [annotation["id"] for annotation in dataset["annotations"]] == list(
        range(1, len(dataset["annotations"]) + 1)
    )
    masks = np.concatenate([expected_scene(number).masks for number in range(1, 5)])
    for annotation, mask in zip(dataset["annotations"], masks, strict=True):
        visibility = annotation["keypoints"][2::3]
        assert set(visibility) <= {0, 1, 2}
        assert annotation["num_keypoints"] == np.count_nonzero(visibility)
        assert (annotation["category_id"], annotation["iscrowd"]) == (1, 0)
        assert annotation["area"] == mask.sum()
        rows, columns = np.nonzero(mask)
        x, y = columns.min(), rows.min()
        assert annotation["bbox"] == [x, y, columns.max() + 1 - x, rows.max() + 1 - y]
        assert annotation["segmentation"]["size"] == [121, 161]


def test_the_same_flags_write_the_same_files_and_another_seed_others(run, tmp_path):
    for name, argv in (("a", ()), ("b", ()), ("c", ("--seed", 4)), ("d", ("--count", 2))):
        assert run("--output", tmp_path / name, *ARGV, *argv)[0] == 0
    first, again, other, fewer = (contents(tmp_path / name) for name in "abcd")
    assert first == again
    images = [f"images/{number:012d}.png" for number in range(1, 5)]
    assert all(first[name] != other[name] for name in images)
    assert all(first[name] == fewer[name] for name in images[:2])


@pytest.mark.parametrize(
    ("argv", "code", "text"),
    [
        ((), 2, "required: --output"),
        (("--output", "new", "--count", 0), 2, "--count: expected an integer >0, got 0"),
        (("--output", "new", "--size", 0, 5), 2, "--size: expected an integer >0, got 0"),
        (("--output", "new", "--people", 3), 2, "--people"),
        (("--output", "new", "--people", 3, 2), 2, "--people: expected LOW <= HIGH, got 3 2"),
        (
            ("--output", "new", "--people", 1001, 1001),
            1,
            "people: expected (min, max) up to 1000, got (1001, 1001)",
        ),
        (("--output", "new", "--size", 5, 2**20 + 1), 1, "size[1]"),
        (("--output", "full"), 1, "full: expected a new or empty folder"),
        (("--output", "full/file"), 1, "full/file: Not a directory"),
    ],
)
def test_errors_are_one_line_and_write_nothing(run, tmp_path, monkeypatch, argv, code, text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("kept")
    found, out, err = run(*argv)
    assert (found, out) == (code, "")
    assert re.fullmatch(r"personlab: error: [^\n]+\n", err)
    assert text in err
    assert contents(tmp_path) == {"full/file": b"kept"}
    assert not (tmp_path / "new").exists()


def test_an_empty_folder_is_taken(run, tmp_path):
    assert run("--output", tmp_path, "--count", 1, "--size", 33, 41, "--people", 0, 0)[1] == "1 scenes, 0 people\n"


def test_the_people_written_are_found_again(run, tmp_path, capsys):
    assert run("--output", tmp_path, "--count", 12, "--size", 321, 401)[0] == 0
    argv = ["evaluate", "--annotations", str(tmp_path / "person_keypoints.json"), "--ceiling", "--stride", "8"]
    assert main(argv) == 0
    (line,) = re.findall(r"^keypoint AP +(\S+)$", capsys.readouterr().out, re.MULTILINE)
    assert float(line) > 0.95
