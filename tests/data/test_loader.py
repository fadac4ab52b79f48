"""What is learned from at each step depends on the seed alone: not on workers, processes or where a run was stopped."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from personlab import COCO_PERSON, Skeleton, encode_targets
from personlab.data.augment import Augmentation
from personlab.data.coco import People
from personlab.data.images import DrawnImages, Example
from personlab.data.loader import Batch, StepSampler, Views, make_batch, make_loader
from personlab.methods import get_method
from personlab.train import LossOptions

pytest.importorskip("cv2")

SIZE = (97, 129)  # of images, (H, W)
CROP = (65, 97)
WILD = Augmentation(scale=(0.7, 1.4), rotation=20.0, flip=0.5, centre="person", shift=0.1, colour=0.3)


class Numbered:
    """Images whose number is their colour, with the people given."""

    skeleton = COCO_PERSON
    has_masks = True

    def __init__(self, count, people=None):
        self.count = count
        self.people = people or People(
            np.zeros((0, 17, 3), np.float32), np.zeros((0, *SIZE), bool), np.zeros(SIZE, bool)
        )

    def __len__(self):
        return self.count

    def load(self, number):
        return Example(np.full((*SIZE, 3), number, np.uint8), self.people)


def views_of(images=None, *, augmentation=WILD, seed=0, **options):
    if images is None:
        images = DrawnImages(5, size=SIZE, people=(0, 3))
    encode, loss = get_method("personlab").encode, LossOptions(disk_radius=16.0)
    return Views(images, encode, loss, augmentation=augmentation, seed=seed, **{"crop": CROP, "stride": 16, **options})


def same(view, other):
    (image, targets), (other_image, other_targets) = view, other
    names = make_batch([image], [targets]).targets
    assert len(names) == 10
    return np.array_equal(image, other_image) and all(
        np.array_equal(getattr(targets, name), getattr(other_targets, name)) for name in names
    )


def tensors_of(batch):
    return {"images": batch.images, **batch.targets}


def equal(batch, other):
    one, two = tensors_of(batch), tensors_of(other)
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def numbers_of(views, count):
    return [int(views[i][0][0, 0, 0]) for i in range(count)]


def test_a_view_is_the_same_whenever_it_is_asked_for():
    views, others = views_of(), views_of()
    forwards = {i: views[i] for i in range(12)}
    for i in (11, 3, 7, 0, 11):
        assert same(others[i], forwards[i])
    assert not same(forwards[0], forwards[1])


def test_another_seed_gives_other_views_in_another_order():
    assert not same(views_of(seed=0)[0], views_of(seed=1)[0])
    few = Augmentation()
    assert numbers_of(views_of(Numbered(30), augmentation=few, seed=1), 30) != numbers_of(
        views_of(Numbered(30), augmentation=few, seed=2), 30
    )


def test_every_image_comes_once_a_round_in_an_order_of_its_own():
    numbers = numbers_of(views_of(Numbered(20), augmentation=Augmentation()), 60)
    rounds = [numbers[i : i + 20] for i in (0, 20, 40)]
    assert all(sorted(one) == list(range(20)) for one in rounds)
    assert len({tuple(one) for one in rounds}) == 3
    assert list(range(20)) not in rounds


def test_an_endless_source_gives_image_g_to_view_g():
    images = Numbered(0)
    assert numbers_of(views_of(images, augmentation=Augmentation()), 40) == list(range(40))


def test_scenes_views_and_orders_are_drawn_apart(monkeypatch):
    draw, states = np.random.default_rng, []

    def noted(key):
        states.append(tuple(np.random.SeedSequence(key).generate_state(4)))
        return draw(key)

    monkeypatch.setattr(np.random, "default_rng", noted)
    views_of(DrawnImages(7, size=SIZE, people=(1, 2)), seed=7)[1]
    views_of(Numbered(1), seed=7)[1]
    assert len(states) == 5  # the scene and how many are in it; the view; an order; again the view
    assert len(set(states)) == 4


def test_global_random_states_are_left_alone():
    before, torch_before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002 - the legacy state
    sampler = StepSampler(2, first_step=0, steps=2)
    for workers in (0, 1):
        list(make_loader(views_of(), sampler, workers=workers))
    assert np.array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_before)


def test_the_shares_of_all_processes_are_the_batches_of_one():
    alone = list(StepSampler(12, first_step=3, steps=8))
    assert alone == [list(range(12 * step, 12 * (step + 1))) for step in range(3, 8)]
    for processes in (2, 3, 4, 12):
        shares = [StepSampler(12, first_step=3, steps=8, rank=r, processes=processes) for r in range(processes)]
        assert [[number for part in parts for number in part] for parts in zip(*shares, strict=True)] == alone


def test_going_on_at_a_step_is_skipping_those_before():
    whole = list(StepSampler(4, first_step=0, steps=9, rank=1, processes=2))
    later = StepSampler(4, first_step=6, steps=9, rank=1, processes=2)
    assert list(later) == whole[6:]
    assert len(later) == 3
    done = StepSampler(4, first_step=9, steps=9)
    assert (list(done), len(done)) == ([], 0)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"batch_size": 8, "processes": 3}, "batch_size.*3 processes"),
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": 8, "processes": 2, "rank": 2}, "rank"),
    ],
)
def test_a_batch_that_cannot_be_shared_is_refused(options, match):
    with pytest.raises(ValueError, match=match):
        StepSampler(first_step=0, steps=1, **options)


@pytest.mark.parametrize("crop", [(64, 97), (65, 96), (0, 97)])
def test_a_crop_without_a_grid_is_refused(crop):
    with pytest.raises(ValueError, match="crop"):
        views_of(crop=crop)


@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_workers_change_no_byte():
    sampler = StepSampler(3, first_step=1, steps=6)
    here = list(make_loader(views_of(), sampler, workers=0))
    beside = list(make_loader(views_of(), sampler, workers=2))
    assert len(here) == len(beside) == 5
    for batch, other in zip(here, beside, strict=True):
        assert isinstance(other, Batch)
        assert equal(batch, other)
    views = views_of()
    expected = make_batch(*zip(*(views[i] for i in (3, 4, 5)), strict=True))
    assert equal(here[0], expected)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_what_a_worker_cannot_do_is_told():
    class Broken(Numbered):
        def load(self, number):
            raise ValueError(f"image {number} is broken")

    loader = make_loader(views_of(Broken(1)), StepSampler(1, first_step=0, steps=1), workers=1)
    with pytest.raises(ValueError, match="image 0 is broken"):
        list(loader)


@pytest.mark.parametrize("stride", [8, 16])
def test_a_batch_has_the_shapes_and_types_it_says(stride):
    views = views_of(stride=stride)
    batch = make_batch(*zip(*(views[i] for i in range(2)), strict=True))
    h, w = (CROP[0] - 1) // stride + 1, (CROP[1] - 1) // stride + 1
    shapes = {
        "images": (2, 3, *CROP),
        "heatmaps": (2, 17, h, w),
        "short_offsets": (2, 17, 2, h, w),
        "mid_offsets": (2, 32, 2, h, w),
        "segmentation": (2, 1, h, w),
        "long_offsets": (2, 17, 2, h, w),
        "heatmap_valid": (2, 1, h, w),
        "short_valid": (2, 17, h, w),
        "mid_valid": (2, 32, h, w),
        "segmentation_valid": (2, 1, h, w),
        "long_valid": (2, 17, h, w),
    }
    assert {name: tuple(value.shape) for name, value in tensors_of(batch).items()} == shapes
    assert batch.images.dtype == torch.uint8
    for name, value in tensors_of(batch).items():
        if name != "images":
            assert value.dtype == (torch.bool if name.endswith("valid") else torch.float32), name
    for i in range(2):
        image, targets = views[i]
        np.testing.assert_array_equal(batch.images[i].permute(1, 2, 0).numpy(), image)
        np.testing.assert_array_equal(batch.mid_offsets[i].numpy(), targets.mid_offsets)
    moved = batch.to(torch.device("cpu"))
    assert isinstance(moved, Batch)
    assert equal(moved, batch)
    with pytest.raises(AttributeError, match=r"batch: expected one of images, heatmaps, .*, got 'nothing'"):
        _ = batch.nothing


def test_targets_are_those_of_what_the_view_shows():
    scenes = DrawnImages(5, size=CROP, people=(2, 2))
    views = views_of(scenes, augmentation=Augmentation())
    image, targets = views[4]
    scene = scenes.load(4)
    expected = encode_targets(scene.people.keypoints, scene.people.masks, size=CROP, stride=16, disk_radius=16.0)
    assert same((image, targets), (scene.image, expected))


def crowd_and_two_people():
    """Labelled on the left, unlabelled in the middle, a crowd on the right."""
    masks, crowd = np.zeros((2, *SIZE), bool), np.zeros(SIZE, bool)
    masks[0, :, :44], masks[1, :, 48:76], crowd[:, 80:] = True, True, True
    keypoints = np.zeros((2, 17, 3), np.float32)
    keypoints[0, :2] = (30, 40, 2), (34, 50, 1)
    return People(keypoints, masks, crowd)


def test_crowds_and_people_without_labels_are_masked_out():
    _, targets = views_of(Numbered(1, crowd_and_two_people()), augmentation=Augmentation(), crop=SIZE)[0]
    x = np.arange(0, SIZE[1], 16)
    crowd, unlabelled, person = x >= 80, (x >= 48) & (x < 76), x < 44
    row = (0, 2)  # cells at y = 32
    np.testing.assert_array_equal(targets.heatmap_valid[row], ~crowd & ~unlabelled)
    np.testing.assert_array_equal(targets.segmentation_valid[row], ~crowd)
    np.testing.assert_array_equal(targets.segmentation[row] == 1, person | unlabelled)
    np.testing.assert_array_equal(targets.long_valid[:2].all(axis=0)[2], person)
    assert not targets.long_valid[2:].any()
    assert not targets.short_valid[:, :, crowd].any()
    assert targets.short_valid[:2].any(axis=(1, 2)).all()  # seen or behind something: labelled both
    assert not targets.heatmaps[2:].any()


def test_without_masks_no_loss_is_taken_on_them():
    images = Numbered(1, crowd_and_two_people())
    images.has_masks = False
    _, targets = views_of(images, augmentation=Augmentation(), crop=SIZE)[0]
    assert not targets.segmentation_valid.any()
    assert not targets.long_valid.any()
    assert targets.heatmaps.any()
    assert not targets.heatmap_valid[0, :, 5:].any()  # the crowd


def test_a_image_of_nobody_is_all_background():
    _, targets = views_of(Numbered(1))[0]
    assert targets.heatmap_valid.all()
    assert targets.segmentation_valid.all()
    for name in ("heatmaps", "segmentation", "short_valid", "mid_valid", "long_valid"):
        assert not getattr(targets, name).any(), name


def test_any_skeleton_is_encoded():
    images = Numbered(
        1, People(np.float32([[(60, 40, 2), (70, 50, 2)]]), np.ones((1, *SIZE), bool), np.zeros(SIZE, bool))
    )
    images.skeleton = Skeleton(names=("left", "right"), edges=((0, 1),), sigmas=(0.1, 0.1), flip=(1, 0))
    _, targets = views_of(images, augmentation=Augmentation(flip=1.0), crop=SIZE)[0]
    rows, columns = np.nonzero(targets.mid_valid[0])  # from the left one, once the right one at (70, 50), to the right
    assert len(targets.mid_offsets) == 2
    assert len(rows) > 0
    ends = targets.mid_offsets[0][:, rows, columns] + np.stack([columns, rows]) * 16
    np.testing.assert_allclose(ends.T, np.broadcast_to([128 - 60, 40], (len(rows), 2)), atol=1e-4)


def test_a_loader_that_nobody_closes_holds_nobody_up():
    """A process that ends in the middle of an epoch takes its workers with it."""
    code = (
        "from personlab.data.augment import Augmentation\n"
        "from personlab.data.loader import StepSampler, Views, make_loader\n"
        "from personlab.data.images import DrawnImages\n"
        "from personlab.methods import get_method\n"
        "from personlab.train import LossOptions\n"
        "images = DrawnImages(0, size=(65, 81), people=(1, 1))\n"
        "encode = get_method('personlab').encode\n"
        "options = {'crop': (49, 65), 'stride': 16, 'augmentation': Augmentation(), 'seed': 0}\n"
        "views = Views(images, encode, LossOptions(), **options)\n"
        "batches = iter(make_loader(views, StepSampler(2, first_step=0, steps=100), workers=1))\n"
        "print(next(batches).images.shape[0])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, "2\n"), done.stderr
