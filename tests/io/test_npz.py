"""Files of fields that are made to cost more than they hold: each is one line, at once, in little memory."""

import io
import struct
import threading
import zipfile
import zlib

import numpy as np
import pytest
from cost import measure
from scenes import PAIR, random_fields

from personlab import Fields

NAMES = ("heatmaps", "short_offsets", "mid_offsets", "segmentation", "long_offsets")
LOAD = "from personlab import Fields", "Fields.load(path)"


def arrays(**changes):
    fields = random_fields(90, PAIR, 3, 4, 8)
    return {**{name: getattr(fields, name) for name in NAMES}, "stride": np.int32(8), **changes}


def npy(array):
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def header(text, version=1):
    """The beginning of an .npy file with a header of this text."""
    length = struct.pack("<H" if version == 1 else "<I", len(text) + 1)
    return b"\x93NUMPY" + bytes((version, 0)) + length + text.encode() + b"\n"


def write(path, method=zipfile.ZIP_DEFLATED, twice=(), **changes):
    """A file of fields in which some members hold other bytes than their arrays."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, value in arrays(**changes).items():
            archive.writestr(f"{name}.npy", value if isinstance(value, bytes) else npy(value))
        for name in twice:
            archive.writestr(name, npy(np.int32(16)))
    return path


def said(shape, descr="'<f4'", content=b""):
    return header(f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}") + content


CASES = {
    "2 GiB": ({"heatmaps": said("(17, 5620, 5620)")}, r"heatmaps: expected 2147739200 bytes .*, got 0"),
    "beyond addresses": ({"heatmaps": said("(10**30,)".replace("10**30", "1" + "0" * 30))}, "heatmaps: expected 4"),
    "negative": ({"heatmaps": said("(-17, -2, 4)")}, "heatmaps: expected"),
    "nothing of much": ({"heatmaps": said(f"(0, {2**62})")}, "heatmaps: "),
    "many axes": ({"heatmaps": said("(" + "1, " * 70 + ")", content=bytes(4))}, "heatmaps: expected"),
    "elements of no bytes": ({"heatmaps": said("(9999999999,)", "'|V0'")}, "heatmaps: expected an array of numbers"),
    "huge elements": ({"heatmaps": said("(1,)", "'|V2147483647'")}, "heatmaps: expected"),
    "structures": ({"heatmaps": said("(1,)", "[('a', '<f4', (3, 4))]", bytes(48))}, "heatmaps: expected an array of n"),
    "an object": ({"heatmaps": npy(np.array([{}], object))}, "heatmaps: expected .*, got a pickled object"),
    "nested": ({"heatmaps": header("(" * 4000 + ")" * 4000)}, "heatmaps: expected an array of numbers"),
    "signs": ({"heatmaps": header("-" * 9000 + "1")}, "heatmaps: expected an array of numbers"),
    "sums": ({"heatmaps": header("1" + "+1" * 4000)}, "heatmaps: expected an array of numbers"),
    "no Python": ({"heatmaps": header("{'descr")}, "heatmaps: expected an array of numbers"),
    "a long header": ({"heatmaps": header(" " * 10**8, version=2)}, "heatmaps: expected .* header of at most 10000"),
    "another version": ({"heatmaps": b"\x93NUMPY\x09\x00" + bytes(99)}, "heatmaps: expected an array of numbers"),
    "one byte too many": ({"stride": npy(np.int32(8)) + b"x"}, "stride: expected 4 bytes for shape .* got 5"),
    "one byte too few": ({"stride": npy(np.int32(8))[:-1]}, "stride: expected 4 bytes for shape .* got 3"),
    "a stride of many": ({"stride": np.zeros((2, 2), np.int32)}, r"stride: expected shape of one number = \(\), got"),
}


def test_files_made_to_cost_cost_nothing(tmp_path):
    files = [write(tmp_path / f"{name}.npz", **changes) for name, (changes, _) in CASES.items()]
    costs = measure(*LOAD, files)
    for (name, (_, message)), file, cost in zip(CASES.items(), files, costs, strict=True):
        assert cost.seconds < 1, name
        assert cost.mib < 4, name
        with pytest.raises(ValueError, match=message) as caught:
            raise ValueError(cost.message)
        assert str(caught.value).startswith(f"{file}: "), name
        assert len(cost.message) < 400, name


def test_arrays_packed_to_a_thousandth_are_not_unpacked(tmp_path):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("heatmaps.npy", "w") as file:
        file.write(said(f"({130 << 20},)"))
        for _ in range(520):
            file.write(bytes(1 << 20))
    (cost,) = measure(*LOAD, [path])
    limit = "expected arrays of at most 512 MiB (512 MiB, or 16 times the file)"
    assert cost.message == f"{path}: {limit}, got 520 MiB in a file of {path.stat().st_size} bytes"
    assert cost.seconds < 1
    assert cost.mib < 4


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_other_methods_of_compression_are_refused(tmp_path, method):
    with pytest.raises(
        ValueError, match=r"a\.npz: heatmaps: expected an array stored or deflated, .*, got compression"
    ):
        Fields.load(write(tmp_path / "a.npz", method))


@pytest.mark.parametrize("twice", ["stride.npy", "stride"])
def test_an_array_that_is_there_twice_is_refused(tmp_path, twice):
    with pytest.warns(UserWarning, match="Duplicate") if twice.endswith("y") else pytest.MonkeyPatch.context():
        path = write(tmp_path / "a.npz", twice=[twice])
    with pytest.raises(ValueError, match=r"a\.npz: stride: expected one array of that name, got two"):
        Fields.load(path)


def test_a_list_of_members_that_never_ends_is_refused(tmp_path):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(30_000):
            archive.writestr(f"{number}.npy", b"")
    (cost,) = measure(*LOAD, [path])
    assert "expected a list of members of at most 1048576 bytes, got " in cost.message
    assert cost.seconds < 1
    assert cost.mib < 2 * path.stat().st_size / 2**20


def test_a_file_that_holds_what_it_says_costs_its_arrays(tmp_path):
    path = tmp_path / "a.npz"
    rng = np.random.default_rng(3)
    shapes = ((17,), (17, 2), (32, 2), (1,), (17, 2))
    fields = {n: rng.standard_normal((*s, 120, 160), np.float32) for n, s in zip(NAMES, shapes, strict=True)}
    Fields(**fields, stride=8).save(path)
    size = sum(array.nbytes for array in fields.values()) / 2**20
    assert size > 10
    (cost,) = measure(*LOAD, [path])
    assert cost.message == ""
    assert cost.mib < 1.2 * size + 2
    # and where they are all zeros, which are packed to a thousandth
    Fields(**{name: np.zeros_like(array) for name, array in fields.items()}, stride=8).save(path)
    assert path.stat().st_size < size * 2**20 / 500
    assert not Fields.load(path).heatmaps.any()


def test_bytes_that_changed_are_seen(tmp_path):
    path = write(tmp_path / "a.npz", zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())
    at = content.index(arrays()["heatmaps"].tobytes())
    content[at + 5] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.npz: expected an \.npz file of fields, got a damaged one"):
        Fields.load(path)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", ["<f4", "<f2"])
def test_arrays_as_numpy_writes_them_are_read(tmp_path, order, kind):
    heat = np.asarray(arrays()["heatmaps"], kind, order=order)
    np.savez(tmp_path / "a.npz", **arrays(heatmaps=heat))
    np.testing.assert_array_equal(Fields.load(tmp_path / "a.npz").heatmaps, heat.astype(np.float32))


def test_a_pipe_is_read_too(tmp_path):
    import os

    pipe, content = tmp_path / "pipe", write(tmp_path / "a.npz").read_bytes()
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(content,))
    writer.start()
    assert Fields.load(pipe).stride == 8
    writer.join()


def test_any_byte_may_be_another(tmp_path):
    """Each either is read or named as damaged: never another exception."""
    path = write(tmp_path / "a.npz")
    content = path.read_bytes()
    rng = np.random.default_rng(11)
    for _ in range(600):
        changed = bytearray(content)
        for at in rng.integers(0, len(content), rng.integers(1, 4)):
            changed[at] = rng.integers(0, 256)
        path.write_bytes(changed)
        try:
            Fields.load(path)
        except ValueError as error:
            assert str(error).startswith(f"{path}: ")  # noqa: PT017


@pytest.mark.parametrize("name", ["npz_lzma_damaged", "npz_header_recursion", "npz_2GiB_shape"])
def test_the_shared_files_are_refused(data, name):
    path = data / "faults" / "files" / f"{name}.npz"
    (cost,) = measure(*LOAD, [path])
    assert cost.message.startswith(f"{path}: heatmaps: expected ")
    assert cost.seconds < 1
    assert cost.mib < 4


def test_a_image_too_large_to_draw_is_refused(data):
    path = data / "faults" / "files" / "npz_image_size_30000.npz"
    (cost,) = measure("from personlab.commands.fields_file import read_fields", "read_fields(path)", [path])
    assert cost.message == f"{path}: image_size: expected an image of at most 178956970 pixels, got 60000 x 60000"
    code = "from personlab import Fields; from personlab.visualize import canvas; import cv2"
    (cost,) = measure(code, "canvas(Fields.load(path))", [path])
    assert cost.message == "image_size: expected an image of at most 178956970 pixels, got 60000 x 60000"
    assert cost.mib < 8


def test_zlib_errors_are_named(tmp_path):
    path = write(tmp_path / "a.npz")
    content = bytearray(path.read_bytes())
    at = content.index(b"heatmaps.npy") + len("heatmaps.npy")
    with pytest.raises(zlib.error):
        zlib.decompress(b"\xff" * 20, -15)
    content[at : at + 20] = b"\xff" * 20
    path.write_bytes(content)
    with pytest.raises(ValueError, match="got a damaged one"):
        Fields.load(path)
