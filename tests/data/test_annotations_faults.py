"""The shared files that went wrong once: what `evaluate`, its ceiling and training make of each."""

from __future__ import annotations

import re
import time

import pytest

from personlab.cli import main
from personlab.data.images import CocoImages

for module in ("cv2", "jsonargparse", "pycocotools", "torch"):
    pytest.importorskip(module)

NETWORK = ("--weights", "drawn-mobilenet-050", "--long-edge", "225")
AS_GOOD = (
    "01-annotation-id-0", "02-annotation-ids-twice", "08-no-boxes", "10-keypoints-in-another-order",
    "11-two-categories-of-one-name", "12-num-keypoints-wrong", "16-byte-order-mark", "17-camel-case-sides",
)  # fmt: skip
PARTLY_OUTLINED = (
    "05-one-person-without-outline", "06-outline-empty-list", "06-outline-empty-polygon", "06-outline-null",
)  # fmt: skip
REFUSED = {
    "09-keypoints-of-two-numbers": "annotation 1: expected 51 numbers for the 17 keypoints, got 34",
    "18-no-skeleton": "category 'person': ",
    "26-outline-nan": "annotation 1: expected an outline of finite numbers in segmentation, got NaN or infinity",
}
FILES = {
    "coco_bbox_huge": "annotation 441444: expected a bbox of at most 1048576 pixels",
    "coco_deep": "expected annotations in COCO's format, got JSON nested too deep",
    "coco_inf_polygon": "annotation 441444: expected an outline of finite numbers",
    "coco_keypoints_huge_int": "annotation 441444: expected 51 numbers for the 17 keypoints, got one of hundreds of di",
    "coco_nan_polygon": "annotation 441444: expected an outline of finite numbers",
    "coco_rle_short": "annotation 441444: expected run lengths of 399 x 640 pixels in segmentation, got others",
    "coco_traversal": "image 493652: file_name: expected a name inside the folder of images",
}


@pytest.fixture
def run(capfd):
    """A command's exit code, figures by their labels, and lines on stderr."""

    def call(*argv):
        capfd.readouterr()
        code = main([str(word) for word in argv])
        out, err = capfd.readouterr()
        rows = (re.split(r"  +", line) for line in out.splitlines()[1:])
        figures = {row[0]: row[1:] for row in rows if row[0].endswith((" AP", " AP50", " AP75", " AR"))}
        return code, figures, err.splitlines()

    return call


@pytest.fixture
def score(run, data):
    """`evaluate` on one of the folders, with the network that comes with the package or its ceiling."""

    def call(name, *argv):
        folder = data / "faults" / name
        images = () if argv == ("--ceiling",) else ("--images", folder / "images")
        return run("evaluate", "--annotations", folder / "ann.json", *images, *argv)

    return call


@pytest.mark.parametrize("argv", [NETWORK, ("--ceiling",)], ids=["network", "ceiling"])
@pytest.mark.parametrize("name", AS_GOOD)
def test_what_can_be_derived_gives_the_figures_of_the_good_file(score, name, argv):
    code, figures, _ = score("00-good", *argv)
    assert code == 0
    assert len(figures) == 8
    assert float(figures["keypoint AP"][0]) > 0.8
    assert score(name, *argv)[:2] == (0, figures)


@pytest.mark.parametrize("argv", [NETWORK, ("--ceiling",)], ids=["network", "ceiling"])
@pytest.mark.parametrize("name", PARTLY_OUTLINED)
def test_who_has_no_outline_does_not_count_against_masks(score, name, argv):
    good = score("00-good", *argv)[1]
    code, figures, _ = score(name, *argv)
    assert code == 0
    assert {label: figures[label] for label in figures if "keypoint" in label} == {
        label: good[label] for label in good if "keypoint" in label
    }
    assert float(figures["mask AP"][0]) > float(good["mask AP"][0]) - 0.05  # the other one's, about as well found
    assert figures["mask AP50"][0] == "1.000"


@pytest.mark.parametrize("argv", [NETWORK, ("--ceiling",)], ids=["network", "ceiling"])
def test_without_any_outline_there_is_keypoint_ap_alone(score, argv):
    good = score("00-good", *argv)[1]
    code, figures, _ = score("07-ceiling-without-outlines", *argv)
    assert code == 0
    assert figures == {label: good[label] for label in good if "keypoint" in label}


@pytest.mark.parametrize("argv", [NETWORK, ("--ceiling",)], ids=["network", "ceiling"])
def test_a_person_without_keypoints_counts_as_one_without_labels(score, argv):
    good = score("00-good", *argv)[1]
    code, figures, _ = score("03-person-without-keypoints", *argv)
    assert code == 0
    assert figures["keypoint AP"] == good["keypoint AP"]
    assert figures.keys() == good.keys()


@pytest.mark.parametrize("argv", [NETWORK, ("--ceiling",)], ids=["network", "ceiling"])
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_derived_is_one_line(score, data, name, argv):
    code, figures, err = score(name, *argv)
    assert (code, figures, len(err)) == (1, {}, 1)
    assert err[0].startswith(f"personlab: error: {data / 'faults' / name / 'ann.json'}: {REFUSED[name]}")


def test_an_image_of_another_size_is_left_out(score, data):
    code, figures, err = score("14-picture-of-another-size", *NETWORK)
    path = data / "faults" / "14-picture-of-another-size" / "images" / "a.jpg"
    assert (code, figures) == (1, {})
    assert err[-2:] == [
        f"personlab: skipped {path}: expected (H, W) = (161, 225) as annotated, got (322, 450)",
        "personlab: error: all of 1 images failed; see above",
    ]


def test_an_image_without_file_name_is_named(score, data):
    code, figures, err = score("15-no-file-name", *NETWORK)
    assert (code, figures) == (1, {})
    path = data / "faults" / "15-no-file-name" / "ann.json"
    assert err == [f"personlab: error: {path}: image 3: file_name: expected the name of a file, got none"]


def test_sides_in_camel_case_are_pairs(data):
    folder = data / "faults" / "17-camel-case-sides"
    flip = CocoImages(folder / "ann.json", folder / "images").skeleton.flip
    assert flip == (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("command", ["evaluate", "ceiling", "train"])
def test_files_that_broke_a_reader_are_one_line_in_no_time(run, data, tmp_path, name, command):
    path, images = data / "faults" / "files" / f"{name}.json", data / "coco-mini" / "images"
    argv = {
        "evaluate": ("evaluate", "--annotations", path, "--images", images, *NETWORK),
        "ceiling": ("evaluate", "--annotations", path, "--images", images, "--ceiling"),
        "train": ("train", "--data.annotations", path, "--data.images", images, "--output", tmp_path / "run"),
    }[command]
    run("info")  # imports take their time
    start = time.thread_time()
    code, figures, err = run(*argv)
    seconds = time.thread_time() - start
    assert (code, figures, len(err)) == (1, {}, 1)
    assert err[0].startswith(f"personlab: error: {path}: {FILES[name]}")
    assert seconds < 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["05-one-person-without-outline", "09-keypoints-of-two-numbers", "18-no-skeleton"])
def test_training_reads_them_alike(run, data, tmp_path, name):
    folder = data / "faults" / name
    files = ("--data.annotations", folder / "ann.json", "--data.images", folder / "images")
    held_out = ("--evaluation.annotations", folder / "ann.json", "--evaluation.images", folder / "images")
    code, _, err = run(
        "train", *files, *held_out, "--output", tmp_path / "run", "--steps", 1, "--batch-size", 1, "--data.crop",
        "[65,81]", "--data.workers", 0, "--optimizer.warmup", 0, "--network.width", 0.5, "--evaluation.long_edge", 113,
    )  # fmt: skip
    if name in REFUSED:
        assert code == 1
        assert err[-1].startswith(f"personlab: error: {folder / 'ann.json'}: {REFUSED[name]}")
        return
    assert code == 0
    seen, without = (line for line in err if "people" in line)
    assert "keypoint losses see 2 people (labelled keypoints), segmentation 1 (outlines), long offsets 1 (both)" in seen
    assert "1 of 2 people have no outline: their boxes, grown by a tenth on each side, count in neither" in without
