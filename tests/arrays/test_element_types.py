"""float16 and bfloat16 fields are read where they lie, and give what the same numbers in float32 give, to the byte."""

import numpy as np
import pytest
import torch
from agreement import assert_same_bytes, core_poses
from scenes import GRIDS, PAIR, SKELETONS, decode_options, mask_options, paper_options, random_fields

from personlab import DecodeOptions, Fields, decode_masks, decode_poses, encode_targets, stages
from personlab.arrays.array import BFLOAT16
from personlab.arrays.host import as_field, take_on_host

NAMES = ("heatmaps", "short_offsets", "mid_offsets", "segmentation", "long_offsets")
MODES = {
    "personlab": paper_options(hough_stride=2, min_score=0.1),
    "heatmap": paper_options(hough_stride=3, scoring="heatmap", refine_steps=0),
    "posenet": DecodeOptions.posenet(0.1, 20.0, 5, 30),
}
KINDS = ("float16", "bfloat16")


def narrowed(array, kind):
    return array.astype(np.float16) if kind == "float16" else torch.tensor(array).bfloat16()


def of_bits(bits, kind):
    """An array of numbers from their 16 bits, and the same numbers in float32, widened by others."""
    if kind == "float16":
        array = bits.view(np.float16)
        return array, array.astype(np.float32)
    tensor = torch.from_numpy(bits.view(np.int16)).view(torch.bfloat16)
    return tensor, tensor.float().numpy()


def decode(arrays, stride, people, options):
    return decode_poses(
        arrays["heatmaps"], arrays["short_offsets"], arrays["mid_offsets"],
        stride=stride, skeleton=people, options=options,
    )  # fmt: skip


def masks(poses, arrays, stride, size, **changes):
    return decode_masks(
        poses, arrays["segmentation"], arrays["long_offsets"], short_offsets=arrays["short_offsets"],
        stride=stride, size=size, options=mask_options(**changes),
    )  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", KINDS)
def test_real_fields(fields, kind, mode):
    narrow = {name: narrowed(getattr(fields, name), kind) for name in NAMES}
    wide = {name: as_field(array, name) for name, array in narrow.items()}
    poses = core_poses(Fields(**wide, stride=fields.stride), MODES[mode])
    assert len(poses) > 0
    actual = decode_poses(
        narrow["heatmaps"], narrow["short_offsets"], narrow["mid_offsets"], stride=fields.stride, options=MODES[mode]
    )
    assert_same_bytes(actual, poses)
    size = (fields.image_size[1] // 3, fields.image_size[0] // 3)
    expected = masks(poses, wide, fields.stride, size)
    assert expected.any()
    np.testing.assert_array_equal(masks(poses, narrow, fields.stride, size), expected)


def noise_and_any_bits(rng, array, kind):
    bits = take_on_host(narrowed(array, kind), "").contiguous().view(np.uint16).copy()
    hit = rng.random(bits.shape) < 0.2
    bits[hit] = rng.integers(0, 2**16, hit.sum(), np.uint16)
    return of_bits(bits, kind)


@pytest.mark.parametrize("options", [decode_options(hough_stride=2), MODES["posenet"]], ids=["personlab", "posenet"])
@pytest.mark.parametrize("name", ["single", "tree", "cycle"])
@pytest.mark.parametrize("kind", KINDS)
def test_any_bits_at_all(kind, name, options):
    """Not-a-numbers, infinities, subnormal and huge numbers among the others; and on thin grids."""
    people, rng = SKELETONS[name], np.random.default_rng(120)
    found = 0
    for h, w, stride in (*GRIDS, (23, 31, 8)):
        fields = random_fields(120, people, h, w, stride)
        both = {n: noise_and_any_bits(rng, getattr(fields, n), kind) for n in NAMES}
        narrow, wide = ({n: pair[i] for n, pair in both.items()} for i in (0, 1))
        poses = decode(wide, stride, people, options)
        found += len(poses)
        assert_same_bytes(decode(narrow, stride, people, options), poses)
        for exclusive in (False, True):
            np.testing.assert_array_equal(
                masks(poses, narrow, stride, (24, 33), exclusive=exclusive),
                masks(poses, wide, stride, (24, 33), exclusive=exclusive),
            )
    assert found > 5


@pytest.mark.parametrize("kind", KINDS)
def test_subnormal_logits_have_their_order(kind):
    """Logits of both signs that differ in their last bits alone: on them hangs which cells are seeds, in what order."""
    people, rng = SKELETONS["pair"], np.random.default_rng(121)
    subnormal = 0x0400 if kind == "float16" else 0x0080
    magnitude = rng.integers(0, subnormal, (2, 23, 41), np.uint16)
    narrow, wide = of_bits(magnitude | (rng.integers(0, 2, magnitude.shape, np.uint16) << 15), kind)
    assert 0 < np.abs(wide).max() < (6.2e-5 if kind == "float16" else 1.2e-38)
    still = np.zeros((2, 2, 23, 41), np.float32)
    options = DecodeOptions.posenet(0.4, 0.5, 0, 5000)
    expected = decode_poses(wide, still, still, stride=8, skeleton=people, options=options)
    assert len(expected) > 128
    no_offset = of_bits(np.zeros(still.shape, np.uint16), kind)[0]
    actual = decode_poses(narrow, no_offset, no_offset, stride=8, skeleton=people, options=options)
    assert_same_bytes(actual, expected)


def test_fields_of_different_types_are_taken_together():
    fields = random_fields(122, PAIR, 9, 14, 8)
    heatmaps, mid_offsets = narrowed(fields.heatmaps, "float16"), narrowed(fields.mid_offsets, "bfloat16")
    options = decode_options(hough_stride=2)
    expected = decode_poses(
        as_field(heatmaps, ""), fields.short_offsets, as_field(mid_offsets, ""),
        stride=8, skeleton=PAIR, options=options,
    )  # fmt: skip
    assert len(expected) > 3
    actual = decode_poses(heatmaps, fields.short_offsets, mid_offsets, stride=8, skeleton=PAIR, options=options)
    assert_same_bytes(actual, expected)
    wide = {"segmentation": fields.segmentation, "short_offsets": fields.short_offsets}
    narrow = {"segmentation": narrowed(fields.segmentation, "bfloat16"), "short_offsets": fields.short_offsets}
    wide["segmentation"] = as_field(narrow["segmentation"], "")
    narrow["long_offsets"] = narrowed(fields.long_offsets, "float16")
    wide["long_offsets"] = as_field(narrow["long_offsets"], "")
    np.testing.assert_array_equal(masks(expected, narrow, 8, (37, 51)), masks(expected, wide, 8, (37, 51)))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_is_its_images(kind, threads):
    images = [random_fields(130 + i, PAIR, 9, 14, 8) for i in range(3)]
    narrow = {name: narrowed(np.stack([getattr(f, name) for f in images]), kind) for name in NAMES}
    options = decode_options(hough_stride=2, threads=threads)
    together = decode(narrow, 8, PAIR, options)
    batch_masks = masks(together, narrow, 8, (37, 51), threads=threads)
    for i in range(3):
        one = {name: array[i] for name, array in narrow.items()}
        assert len(together[i]) > 3
        assert_same_bytes(together[i], decode(one, 8, PAIR, options))
        np.testing.assert_array_equal(batch_masks[i], masks(together[i], one, 8, (37, 51)))


def test_contiguous_arrays_are_not_copied():
    half = np.zeros((2, 5, 8), np.float16)
    assert take_on_host(half, "a").contiguous() is half
    tensor = torch.zeros(2, 5, 8).bfloat16()
    taken = take_on_host(tensor, "a").contiguous()
    assert taken.dtype == BFLOAT16
    assert np.shares_memory(taken, tensor.view(torch.int16).numpy())
    assert take_on_host(taken, "a").contiguous() is taken


def test_bfloat16_of_numpy():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    fields = random_fields(123, PAIR, 9, 14, 8)
    options = decode_options(hough_stride=2)
    arrays = {name: getattr(fields, name).astype(ml_dtypes.bfloat16) for name in NAMES}
    assert np.shares_memory(take_on_host(arrays["heatmaps"], "a").contiguous(), arrays["heatmaps"])
    expected = decode({name: array.astype(np.float32) for name, array in arrays.items()}, 8, PAIR, options)
    assert len(expected) > 3
    assert_same_bytes(decode(arrays, 8, PAIR, options), expected)


def test_bfloat16_where_it_does_not_belong_is_named():
    masks = torch.zeros(1, 9, 9).bfloat16()
    with pytest.raises(TypeError, match=r"^masks: expected bool, got bfloat16$"):
        stages.score_masks(masks, np.zeros((1, 2, 2), np.float32), np.ones(1, np.float32), stride=8)
    with pytest.raises(TypeError, match=r"^masks: expected bool or uint8, got bfloat16$"):
        encode_targets(np.ones((1, 17, 3), np.float32), masks, size=(9, 9), stride=8)


def test_bare_bits_are_no_field():
    fields = random_fields(124, PAIR, 5, 8, 8)
    with pytest.raises(TypeError, match="heatmaps: expected float32, float16 or bfloat16, got uint16"):
        decode_poses(
            fields.heatmaps.astype(np.uint16), fields.short_offsets, fields.mid_offsets, stride=8, skeleton=PAIR
        )
