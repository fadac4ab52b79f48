"""`Fields`: to a file and back, from other layouts, one of a batch, and what is said of files that hold no fields."""

import pickle
import zipfile

import numpy as np
import pytest
import torch
from scenes import PAIR, array, random_fields

from personlab import COCO_PERSON, Fields

NAMES = ("heatmaps", "short_offsets", "mid_offsets", "segmentation", "long_offsets")


def small(**changes):
    fields = random_fields(90, PAIR, 3, 4, 8)
    return Fields(**{**{name: getattr(fields, name) for name in NAMES}, "stride": 8, **changes})


def assert_same_fields(a, b):
    for name in NAMES:
        x, y = getattr(a, name), getattr(b, name)
        assert (x is None) == (y is None), name
        if x is not None:
            assert x.dtype == y.dtype == np.float32
            np.testing.assert_array_equal(x, y, err_msg=name)
    assert (a.stride, a.image_size, a.input_size) == (b.stride, b.image_size, b.input_size)


# --- Files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"image_size": (640, 427)},
        {"segmentation": None, "long_offsets": None},
        {"heatmaps": np.zeros((2, 3, 4), np.float16)},
    ],
    ids=["plain", "image size", "no masks", "float16"],
)
def test_a_file_holds_what_was_saved(tmp_path, changes):
    fields = small(**changes)
    path = tmp_path / "fields.npz"
    fields.save(path)
    assert_same_fields(Fields.load(path), fields)
    assert_same_fields(Fields.load(str(path)), fields)
    assert [p.name for p in tmp_path.iterdir()] == ["fields.npz"]


def test_a_batch_can_be_saved(tmp_path):
    fields = small()
    batch = Fields(**{name: np.stack([getattr(fields, name)] * 2) for name in NAMES}, stride=8)
    batch.save(tmp_path / "batch.npz")
    assert_same_fields(Fields.load(tmp_path / "batch.npz"), batch)


def test_a_file_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "fields.npz"
    small().save(path)
    before = path.read_bytes()

    def break_off(file, **arrays):
        file.write(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(np, "savez_compressed", break_off)
    with pytest.raises(OSError, match="no space left"):
        small(stride=4).save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["fields.npz"]


def test_a_real_file(fields, field_name):
    assert fields.stride == int(field_name.rsplit("_s", 1)[1])
    assert max(fields.input_size) == int(field_name.split("_")[-2])
    assert fields.heatmaps.shape[0] == 17
    assert fields.mid_offsets.shape[:2] == (32, 2)
    sx, sy = fields.image_scale
    width, height = fields.input_size
    assert ((width - 1) * sx + 1, (height - 1) * sy + 1) == pytest.approx(fields.image_size)


def npz(path, **changes):
    """A file of fields with some arrays replaced, or left out where None."""
    fields = small()
    arrays = {**{name: getattr(fields, name) for name in NAMES}, "stride": np.int32(8), **changes}
    np.savez(path, **{name: a for name, a in arrays.items() if a is not None})
    return path


def test_no_such_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.npz"):
        Fields.load(tmp_path / "none.npz")


@pytest.mark.parametrize(
    "content",
    [b"", b"not a zip file at all", b"PK\x03\x04 and no more", b"\x93NUMPY"],
    ids=["empty", "text", "cut", "cut npy"],
)
def test_a_file_of_another_kind_is_named(tmp_path, content):
    path = tmp_path / "fields.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"fields\.npz: expected an \.npz file"):
        Fields.load(path)


def test_a_single_array_is_no_file_of_fields(tmp_path):
    np.save(tmp_path / "array.npy", np.zeros(3))
    with pytest.raises(ValueError, match=r"array\.npy: expected an \.npz file"):
        Fields.load(tmp_path / "array.npy")


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "fields.npz"
    small().save(path)
    content = bytearray(path.read_bytes())
    middle = len(content) // 3
    content[middle : middle + 200] = bytes(200)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"fields\.npz: expected an \.npz file"):
        Fields.load(path)


def test_pickled_objects_are_refused(tmp_path):
    path = npz(tmp_path / "fields.npz", heatmaps=np.array([{"a": 1}], object))
    with pytest.raises(ValueError, match=r"fields\.npz: heatmaps: expected .*, got a pickled object") as caught:
        Fields.load(path)
    assert "allow_pickle" not in str(caught.value)


def test_a_pickle_is_refused(tmp_path):
    path = tmp_path / "fields.npz"
    path.write_bytes(pickle.dumps({"heatmaps": [1.0]}))
    with pytest.raises(ValueError, match=r"fields\.npz: expected an \.npz file of fields, got no zip archive$"):
        Fields.load(path)


def test_a_cut_file_is_named_wherever_it_is_cut(tmp_path):
    path = tmp_path / "fields.npz"
    small().save(path)
    content = path.read_bytes()
    for length in range(0, len(content), 97):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"fields\.npz: expected an \.npz file"):
            Fields.load(path)


def test_what_is_no_array_is_named(tmp_path):
    path = npz(tmp_path / "fields.npz", stride=None)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("stride.npy", "eight")
    with pytest.raises(
        ValueError, match=r"fields\.npz: stride: expected an array of numbers, got a damaged array or none"
    ):
        Fields.load(path)


def test_other_arrays_are_not_read(tmp_path):
    path = npz(tmp_path / "fields.npz", notes=np.array([{"a": 1}], object))
    assert_same_fields(Fields.load(path), small())


@pytest.mark.parametrize("name", ["heatmaps", "short_offsets", "mid_offsets", "stride"])
def test_a_missing_array_is_named(tmp_path, name):
    path = npz(tmp_path / "fields.npz", **{name: None})
    with pytest.raises(ValueError, match=rf"fields\.npz: expected an array '{name}', got "):
        Fields.load(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"heatmaps": np.zeros((3, 4), np.float32)}, r"heatmaps: expected .*, got \(3, 4\)"),
        (
            {"short_offsets": np.zeros((3, 2, 3, 4), np.float32)},
            r"short_offsets: expected .*, got \(3, 2, 3, 4\)",
        ),
        ({"mid_offsets": np.zeros((2, 3, 4), np.float32)}, r"mid_offsets: expected .*, got \(2, 3, 4\)"),
        ({"segmentation": np.zeros((3, 4), np.float32)}, r"segmentation: expected .*, got \(3, 4\)"),
        (
            {"long_offsets": np.zeros((2, 2, 4, 3), np.float32)},
            r"long_offsets: expected .*, got \(2, 2, 4, 3\)",
        ),
        ({"heatmaps": np.zeros((2, 3, 4))}, "heatmaps: expected float32.*, got float64"),
        ({"segmentation": np.array(["a"])}, "segmentation: expected float32.*, got <U1"),
        ({"stride": np.float32(8)}, "stride: expected an integer, got 8.0"),
        ({"stride": np.float32(np.nan)}, "stride: expected an integer, got nan"),
        ({"stride": np.int32(0)}, "stride: expected .*, got 0"),
        ({"stride": np.array([8, 8])}, r"stride: expected shape .*, got \(2,\)"),
        ({"stride": np.array([])}, r"stride: expected shape .*, got \(0,\)"),
        ({"image_size": np.array([640, 0])}, r"image_size\[1\]: expected .*, got 0"),
        ({"image_size": np.array([np.nan, 480])}, r"image_size\[0\]: expected an integer, got nan"),
        ({"image_size": np.array(640)}, r"image_size: expected shape \(w, h\) = \(2\), got \(\)"),
        ({"image_size": np.array([640])}, r"image_size: expected shape .*, got \(1,\)"),
        ({"image_size": np.array([[640, 480]])}, r"image_size: expected shape .*, got \(1, 2\)"),
    ],
)
def test_a_wrong_array_is_named(tmp_path, changes, message):
    path = npz(tmp_path / "fields.npz", **changes)
    with pytest.raises(ValueError, match=rf"fields\.npz: {message}"):
        Fields.load(path)


# --- Making them ------------------------------------------------------------------------------------------------------


def test_arrays_are_checked_against_each_other():
    with pytest.raises(ValueError, match=r"short_offsets: expected shape .*\(2, 2, 3, 4\), got \(2, 2, 4, 3\)"):
        small(short_offsets=np.zeros((2, 2, 4, 3), np.float32))
    with pytest.raises(TypeError, match="long_offsets: expected an array or tensor, got str"):
        small(long_offsets="none")
    with pytest.raises(TypeError, match="scale"):
        small(scale=3)
    with pytest.raises(TypeError, match=r"image_size: expected \(w, h\), got 5"):
        small(image_size=5)


def test_tensors_become_arrays_without_a_copy():
    tensor = torch.zeros(2, 3, 4)
    fields = small(heatmaps=tensor)
    assert np.shares_memory(fields.heatmaps, tensor.numpy())


def test_sizes_in_pixels():
    fields = small(image_size=(97, 65))
    assert fields.input_size == (25, 17)  # (4 - 1) * 8 + 1, (3 - 1) * 8 + 1
    assert fields.image_scale == (4.0, 4.0)  # 96 / 24, 64 / 16
    assert small().image_scale == (1.0, 1.0)


def test_one_of_a_batch():
    first, second = random_fields(91, PAIR, 3, 4, 8), random_fields(92, PAIR, 3, 4, 8)
    stacked = {name: np.stack([getattr(first, name), getattr(second, name)]) for name in NAMES}
    batch = Fields(**stacked, stride=8, image_size=(50, 40))
    assert_same_fields(batch[1], small(**{name: getattr(second, name) for name in NAMES}, image_size=(50, 40)))
    assert_same_fields(batch[-2], small(**{name: getattr(first, name) for name in NAMES}, image_size=(50, 40)))
    assert batch.input_size == (25, 17)
    with pytest.raises(IndexError):
        batch[2]
    with pytest.raises(IndexError, match="not a batch"):
        batch[0][0]


# --- Other layouts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batched", [False, True])
def test_tfjs_has_all_dy_before_all_dx_and_two_displacement_arrays(batched):
    # One row of two cells, two keypoints, one edge: channels dy_a, dy_b, dx_a, dx_b.
    arrays = {
        "heatmaps": [[[1, 2], [3, 4]]],
        "short_offsets": [[[10, 11, 20, 21], [12, 13, 22, 23]]],
        "displacement_fwd": [[[30, 40], [31, 41]]],
        "displacement_bwd": [[[50, 60], [51, 61]]],
        "segmentation": [[[5], [6]]],
        "long_offsets": [[[70, 71, 80, 81], [72, 73, 82, 83]]],
    }
    expected = {
        "heatmaps": [[[1, 3]], [[2, 4]]],
        "short_offsets": [[[[20, 22]], [[10, 12]]], [[[21, 23]], [[11, 13]]]],
        "mid_offsets": [[[[40, 41]], [[30, 31]]], [[[60, 61]], [[50, 51]]]],
        "segmentation": [[[5, 6]]],
        "long_offsets": [[[[80, 82]], [[70, 72]]], [[[81, 83]], [[71, 73]]]],
    }
    fields = Fields.from_tfjs(
        **{name: array([a] if batched else a) for name, a in arrays.items()}, stride=16, image_size=(20, 10)
    )
    for name, values in expected.items():
        np.testing.assert_array_equal(getattr(fields, name), [values] if batched else values, err_msg=name)
        assert getattr(fields, name).flags.c_contiguous
    assert fields.stride == 16
    assert fields.image_size == (20, 10)
    without = Fields.from_tfjs(*(array(a) for a in list(arrays.values())[:4]), stride=16)
    assert without.segmentation is None
    assert without.long_offsets is None


def test_tfjs_arrays_that_disagree_are_named():
    arrays = [np.zeros((3, 4, c), np.float32) for c in (2, 4, 2, 2)]
    Fields.from_tfjs(*arrays, stride=8)
    with pytest.raises(ValueError, match="displacement_bwd: expected shape"):
        Fields.from_tfjs(*arrays[:3], np.zeros((3, 4, 4), np.float32), stride=8)
    with pytest.raises(ValueError, match="short_offsets: expected an even number of channels"):
        Fields.from_tfjs(arrays[0], np.zeros((3, 4, 5), np.float32), *arrays[2:], stride=8)
    with pytest.raises(ValueError, match=r"heatmaps: expected shape \(h, w, channels\)"):
        Fields.from_tfjs(np.zeros((3, 4), np.float32), *arrays[1:], stride=8)


# COCO's keypoints (nose, left_eye, right_eye, left_ear, ...) and edges by their numbers in the Keras port.
KERAS_KEYPOINTS = [0, 14, 13, 16, 15, 4, 1, 5, 2, 6, 3, 10, 7, 11, 8, 12, 9]
KERAS_EDGES = [0, 4, 1, 5, 2, 12, 14, 6, 8, 10, 3, 13, 15, 7, 9, 11]


def keras(**changes):
    arrays = {
        "heatmaps": np.linspace(0.1, 0.9, 17, dtype=np.float32)[None, None].repeat(2, 1),
        "short_offsets": np.arange(34, dtype=np.float32)[None, None].repeat(2, 1),
        "mid_offsets": np.arange(64, dtype=np.float32)[None, None].repeat(2, 1),
        "segmentation": array([[[0.5], [0.75]]]),
        "long_offsets": np.arange(34, dtype=np.float32)[None, None].repeat(2, 1) + 100,
        **changes,
    }
    return Fields.from_keras(**arrays, stride=1)


def test_keras_has_interleaved_offsets_probabilities_and_its_own_order():
    fields = keras()
    probabilities = 1 / (1 + np.exp(-fields.heatmaps[:, 0, 0].astype(float)))
    np.testing.assert_allclose(probabilities, [0.1 + 0.05 * k for k in KERAS_KEYPOINTS], atol=1e-6)
    np.testing.assert_allclose(fields.segmentation, [[[0, 1.0986123]]], atol=1e-6)
    for offsets, first, order in (
        (fields.short_offsets, 0, KERAS_KEYPOINTS),
        (fields.long_offsets, 100, KERAS_KEYPOINTS),
        (fields.mid_offsets, 0, KERAS_EDGES + [16 + e for e in KERAS_EDGES]),
    ):
        for channel, number in zip(offsets, order, strict=True):
            np.testing.assert_array_equal(channel, [[[first + 2 * number] * 2], [[first + 2 * number + 1] * 2]])
    assert fields.heatmaps.shape == (17, 1, 2)
    assert len(COCO_PERSON.directed_edges) == len(fields.mid_offsets) == 32


def test_keras_certainty_is_an_infinite_logit():
    heatmaps = np.zeros((1, 2, 17), np.float32)
    heatmaps[0, 0] = 1
    np.testing.assert_array_equal(keras(heatmaps=heatmaps).heatmaps, [[[np.inf, -np.inf]]] * 17)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"heatmaps": np.full((1, 2, 17), 1.5, np.float32)}, "heatmaps: expected probabilities from 0 to 1"),
        ({"segmentation": np.full((1, 2, 1), -3, np.float32)}, "segmentation: expected probabilities from 0 to 1"),
        ({"heatmaps": np.zeros((1, 2, 18), np.float32)}, r"heatmaps: expected 17 channels, got shape \(1, 2, 18\)"),
        (
            {"mid_offsets": np.zeros((1, 2, 60), np.float32)},
            r"mid_offsets: expected 64 channels, got shape \(1, 2, 60\)",
        ),
    ],
)
def test_keras_arrays_that_do_not_fit_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        keras(**changes)


def test_printing_fields_tells_their_shapes():
    fields = Fields(
        heatmaps=np.zeros((17, 5, 9), np.float32), short_offsets=np.zeros((17, 2, 5, 9), np.float32),
        mid_offsets=np.zeros((32, 2, 5, 9), np.float32), stride=8, image_size=(60, 30),
    )  # fmt: skip
    assert repr(fields) == (
        "Fields(heatmaps (17, 5, 9), short_offsets (17, 2, 5, 9), mid_offsets (32, 2, 5, 9), input_size (65, 33), "
        "stride 8, image_size (60, 30), disk_radius None)"
    )
