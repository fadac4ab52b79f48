"""Fields of whole images, kept and shown in views: cut, turned, scaled and mirrored as the image is."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from personlab import COCO_PERSON, Fields, Predictor
from personlab.data.augment import Augmentation, View, draw_view, take_view
from personlab.data.coco import People
from personlab.data.grid import Grid
from personlab.data.images import Example
from personlab.methods.base import InputOptions, Lesson, Setup
from personlab.methods.personlab.fields import FIELD_NAMES
from personlab.methods.personlab.merge import unflip
from personlab.methods.personlab.teaching.keep import pack, show
from personlab.methods.personlab.teaching.layout import channels, check_teacher, needed
from personlab.nn import ModelConfig, PersonLab
from personlab.settings import Settings

SIZE, STRIDE = (97, 129), 8  # (H, W) of the images
OFFSETS = ("short_offsets", "mid_offsets", "long_offsets")


class Pointwise(torch.nn.Module):
    """A backbone whose features at a cell depend on the pixel there alone, so that crops change nothing."""

    channels, middle_channels = 3, 3

    def forward(self, images):
        points = images[..., ::STRIDE, ::STRIDE]
        return points, points


def teacher():
    """A network that sees points, with random heads."""
    torch.manual_seed(0)
    model = PersonLab(ModelConfig(width=0.5, stride=STRIDE, norm="none"))
    model.backbone = Pointwise()
    model.heads = type(model.heads)(3, COCO_PERSON, masks=True)
    with torch.no_grad():
        for parameter in model.heads.parameters():
            parameter.normal_(std=2.0)
    return model.eval()


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)


def lesson_of(model, image, names=FIELD_NAMES, **more):
    predictor = Predictor(model, long_edge=max(image.shape), **more)
    with predictor.stream_fields([image]) as stream:
        return Lesson(tuple(names), pack(next(stream), names, predictor.setup), 1.0)


def grid(size):
    return Grid(size, STRIDE, COCO_PERSON, has_masks=True)


def shifted(x, y):
    return View(np.eye(2), np.array([-float(x), -float(y)]), flipped=False)


def outputs(model, image):
    with torch.no_grad():
        said = model(torch.from_numpy(image.copy()).permute(2, 0, 1)[None])
    return {name: getattr(said, name)[0].numpy() for name in FIELD_NAMES}


def test_a_cut_of_what_is_kept_is_what_the_teacher_says_of_the_cut(image):
    """Exact up to the 16 bits in which fields are kept."""
    model = teacher()
    left, top, crop = 24, 16, (65, 81)
    view = shifted(left, top)
    taught = show([lesson_of(model, image)], SIZE, view, grid(crop))
    nobody = People(np.zeros((0, 17, 3), np.float32), np.zeros((0, *SIZE), bool), np.zeros(SIZE, bool))
    cut = take_view(Example(image, nobody), view, crop, COCO_PERSON).image
    np.testing.assert_array_equal(cut, image[top : top + crop[0], left : left + crop[1]])
    said = outputs(model, cut)
    assert taught["taught_inside"].shape == (1, 9, 11)
    assert taught["taught_inside"].all()
    for name in ("heatmaps", "segmentation"):
        expected = 1 / (1 + np.exp(-said[name]))
        np.testing.assert_allclose(taught[f"taught_{name}"], expected, atol=3e-3)
    for name in OFFSETS:
        np.testing.assert_allclose(taught[f"taught_{name}"], said[name], rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(taught["taught_short_offsets_weights"], taught["taught_heatmaps"], atol=1e-6)
    sources = [source for source, _ in COCO_PERSON.directed_edges]
    np.testing.assert_allclose(taught["taught_mid_offsets_weights"], taught["taught_heatmaps"][sources], atol=1e-6)
    np.testing.assert_allclose(taught["taught_long_offsets_weights"], taught["taught_segmentation"], atol=1e-6)


def test_a_mirrored_view_is_the_mirror_image_of_the_view(image):
    lesson = lesson_of(teacher(), image)
    straight = show([lesson], SIZE, shifted(0, 0), grid(SIZE))
    mirror = View(np.array([[-1.0, 0.0], [0.0, 1.0]]), np.array([SIZE[1] - 1.0, 0.0]), flipped=True)
    mirrored = show([lesson], SIZE, mirror, grid(SIZE))
    back = unflip({name: mirrored[f"taught_{name}"][None] for name in FIELD_NAMES}, COCO_PERSON)
    for name in FIELD_NAMES:
        np.testing.assert_allclose(back[name][0], straight[f"taught_{name}"], rtol=1e-5, atol=1e-5)
    for name, swap in (("short_offsets", COCO_PERSON.flip), ("mid_offsets", COCO_PERSON.directed_flip)):
        weights = mirrored[f"taught_{name}_weights"][list(swap)][..., ::-1]
        np.testing.assert_allclose(weights, straight[f"taught_{name}_weights"], atol=1e-6)


def pointing(points, *, size=SIZE, stride=4):
    """Fields whose offsets point to `points` (K, 2), image pixels, from every cell."""
    height, width = size
    y, x = np.mgrid[0:height:stride, 0:width:stride].astype(np.float32)
    offsets = np.asarray(points, np.float32)[:, :, None, None] - np.stack([x, y])
    return Fields(
        heatmaps=np.full((17, *x.shape), 3, np.float32), short_offsets=offsets,
        mid_offsets=offsets[[target for _, target in COCO_PERSON.directed_edges]],
        segmentation=np.full((1, *x.shape), -2, np.float32), long_offsets=offsets, stride=stride,
        image_size=(width, height),
    )  # fmt: skip


@dataclass
class Stride:
    stride: int


def setup_of(long_edge, stride):
    return Setup(
        config=Stride(stride), settings=Settings(), inputs=InputOptions(long_edge=long_edge), options=None
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(6))
def test_offsets_turn_and_scale_with_the_view(seed):
    """They are linear here: read between cells, they still point to the same places."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, 97, (17, 2)).astype(np.float32)
    fields = pointing(points)
    lesson = Lesson(FIELD_NAMES, pack(fields, FIELD_NAMES, setup_of(129, 4)), 1.0)
    people = People(np.zeros((0, 17, 3), np.float32), np.zeros((0, *SIZE), bool), np.zeros(SIZE, bool))
    options = Augmentation(scale=(0.5, 1.5), rotation=30, flip=0.5, shift=0.3)
    crop = (65, 81)
    view = draw_view(rng, people, crop, options)
    taught = show([lesson], SIZE, view, grid(crop))
    inside = taught["taught_inside"][0]
    assert inside.any()
    y, x = np.mgrid[0 : crop[0] : STRIDE, 0 : crop[1] : STRIDE]
    moved = (points @ view.linear.T + view.shift)[list(COCO_PERSON.flip) if view.flipped else slice(None)]
    expected = moved[:, :, None, None] - np.stack([x, y])
    targets = [target for _, target in COCO_PERSON.directed_edges]
    for name, at in (("short_offsets", slice(None)), ("long_offsets", slice(None)), ("mid_offsets", targets)):
        np.testing.assert_allclose(taught[f"taught_{name}"][..., inside], expected[at][..., inside], atol=0.2)
        np.testing.assert_array_equal(taught[f"taught_{name}_weights"][..., ~inside], 0)


def test_between_cells_offsets_count_by_their_probability():
    fields = pointing(np.zeros((17, 2)), size=(9, 17), stride=8)
    heat = np.full((17, 2, 3), -30, np.float32)
    heat[:, :, 0] = 30
    fields = replace(fields, heatmaps=heat, short_offsets=np.zeros_like(fields.short_offsets))
    fields.short_offsets[:, 0, :, 1] = 100  # of cells where no keypoint is
    lesson = Lesson(("short_offsets",), pack(fields, ("short_offsets",), setup_of(17, 8)), 1.0)
    taught = show([lesson], (9, 17), shifted(4, 0), Grid((9, 9), 8, COCO_PERSON, has_masks=True))
    assert np.abs(taught["taught_short_offsets"][:, 0, :, 0]).max() < 1e-3
    np.testing.assert_allclose(taught["taught_short_offsets_weights"][:, :, 0], 0.5, atol=1e-6)
    assert "taught_heatmaps" not in taught  # kept for the weights, and not taught


def test_several_teachers_are_averaged():
    """Probabilities by the weights of the teachers, offsets by these and by probabilities."""
    one, two = pointing(np.full((17, 2), 10)), pointing(np.full((17, 2), 40))
    two = replace(two, heatmaps=np.zeros_like(two.heatmaps))
    setup, names = setup_of(129, 4), ("heatmaps", "short_offsets")
    lessons = [Lesson(names, pack(one, names, setup), 1.0), Lesson(names, pack(two, names, setup), 3.0)]
    taught = show(lessons, SIZE, shifted(0, 0), grid(SIZE))
    sure = 1 / (1 + np.exp(-3))
    np.testing.assert_allclose(taught["taught_heatmaps"], (sure + 3 * 0.5) / 4, atol=1e-3)
    share = sure / (sure + 3 * 0.5)
    np.testing.assert_allclose(taught["taught_short_offsets"][:, 0, 0, 0], share * 10 + (1 - share) * 40, atol=0.1)
    np.testing.assert_allclose(taught["taught_short_offsets_weights"], taught["taught_heatmaps"], atol=1e-6)


def test_only_what_teaches_is_kept():
    assert needed(("short_offsets",)) == ("heatmaps", "short_offsets")
    assert needed(("long_offsets", "segmentation")) == ("segmentation", "long_offsets")
    assert channels(("long_offsets",), COCO_PERSON) == {"segmentation": slice(0, 1), "long_offsets": slice(1, 35)}


def test_finer_scales_are_kept_at_the_grid_of_scale_1(image):
    """Two scales, merged on the grid of the finer one."""
    one = lesson_of(teacher(), image)
    assert one.packed.shape == (13, 17, 17 + 34 + 64 + 1 + 34)
    assert one.packed.dtype == np.float16
    two = lesson_of(teacher(), image, scales=(1.0, 2.0), flip=True)
    assert two.packed.shape == one.packed.shape


def test_values_that_are_no_numbers_are_kept_as_none():
    fields = pointing(np.zeros((17, 2)))
    fields.heatmaps[0, 0, 0], fields.short_offsets[0, 0, 0, 0], fields.long_offsets[0, 0, 0, 0] = np.nan, np.inf, 1e9
    assert np.isfinite(pack(fields, FIELD_NAMES, setup_of(129, 4))).all()


@pytest.mark.parametrize(
    ("names", "config", "message"),
    [
        (("heatmap",), ModelConfig(), "fields: expected some of heatmaps, .*, got heatmap$"),
        (("long_offsets",), ModelConfig(masks=False), "fields: expected none of segmentation, .*lacks, got long"),
        (
            ("heatmaps",),
            ModelConfig(skeleton=replace(COCO_PERSON, names=("tail", *COCO_PERSON.names[1:]))),
            r"weights: expected a network of the student's 17 keypoints, got one of 17 \(tail\)",
        ),
        (
            ("heatmaps",),
            ModelConfig(skeleton=replace(COCO_PERSON, edges=COCO_PERSON.edges[:-1])),
            "weights: expected a network of the student's edges",
        ),
    ],
)
def test_a_network_that_cannot_teach_is_refused(names, config, message):
    with pytest.raises(ValueError, match=message):
        check_teacher(config, COCO_PERSON, names)
