"""Images too large to unpack are refused by their headers, whatever the format; ordinary ones are read."""

import struct
import zlib

import cv2
import numpy as np
import pytest
from cost import measure
from PIL import Image

from personlab import visualize
from personlab.io.image_header import MAX_PIXELS, check_image, check_pixels, read_size
from personlab.io.image_size import read_image_size
from personlab.io.images import read_image

H, W = 37, 53
SUFFIXES = (".png", ".jpg", ".bmp", ".webp", ".tif", ".ppm", ".pgm", ".pbm", ".pam", ".jp2", ".gif", ".sr")


def encoded(suffix, size=(H, W), *parameters):
    image = np.random.default_rng(7).integers(0, 255, (*size, 3), np.uint8)
    done, content = cv2.imencode(suffix, image[..., 0] if suffix in (".pgm", ".pbm") else image, parameters)
    assert done
    return content.tobytes()


def png(w, h):
    """The file of an image of one bit a pixel, all of them 0."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = zlib.compressobj(9)
    content = b"".join(rows.compress(bytes(w // 8 + 1)) for _ in range(h)) + rows.flush()
    header = struct.pack(">IIBBBBB", w, h, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", content) + chunk(b"IEND", b"")


def patched(content, *changes):
    """A file with bytes written over: (format, where, number) each."""
    content = bytearray(content)
    for form, at, number in changes:
        struct.pack_into(form, content, at, number)
    return bytes(content)


def tiff(*entries, order="<", big=False):
    """A TIFF file of these (tag, type, number) and nothing else."""
    mark = b"II" if order == "<" else b"MM"
    numbers = {3: "H", 4: "I", 16: "Q"}
    room = 8 if big else 4
    head = struct.pack(f"{order}HHHQ", 43, 8, 0, 16) if big else struct.pack(f"{order}HI", 42, 8)
    directory = struct.pack(f"{order}{'Q' if big else 'H'}", len(entries))
    for tag, kind, number in entries:
        value = struct.pack(f"{order}{numbers[kind]}", number).ljust(room, b"\0")
        directory += struct.pack(f"{order}HH{'Q' if big else 'I'}", tag, kind, 1) + value
    return mark + head + directory + bytes(8)


def bombs():
    """Files that say they hold 20,000 x 30,000 pixels, or about as many as their format can say."""
    w, h = 20_000, 30_000
    jpeg, jp2 = encoded(".jpg"), encoded(".jp2")
    frame, stream = jpeg.index(b"\xff\xc0"), jp2.index(b"\xff\x4f\xff\x51")
    yield "a.png", patched(png(8, 8), (">I", 16, w), (">I", 20, h))
    yield "a.jpg", patched(jpeg, (">H", frame + 5, h), (">H", frame + 7, w))
    yield "a.bmp", patched(encoded(".bmp"), ("<i", 18, w), ("<i", 22, -h))
    yield "old.bmp", b"BM" + bytes(12) + struct.pack("<IHHHH", 12, w, h, 1, 24) + bytes(99)
    yield (
        "lossy.webp",
        patched(encoded(".webp", (H, W), cv2.IMWRITE_WEBP_QUALITY, 80), ("<H", 26, 16_383), ("<H", 28, 16_383)),
    )
    lossless = encoded(".webp", (H, W), cv2.IMWRITE_WEBP_QUALITY, 101)
    yield "lossless.webp", patched(lossless, ("<I", 21, 16_382 | 16_382 << 14))
    yield "large.webp", b"RIFF\xff\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + 2 * b"\xff\xff\x0f" + bytes(99)
    for order in "<>":
        yield f"a{order}.tif", tiff((256, 4, w), (257, 3, h), order=order)
        yield f"big{order}.tif", tiff((256, 16, w), (257, 16, h), order=order, big=True)
    yield "tiles.tif", tiff((256, 3, 8), (257, 3, 8), (322, 4, w), (323, 4, h))
    yield "a.ppm", b"P6 # a comment\n%d\n%d 255\n" % (w, h)
    yield "a.pbm", b"P4\n%d %d\n" % (w, h)
    yield "a.pam", b"P7\nWIDTH %d\nHEIGHT %d\nDEPTH 1\nMAXVAL 255\nTUPLTYPE GRAYSCALE\nENDHDR\n" % (w, h)
    yield "a.jp2", patched(jp2, (">I", stream + 8, w), (">I", stream + 12, h))
    yield "a.gif", patched(encoded(".gif"), ("<H", 6, w), ("<H", 8, h))
    yield "a.sr", patched(encoded(".sr"), (">I", 4, w), (">I", 8, h))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_header_says_the_size(suffix, tmp_path):
    content = encoded(suffix)
    assert read_size(content) == (W, H)
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    assert visualize.read_image(path).shape == (H, W, 3)


@pytest.mark.parametrize("suffix", [suffix for suffix in SUFFIXES if suffix[1] != "p" or suffix == ".png"])
def test_a_cut_header_says_nothing_or_the_size(suffix):
    content = encoded(suffix)
    for length in range(min(len(content), 700)):
        assert read_size(content[:length]) in (None, (W, H), (0, 0)), length


def test_rows_from_the_top_and_a_header_behind_others():
    assert read_size(patched(encoded(".bmp"), ("<i", 22, -H))) == (W, H)
    jpeg = encoded(".jpg")
    comment = b"\xff\xfe\x00\x08\xff\xc0\x00\x11\x08\x00"  # which holds what looks like a frame
    assert read_size(jpeg[:2] + comment + b"\xff" + jpeg[2:]) == (W, H)
    assert read_size(b"") is None
    assert read_size(b"no image at all") is None


@pytest.mark.parametrize("name", [name for name, _ in bombs()])
def test_a_bomb_is_refused_by_its_header(name):
    content = dict(bombs())[name]
    with pytest.raises(ValueError, match=rf"^photo: expected an image of at most {MAX_PIXELS} pixels, got \d+ x \d+$"):
        check_image(content, "photo")


@pytest.mark.usefixtures("imaging")
def test_bombs_cost_nothing(tmp_path):
    files = []
    for name, content in bombs():
        files.append(tmp_path / name)
        files[-1].write_bytes(content)
    for file, cost in zip(files, measure("from personlab.visualize import read_image; import cv2",
                                         "read_image(path)", files), strict=True):  # fmt: skip
        assert cost.message.startswith(f"{file}: expected an image of at most"), file.name
        assert cost.seconds < 1, file.name
        assert cost.mib < 8, file.name


@pytest.mark.usefixtures("imaging")
def test_the_shared_bomb_is_refused(data):
    path = data / "faults" / "files" / "img_bomb_1bit_16000.png"
    (cost,) = measure("from personlab.visualize import read_image; import cv2", "read_image(path)", [path])
    assert cost.message == f"{path}: expected an image of at most {MAX_PIXELS} pixels, got 16000 x 16000"
    assert cost.seconds < 1
    assert cost.mib < 8


def test_a_pil_image_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    path = tmp_path / "a.png"
    path.write_bytes(png(16_000, 16_000))
    with Image.open(path) as image, pytest.raises(ValueError, match="image: expected an image of at most"):
        read_image(image)


def test_the_limit_itself_is_allowed():
    check_pixels((MAX_PIXELS, 1), "image")
    with pytest.raises(ValueError, match=f"got 1 x {MAX_PIXELS + 1}"):
        check_pixels((1, MAX_PIXELS + 1), "image")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp", ".tif"])
def test_sizes_of_files(tmp_path, suffix):
    path = tmp_path / f"image{suffix}"
    path.write_bytes(encoded(suffix))
    assert read_image_size(path) == (W, H)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_sizes_follow_the_orientation_as_the_image_does(tmp_path, orientation):
    path = tmp_path / "image.jpg"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.zeros((H, W, 3), np.uint8)).save(path, exif=exif)
    assert read_image_size(path) == read_image(path).shape[1::-1]


def test_sizes_of_other_files(tmp_path):
    path = tmp_path / "image.jpg"
    with pytest.raises(FileNotFoundError):
        read_image_size(path)
    path.write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"image.jpg: expected an image, got another kind of file"):
        read_image_size(path)
    path.write_bytes(patched(png(8, 8), (">I", 16, 60000), (">I", 20, 60000)))
    with pytest.raises(ValueError, match="expected an image of at most"):
        read_image_size(path)
