"""Damaged image files are named as damaged, what can be decoded is used, and decoders keep off standard error."""

from __future__ import annotations

import os
import sys
import threading

import numpy as np
import pytest

from personlab import Predictor, visualize
from personlab.data.synthetic import make_scene
from personlab.io import images
from personlab.io.images import read_image_file
from personlab.io.sources import image_number
from personlab.io.stderr import captured_stderr

cv2 = pytest.importorskip("cv2")
from fake_networks import SceneNetwork  # noqa: E402  # needs torch

SIZE = (97, 129)
PROGRESSIVE, RESTARTS = (cv2.IMWRITE_JPEG_PROGRESSIVE, 1), (cv2.IMWRITE_JPEG_RST_INTERVAL, 4)


@pytest.fixture(scope="module")
def image():
    noise = np.random.default_rng(0).integers(0, 60, (*SIZE, 3), np.uint8)
    return make_scene(1, size=SIZE, people=1).image // 2 + noise


def encoded(image, ending, flags=()):
    done, content = cv2.imencode(ending, image[..., ::-1], flags)
    assert done
    return bytearray(content.tobytes())


def cut_inside(content):
    middle = len(content) // 2
    return content[:middle] + content[middle + 400 :]


def overwritten(content):
    middle = len(content) // 2
    noise = np.random.default_rng(1).integers(1, 250, 60, np.uint8).tobytes()
    return content[:middle] + noise + content[middle + 60 :]


@pytest.mark.parametrize("flags", [(), PROGRESSIVE, RESTARTS])
@pytest.mark.parametrize(
    "harm", [cut_inside, overwritten, lambda content: content[: len(content) // 2], lambda content: content[:-2]]
)
def test_a_damaged_jpeg_is_named_and_what_is_left_of_it_used(tmp_path, capfd, image, flags, harm):
    path = tmp_path / "a.jpg"
    content = encoded(image, ".jpg", flags)
    path.write_bytes(content)
    whole, damage = read_image_file(path)
    assert damage == ""
    path.write_bytes(harm(content))
    part, damage = read_image_file(path)
    assert damage.startswith(f"{path}: the JPEG file is damaged (")
    assert part.shape == whole.shape
    if flags != PROGRESSIVE:
        assert np.array_equal(part[:14], whole[:14])  # rows before the damage
    assert capfd.readouterr().err == ""
    with pytest.warns(RuntimeWarning, match="the JPEG file is damaged"):
        assert np.array_equal(visualize.read_image(path), part)


@pytest.mark.parametrize("ending", [".png", ".webp", ".bmp", ".tif", ".ppm", ".jp2"])
@pytest.mark.filterwarnings("ignore:(Corrupt EXIF|Truncated|Metadata)")  # Pillow's own of TIFF files
def test_other_files_cut_short_are_named_as_damaged(tmp_path, capfd, imaging, image, ending):
    path = tmp_path / f"a{ending}"
    content = encoded(image, ending)
    path.write_bytes(content)
    assert read_image_file(path)[1] == ""
    for length in (len(content) // 2, len(content) - 20):
        path.write_bytes(content[:length])
        if (imaging, ending, length) == ("pillow", ".png", len(content) - 20):  # which has all rows
            assert read_image_file(path)[1] == f"{path}: the PNG file is damaged (the file ends too early)"
            continue
        with pytest.raises(ValueError, match=rf"a{ending}: expected an image, got a damaged \w+") as caught:
            read_image_file(path)
        assert "OpenCV" not in str(caught.value)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "expected an image, got an empty file"),
        (b"no image at all", "expected an image, got another kind of file"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "got a HEIC file: convert it to JPEG or PNG"),
        (b"\xff\xd8\xff\xe0", "got a damaged JPEG file"),
    ],
)
@pytest.mark.usefixtures("imaging")
def test_what_cannot_be_decoded_is_named_by_its_kind(tmp_path, capfd, content, text):
    (tmp_path / "x.jpg").write_bytes(content)
    with pytest.raises(ValueError, match=text):
        read_image_file(tmp_path / "x.jpg")
    assert capfd.readouterr().err == ""


@pytest.mark.usefixtures("imaging")
def test_numbers_that_are_no_colours_are_not_called_damage(tmp_path, capfd):
    image = np.linspace(0, 1, 7 * 5, dtype=np.float32).reshape(7, 5)
    assert cv2.imwrite(str(tmp_path / "x.tif"), image)
    with pytest.raises(ValueError, match=r"x\.tif: expected an image of 8 or 16 bits a channel, got a TIFF file of f"):
        read_image_file(tmp_path / "x.tif")
    assert capfd.readouterr().err == ""


@pytest.mark.usefixtures("imaging")
def test_a_file_without_end_is_not_read_to_it(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "MAX_BYTES", 1000)
    (tmp_path / "a.png").write_bytes(bytes(1001))
    with pytest.raises(ValueError, match=r"a\.png: expected a file of at most 1000 bytes, got 1001 or more"):
        read_image_file(tmp_path / "a.png")


def test_what_others_write_meanwhile_is_passed_on(capfd):
    with captured_stderr() as lines:
        os.write(2, b"Corrupt JPEG data: premature end of data segment\n\rimages: 10%|#")
        thread = threading.Thread(target=lambda: sys.__stderr__.write("from a thread\n"))
        thread.start()
        thread.join()
        os.write(2, b"libpng warning: iCCP: known incorrect sRGB profile\nlast words")
    assert lines == [
        "Corrupt JPEG data: premature end of data segment\n", "libpng warning: iCCP: known incorrect sRGB profile\n"
    ]  # fmt: skip
    err = capfd.readouterr().err
    assert "images: 10%|#" in err
    assert err.endswith("last words")
    assert "JPEG" not in err


def test_threads_that_read_at_once_get_their_own_damage(tmp_path, capfd, image):
    content = encoded(image, ".jpg")
    (tmp_path / "good.jpg").write_bytes(content)
    (tmp_path / "bad.jpg").write_bytes(cut_inside(content))
    wrong = []

    def read(name, damaged):
        wrong.extend(name for _ in range(20) if bool(read_image_file(tmp_path / name)[1]) != damaged)

    threads = [threading.Thread(target=read, args=(n, n == "bad.jpg")) for n in ("good.jpg", "bad.jpg") * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert capfd.readouterr().err == ""


def test_a_process_without_standard_error_reads_images(tmp_path, image):
    import subprocess

    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(image, ".jpg"))
    code = f"from personlab.io.images import read_image_file as r; import sys; sys.exit(r({str(path)!r})[1] != '')"
    assert subprocess.run(["/bin/sh", "-c", f'"{sys.executable}" -c "{code}" 2>&-'], check=False).returncode == 0


def test_predictions_of_a_damaged_file_say_so(tmp_path):
    scene = make_scene(1, size=SIZE, people=1)
    (tmp_path / "bad.jpg").write_bytes(cut_inside(encoded(scene.image, ".jpg")))
    predictor = Predictor(SceneNetwork(scene, stride=8), long_edge=129)
    with pytest.warns(RuntimeWarning, match=r"bad\.jpg: the JPEG file is damaged"):
        prediction = predictor(tmp_path / "bad.jpg")
    assert "the JPEG file is damaged" in prediction.damage
    assert "damaged file" in repr(prediction)
    assert predictor(scene.image).damage == ""


def test_the_damaged_file_of_a_user(data, capfd):
    image, damage = read_image_file(data / "faults" / "28-jpeg-damaged-inside" / "images" / "a.jpg")
    assert image.shape == (161, 225, 3)
    assert damage.endswith("a.jpg: the JPEG file is damaged (premature end of data segment)")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("a/000012.jpg", 12), ("b.jpg", None), (f"x{2**63 - 1}.png", 2**63 - 1), (f"x{2**63}.png", None),
        ("20231125173904123456.jpg", None), ("12a.jpg", None), ("1.2.jpg", 2), ("\u0663.jpg", None),
    ],
)  # fmt: skip
def test_numbers_that_can_be_an_image_id(name, number):
    assert image_number(name) == number
