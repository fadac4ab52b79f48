"""JPEG files read at a fraction of their size: every pixel lies where it lies in the whole image."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from fake_networks import Spot, spots, turned_jpeg

from personlab import DecodeOptions, Predictor
from personlab.io.image_header import read_orientation
from personlab.io.images import read_image, read_reduced
from personlab.io.reduced import ReducedImage, plan_reduction
from personlab.io.resize import resize

EXACT = DecodeOptions.posenet(0.3)


def jpeg(image, *flags):
    _, content = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 98, *flags])
    return content.tobytes()


def read(path, factor):
    damage = []
    return read_reduced(path, lambda _: factor, damage=damage), damage


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("factor", [2, 4, 8])
@pytest.mark.parametrize("size", [(160, 240), (163, 241), (166, 247)])
def test_pixels_lie_where_they_lie_in_the_whole_image(tmp_path, size, factor, orientation):
    path = tmp_path / "turned.jpg"
    path.write_bytes(turned_jpeg(spots(size, [(61.0, 100.0), None, (190.0, 40.0)], spread=14.0), orientation))
    whole = read_image(path)
    reduced, damage = read(path, factor)
    assert not damage
    assert reduced.size == whole.shape[1::-1]
    assert reduced.pixels.shape[:2] == tuple(-(-side // factor) for side in whole.shape[:2])
    for channel in (0, 2):
        x, y = centre(whole[..., channel])
        rx, ry = centre(reduced.pixels[..., channel])
        (kx, x0), (ky, y0) = reduced.position
        assert abs(kx * x + x0 - rx) < 0.02
        assert abs(ky * y + y0 - ry) < 0.02
    shown = (whole.shape[1] // factor, whole.shape[0] // factor)
    for channel in (0, 2):
        expected, actual = (centre(resize(image, shown)[..., channel]) for image in (whole, reduced))
        assert np.abs(np.subtract(expected, actual)).max() < 0.1


def centre(light):
    light = light.astype(float) * (light > 10)
    height, width = light.shape
    return (light.sum(0) * np.arange(width)).sum() / light.sum(), (light.sum(1) * np.arange(height)).sum() / light.sum()


@pytest.mark.parametrize("orientation", [1, 3, 6, 7])
def test_people_are_in_the_pixels_of_the_whole_image(tmp_path, orientation):
    path = tmp_path / "large.jpg"
    path.write_bytes(turned_jpeg(spots((509, 805), [(261.0, 300.0), None, None], spread=40.0), orientation))
    found = {
        reduced: Predictor(Spot(stride=8), long_edge=161, options=EXACT, reduced_reading=reduced)(path)
        for reduced in (True, False)
    }
    assert found[True].image_size == found[False].image_size == read_image(path).shape[1::-1]
    assert found[True].masks.shape == found[False].masks.shape
    assert np.abs(found[True].poses.keypoints - found[False].poses.keypoints).max() < 0.3
    assert not np.array_equal(found[True].poses.keypoints, found[False].poses.keypoints)  # it was read otherwise


def test_only_as_small_as_permitted(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg(spots((90, 140), [(35.0, 60.0), None, None])))
    for limit, side in ((1.0, 140), (1.99, 140), (2.0, 70), (3.9, 70), (4.0, 35), (7.9, 35), (8.0, 18), (100.0, 18)):
        image, _ = read(path, limit)
        pixels = image.pixels if isinstance(image, ReducedImage) else image
        assert pixels.shape[1] == side
    asked = []
    read_reduced(path, lambda size: asked.append(size) or 1.0, damage=[])
    assert asked == [(140, 90)]


def test_a_predictor_reads_as_small_as_its_finest_view(tmp_path, monkeypatch):
    import personlab.io.images

    factors = []

    def plan(content, reduction):
        made = plan_reduction(content, reduction)
        factors.append(made and made.factor)
        return made

    monkeypatch.setattr(personlab.io.images, "plan_reduction", plan)
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg(spots((400, 660), [(300.0, 200.0), None, None], spread=50.0)))
    for more, factor in (({}, 4), ({"scales": (0.5, 2.0)}, 2), ({"scales": (0.4,)}, 8), ({"scales": (3.0,)}, None)):
        Predictor(Spot(stride=8), long_edge=161, options=EXACT, **more)(path)
        assert factors.pop() == factor
    for edge, factor in ((321, 2), (329, 2), (337, None), (161, 4), (169, 2), (81, 8)):
        Predictor(Spot(stride=8), long_edge=edge, options=EXACT)(path)
        assert factors.pop() == factor
    for more in ({"reduced_reading": False}, {"keep_image": True}):
        found = Predictor(Spot(stride=8), long_edge=161, options=EXACT, **more)(path)
        assert factors == []
    assert np.array_equal(found.image, read_image(path))


def test_other_images_are_read_whole(tmp_path):
    image = spots((90, 140), [(35.0, 60.0), None, None])
    cv2.imwrite(str(tmp_path / "a.png"), image)
    for source in (tmp_path / "a.png", image):
        assert read(source, 8)[0].shape == (90, 140, 3)
    grey = tmp_path / "grey.jpg"
    cv2.imwrite(str(grey), image[..., 0])
    assert read(grey, 2)[0].pixels.shape == (45, 70, 3)
    progressive = tmp_path / "progressive.jpg"
    progressive.write_bytes(jpeg(image, cv2.IMWRITE_JPEG_PROGRESSIVE, 1))
    assert read(progressive, 4)[0].pixels.shape == (23, 35, 3)


def test_damage_is_named_alike(tmp_path):
    rng = np.random.default_rng(0)
    content = jpeg(rng.integers(0, 256, (200, 300, 3), dtype=np.uint8))
    path = tmp_path / "a.jpg"
    for damaged in (content[: len(content) // 2], content[:9000] + b"\xff\xd9" + content[9002:], content[:-2]):
        path.write_bytes(damaged)
        reduced, damage = read(path, 4)
        lines = []
        read_image(path, damage=lines)
        assert bool(damage) == bool(lines)
        assert reduced.pixels.shape == (50, 75, 3)
    for broken in (b"", b"\xff\xd8\xff", content[:300], b"no image"):
        path.write_bytes(broken)
        with pytest.raises(ValueError) as whole:
            read_image(path)
        with pytest.raises(ValueError) as fraction:
            read(path, 4)
        assert str(fraction.value) == str(whole.value)


def test_orientations_in_doubt_are_none():
    image = spots((16, 24), [(5.0, 6.0), None, None])
    for orientation in range(1, 9):
        assert read_orientation(turned_jpeg(image, orientation)) == orientation
    plain, turned = jpeg(image), turned_jpeg(image, 6)
    assert read_orientation(plain) == 1
    assert read_orientation(turned_jpeg(image, 0)) is None
    assert read_orientation(turned_jpeg(image, 9)) is None
    end = 4 + int.from_bytes(turned[4:6], "big")
    segment = turned[2:end]
    assert read_orientation(plain[:2] + segment + segment + plain[2:]) is None
    other = b"\xff\xe1\x00\x08http\x00\x00"
    assert read_orientation(plain[:2] + other + plain[2:]) == 1
    assert read_orientation(plain[:2] + segment + other + plain[2:]) == 6
    assert read_orientation(plain[:2] + other + segment + plain[2:]) is None
    for cut in range(2, len(segment)):
        assert read_orientation(turned[:cut]) is None
    for n in range(6, len(segment)):  # whatever one byte says: an answer, and no exception
        for value in (0, 1, 255):
            read_orientation(turned[: 2 + n] + bytes([value]) + turned[3 + n :])
