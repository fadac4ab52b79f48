"""Images of videos are the right way up, in the right colours, and have all their rows and columns."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

from personlab.io.pixels import read_matrix

av = pytest.importorskip("av")

from videos import read, write_video  # noqa: E402  # imports PyAV

TURNS = {  # (degrees against the clock, mirrored left and right, upside down): what is shown of a stored image
    (0, False, False): lambda image: image,
    (90, False, False): lambda image: np.rot90(image, 1),
    (180, False, False): lambda image: np.rot90(image, 2),
    (-90, False, False): lambda image: np.rot90(image, -1),
    (0, True, False): lambda image: image[:, ::-1],
    (0, False, True): lambda image: image[::-1],
}


@pytest.mark.parametrize("turn", TURNS)
def test_a_display_matrix_is_followed(tmp_path, turn):
    image = np.zeros((48, 64, 3), np.uint8)
    image[:24, :32], image[:24, 32:], image[24:, :32] = (250, 0, 0), (0, 250, 0), (0, 0, 250)
    path = write_video(tmp_path / "v.mp4", [image] * 3, "libx264", rotation=turn)
    _, images, _ = read(path)
    expected = TURNS[turn](image)
    assert images[1].shape == expected.shape
    assert images[1].flags.c_contiguous
    assert np.abs(images[1].astype(int) - expected).mean() < 4


def test_a_turn_that_is_no_right_angle_is_the_nearest_one():
    class Side:
        type = SimpleNamespace(name="DISPLAYMATRIX")

        def __init__(self, *values):
            self._values = values

        def __bytes__(self):
            return np.array(self._values, np.int32).tobytes()

    class Frame:
        def __init__(self, *sides):
            self.side_data = sides

    assert read_matrix(Frame()) == (1, 0, 0, 1)
    c, s = round(65536 * math.cos(0.2)), round(65536 * math.sin(0.2))
    assert read_matrix(Frame(Side(c, s, 0, -s, c, 0, 0, 0, 1 << 30))) == (1, 0, 0, 1)
    assert read_matrix(Frame(Side(s, c, 0, -c, s, 0, 0, 0, 1 << 30))) == (0, 1, -1, 0)
    assert read_matrix(Frame(Side(0, 0, 0, 0, 0, 0, 0, 0, 0))) == (1, 0, 0, 1)


COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (128, 128, 128), (200, 30, 90)]
FORMATS = [
    ("mp4", "libx264", "yuv420p", {"qp": "1"}, (5, 1)),  # BT.601, limited range
    ("mp4", "libx264", "yuv420p", {"qp": "1"}, (1, 1)),  # BT.709
    ("mp4", "libx264", "yuvj420p", {"qp": "1"}, (1, 2)),  # full range
    ("mkv", "libx264", "yuv420p10le", {"qp": "1"}, (1, 1)),
    ("mkv", "libx265", "yuv420p10le", {"x265-params": "log-level=none:qp=1"}, (9, 1)),  # BT.2020
    ("mp4", "libx264", "yuv420p", {"qp": "1"}, None),  # unmarked
    ("mkv", "libx264", "yuv444p", {"qp": "0"}, None),
    ("mkv", "libx264rgb", "rgb24", {"qp": "0"}, None),
    ("avi", "mjpeg", "yuvj444p", {"qmin": "1", "qmax": "1"}, None),
    ("mov", "png", "rgba", {}, None),
    ("mov", "prores_ks", "yuva444p10le", {"profile": "4"}, None),
    ("mkv", "ffv1", "gbrp16le", {}, None),
    ("mkv", "ffv1", "gray", {}, None),
    ("mkv", "ffv1", "gray16le", {}, None),
    ("avi", "huffyuv", "rgb24", {}, None),
    ("mov", "qtrle", "argb", {}, None),
]


@pytest.mark.parametrize(("ending", "codec", "pix_fmt", "options", "colours"), FORMATS)
def test_colours_are_right(tmp_path, ending, codec, pix_fmt, options, colours):
    image = np.repeat(np.repeat(np.array([COLOURS], np.uint8), 32, 1), 32, 0)
    path = write_video(
        tmp_path / f"v.{ending}", [image] * 2, codec, pix_fmt=pix_fmt, options=options, colours=colours
    )  # fmt: skip
    _, images, _ = read(path)
    got = images[0][16, 16::32].astype(int)
    expected = np.array(COLOURS)
    if pix_fmt.startswith("gray"):
        expected = np.repeat(np.round(expected @ [0.299, 0.587, 0.114])[:, None], 3, 1)
    assert np.abs(got - expected).max() <= 4


@pytest.mark.parametrize("size", [(95, 159), (1, 1), (3, 2), (2, 37)])
def test_odd_sizes_keep_every_row_and_column(tmp_path, size):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (*size, 3), np.uint8)
    path = write_video(tmp_path / "v.mkv", [image] * 3, "ffv1", pix_fmt="bgr0")
    _, images, _ = read(path)
    assert np.array_equal(images[2], image)
    smooth = np.repeat(np.linspace(20, 230, size[1]).round().astype(np.uint8)[None, :, None], size[0], 0).repeat(3, 2)
    _, images, _ = read(write_video(tmp_path / "y.nut", [smooth], "rawvideo", pix_fmt="yuv420p"))
    assert np.abs(images[0].astype(int) - smooth).max() <= 4
