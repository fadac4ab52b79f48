"""Images of the fields show what hand-made fields say, where they say it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scenes import OFF, PAIR, array, skeleton

from personlab import Fields, stages
from personlab import visualize as show

pytest.importorskip("cv2")

STRIDE, GRID = 8, (9, 13)  # a network input of 97 x 65 pixels
SIZE = ((GRID[0] - 1) * STRIDE + 1, (GRID[1] - 1) * STRIDE + 1)
BLACK = np.zeros((*SIZE, 3), np.uint8)
ONE_EDGE = skeleton(2, [(0, 1)])


def grey(height=SIZE[0], width=SIZE[1]):
    return np.full((height, width, 3), 90, np.uint8)


def logits(*cells, channels=1, value=20.0):
    """(channels, h, w): surely nothing but at the cells (i, j) of channel 0."""
    field = np.full((channels, *GRID), OFF, np.float32)
    for i, j in cells:
        field[0, i, j] = value
    return field


def fields_of(*cells, offset=(24, -16)):
    """One keypoint at the given cells, every offset the same."""
    everywhere = np.broadcast_to(array(offset)[:, None, None], (2, 2, *GRID))
    return Fields(
        heatmaps=logits(*cells, channels=2),
        short_offsets=everywhere,
        mid_offsets=everywhere,
        segmentation=logits(*cells),
        long_offsets=everywhere,
        stride=STRIDE,
    )


OFFSETS = {
    "short": show.draw_short_offsets,
    "mid": lambda image, fields, **more: show.draw_mid_offsets(image, fields, skeleton=ONE_EDGE, **more),
    "long": show.draw_long_offsets,
}


def drawn_over(image, drawn):
    """Where an image of one field differs from one without marks: what is brighter than the dimmed image."""
    return drawn.max(axis=2).astype(int) > image.max() * 0.55 + 25


@pytest.mark.parametrize("draw", OFFSETS.values(), ids=OFFSETS)
@pytest.mark.parametrize("scale", [1, 3])
def test_arrows_run_from_their_cell_to_where_the_offset_points(draw, scale):
    image = np.zeros(((SIZE[0] - 1) * scale + 1, (SIZE[1] - 1) * scale + 1, 3), np.uint8)
    marked = drawn_over(image, draw(image, fields_of((5, 4)), style="arrows"))[: 57 * scale, : 90 * scale]
    start, offset = np.array([32, 40]), np.array([24, -16])
    for share in (0.0, 0.3, 0.6, 0.95):
        x, y = np.rint((start + share * offset) * scale).astype(int)
        assert marked[y, x], share
    rows, columns = np.nonzero(marked[: 45 * scale])
    assert columns.min() >= 28 * scale
    assert columns.max() <= 60 * scale
    assert rows.min() >= 20 * scale
    tip = np.hypot(columns - 56 * scale, rows - 24 * scale) <= 9 * scale
    tail = np.hypot(columns - 32 * scale, rows - 40 * scale) <= 9 * scale
    assert tip.sum() > tail.sum()  # the head is at the target


@pytest.mark.parametrize("draw", OFFSETS.values(), ids=OFFSETS)
@pytest.mark.parametrize(
    ("offset", "colour"),
    [
        ((20, 0), (213, 94, 0)),
        ((0, 20), (240, 228, 66)),
        ((-20, 0), (86, 180, 233)),
        ((0, -20), (85, 55, 160)),
        ((-20, -20), (0, 114, 178)),
    ],
)
def test_the_hue_of_the_wheel_is_the_direction(draw, offset, colour):
    drawn = draw(BLACK, fields_of((3, 9), offset=offset), style="wheel")
    assert np.abs(drawn[24, 72] - np.array(colour) * 0.85).max() <= 2
    assert not drawn[8, 72].any()


def test_the_value_of_the_wheel_is_the_length():
    fields = fields_of((3, 9), (5, 9), (5, 10))
    short = fields.short_offsets.copy()
    short[:, :, 5] = 0
    drawn = show.draw_short_offsets(BLACK, dataclasses.replace(fields, short_offsets=short), style="wheel")
    assert drawn[24, 72].max() > 80
    assert drawn[40, 72].max() == 0


def test_the_likeliest_type_is_shown_where_several_are():
    heat = np.full((2, *GRID), 1.0, np.float32)
    heat[1] += np.linspace(-1, 1, GRID[1], dtype=np.float32)
    short = np.zeros((2, 2, *GRID), np.float32)
    short[0, 0], short[1, 0] = 20, -20
    fields = Fields(heatmaps=heat, short_offsets=short, mid_offsets=np.zeros((2, 2, *GRID), np.float32), stride=8)
    drawn = show.draw_short_offsets(BLACK, fields, style="wheel")
    warm, cool = drawn[8, 8].astype(int), drawn[8, 88].astype(int)
    assert warm[0] > warm[2] + 50
    assert cool[2] > cool[0] + 50
    alone = show.draw_short_offsets(BLACK, fields, 0, style="wheel")
    assert np.array_equal(alone[8, 88], drawn[8, 8])


def test_one_edge_alone():
    fields = fields_of((3, 9))
    mid = fields.mid_offsets.copy()
    mid[1] = -mid[1]
    mid[1, 1] = -16
    fields = dataclasses.replace(fields, mid_offsets=mid, heatmaps=fields.heatmaps[::-1])
    nothing = show.draw_mid_offsets(BLACK, fields, 0, skeleton=ONE_EDGE)
    assert not nothing[:50].any()
    back = drawn_over(BLACK, show.draw_mid_offsets(BLACK, fields, 1, skeleton=ONE_EDGE))
    assert back[16, 60]


def test_nothing_is_drawn_under_the_threshold():
    fields = fields_of((3, 9))
    heat = np.where(fields.heatmaps > 0, np.float32(-0.5), fields.heatmaps)
    fields = dataclasses.replace(fields, heatmaps=heat)
    assert not show.draw_short_offsets(BLACK, fields)[:50].any()
    assert show.draw_short_offsets(BLACK, fields, threshold=0.3)[:50].any()


def test_every_spot_of_a_field_gets_an_arrow_however_far_arrows_lie_apart():
    cells = [(1, 2), (6, 11), (7, 3)]
    image = np.zeros((SIZE[0] * 20, SIZE[1] * 20, 3), np.uint8)
    marked = drawn_over(image, show.draw_short_offsets(image, fields_of(*cells, offset=(3, 3))))
    for i, j in cells:
        y, x = round(i * 8 * 20 * SIZE[0] / (SIZE[0] - 1)), round(j * 8 * 20 * SIZE[1] / (SIZE[1] - 1))
        assert marked[y - 20 : y + 21, x - 20 : x + 21].any()


def test_an_offset_that_is_not_finite_is_not_drawn():
    fields = fields_of((3, 9))
    for draw in OFFSETS.values():
        wild = dict.fromkeys(("short_offsets", "mid_offsets", "long_offsets"), np.full((2, 2, *GRID), np.nan))
        broken = dataclasses.replace(fields, **{name: value.astype(np.float32) for name, value in wild.items()})
        assert not draw(BLACK, broken, style="arrows")[:45].any()
        assert not draw(BLACK, broken, style="wheel")[20:28, 60:80].any()


def test_a_heatmap_is_brightest_at_its_keypoint_and_dim_elsewhere():
    drawn = show.draw_heatmap(BLACK, logits((3, 9))).astype(int)
    assert drawn[24, 72].min() < 60  # yellow
    assert drawn[24, 72, :2].min() > 150
    assert drawn[10, 10].max() == 0
    assert np.array_equal(drawn, show.draw_heatmap(BLACK, logits((3, 9))[0]))


def test_of_several_heatmaps_the_largest_is_shown():
    one, other = logits((3, 9)), logits((3, 4))
    both = show.draw_heatmap(BLACK, np.concatenate([one, other]))
    assert np.array_equal(both[24, 72], both[24, 32])


def test_logits_that_are_not_finite():
    wild = logits((3, 9), value=np.inf)
    wild[0, 0] = np.nan
    wild[0, 1] = -np.inf
    drawn = show.draw_heatmap(BLACK, wild)
    assert np.array_equal(drawn[24, 72], show.draw_heatmap(BLACK, logits((3, 9), value=50.0))[24, 72])
    assert not drawn[0, :20].any()


def test_hough_scores_lie_on_their_lattice():
    hough = np.zeros((1, 14, 20))
    hough[0, 4, 15] = 0.2
    drawn = show.draw_hough(BLACK, hough, 5)
    assert drawn[20, 75, 1] > 150
    assert not drawn[10, 10].any()
    twice = show.draw_hough(np.zeros((129, 193, 3), np.uint8), hough[0], 5, input_size=(97, 65))
    assert twice[40, 150, 1] > 150


def test_peaks_are_ringed():
    peaks = stages.Peaks(np.array([0, 0]), array([[75, 20], [40, 30]]), array([0.2, 0.02]))
    drawn = show.draw_hough(grey(), np.zeros((1, 65, 97)), 1, peaks=peaks)
    rings = (np.ptp(drawn.astype(int), axis=2) > 30)[:45]
    for x, y in ((75, 20), (40, 30)):
        assert rings[y - 5 : y + 6, x - 5 : x + 6].any()
        assert not rings[y, x]


def test_the_segmentation_is_outlined_where_its_mask_ends():
    field = np.full((1, *GRID), OFF, np.float32)
    field[0, 2:5, 6:10] = 20.0
    drawn = show.draw_segmentation(BLACK, field).astype(int)
    assert drawn[24, 64, 2] < 60  # yellow inside
    assert drawn[24, 64, 0] > 150
    edge = np.flatnonzero((drawn[24] > 200).all(axis=1))
    assert np.abs(edge - 44).min() <= 4  # half way between a cell inside and one outside, or nearly
    assert np.abs(edge - 76).min() <= 4
    assert np.array_equal(drawn, show.draw_segmentation(BLACK, field[0]))


CALLS = {
    "heatmap": lambda image, fields: show.draw_heatmap(image, fields.heatmaps),
    "hough": lambda image, fields: show.draw_hough(image, np.abs(fields.heatmaps), 2, input_size=fields.input_size),
    "segmentation": lambda image, fields: show.draw_segmentation(image, fields.segmentation),
    **{f"{name} {style}": lambda image, fields, draw=draw, style=style: draw(image, fields, style=style)
       for name, draw in OFFSETS.items() for style in ("arrows", "wheel")},
}  # fmt: skip


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_images_keep_their_size_and_inputs_stay_as_they_are(call):
    fields = fields_of((3, 9), (5, 2))
    for size in (SIZE, (1, 1), (1, 9), (7, 2), (0, 5), (240, 30), (300, 500)):
        image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
        before = image.copy()
        image.flags.writeable = False
        drawn = call(image, fields)
        assert drawn.shape == image.shape
        assert drawn.dtype == np.uint8
        assert np.array_equal(image, before)
        assert not np.shares_memory(image, drawn)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_fields_without_cells(call):
    names = ("heatmaps", "short_offsets", "mid_offsets", "segmentation", "long_offsets")
    whole = fields_of((3, 9))
    for cut in ((..., slice(0), slice(None)), (..., slice(None), slice(0))):
        fields = Fields(**{name: getattr(whole, name)[cut] for name in names}, stride=8)
        assert call(grey(), fields).shape == grey().shape


def test_long_offsets_without_a_segmentation_are_drawn_everywhere():
    fields = dataclasses.replace(fields_of((3, 9)), segmentation=None)
    assert show.draw_long_offsets(BLACK, fields)[:40].any(axis=2).all()


@pytest.mark.parametrize(
    ("call", "error", "named"),
    [
        (lambda f: show.draw_heatmap(grey()[..., 0], f.heatmaps), ValueError, "image"),
        (lambda f: show.draw_heatmap(grey(), f.short_offsets), ValueError, "heatmap"),
        (lambda f: show.draw_heatmap(grey(), "x"), TypeError, "heatmap"),
        (lambda f: show.draw_hough(grey(), f.heatmaps, 0), ValueError, "hough_stride"),
        (lambda f: show.draw_hough(grey(), f.short_offsets, 2), ValueError, "hough"),
        (lambda f: show.draw_segmentation(grey(), f.heatmaps), ValueError, "segmentation"),
        (lambda f: show.draw_segmentation(grey(), f.segmentation, threshold=2), ValueError, "threshold"),
        (lambda f: show.draw_short_offsets(grey(), f, 2), ValueError, "keypoint"),
        (lambda f: show.draw_short_offsets(grey(), f, style="dots"), ValueError, "style: expected one of arrows"),
        (lambda f: show.draw_short_offsets(grey(), f.heatmaps), TypeError, "fields: expected Fields"),
        (lambda f: show.draw_mid_offsets(grey(), f), ValueError, "fields.heatmaps"),
        (lambda f: show.draw_mid_offsets(grey(), f, 2, skeleton=PAIR), ValueError, "edge"),
        (lambda f: show.draw_long_offsets(grey(), dataclasses.replace(f, long_offsets=None)), ValueError, "got None"),
        (lambda f: show.draw_long_offsets(grey(), f, -1), ValueError, "keypoint"),
    ],
)
def test_wrong_arguments_are_named(call, error, named):
    with pytest.raises(error, match=named):
        call(fields_of((3, 9)))


def test_fields_of_a_batch_are_refused():
    names = ("heatmaps", "short_offsets", "mid_offsets", "segmentation", "long_offsets")
    one = fields_of((3, 9))
    batch = Fields(**{name: getattr(one, name)[None] for name in names}, stride=8)
    with pytest.raises(ValueError, match=r"fields\.heatmaps"):
        show.draw_short_offsets(grey(), batch)
    assert np.array_equal(show.draw_short_offsets(grey(), batch[0]), show.draw_short_offsets(grey(), one))
