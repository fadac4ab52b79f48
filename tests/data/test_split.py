"""Images held out of training: the choice of them, and lists of ids."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from personlab.cli import main
from personlab.data.annotations import read_annotations
from personlab.data.images import CocoImages
from personlab.data.split import choose_images, held_out_ids, only_images, read_ids, without_images

OUTLINE = [[1, 1, 9, 1, 9, 9, 1, 9]]
SHARES = {0: 40, 1: 100, 2: 30, 4: 20, 6: 8, 12: 2}  # images by number of people


@pytest.fixture
def path(tmp_path):
    """A file of 200 images; people of images with odd ids have outlines, and each image has a crowd."""
    images, people = [], []
    counts = [count for count, number in SHARES.items() for _ in range(number)]
    for number, count in enumerate(counts, 1):
        images.append({"id": number, "file_name": f"{number}.png", "height": 20, "width": 30})
        for crowd in [0] * count + [1]:
            outline = OUTLINE if number % 2 or crowd else []
            people.append(
                {
                    "id": len(people) + 1, "image_id": number, "category_id": 1, "iscrowd": crowd,
                    "bbox": [1, 1, 8, 8], "area": 64, "segmentation": outline,
                }
            )  # fmt: skip
    file = tmp_path / "a.json"
    categories = [{"id": 1, "name": "person", "keypoints": ["a"], "skeleton": []}]
    file.write_text(json.dumps({"images": images, "annotations": people, "categories": categories}))
    return file


def numbers_of_people(annotations, ids):
    people = Counter(person.image_id for person in annotations.people if not person.crowd)
    return Counter(people[number] for number in ids)


def test_shares_are_those_of_all_images(path):
    annotations = read_annotations(path)
    chosen = choose_images(annotations, 100)
    assert len(set(chosen)) == 100
    assert chosen == sorted(chosen)
    assert numbers_of_people(annotations, chosen) == {count: number // 2 for count, number in SHARES.items()}
    assert sum(numbers_of_people(annotations, choose_images(annotations, 77)).values()) == 77
    assert choose_images(annotations, 200) == list(annotations.images)


def test_the_choice_is_that_of_the_seed(path):
    annotations = read_annotations(path)
    assert choose_images(annotations, 50) == choose_images(annotations, 50)
    assert choose_images(annotations, 50) != choose_images(annotations, 50, seed=1)


def test_images_with_outlines_may_be_asked_for(path):
    annotations = read_annotations(path)
    chosen = choose_images(annotations, 80, outlined=True)
    assert len(chosen) == 80
    assert all(number % 2 for number in chosen)
    assert 0 not in numbers_of_people(annotations, chosen)
    with pytest.raises(ValueError, match="count: expected at most the 80 images with outlines, got 81"):
        choose_images(annotations, 81, outlined=True)


def test_held_out_images_and_the_others_are_all(path):
    annotations = read_annotations(path)
    ids = choose_images(annotations, 20)
    held_out, others = only_images(annotations, ids, "ids"), without_images(annotations, ids, "ids")
    assert list(held_out.images) == ids
    assert sorted([*held_out.images, *others.images]) == list(annotations.images)
    assert len(held_out.people) + len(others.people) == len(annotations.people)
    assert {person.image_id for person in held_out.people} == set(ids)


def test_the_command_writes_what_training_reads(path, tmp_path, capfd):
    argv = ["split", "--annotations", str(path), "--count", "20", "--seed", "3", "--outlined"]
    assert main(argv) == 0
    out = capfd.readouterr().out
    assert out.startswith("# personlab split --count 20 --seed 3 --outlined\n")
    assert main([*argv, "--output", str(tmp_path / "ids.txt")]) == 0
    assert (tmp_path / "ids.txt").read_text() == out
    ids = read_ids(tmp_path / "ids.txt")
    assert list(ids) == choose_images(read_annotations(path), 20, seed=3, outlined=True)
    (tmp_path / "images").mkdir()
    with pytest.raises(ValueError, match="180 of 180 images cannot be read"):
        CocoImages(path, tmp_path / "images", held_out=tmp_path / "ids.txt")
    assert main(["split", "--annotations", str(path), "--count", "500"]) == 1
    assert "count: expected at most the 200 images, got 500" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected ids of images, one on each line, got none"),
        (b"# nothing\n\n", "expected ids of images, one on each line, got none"),
        (b"1\n1.5\n", 'line 2: expected the id of an image, got "1.5"'),
        (b"1 2\n", 'line 1: expected the id of an image, got "1 2"'),
        (b"-3\n", "line 1: expected the id of an image"),
        (b"9" * 30, "line 1: expected the id of an image"),
        (b"\xff\xfe\x00", "expected ids of images, one on each line, got no text"),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path, content, message):
    path = tmp_path / "ids.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        read_ids(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_lists_may_have_comments_and_repeat_ids(tmp_path):
    path = tmp_path / "ids.txt"
    path.write_bytes(b"\xef\xbb\xbf# two images\r\n7\r\n\r\n 12 \r\n7\r\n")
    assert read_ids(path) == (7, 12)
    with pytest.raises(FileNotFoundError, match="nowhere: no such file, and no list of the package"):
        read_ids("nowhere")


def test_a_share_is_held_out(path):
    """At least 20 images, and no more than half."""
    annotations = read_annotations(path)
    assert list(held_out_ids("0.25", annotations)) == choose_images(annotations, 50)
    assert len(held_out_ids("0.01", annotations)) == 20
    assert len(held_out_ids("0.99", annotations)) == 100
    for wrong in ("0", "1", "-0.5", "nan", "7"):
        with pytest.raises(ValueError, match=rf"held_out: expected a share between 0 and 1 .*, got {wrong} of 200"):
            held_out_ids(wrong, annotations)


def test_the_list_of_the_package_is_that_of_its_command(data):
    """300 images of coco-people with outlines."""
    annotations = read_annotations(data / "coco-people" / "annotations" / "person_keypoints.json")
    assert list(read_ids("people-300")) == choose_images(annotations, 300, outlined=True)
