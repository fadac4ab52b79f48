"""Images by Pillow, where OpenCV is not installed."""

from __future__ import annotations

import io
import struct
import zlib
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image as PilImage

from personlab.io.image_header import check_pixels, exif_orientation, split_jpeg

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from personlab.io.imaging import Field, Image, Size
    from personlab.io.reduced import Along

NAME = "pillow"
_END_OF_JPEG = b"\xff\xd9"
_TOO_EARLY = "the file ends too early"
_ORIENTATION = 274  # tag of TIFF files
_FAILURES = (  # of Pillow with damaged files
    ArithmeticError, AttributeError, EOFError, LookupError, OSError, SyntaxError, TypeError, ValueError, Warning,
    PilImage.DecompressionBombError, struct.error, zlib.error,
)  # fmt: skip
# Classes by the format that a file's first bytes say. `PIL.Image.open` would try formats that no other library reads,
# and warn of images that are smaller than the limit here.
_READERS = {
    "AVIF": ("AvifImagePlugin", "AvifImageFile"),
    "BMP": ("BmpImagePlugin", "BmpImageFile"),
    "GIF": ("GifImagePlugin", "GifImageFile"),
    "JPEG": ("JpegImagePlugin", "JpegImageFile"),
    "JPEG 2000": ("Jpeg2KImagePlugin", "Jpeg2KImageFile"),
    "PNG": ("PngImagePlugin", "PngImageFile"),
    "PNM": ("PpmImagePlugin", "PpmImageFile"),
    "TIFF": ("TiffImagePlugin", "TiffImageFile"),
    "WebP": ("WebPImagePlugin", "WebPImageFile"),
}
_WRITERS: dict[str, tuple[str, str, dict[str, Any]]] = {  # plugin, format and settings by ending, as OpenCV has them
    ".bmp": ("BmpImagePlugin", "BMP", {}),
    ".jpeg": ("JpegImagePlugin", "JPEG", {"quality": 95}),
    ".jpg": ("JpegImagePlugin", "JPEG", {"quality": 95}),
    ".png": ("PngImagePlugin", "PNG", {"compress_level": 1}),
    ".ppm": ("PpmImagePlugin", "PPM", {}),
    ".tif": ("TiffImagePlugin", "TIFF", {"compression": "tiff_lzw"}),
    ".tiff": ("TiffImagePlugin", "TIFF", {"compression": "tiff_lzw"}),
    ".webp": ("WebPImagePlugin", "WEBP", {"lossless": True, "quality": 0}),
}


def reads(kind: str) -> bool:
    """Return whether this build of Pillow reads a format."""
    try:
        return kind in _READERS and bool(getattr(_plugin(_READERS[kind][0]), "SUPPORTED", True))
    except ImportError:  # a version before that format
        return False


def decode(content: bytes, kind: str, factor: int = 1) -> tuple[Image | None, str]:
    """Decode an image file; missing rows of a JPEG file are grey. Damage inside of a JPEG file goes unnoticed."""
    if not reads(kind):
        return None, ""
    try:
        return _load(content, kind, factor), ""
    except _FAILURES as error:
        reason = str(error).partition("\n")[0]
    if kind == "JPEG":  # the end alone may be missing
        try:
            return _load(content + _END_OF_JPEG, kind, factor), _TOO_EARLY
        except _FAILURES:
            return None, reason
    return None, _TOO_EARLY if "truncated" in reason else reason


def _load(content: bytes, kind: str, factor: int) -> Image | None:
    content, exif = split_jpeg(content) if kind == "JPEG" else (content, b"")
    with _open(content, kind) as image:
        check_pixels(image.size, "image")  # the library may read another size than the header seemed to say
        if factor > 1:
            image.draft(None, tuple(max(side // factor, 1) for side in image.size))
        image.load()
        rgb = _to_rgb(image, kind)
        if rgb is None:
            return None
        if kind == "TIFF":  # versions differ in whether the image is turned already and the tag removed
            return _turned(rgb, image.tag_v2.get(_ORIENTATION, 1))
        return _turned(rgb, exif_orientation(exif or image.info.get("exif") or b""))


def _to_rgb(image: PilImage.Image, kind: str) -> Image | None:
    """Return (h, w, 3) RGB without alpha, by the upper 8 bits of 16; None for other kinds of numbers."""
    if image.mode.startswith("I;16") or (image.mode == "I" and kind in ("PNG", "PNM")):
        return np.repeat((np.asarray(image) >> 8).astype(np.uint8)[..., None], 3, axis=2)
    if image.mode in ("I", "F"):
        return None
    image.info.pop("transparency", None)  # of which Pillow warns where it is dropped
    return np.array(image.convert("RGB"), np.uint8)


def _turned(image: Image, orientation: int) -> Image:
    """Return an image turned to stand upright from one of the 8 orientations of EXIF."""
    if orientation in (5, 6, 7, 8):
        image = image.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)


def element_type(content: bytes) -> str:
    """Return the element type of a TIFF file without 8 or 16 bit channels; empty where it is damaged."""
    try:
        with _open(content, "TIFF") as image:
            return {"I": "int32", "F": "float32"}.get(image.mode, "")
    except _FAILURES:
        return ""


def _open(content: bytes, kind: str) -> Any:
    plugin, name = _READERS[kind]
    return getattr(_plugin(plugin), name)(io.BytesIO(content))


def _plugin(name: str) -> Any:
    return import_module(f"PIL.{name}")


def encode(image: Image, suffix: str) -> bytes | None:
    """Encode an image as the file format of an ending; None where the ending is unknown or the image empty."""
    if suffix.lower() not in _WRITERS or image.size == 0:
        return None
    plugin, kind, settings = _WRITERS[suffix.lower()]
    if not getattr(_plugin(plugin), "SUPPORTED", True):  # the import also registers the format
        return None
    content = io.BytesIO()
    PilImage.fromarray(image).save(content, kind, **settings)
    return content.getvalue()


def average(image: Image, size: Size) -> Image:
    """Shrink an image, border on border: each pixel is the mean of the area that it covers."""
    columns = _averaged_rows(image, size[1]).swapaxes(0, 1)
    means = _averaged_rows(columns, size[0]).swapaxes(0, 1)
    is_two_by_two = image.shape[:2] == (2 * size[1], 2 * size[0])  # halves, of which OpenCV rounds these alone up
    return (np.floor(means + 0.5) if is_two_by_two else np.rint(means)).astype(np.uint8)


def _averaged_rows(image: NDArray[Any], count: int) -> NDArray[np.float32]:
    """Return the means of `count` bands of equal height, which share the rows at their borders by area."""
    step = len(image) / count
    means = np.empty((count, *image.shape[1:]), np.float32)
    for i in range(count):
        first, last = int(i * step), min(int(np.ceil((i + 1) * step)), len(image))
        rows = np.arange(first, last)
        share = np.minimum(rows + 1, (i + 1) * step) - np.maximum(rows, i * step)
        means[i] = np.tensordot((share / step).astype(np.float32), image[first:last].astype(np.float32), 1)
    return means


def sample_field(field: Field, size: Size, x: Along, y: Along) -> Field:
    """Sample a field bilinearly at the pixels of an image."""
    before, after, share = _taps(x, size[0], field.shape[1])
    shares = np.zeros((field.shape[1], size[0]), np.float32)  # of each column of the field in each of the image
    shares[before, np.arange(size[0])] = 1 - share
    shares[after, np.arange(size[0])] += share
    columns = field @ shares
    before, after, share = _taps(y, size[1], field.shape[0])
    sampled: Field = columns[before]
    sampled += (columns[after] - sampled) * share[:, None]
    return sampled


def _taps(at: Along, count: int, limit: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """Return the two pixels around each of `count` positions, and the share of the second one."""
    place = np.clip(at.k * np.arange(count) + at.x0, 0, limit - 1)
    before = np.floor(place).astype(np.intp)
    return before, np.minimum(before + 1, limit - 1), (place - before).astype(np.float32)


def enlarge(image: Image, size: Size) -> Image:
    """Enlarge a drawing, border on border and bicubically."""
    return np.array(PilImage.fromarray(image).resize(size, PilImage.Resampling.BICUBIC))
