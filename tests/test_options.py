"""`DecodeOptions` and `MaskOptions`: frozen, keyword-only, checked when made."""

import dataclasses
import pickle
from fractions import Fraction

import numpy as np
import pytest
import scenes
from scenes import OFF, PAIR, array, decode_options, offsets

from personlab import DecodeOptions, MaskOptions, _core, decode_poses

BOTH = pytest.mark.parametrize("kind", [DecodeOptions, MaskOptions])


@BOTH
def test_names_alone_are_taken_and_only_known_ones(kind):
    with pytest.raises(TypeError):
        kind(1)
    with pytest.raises(TypeError, match="treshold"):
        kind(treshold=0.5)


@BOTH
def test_options_are_frozen_and_compare_by_value(kind):
    options = kind(threads=2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.threads = 3
    assert options == kind(threads=2)
    assert hash(options) == hash(kind(threads=2))
    assert options != kind(threads=3)
    assert dataclasses.replace(options, threads=3) == kind(threads=3)


@BOTH
def test_pickling_leaves_the_core_s_copy_behind(kind):
    options = kind(threads=2)
    assert options.native is options.native
    other = pickle.loads(pickle.dumps(options))
    assert other == options
    assert other.native is not options.native


NUMBERS = ("disk_radius", "vote_threshold", "peak_threshold", "nms_radius", "min_score")
INTEGERS = ("hough_stride", "refine_steps", "max_poses", "threads")


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", ["1", None, True, [1.0], 1j])
def test_what_is_no_number_is_named(name, value):
    with pytest.raises(TypeError, match=f"{name}: expected a number, got "):
        DecodeOptions(**{name: value})


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), -0.001])
def test_a_number_out_of_range_is_named(name, value):
    with pytest.raises(ValueError, match=f"{name}: expected a finite number .*, got {value}"):
        DecodeOptions(**{name: value})


@pytest.mark.parametrize("name", INTEGERS)
@pytest.mark.parametrize("value", ["1", None, True, 1.0, 2.5])
def test_what_is_no_integer_is_named(name, value):
    with pytest.raises(TypeError, match=f"{name}: expected an integer, got "):
        DecodeOptions(**{name: value})


@pytest.mark.parametrize("name", INTEGERS)
@pytest.mark.parametrize("value", [-1, 2**40])
def test_an_integer_out_of_range_is_named(name, value):
    with pytest.raises(ValueError, match=f"{name}: expected an integer from .*, got {value}"):
        DecodeOptions(**{name: value})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hough_stride": 0}, "hough_stride: .*, got 0"),
        ({"threads": 0}, "threads: .*, got 0"),
        ({"disk_radius": 0}, "disk_radius: expected a finite number >= 0.001 .*, got 0"),
        ({"peak_threshold": 0}, "peak_threshold: expected a finite number >= 1e-09, got 0"),
        ({"vote_threshold": 1.5}, "vote_threshold: .* <= 1, got 1.5"),
        ({"min_score": 1.01}, "min_score: .* <= 1, got 1.01"),
        ({"nms_radius": 10**400}, "nms_radius: expected a finite number >= 0, got 1000"),
        ({"scoring": "oks"}, "scoring: expected one of expected_oks, heatmap, got 'oks'"),
        ({"scoring": None}, "scoring: expected one of expected_oks, heatmap, got None"),
        ({"decoder": "openpose"}, "decoder: expected one of personlab, posenet, got 'openpose'"),
    ],
)
def test_a_value_that_makes_no_sense_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        DecodeOptions(**changes)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"mask_threshold": 2}, ValueError, "mask_threshold: .* <= 1, got 2"),
        ({"mask_threshold": "half"}, TypeError, "mask_threshold: expected a number, got 'half'"),
        ({"distance_threshold": -1}, ValueError, "distance_threshold: .*, got -1"),
        ({"long_refine_steps": -1}, ValueError, "long_refine_steps: .*, got -1"),
        ({"short_refine_steps": 1.0}, TypeError, "short_refine_steps: expected an integer, got 1.0"),
        ({"exclusive": 1}, TypeError, "exclusive: expected a bool, got 1"),
        ({"threads": 0}, ValueError, "threads: .*, got 0"),
    ],
)
def test_mask_options_are_checked_likewise(changes, error, message):
    with pytest.raises(error, match=message):
        MaskOptions(**changes)


def test_limits_are_allowed():
    DecodeOptions(vote_threshold=0, min_score=1, nms_radius=0, refine_steps=0, max_poses=0, threads=1024)
    MaskOptions(mask_threshold=0, distance_threshold=0, long_refine_steps=0, short_refine_steps=0)
    MaskOptions(mask_threshold=1)


@pytest.mark.parametrize(("kind", "native"), [(DecodeOptions, _core.DecodeOptions), (MaskOptions, _core.MaskOptions)])
def test_the_cpp_library_has_the_same_options(kind, native):
    """Defaults, and where ranges end."""
    names = [field.name for field in dataclasses.fields(kind)]
    assert sorted(names) == sorted(name for name in dir(native) if not name.startswith("_"))
    for name in names:
        value = getattr(kind(), name)
        assert getattr(native(), name) == (np.float32(value) if type(value) is float else value), name
        assert getattr(kind(**{name: value}).native, name) == getattr(native(), name), name
        if type(value) in (int, float):
            for end in (
                -1,
                0,
                1e-10,
                1e-9,
                5e-4,
                1e-3,
                1,
                1.1,
                100,
                101,
                1000,
                1001,
                1024,
                1025,
                4096,
                4097,
                2**31 - 1,
            ):
                if type(value) is float or type(end) is int:
                    change = {name: type(value)(end)}
                    assert is_accepted(kind, change) == is_accepted(native, change), change


def is_accepted(kind, change):
    try:
        kind(**change)
    except ValueError as error:
        assert str(error).startswith(f"{next(iter(change))}: expected ")  # noqa: PT017
        return False
    return True


def test_numbers_of_other_kinds_reach_the_core():
    heatmaps, still = array([[[5, OFF, OFF, OFF]]] * 2).reshape(2, 1, 4), offsets(1, 4, (0, 0), (0, 0))
    plain = decode_options(hough_stride=2, disk_radius=8.0, vote_threshold=0.5, max_poses=3)
    other = decode_options(
        hough_stride=np.int64(2), disk_radius=np.float32(8), vote_threshold=Fraction(1, 2), max_poses=np.uint8(3)
    )
    assert plain == other
    assert {type(getattr(other, name)) for name in INTEGERS} == {int}
    assert {type(getattr(other, name)) for name in NUMBERS} == {float}
    a, b = (decode_poses(heatmaps, still, still, stride=8, skeleton=PAIR, options=o) for o in (plain, other))
    assert len(a) > 0
    assert a.scores.tobytes() == b.scores.tobytes()


def test_posenet_says_what_the_published_decoder_takes():
    options = DecodeOptions.posenet()
    assert options == DecodeOptions.posenet(score_threshold=0.5, nms_radius=20, refine_steps=5, max_poses=20)
    assert (options.decoder, options.scoring) == ("posenet", "heatmap")
    assert (options.min_score, options.nms_radius, options.refine_steps, options.max_poses) == (0.5, 20, 5, 20)
    with pytest.raises(ValueError, match=r"score_threshold: .*, got 2\.0"):
        DecodeOptions.posenet(2.0)
    with pytest.raises(TypeError, match="score_threshold: expected a number, got 'half'"):
        DecodeOptions.posenet("half")
    assert DecodeOptions.posenet(threads=3).threads == 3


def test_the_helpers_of_these_tests_state_every_option():
    # So that no test comes to depend on a default that a measurement may change.
    assert {f.name for f in dataclasses.fields(DecodeOptions)} == {*scenes._DECODE, "decoder"}
    assert {f.name for f in dataclasses.fields(MaskOptions)} == set(scenes._MASKS)
