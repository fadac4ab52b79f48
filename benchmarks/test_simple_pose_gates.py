"""Speed gates of Simple Pose's decoder, one thread, whole calls from Python on maps of an image 640 pixels high.

Maps are perfect ones of drawn crowds at stride 4. The yardstick Y48 is OpenCV's resizing of the 48 maps to the image.
"original" does what the original does with the same maps: OpenCV's cubic resizing to the image, then peaks, limbs and
bodies by the reference with the original's rules, in NumPy; "its bodies" is the latter alone, on maps enlarged before.
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path

import numpy as np
import pytest
from yardsticks import enlarged, resized

from personlab import SimplePoseOptions, decode_simple_pose
from personlab.methods.simple_pose.backends import reference
from personlab.methods.simple_pose.parts import COCO_PARTS

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "support"))
from pose_maps import crowd, perfect_maps

SIZE = (640, 960)  # (H, W) of the image, pixels
TALL = {2: 400, 5: 160, 14: 300, 20: 160, 50: 120, 100: 90}  # height of a person among so many, pixels; 14 overlap


@functools.cache
def maps(people):
    return perfect_maps(crowd(people, size=SIZE, tall=TALL[people]), SIZE)


def decoding(people, options=SimplePoseOptions()):  # noqa: B008  # frozen
    """Return a call that decodes a crowd."""
    heat, limbs, grid = maps(people)
    return lambda: decode_simple_pose(
        heat, limbs, stride=grid.stride, input_size=grid.input_size, size=grid.size, options=options
    )


@pytest.mark.parametrize(("people", "max_ratio"), [(2, 2), (14, 4), (100, 4)])
def test_against_resizing_the_maps(gate, people, max_ratio):
    heat, limbs, _ = maps(people)
    call, yardstick = decoding(people), resized(np.concatenate([heat, limbs]), SIZE[1], SIZE[0])
    assert len(call()) == people
    gate(f"simple pose, {people} people", call, yardstick, "Y48", max_ratio)


@pytest.mark.parametrize("people", [2, 5, 14])
@pytest.mark.parametrize("what", ["original", "its bodies"])
def test_many_times_as_fast_as_the_original(gate, people, what):
    """A thousand times; twenty calls make a round."""
    heat, limbs, grid = maps(people)
    options, call = SimplePoseOptions.original(), decoding(people)
    before = [enlarged(one, grid) for one in (heat, limbs)]
    for one, pixels in zip((heat, limbs), before, strict=True):
        np.testing.assert_allclose(pixels[:3], reference.enlarge(one[:3].astype(float), grid), atol=1e-5)

    def original():
        pixels = [enlarged(one, grid) for one in (heat, limbs)] if what == "original" else before
        return reference.decode_pixels(*pixels, parts=COCO_PARTS, options=options)

    def twenty():
        for _ in range(20):
            call()

    assert len(original().bodies) >= people * 0.8
    gate(f"simple pose, 20 x {people} people", twenty, original, what, 20 / 1000, rounds=10)


@pytest.mark.parametrize("people", [20, 50, 100])
def test_cost_grows_as_people_do(gate, people):
    assert len(decoding(people)()) == pytest.approx(people, abs=2)
    gate(f"simple pose, {people} people", decoding(people), decoding(5), "5 people", 1.3 * people / 5)


@pytest.mark.parametrize("kind", ["noise", "saturated"])
def test_no_image_takes_long(gate, kind):
    rng = np.random.default_rng(0)
    value = rng.uniform(0, 1, (48, 160, 240)) if kind == "noise" else np.ones((48, 160, 240))
    heat, limbs = np.split(value.astype(np.float32), [18])
    call = functools.partial(decode_simple_pose, heat, limbs)
    gate(f"simple pose, {kind}", call, decoding(100), "100 people", 100, rounds=3)


@pytest.mark.parametrize("people", [2, 14])
def test_maps_of_16_bits(gate, people):
    heat, limbs, grid = maps(people)
    narrow = [one.astype(np.float16) for one in (heat, limbs)]
    wide = [one.astype(np.float32) for one in narrow]

    def call(arrays):
        return decode_simple_pose(*arrays, stride=grid.stride, input_size=grid.input_size, size=grid.size)

    np.testing.assert_array_equal(call(narrow).keypoints, call(wide).keypoints)
    gate(f"simple pose, {people} people, float16", lambda: call(narrow), lambda: call(wide), "float32", 1.5)


def test_two_threads(gate):
    batch = [np.repeat(one[None], 16, axis=0) for one in maps(20)[:2]]

    def call(threads):
        return decode_simple_pose(*batch, options=SimplePoseOptions(threads=threads))

    for one, two in zip(call(1), call(2), strict=True):
        np.testing.assert_array_equal(one.keypoints, two.keypoints)
    gate("simple pose, batch of 16 on two threads", lambda: call(2), lambda: call(1), "one thread", 1 / 1.5)
