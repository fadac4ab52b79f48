"""Files of maps: what is written is read again, and what is no such file is refused in one line."""

from __future__ import annotations

import re

import numpy as np
import pytest

from personlab.methods.simple_pose.fields import SimplePoseFields
from personlab.methods.simple_pose.grid import MapGrid

MAPS = {"keypoints": np.zeros((18, 4, 5), np.float32), "limbs": np.zeros((30, 4, 5), np.float32), "stride": 4}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "maps.npz"


def test_maps_are_read_as_they_were_written(path):
    rng = np.random.default_rng(0)
    fields = SimplePoseFields(
        keypoints=rng.random((18, 3, 5), np.float32), limbs=rng.random((30, 3, 5), np.float32),
        grid=MapGrid(stride=8, input_size=(20, 37), size=(10, 18)),
    )  # fmt: skip
    fields.save(path)
    read = SimplePoseFields.load(path)
    np.testing.assert_array_equal(read.keypoints, fields.keypoints)
    np.testing.assert_array_equal(read.limbs, fields.limbs)
    assert read.grid == fields.grid
    assert read.image_size == (18, 10)
    assert read.with_image_size((18, 10)) is read
    with pytest.raises(ValueError, match=r"image_size: expected \(18, 10\), got \(18, 11\)"):
        read.with_image_size((18, 11))


def test_sizes_may_be_left_out_and_an_axis_of_one_image_may_lead(path):
    np.savez(
        path, keypoints=np.full((1, 18, 4, 5), 0.5, np.float16), limbs=np.ones((1, 30, 4, 5), np.float32), stride=4
    )
    read = SimplePoseFields.load(path)
    assert read.grid == MapGrid(stride=4, input_size=(16, 20), size=(16, 20))
    assert read.keypoints.shape == (18, 4, 5)
    assert read.keypoints.dtype == read.limbs.dtype == np.float32
    assert read.keypoints[0, 0, 0] == 0.5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keypoints": None}, "expected an array 'keypoints', got limbs, stride"),
        ({"stride": None}, "expected an array 'stride'"),
        ({"stride": 4.5}, "stride: expected an integer, got 4.5"),
        ({"stride": [4, 4]}, "stride: expected shape of one number"),
        ({"stride": 0}, "stride: expected an integer from 1"),
        ({"limbs": np.zeros((30, 4, 6), np.float32)}, "limbs: expected shape"),
        ({"limbs": np.zeros((1, 30, 4, 5), np.float32)}, "limbs: expected shape"),
        ({"keypoints": np.zeros((1, 18, 4, 5), np.float32)}, "limbs: expected shape"),
        ({"keypoints": np.zeros((4, 5), np.float32)}, "keypoints: expected shape"),
        ({"keypoints": np.zeros((18, 4, 5), np.int32)}, "keypoints: expected float32, float16 or bfloat16, got int32"),
        ({"size": (-1, 3)}, r"size\[0\]: expected an integer from 0"),
        ({"size": 3}, r"size: expected shape \(H, W\)"),
        ({"input_size": (17, 20)}, r"input_size: expected at most the \(16, 20\) pixels of keypoints"),
        (
            {"keypoints": np.zeros((2, 18, 4, 5), np.float32), "limbs": np.zeros((2, 30, 4, 5), np.float32)},
            "expected the maps of one image, got a batch of 2",
        ),
    ],
)
def test_other_files_are_refused(path, changes, message):
    np.savez(path, **{name: value for name, value in {**MAPS, **changes}.items() if value is not None})
    with pytest.raises(ValueError, match=rf"^{re.escape(str(path))}: {message}") as error:
        SimplePoseFields.load(path)
    assert "\n" not in str(error.value)


def test_damaged_files_are_refused(path):
    np.savez(path, **MAPS)
    whole = path.read_bytes()
    for content, message in ((whole[: len(whole) // 2], "a damaged one"), (b"no archive", "no zip archive")):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"maps.npz: expected an .npz file of maps, got {message}"):
            SimplePoseFields.load(path)
    with pytest.raises(FileNotFoundError):
        SimplePoseFields.load(path.with_name("none.npz"))
