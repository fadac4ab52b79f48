"""COCO's files, and those alike, become images and people; what is wrong with them is named."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest

from personlab import COCO_PERSON, visualize
from personlab.data.images import CocoImages, DrawnImages, skeleton_of
from personlab.data.synthetic import numbered_scene
from personlab.metrics.coco import load_annotations

pytest.importorskip("cv2")
coco_mask = pytest.importorskip("pycocotools.mask")

SIZE = (12, 17)  # (H, W) of the images written here
SQUARE = [[2, 1, 8, 1, 8, 6, 2, 6]]  # columns 2 to 7, rows 1 to 5
PAWS = {
    "id": 7,
    "name": "dog",
    "keypoints": ["nose", "left_paw", "right_paw", "tail"],
    "skeleton": [[1, 2], [1, 3], [1, 4]],
}
POINTS = [5, 3, 2, 3.5, 4, 1, 0, 0, 0, 6, 5, 2]


def square(rows=slice(1, 6), columns=slice(2, 8)):
    mask = np.zeros(SIZE, bool)
    mask[rows, columns] = True
    return mask


def run_lengths(mask, *, compressed):
    if compressed:
        counts = coco_mask.encode(np.asfortranarray(mask, np.uint8))["counts"].decode()
    else:
        flat = np.concatenate([[0], mask.T.ravel().astype(int), [0]])
        changes = np.flatnonzero(np.diff(flat))
        counts = np.diff([0, *changes.tolist(), mask.size]).tolist()
    return {"size": list(mask.shape), "counts": counts}


def annotation(number, image=1, *, category=7, **more):
    return {"id": number, "image_id": image, "category_id": category, "iscrowd": 0, "keypoints": POINTS,
            "segmentation": SQUARE, "bbox": [2, 1, 6, 5], **more}  # fmt: skip


@pytest.fixture
def write(tmp_path):
    """Write an annotation file and the images it names; gives the file and the folder."""

    def call(annotations, *, images=1, categories=(PAWS,), name="some.json"):
        folder = tmp_path / "images"
        folder.mkdir(exist_ok=True)
        entries = []
        for number in range(1, images + 1):
            entries.append({"id": number, "file_name": f"{number}.png", "height": SIZE[0], "width": SIZE[1]})
            visualize.write_image(folder / f"{number}.png", np.full((*SIZE, 3), number, np.uint8))
        file = tmp_path / name
        file.write_text(
            json.dumps({"images": entries, "annotations": list(annotations), "categories": list(categories)})
        )
        return file, folder

    return call


@pytest.fixture
def dogs(write):
    """`CocoImages` of annotations of dogs."""

    def call(*annotations, images=1, **options):
        return CocoImages(*write(annotations, images=images), category="dog", **options)

    return call


@pytest.mark.parametrize("instances", [False, True])
def test_coco_is_read_as_its_own_tools_read_it(data, instances):
    folder = data / "coco-mini"
    file, extra = (folder / "annotations" / f"{name}.json" for name in ("person_keypoints", "instances"))
    images = CocoImages(file, folder / "images", instances=extra if instances else None)
    index = load_annotations(str(file))
    assert images.skeleton is COCO_PERSON
    assert images.has_masks
    assert images.image_ids == sorted(index.imgs)
    assert len(images) == 80
    crowds = 0
    for number, image_id in enumerate(images.image_ids):
        image, people = images.load(number)
        entries = index.imgToAnns[image_id]
        alone = [entry for entry in entries if not entry["iscrowd"]]
        crowd = [entry for entry in entries if entry["iscrowd"]]
        np.testing.assert_array_equal(
            image, visualize.read_image(folder / "images" / index.imgs[image_id]["file_name"])
        )
        assert [array.shape for array in people[:3]] == [
            (len(alone), 17, 3), (len(alone), *image.shape[:2]), image.shape[:2],
        ]  # fmt: skip
        assert (people.keypoints.dtype, people.masks.dtype, people.crowd.dtype) == (np.float32, bool, bool)
        for entry, keypoints, mask in zip(alone, people.keypoints, people.masks, strict=True):
            np.testing.assert_array_equal(keypoints.ravel(), entry["keypoints"])
            np.testing.assert_array_equal(mask, index.annToMask(entry))
        expected = np.zeros(image.shape[:2], bool)
        for entry in crowd:
            expected |= index.annToMask(entry).astype(bool)
        np.testing.assert_array_equal(people.crowd, expected)
        crowds += len(crowd)
    assert crowds == 5


def test_only_images_with_labels_are_kept_where_asked(data):
    folder = data / "coco-mini"
    file = folder / "annotations" / "person_keypoints.json"
    images = CocoImages(file, folder / "images", labelled_only=True)
    labelled = {entry["image_id"] for entry in load_annotations(str(file)).anns.values() if entry["num_keypoints"]}
    assert images.image_ids == sorted(labelled)
    assert all((images.load(i).people.keypoints[..., 2] > 0).any() for i in range(len(images)))


def test_another_category_brings_its_own_skeleton(dogs):
    images = dogs(annotation(1), annotation(2, category=3))
    skeleton = images.skeleton
    assert skeleton.names == tuple(PAWS["keypoints"])
    assert skeleton.edges == ((0, 1), (0, 2), (0, 3))
    assert skeleton.flip == (0, 2, 1, 3)
    assert skeleton.directed_flip == (1, 0, 2, 4, 3, 5)
    assert len(set(skeleton.sigmas)) == 1
    people = images.load(0).people
    np.testing.assert_array_equal(people.keypoints, [np.reshape(POINTS, (4, 3))])
    np.testing.assert_array_equal(people.masks, [square()])


@pytest.mark.parametrize("outline", ["polygons", "two polygons", "run lengths", "compressed"])
def test_outlines_of_every_form_are_read(dogs, outline):
    forms = {
        "polygons": SQUARE,
        "two polygons": [[1, 1, 9, 9], [2, 1, 5, 1, 5, 6, 2, 6], [5, 1, 8, 1, 8, 6, 5, 6]],
        "run lengths": run_lengths(square(), compressed=False),
        "compressed": run_lengths(square(), compressed=True),
    }
    people = dogs(annotation(1, segmentation=forms[outline])).load(0).people
    np.testing.assert_array_equal(people.masks, [square()])


@pytest.mark.parametrize("compressed", [False, True])
def test_masks_of_any_shape_come_back(dogs, compressed):
    rng = np.random.default_rng(0)
    masks = [rng.random(SIZE) < share for share in (0.1, 0.5, 0.9, 1.0)]
    images = dogs(*(annotation(i, segmentation=run_lengths(m, compressed=compressed)) for i, m in enumerate(masks)))
    np.testing.assert_array_equal(images.load(0).people.masks, masks)


def test_crowds_are_regions_and_no_people(dogs):
    far = run_lengths(square(slice(8, 11), slice(10, 16)), compressed=False)
    images = dogs(annotation(1, iscrowd=1, segmentation=far), annotation(2), annotation(3, iscrowd=1))
    people = images.load(0).people
    assert people.keypoints.shape == (1, 4, 3)
    np.testing.assert_array_equal(people.crowd, square() | square(slice(8, 11), slice(10, 16)))


def test_who_has_neither_labels_nor_an_outline_is_a_region_a_tenth_larger_than_their_box(dogs):
    bare = [annotation(i, keypoints=[], segmentation=[], bbox=[3, 2, 5, 5]) for i in (1, 2)]
    images = dogs(bare[0], {**bare[1], "bbox": [10, 8, 6, 3], "iscrowd": 1}, annotation(3, segmentation=[]))
    people = images.load(0).people
    # 3 - 0.5 .. 8 + 0.5 touches columns 2 to 8, 8 - 0.3 .. 11 + 0.3 rows 7 to 11
    np.testing.assert_array_equal(people.crowd, square(slice(1, 8), slice(2, 9)) | square(slice(7, 12), slice(9, 17)))
    # the third, whose keypoints are labelled: 2 - 0.6 .. 8 + 0.6, 1 - 0.5 .. 6 + 0.5
    np.testing.assert_array_equal(people.unoutlined, square(slice(0, 7), slice(1, 9)))
    assert len(people.keypoints) == 1
    assert not people.masks.any()
    assert not images.has_masks


def test_people_without_keypoints_are_people(dogs):
    without = annotation(2)
    del without["keypoints"]
    people = dogs(annotation(1, keypoints=[0] * 12), without).load(0).people
    np.testing.assert_array_equal(people.keypoints, np.zeros((2, 4, 3)))
    assert people.masks.any(axis=(1, 2)).all()


def test_images_of_nobody_are_images(dogs):
    images = dogs(annotation(1, image=2), images=3)
    assert images.image_ids == [1, 2, 3]
    image, people = images.load(2)
    assert (image == 3).all()
    assert [array.shape for array in people[:3]] == [(0, 4, 3), (0, *SIZE), SIZE]
    assert not people.crowd.any()
    kept = dogs(annotation(1, image=2), annotation(2, image=3, iscrowd=1), images=3, labelled_only=True)
    assert kept.image_ids == [2]


def test_instances_bring_masks_and_people_whom_the_keypoints_lack(write):
    file, folder = write(
        [annotation(1, segmentation=[]), annotation(2, image=2, segmentation=None)], images=2, name="keypoints.json"
    )
    far = [[10, 8, 16, 8, 16, 11, 10, 11]]
    others = [
        annotation(1, category=3, keypoints=None),
        annotation(8, category=3, segmentation=far),
        annotation(9, category=3, iscrowd=1, segmentation=run_lengths(square(slice(0, 2)), compressed=False)),
        annotation(10, category=4),
        annotation(11, category=3, image=5),
    ]
    categories = [{"id": 4, "name": "cat"}, {"id": 3, "name": "dog"}]
    extra, _ = write(others, categories=categories, images=2, name="instances.json")
    images = CocoImages(file, folder, instances=extra, category="dog")
    people = images.load(0).people
    np.testing.assert_array_equal(people.masks, [square(), square(slice(8, 11), slice(10, 16))])
    np.testing.assert_array_equal(people.keypoints, [np.reshape(POINTS, (4, 3)), np.zeros((4, 3))])
    np.testing.assert_array_equal(people.crowd, square(slice(0, 2)))
    assert not images.load(1).people.masks.any()
    assert not CocoImages(file, folder, category="dog").has_masks


@pytest.mark.parametrize(
    ("others", "categories", "match"),
    [
        ([annotation(1)], [{"id": 7, "name": "cat"}], r"instances.json: expected a category 'dog', got cat"),
        ([annotation(1, image=2)], [PAWS], r"instances.json: annotation 1: expected it in image 1"),
        ([annotation(5)], [PAWS], r"instances.json: expected the annotation ids"),
        ([{"id": 1, "category_id": 7}], [PAWS], r"instances.json: .*image_id"),
    ],
)
def test_instances_of_something_else_are_refused(write, others, categories, match):
    file, folder = write([annotation(1)], images=2)
    extra, _ = write(others, categories=categories, images=2, name="instances.json")
    with pytest.raises(ValueError, match=match):
        CocoImages(file, folder, instances=extra, category="dog")


def test_the_index_is_a_few_arrays_that_can_be_sent_to_a_process(dogs):
    images = dogs(annotation(1), annotation(2, image=2), images=2)
    again = pickle.loads(pickle.dumps(images))
    np.testing.assert_array_equal(again.load(1).people.masks, images.load(1).people.masks)
    many = dogs(*(annotation(i) for i in range(1000)))
    assert len(pickle.dumps(many)) < 1000 * 100 + 2000  # bytes: 4 x 3 floats, a few runs, three numbers for each


def test_missing_and_broken_images_are_named(write):
    file, folder = write([annotation(1)], images=9)
    for number in range(2, 9):
        (folder / f"{number}.png").unlink()
    (folder / "9.png").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"8 of 9 images cannot be read: 2.png \(missing\).* and 3 more") as error:
        CocoImages(file, folder, category="dog")
    assert str(folder) in str(error.value)
    (folder / "2.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"2.png \(no image\)"):
        CocoImages(file, folder, category="dog")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        CocoImages(file, folder / "nowhere", category="dog")


def test_a_image_of_another_size_is_named_when_it_is_read(write):
    file, folder = write([annotation(1)])
    images = CocoImages(file, folder, category="dog")
    visualize.write_image(folder / "1.png", np.zeros((17, 12, 3), np.uint8))
    with pytest.raises(ValueError, match=r"1.png: expected \(H, W\) = \(12, 17\) as annotated, got \(17, 12\)"):
        images.load(0)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"keypoints": [1, 2, 2]}, r"some.json: annotation 3: expected 12 numbers for the 4 keypoints, got 3"),
        ({"keypoints": [float("nan")] * 12}, r"some.json: annotation 3: expected finite keypoints"),
        ({"segmentation": {"size": [17, 12], "counts": [204]}}, r"some.json: annotation 3: .*12 x 17"),
        ({"segmentation": {"size": [12, 17], "counts": [5, 3]}}, r"some.json: annotation 3: .*12 x 17"),
        ({"segmentation": [["a"] * 6]}, r"some.json: annotation 3: expected an outline"),
        ({"segmentation": {"size": [12, 17]}}, r"some.json: .*counts"),
    ],
)
def test_annotations_that_make_no_sense_are_named(dogs, changes, match):
    with pytest.raises(ValueError, match=match):
        dogs(annotation(3, **changes))


@pytest.mark.parametrize("counts", ["PPPPPP", "52", "", "zzzz~~~~zzzzzzzzzzzzzzzzzz0", "\u0436", "\ud800"])
def test_broken_run_lengths_name_the_annotation(dogs, counts):
    outline = {"size": list(SIZE), "counts": counts}
    if not counts:
        assert not dogs(annotation(3, segmentation=outline)).load(0).people.masks.any()
        return
    with pytest.raises(ValueError, match=r"some.json: annotation 3: .*12 x 17"):
        dogs(annotation(3, segmentation=outline))


@pytest.mark.parametrize(
    "content", ["[1, 2]", "{", "{}", '{"images": [], "annotations": 5, "categories": []}', "\xff",
                '{"images": [{"id": 1}], "annotations": [], "categories": [{"id": 1, "name": "person"}]}'],
)  # fmt: skip
def test_files_that_are_not_cocos_are_named(tmp_path, content):
    file = tmp_path / "other.json"
    file.write_bytes(content.encode("latin-1"))
    with pytest.raises(ValueError, match=r"other.json: "):
        CocoImages(file, tmp_path)


def test_a_missing_file_an_unknown_category_and_nothing_to_train_on_are_named(write, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere.json"):
        CocoImages(tmp_path / "nowhere.json", tmp_path)
    file, folder = write([annotation(1, keypoints=[])])
    assert len(CocoImages(file, folder)) == 1  # the only category with keypoints, whatever its name
    with pytest.raises(ValueError, match=r"some.json: expected images with keypoints, got none"):
        CocoImages(file, folder, category="dog", labelled_only=True)
    file, folder = write([], categories=[{"id": 7, "name": "dog"}])
    with pytest.raises(ValueError, match=r"some.json: category 'dog': expected the names of its keypoints"):
        CocoImages(file, folder, category="dog")


def test_a_skeleton_can_be_given(write):
    file, folder = write([annotation(1, keypoints=[1, 1, 2] * 17)], categories=[{"id": 7, "name": "dog"}])
    assert CocoImages(file, folder, category="dog", skeleton=COCO_PERSON).skeleton is COCO_PERSON
    file, folder = write([annotation(1)])
    with pytest.raises(ValueError, match="annotation 1: expected 51 numbers"):
        CocoImages(file, folder, category="dog", skeleton=COCO_PERSON)


def test_sigmas_come_from_the_caller_the_category_or_coco():
    assert skeleton_of(PAWS, sigmas=[0.1, 0.2, 0.3, 0.4]).sigmas == (0.1, 0.2, 0.3, 0.4)
    assert skeleton_of({**PAWS, "sigmas": [0.4] * 4}).sigmas == (0.4,) * 4
    person = {"name": "person", "keypoints": list(COCO_PERSON.names), "skeleton": [[1, 2]]}
    assert skeleton_of(person) is COCO_PERSON
    other = skeleton_of(person, sigmas=[0.1] * 17)
    assert (other.edges, other.flip, other.sigmas) == (COCO_PERSON.edges, COCO_PERSON.flip, (0.1,) * 17)


def test_left_and_right_are_found_by_name():
    names = ["left_eye", "eye-right", "right_eye", "eye-left", "L_ear", "R_ear", "hip.l", "hip.r", "left", "leftover"]
    assert skeleton_of({"keypoints": names}).flip == (2, 3, 0, 1, 5, 4, 7, 6, 8, 9)


@pytest.mark.parametrize("edges", [[[1, 5]], [[0, 1]], [[2, 2]], [[1, 2, 3]], [1]])
def test_edges_that_lead_nowhere_are_named(edges):
    with pytest.raises(ValueError, match="category 'dog'"):
        skeleton_of({**PAWS, "skeleton": edges})


def test_drawn_images_are_the_scenes_of_their_number():
    images = DrawnImages(3, size=(61, 81), people=(1, 2))
    scene = numbered_scene(3, 5, size=(61, 81), people=(1, 2))
    image, people = images.load(5)
    np.testing.assert_array_equal(image, scene.image)
    np.testing.assert_array_equal(people.keypoints, scene.keypoints)
    np.testing.assert_array_equal(people.masks, scene.masks)
    assert not people.crowd.any()
    assert (len(images), images.has_masks, images.skeleton) == (0, True, COCO_PERSON)
