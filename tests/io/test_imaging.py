"""OpenCV and Pillow read, resize and write the same images, and either of them is enough."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest

from personlab.data.synthetic import make_scene
from personlab.io import imaging
from personlab.io.image_header import MAX_PIXELS, read_format
from personlab.io.images import check_image_name, read_image, read_image_file, read_reduced, write_image
from personlab.io.imaging import LIBRARIES, imaging_library
from personlab.io.resize import input_size, resize

cv2 = pytest.importorskip("cv2")
pil = pytest.importorskip("PIL.Image")

SIZE = (61, 83)


@pytest.fixture(scope="module")
def image():
    noise = np.random.default_rng(0).integers(0, 60, (*SIZE, 3), np.uint8)
    return make_scene(1, size=(97, 129), people=1).image[: SIZE[0], : SIZE[1]] // 2 + noise


@pytest.fixture
def fresh(monkeypatch):
    """Forget the chosen library before and after."""
    monkeypatch.delenv("PERSONLAB_IMAGE_READER", raising=False)
    imaging_library.cache_clear()
    yield
    imaging_library.cache_clear()


def saved(image, kind, **settings):
    content = io.BytesIO()
    image.save(content, kind, **settings)
    return content.getvalue()


def encoded(image, ending):
    done, content = cv2.imencode(ending, image)
    assert done
    return content.tobytes()


def oriented(number):
    exif = pil.Exif()
    exif[274] = number
    return exif


def grey16(size=SIZE):
    return np.random.default_rng(1).integers(0, 2**16, size).astype(np.uint16)


FILES = {
    "png": lambda i: saved(i, "PNG"),
    "png grey": lambda i: saved(i.convert("L"), "PNG"),
    "png bilevel": lambda i: saved(i.convert("1"), "PNG"),
    "png palette": lambda i: saved(i.quantize(64), "PNG"),
    "png palette, transparent": lambda i: saved(i.quantize(64), "PNG", transparency=bytes([0, 128] * 32)),
    "png one transparent colour": lambda i: saved(i, "PNG", transparency=(1, 2, 3)),
    "png alpha": lambda i: saved(alpha(i), "PNG"),
    "png grey, alpha": lambda i: saved(alpha(i).convert("LA"), "PNG"),
    "png 16 bits, grey": lambda _: saved(pil.fromarray(grey16()), "PNG"),
    "png 16 bits": lambda _: encoded(grey16((*SIZE, 3)), ".png"),
    "png 16 bits, alpha": lambda _: encoded(grey16((*SIZE, 4)), ".png"),
    "png animated": lambda i: saved(i, "PNG", save_all=True, append_images=[i.convert("L").convert("RGB")]),
    "jpeg": lambda i: saved(i, "JPEG"),
    "jpeg grey": lambda i: saved(i.convert("L"), "JPEG"),
    "jpeg progressive": lambda i: saved(i, "JPEG", progressive=True),
    "jpeg 4:4:4": lambda i: saved(i, "JPEG", subsampling=0),
    "jpeg cmyk": lambda i: saved(i.convert("CMYK"), "JPEG"),
    "jpeg of several images": lambda i: saved(i, "MPO", save_all=True, append_images=[i.convert("L").convert("RGB")]),
    "webp": lambda i: saved(i, "WEBP"),
    "webp lossless": lambda i: saved(i, "WEBP", lossless=True),
    "webp alpha": lambda i: saved(alpha(i), "WEBP"),
    "webp animated": lambda i: saved(i, "WEBP", save_all=True, append_images=[i.convert("L").convert("RGB")]),
    "bmp": lambda i: saved(i, "BMP"),
    "bmp palette": lambda i: saved(i.quantize(64), "BMP"),
    "bmp bilevel": lambda i: saved(i.convert("1"), "BMP"),
    "bmp alpha": lambda i: saved(alpha(i), "BMP"),
    "tiff": lambda i: saved(i, "TIFF"),
    "tiff lzw": lambda i: saved(i, "TIFF", compression="tiff_lzw"),
    "tiff deflate": lambda i: saved(i, "TIFF", compression="tiff_adobe_deflate"),
    "tiff jpeg": lambda i: saved(i, "TIFF", compression="jpeg"),
    "tiff grey": lambda i: saved(i.convert("L"), "TIFF"),
    "tiff fax": lambda i: saved(i.convert("1"), "TIFF", compression="group4"),
    "tiff palette": lambda i: saved(i.quantize(64), "TIFF"),
    "tiff cmyk": lambda i: saved(i.convert("CMYK"), "TIFF"),
    "tiff 16 bits, grey": lambda _: saved(pil.fromarray(grey16()), "TIFF"),
    "tiff 16 bits": lambda _: encoded(grey16((*SIZE, 3)), ".tif"),
    "tiff pages": lambda i: saved(i, "TIFF", save_all=True, append_images=[i.convert("L").convert("RGB")]),
    "gif": lambda i: saved(i, "GIF"),
    "gif animated": lambda i: saved(i, "GIF", save_all=True, append_images=[i.convert("L").convert("RGB")]),
    "ppm": lambda i: saved(i, "PPM"),
    "pgm": lambda i: saved(i.convert("L"), "PPM"),
    "pbm": lambda i: saved(i.convert("1"), "PPM"),
    "pgm 16 bits": lambda _: encoded(grey16(), ".pgm"),
    "jpeg 2000": lambda i: saved(i, "JPEG2000"),
    **{f"jpeg turned {n}": lambda i, n=n: saved(i, "JPEG", exif=oriented(n)) for n in range(1, 9)},
    **{f"png turned {n}": lambda i, n=n: saved(i, "PNG", exif=oriented(n)) for n in (3, 6, 7)},
    **{f"webp turned {n}": lambda i, n=n: saved(i, "WEBP", exif=oriented(n)) for n in (3, 6, 7)},
    **{f"tiff turned {n}": lambda i, n=n: saved(i, "TIFF", exif=oriented(n)) for n in range(1, 9)},
}


def alpha(image):
    image = image.copy()
    image.putalpha(pil.fromarray(np.random.default_rng(2).integers(0, 256, SIZE, np.uint8)))
    return image


@pytest.mark.parametrize("name", FILES)
def test_both_libraries_read_the_same_image(image, name):
    content = FILES[name](pil.fromarray(image))
    read = {library: LIBRARIES[library]().decode(content, read_format(content)) for library in LIBRARIES}
    (one, damage), (other, no_damage) = read["opencv"], read["pillow"]
    assert (damage, no_damage) == ("", "")
    assert one.shape == other.shape
    assert one.dtype == other.dtype == np.uint8
    assert np.abs(one.astype(int) - other).max() <= 1
    turned = name[-1] in "5678" and "turned" in name
    assert one.shape == (*(SIZE[::-1] if turned else SIZE), 3)


def test_orientations_turn_the_image_upright(tmp_path, imaging, image):
    turns = {1: image, 2: image[:, ::-1], 3: image[::-1, ::-1], 4: image[::-1], 5: image.swapaxes(0, 1),
             6: np.rot90(image, -1), 7: image[::-1, ::-1].swapaxes(0, 1), 8: np.rot90(image)}  # fmt: skip
    for number, upright in turns.items():
        for kind in ("PNG", "TIFF"):
            (tmp_path / "a").write_bytes(saved(pil.fromarray(image), kind, exif=oriented(number)))
            assert np.array_equal(read_image(tmp_path / "a"), upright), (imaging, number, kind)


def test_the_orientation_of_a_jpeg_may_lie_behind_other_notes_or_be_damaged(image):
    plain = saved(pil.fromarray(image), "JPEG")
    comment = b"\xff\xfe\x00\x08\xff\xe1\x00\x11Ex"
    notes = b"\xff\xe1\x00\x0chttp://xmp"
    turned = saved(pil.fromarray(image), "JPEG", exif=oriented(6))
    exif = turned[turned.index(b"\xff\xe1") :][: 2 + int.from_bytes(turned[turned.index(b"\xff\xe1") + 2 :][:2], "big")]
    upright, _ = imaging.LIBRARIES["pillow"]().decode(plain, "JPEG")
    for extra, quarter in (
        (comment + notes + exif, True),
        (comment, False),
        (exif[:12] + b"\xff" * (len(exif) - 12), False),
    ):
        content = plain[:2] + extra + plain[2:]
        for library in LIBRARIES.values():
            decoded, damage = library().decode(content, "JPEG")
            assert damage == ""
            assert np.array_equal(decoded, np.rot90(upright, -1) if quarter else upright)


def resized_by(monkeypatch, image, size):
    """Resize an image by each library."""
    for library in LIBRARIES:
        monkeypatch.setenv("PERSONLAB_IMAGE_READER", library)
        imaging_library.cache_clear()
        yield resize(image, size)
    imaging_library.cache_clear()


@pytest.mark.parametrize(
    "size",
    [(480, 640), (640, 427), (333, 500), (1100, 1500), (961, 1281), (1300, 97), (50, 70), (1, 1), (1, 9), (7, 1)],
)
def test_both_libraries_resize_to_the_same_image(monkeypatch, size):
    noise = np.random.default_rng(3).integers(0, 256, (*size, 3), np.uint8)
    wanted, _ = input_size(size[::-1], stride=16, long_edge=641, max_pixels=2**24)
    one, other = resized_by(monkeypatch, noise, wanted)
    assert one.shape == other.shape == (*wanted[::-1], 3)
    assert np.abs(one.astype(int) - other).max() <= 1
    assert abs(float(one.mean(dtype=float) - other.mean(dtype=float))) < 0.2


@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize("factor", [2, 4, 8])
def test_both_libraries_read_and_resize_a_fraction_of_a_jpeg_alike(tmp_path, monkeypatch, factor, orientation):
    noise = np.random.default_rng(5).integers(0, 256, (203, 317, 3), np.uint8)
    (tmp_path / "a.jpg").write_bytes(saved(pil.fromarray(noise), "JPEG", exif=oriented(orientation)))
    read = []
    for library in LIBRARIES:
        monkeypatch.setenv("PERSONLAB_IMAGE_READER", library)
        imaging_library.cache_clear()
        damage = []
        read.append(read_reduced(tmp_path / "a.jpg", lambda _: factor, damage=damage))
        assert damage == []
    one, other = read
    assert one.size == other.size == ((317, 203) if orientation < 5 else (203, 317))
    assert one.position == other.position
    assert one.pixels.shape == other.pixels.shape
    assert np.abs(one.pixels.astype(int) - other.pixels).max() <= 1
    for size in ((33, 65), (161, 97), (17, 17)):
        first, second = resized_by(monkeypatch, one, size)
        assert np.abs(first.astype(int) - second).max() <= 1


def test_corner_pixels_stay_on_corner_pixels(imaging):
    ramp = np.linspace(0, 240, 100 * 81).reshape(81, 100).astype(np.uint8)
    image = np.repeat(ramp[..., None], 3, axis=2)
    for size in ((200, 161), (80, 65), (100, 161), (90, 161)):
        resized = resize(image, size)
        corners = [(0, 0), (0, -1), (-1, 0), (-1, -1)]
        assert all(abs(int(resized[at][0]) - int(image[at][0])) <= 1 for at in corners), (imaging, size)


@pytest.mark.parametrize("ending", [".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".PNG"])
def test_what_is_written_without_loss_comes_back(tmp_path, imaging, image, ending):
    write_image(tmp_path / f"a{ending}", image)
    for library in LIBRARIES.values():
        content = (tmp_path / f"a{ending}").read_bytes()
        assert np.array_equal(library().decode(content, read_format(content))[0], image), imaging


def test_jpeg_files_are_written_alike(image):
    one, other = (LIBRARIES[library]().encode(image, ".jpg") for library in LIBRARIES)
    read = [LIBRARIES["opencv"]().decode(content, "JPEG")[0].astype(int) for content in (one, other)]
    assert np.abs(read[0] - read[1]).max() <= 8
    assert len(one) == pytest.approx(len(other), rel=0.1)


def test_names_are_checked_before_an_image_is_drawn(imaging):
    check_image_name("a.png")
    for name in ("a", "a.xyz", "a.pdf"):
        with pytest.raises(ValueError, match=rf"^{name}: expected a name that ends in .png, .jpg or another"):
            check_image_name(name)
    assert imaging in LIBRARIES


def test_an_image_without_pixels_is_not_written(tmp_path, imaging):
    for size in ((0, 5), (5, 0)):
        with pytest.raises(ValueError, match=r"a\.png: expected"):
            write_image(tmp_path / "a.png", np.zeros((*size, 3), np.uint8))
    assert list(tmp_path.iterdir()) == [], imaging


def test_the_content_says_the_format_whatever_the_name(tmp_path, imaging, image):
    write_image(tmp_path / "a.png", image)
    content = (tmp_path / "a.png").read_bytes()
    for name in ("b.jpg", "c.tif", "d"):
        (tmp_path / name).write_bytes(content)
        assert np.array_equal(read_image(tmp_path / name), image), imaging
    for content in (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"8BPS\0\x01" + bytes(40)):
        (tmp_path / "e.jpg").write_bytes(content)
        with pytest.raises(ValueError, match=r"e\.jpg: expected an image, got another kind of file"):
            read_image(tmp_path / "e.jpg")


@pytest.mark.parametrize("name", ["png", "jpeg", "webp", "bmp", "tiff", "gif", "ppm", "jpeg 2000"])
def test_files_with_wrong_bytes_are_refused_or_read_alike(tmp_path, capfd, imaging, image, name):
    content = FILES[name](pil.fromarray(image))
    for seed in range(40):
        rng, changed = np.random.default_rng(seed), bytearray(content)
        for _ in range(rng.integers(1, 6)):
            changed[rng.integers(0, min(len(content), 300) if seed % 2 else len(content))] = rng.integers(0, 256)
        (tmp_path / "a").write_bytes(changed if seed % 4 else changed[: rng.integers(0, len(changed))])
        try:
            read, damage = read_image_file(tmp_path / "a")
        except ValueError as error:
            assert str(error).startswith(f"{tmp_path / 'a'}: expected an image"), imaging  # noqa: PT017
        except Warning:  # of Pillow about a damaged TIFF file, which tests turn into an error
            assert (imaging, name) == ("pillow", "tiff")
        else:
            assert read.ndim == 3
            assert damage == "" or "damaged" in damage
    assert capfd.readouterr().err == ""


def test_the_limit_of_the_library_is_not_the_one_that_counts(tmp_path, monkeypatch, image):
    """Pillow warns of images above half of the limit here, and refuses none below it."""
    monkeypatch.setattr(pil, "MAX_IMAGE_PIXELS", image.shape[0] * image.shape[1] // 2 + 1)
    for name in ("png", "jpeg", "bmp", "webp", "gif", "ppm", "jpeg 2000"):
        content = FILES[name](pil.fromarray(image))
        read, damage = LIBRARIES["pillow"]().decode(content, read_format(content))
        assert read.shape == image.shape
        assert damage == ""
    assert MAX_PIXELS == 2 * 89_478_485  # Pillow's default


def test_a_jpeg_cut_short_keeps_its_upper_part(tmp_path, imaging, image):
    content = FILES["jpeg"](pil.fromarray(image))
    (tmp_path / "a.jpg").write_bytes(content)
    whole = read_image(tmp_path / "a.jpg")
    for length in (len(content) * 2 // 3, len(content) - 2):
        (tmp_path / "a.jpg").write_bytes(content[:length])
        part, damage = read_image_file(tmp_path / "a.jpg")
        assert damage == f"{tmp_path / 'a.jpg'}: the JPEG file is damaged (the file ends too early)", imaging
        assert np.array_equal(part[:16], whole[:16])


@pytest.mark.usefixtures("fresh")
def test_the_library_is_chosen_once_by_what_can_be_imported(monkeypatch):
    assert imaging_library().NAME == "opencv"

    def fail(name):
        def load():
            raise ImportError(f"no {name}", name=name)

        return load

    monkeypatch.setattr(imaging, "LIBRARIES", {**LIBRARIES, "opencv": fail("cv2")})
    assert imaging_library().NAME == "opencv"
    imaging_library.cache_clear()
    assert imaging_library().NAME == "pillow"
    imaging_library.cache_clear()
    monkeypatch.setattr(imaging, "LIBRARIES", {"opencv": fail("cv2"), "pillow": fail("PIL")})
    with pytest.raises(ImportError, match="no cv2"):
        imaging_library()


@pytest.mark.usefixtures("fresh")
def test_the_environment_may_name_the_library(monkeypatch):
    monkeypatch.setenv("PERSONLAB_IMAGE_READER", "pillow")
    assert imaging_library().NAME == "pillow"
    imaging_library.cache_clear()
    monkeypatch.setenv("PERSONLAB_IMAGE_READER", "gimp")
    with pytest.raises(ValueError, match="PERSONLAB_IMAGE_READER: expected one of opencv, pillow, got 'gimp'"):
        imaging_library()


_WITHOUT = """
import sys
for name in ("cv2", "pycocotools", "torch", "matplotlib", "scipy"):
    sys.modules[name] = None
import numpy as np
from personlab import visualize, Poses
from personlab.io.results import mask_results
image = visualize.read_image(sys.argv[1])
masks = np.zeros((1, *image.shape[:2]), bool)
masks[0, 10:40, 20:50] = True
points = np.random.default_rng(0).uniform(10, 50, (1, 17, 2)).astype(np.float32)
poses = Poses(points, np.ones((1, 17), np.float32), np.ones(1, np.float32))
visualize.write_image(sys.argv[2], visualize.overlay(image, poses, masks))
print(mask_results(poses, masks, 1)[0]["segmentation"]["counts"])
"""


def test_pillow_alone_is_enough(tmp_path, image):
    write_image(tmp_path / "a.png", image)
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT, tmp_path / "a.png", tmp_path / "b.png"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    drawn = read_image(tmp_path / "b.png")
    assert drawn.shape == image.shape
    assert (drawn != image).any(axis=2).mean() > 0.1
    from pycocotools import mask as coco_mask

    mask = coco_mask.decode({"size": list(SIZE), "counts": done.stdout.strip().encode()})
    assert mask[10:40, 20:50].all()
    assert mask.sum() == 900
