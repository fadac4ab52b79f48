"""Who has no outline teaches nothing about masks and counts in no mask AP; without keypoints either, nothing at all."""

from __future__ import annotations

import numpy as np
import pytest
from annotation_files import SIZE, good, write, write_changed

pytest.importorskip("cv2")
pytest.importorskip("pycocotools")
pytest.importorskip("torch")

from personlab import COCO_PERSON, encode_targets
from personlab.data.annotations import read_annotations
from personlab.data.augment import Augmentation, View, take_view
from personlab.data.coco import People, gather_people, grow_box, index_annotations, load_people
from personlab.data.coverage import Coverage, count_coverage
from personlab.data.images import CocoImages, Example
from personlab.data.index import make_index
from personlab.data.loader import Views, make_batch
from personlab.io.results import mask_results
from personlab.methods import get_method
from personlab.metrics.coco import average_precision, load_annotations
from personlab.poses import Poses
from personlab.predict.ceiling import evaluate_ceiling
from personlab.train import LossOptions

BOX = (slice(1, 33), slice(2, 22))  # [4, 4, 16, 26] grown: x 2.4 .. 21.6, y 1.4 .. 32.6


def region(*boxes, size=SIZE):
    mask = np.zeros(size, bool)
    for box in boxes:
        mask[box] = True
    return mask


@pytest.mark.parametrize(
    ("box", "rows", "columns"),
    [
        ((10, 20, 10, 10), (19, 31), (9, 21)),  # a tenth on each side: 9 .. 21, 19 .. 31
        ((10, 20, 5, 5), (19, 26), (9, 16)),  # 9.5 .. 15.5 touches columns 9 to 15
        ((0, 0, 60, 40), (0, 40), (0, 60)),
        ((-20, -20, 10, 10), (0, 0), (0, 0)),
        ((58, 38, 10, 10), (37, 40), (57, 60)),
        ((500, 500, 10, 10), (40, 40), (60, 60)),
        ((10, 10, 0, 5), (0, 0), (0, 0)),
    ],
)
def test_boxes_grow_by_a_tenth_on_each_side_and_stay_inside(box, rows, columns):
    assert grow_box(box, SIZE) == (slice(*rows), slice(*columns))


def test_annotations_are_sorted_into_people_and_regions():
    labelled = np.array([1, 1, 0, 0, 0, 1], bool)
    outlined = np.array([1, 0, 1, 0, 0, 1], bool)
    crowd = np.array([0, 0, 0, 0, 1, 1], bool)
    keypoints = np.zeros((6, 1, 3), np.float32)
    keypoints[:, 0, 2] = labelled
    masks = np.zeros((6, *SIZE), bool)
    for n in np.flatnonzero(outlined):
        masks[n, n, n] = True
    boxes = np.float32([(10 * n, 5, 5, 5) for n in range(6)])
    people = gather_people(keypoints, masks, boxes, outlined=outlined, crowd=crowd)
    np.testing.assert_array_equal(people.keypoints, keypoints[[0, 1, 2]])
    np.testing.assert_array_equal(people.masks, masks[[0, 1, 2]])
    nothing = [(slice(4, 11), slice(29, 36)), (slice(4, 11), slice(39, 46)), (5, 5)]
    np.testing.assert_array_equal(people.crowd, region(*nothing))
    np.testing.assert_array_equal(people.unoutlined, region((slice(4, 11), slice(9, 16))))


@pytest.mark.parametrize("outline", [..., None, [], [[]], [[4, 4, 20, 30]]])
def test_a_file_brings_the_region(tmp_path, outline):
    path, images = write_changed(tmp_path, 0, segmentation=outline)
    pictures = CocoImages(path, images)
    people = pictures.load(0).people
    np.testing.assert_array_equal(people.unoutlined, region(BOX))
    assert people.masks.any(axis=(1, 2)).tolist() == [False, True]
    assert not people.crowd.any()
    assert pictures.has_masks
    again = load_people(load_annotations(str(path)), 3, skeleton=pictures.skeleton)
    for array, other in zip(again, people, strict=True):
        np.testing.assert_array_equal(array, other)


def test_everyone_outlined_leaves_no_region(tmp_path):
    assert CocoImages(*write(tmp_path, good())).load(0).people.unoutlined is None


def test_without_keypoints_either_nothing_is_known_there(tmp_path):
    path, images = write_changed(tmp_path, 0, segmentation=..., keypoints=...)
    people = CocoImages(path, images).load(0).people
    np.testing.assert_array_equal(people.crowd, region(BOX))
    assert people.unoutlined is None
    assert len(people.keypoints) == 1


def targets_of(tmp_path, **changes):
    """Targets of the image as it is, 33 x 49 pixels of it, at stride 8."""
    path, images = write_changed(tmp_path, 0, **changes)
    pictures = CocoImages(path, images)
    plain = Augmentation()
    encode, loss = get_method("personlab").encode, LossOptions(disk_radius=6.0)
    views = Views(pictures, encode, loss, crop=(33, 49), stride=8, augmentation=plain, seed=0)
    return views[0][1], pictures


def test_no_loss_on_masks_is_taken_where_the_outline_is_unknown(tmp_path):
    whole, _ = targets_of(tmp_path)
    targets, pictures = targets_of(tmp_path, segmentation=...)
    view = View(np.eye(2), np.array([-6.0, -4.0]), flipped=False)  # the middle of 40 x 60
    seen = take_view(pictures.load(0), view, (33, 49), pictures.skeleton).people
    unknown = seen.unoutlined[::8, ::8]
    assert 0 < unknown.sum() < unknown.size
    np.testing.assert_array_equal(targets.segmentation_valid[0], whole.segmentation_valid[0] & ~unknown)
    assert not targets.long_valid[:, unknown].any()
    np.testing.assert_array_equal(targets.long_valid[:, ~unknown], whole.long_valid[:, ~unknown])
    for name in ("heatmaps", "heatmap_valid", "short_offsets", "short_valid", "mid_offsets", "mid_valid"):
        np.testing.assert_array_equal(getattr(targets, name), getattr(whole, name))


def test_no_loss_at_all_is_taken_where_keypoints_are_unknown_too(tmp_path):
    targets, _ = targets_of(tmp_path, segmentation=..., keypoints=[])
    box = region(BOX)[4:37, 6:55][::8, ::8]
    assert box.any()
    for name in ("heatmap_valid", "short_valid", "mid_valid", "segmentation_valid", "long_valid"):
        assert not getattr(targets, name)[:, box].any(), name
    assert targets.segmentation_valid[0, ~box].all()
    assert targets.heatmap_valid[0, ~box].all()


def test_regions_take_out_what_counts_of_any_kind_of_arrays():
    keypoints = np.float32([[[20, 12, 2]] * 17])
    masks = np.ones((1, 33, 49), bool)
    targets = encode_targets(keypoints, masks, size=(33, 49), stride=8)
    unknown = np.zeros((33, 49), bool)
    unknown[8, 16] = unknown[9, 24] = True  # the second lies between cells
    less = targets.without_masks(unknown)
    assert (targets.segmentation_valid & ~less.segmentation_valid).sum() == 1
    assert not less.segmentation_valid[0, 1, 2]
    assert not less.long_valid[:, 1, 2].any()
    assert (targets.long_valid & ~less.long_valid).sum() == 17
    assert targets.segmentation_valid.all()  # as it was
    import torch

    as_tensors = type(targets)(
        **{
            name: torch.from_numpy(value) if isinstance(value, np.ndarray) else value
            for name, value in vars(targets).items()
        }
    ).without_masks(torch.from_numpy(unknown))
    np.testing.assert_array_equal(as_tensors.long_valid.numpy(), less.long_valid)
    with pytest.raises(ValueError, match=r"region: expected shape \(H, W\)"):
        targets.without_masks(unknown[1:])


@pytest.mark.parametrize("labels", ["some", "none"])
def test_the_gradient_on_the_body_without_outline_is_nothing(tmp_path, labels):
    """What the network says of a body whose outline is unknown is not corrected; beside it, it is."""
    from personlab.methods.personlab.losses import compute_losses
    from personlab.nn import ModelConfig, PersonLab

    targets, pictures = targets_of(tmp_path, segmentation=..., **({} if labels == "some" else {"keypoints": []}))
    config = ModelConfig(skeleton=pictures.skeleton, width=0.5, stride=8, masks=True)
    model = PersonLab(config)
    batch = make_batch([np.zeros((33, 49, 3), np.uint8)], [targets])
    outputs = model(batch.images)
    for array in outputs:
        if array is not None:
            array.retain_grad()
    compute_losses(outputs, batch, model, LossOptions(refine_steps=0, disk_radius=6.0)).total.backward()
    body = region(BOX)[4:37, 6:55][::8, ::8]
    segmentation = outputs.segmentation.grad[0, 0].numpy()
    heatmap = outputs.heatmaps.grad[0].abs().sum(dim=0).numpy()
    assert (segmentation[body] == 0).all()
    assert (segmentation[~body] != 0).all()
    assert (heatmap[~body] != 0).all()
    assert (heatmap[body] == 0).all() == (labels == "none")


@pytest.mark.parametrize("flipped", [False, True])
def test_the_region_is_seen_as_the_image_is(flipped):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (*SIZE, 3), np.uint8)
    nobody = np.zeros((0, 17, 3), np.float32), np.zeros((0, *SIZE), bool)
    unknown = region((slice(10, 20), slice(30, 50)))
    example = Example(image, People(*nobody, unknown.copy(), unknown))
    linear = np.array([[-0.7 if flipped else 0.7, 0.2], [0.2, 0.7]])
    view = View(linear, np.array([45.0 if flipped else 3.0, 2.0]), flipped=flipped)
    seen = take_view(example, view, (33, 49), COCO_PERSON).people
    assert seen.unoutlined.any()
    np.testing.assert_array_equal(seen.unoutlined, seen.crowd)  # which other tests look at
    np.testing.assert_array_equal(example.people.unoutlined, region((slice(10, 20), slice(30, 50))))


def found_masks(*masks):
    """COCO results of the masks, the first the surest."""
    count = len(masks)
    poses = Poses(
        np.zeros((count, 3, 2), np.float32),
        np.ones((count, 3), np.float32),
        np.linspace(1, 0.5, count, dtype=np.float32),
    )
    return mask_results(poses, np.array(masks), 3)


def test_masks_of_people_without_outline_count_neither_way(tmp_path):
    right = region((slice(6, 36), slice(30, 50)))
    left = region((slice(4, 30), slice(4, 20)))
    elsewhere = region((slice(0, 8), slice(52, 60)))
    path, _ = write_changed(tmp_path, 0, segmentation=...)
    index = load_annotations(str(path))
    assert average_precision(index, found_masks(right), "segm").ap == pytest.approx(1)
    assert average_precision(index, found_masks(left, right), "segm").ap == pytest.approx(1)
    part = left & region((slice(0, 20), slice(0, 60)))
    assert average_precision(index, found_masks(left, part, right), "segm").ap == pytest.approx(1)  # as in a crowd
    assert average_precision(index, found_masks(elsewhere, right), "segm").ap == pytest.approx(0.5)
    whole = load_annotations(str(write(tmp_path, good())[0]))
    assert average_precision(whole, found_masks(right), "segm").recall == pytest.approx(0.5)


def test_keypoints_of_people_without_outline_count_as_ever(tmp_path):
    def results(entries):
        return [
            {"image_id": 3, "category_id": 1, "keypoints": entry["keypoints"], "score": 1 - entry["id"] / 10}
            for entry in entries
        ]

    entries = good()["annotations"]
    for change in ({}, {"segmentation": ...}):
        index = load_annotations(str(write_changed(tmp_path, 0, **change)[0]))
        assert average_precision(index, results(entries), "keypoints", sigmas=[0.1] * 3).ap == pytest.approx(1)
        assert average_precision(index, results(entries[1:]), "keypoints", sigmas=[0.1] * 3).recall == 0.5


def test_the_ceiling_has_no_mask_for_who_has_no_outline(tmp_path):
    read = read_annotations(write_changed(tmp_path, 0, segmentation=...)[0])
    skeleton = read.skeleton()
    index = make_index(read, n_keypoints=3)
    results = evaluate_ceiling("personlab", {3: index.people(0, "")}, stride=1, skeleton=skeleton)
    keypoints, masks = results.keypoints, results.masks
    truth = index_annotations([read])
    assert average_precision(truth, keypoints, "keypoints", sigmas=skeleton.sigmas).ap > 0.9
    assert len(masks) == 1
    assert average_precision(truth, masks, "segm").ap50 == pytest.approx(1)


def test_what_each_loss_sees_is_counted(tmp_path):
    content = good()
    first, second = content["annotations"]
    bare = {"image_id": 3, "category_id": 1, "bbox": [50, 4, 5, 5]}
    content["annotations"] += [
        {**first, "id": 3, "segmentation": None},
        {**second, "id": 4, "keypoints": []},
        {**bare, "id": 5},
        {**bare, "id": 6, "iscrowd": 1},
        {**first, "id": 7, "iscrowd": 1},
    ]
    pictures = CocoImages(*write(tmp_path, content))
    assert pictures.coverage == Coverage(images=1, crowds=2, people=5, labelled=3, outlined=3, both=2)
    seen, no_labels, no_outline, neither = pictures.coverage.lines()
    assert seen.startswith("5 people and 2 crowds in 1 images; keypoint losses see 3 people (labelled keypoints), ")
    assert seen.endswith("segmentation 3 (outlines), long offsets 2 (both)")
    assert no_labels.startswith("1 of 5 people have an outline and no labelled keypoints")
    assert no_outline.startswith("1 of 5 people have no outline: their boxes, grown by a tenth on each side")
    assert neither.startswith("1 of 5 people have neither outline nor labelled keypoints")


def test_a_whole_file_needs_one_line(tmp_path):
    assert len(CocoImages(*write(tmp_path, good())).coverage.lines()) == 1


def test_the_mixed_data_set_is_counted(data):
    read = read_annotations(data / "coco-people" / "annotations" / "person_keypoints.json")
    coverage = count_coverage(make_index(read, n_keypoints=17))
    assert coverage == Coverage(images=2383, crowds=13, people=9196, labelled=5246, outlined=1360, both=1039)
    assert coverage.lines()[2].startswith("4,207 of 9,196 people have no outline: their boxes")
