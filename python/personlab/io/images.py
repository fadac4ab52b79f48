"""Images in and out: files, PIL images and arrays become RGB arrays, and these become files."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.arrays.host import check_copy, to_numpy
from personlab.arrays.shapes import check_shape
from personlab.io.files import read_up_to, write_whole
from personlab.io.image_header import check_image, check_pixels, read_format
from personlab.io.imaging import imaging_library
from personlab.io.reduced import plan_reduction

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from personlab.io.reduced import ReducedImage

    Size = tuple[int, int]  # (w, h)
    Image = NDArray[np.uint8]  # (H, W, 3) RGB

MAX_BYTES = 2**31  # of a file: more than the largest image has without compression
_END_OF_PNG = b"IEND\xaeB`\x82"
_PIL_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "La", "CMYK", "YCbCr", "LAB", "HSV")


@dataclass(frozen=True)
class StoredImage:
    """An image file inside of another file, such as a tar: its name for messages, and what returns its bytes."""

    name: str
    read: Callable[[], bytes]

    def __str__(self) -> str:
        return self.name

    @classmethod
    def of(cls, name: str, content: bytes | Exception) -> StoredImage:
        """Return an image file whose bytes are in memory; an exception is raised in their place."""

        def read() -> bytes:
            if isinstance(content, Exception):
                raise content
            return content

        return cls(name, read)


def read_image(source: Any, *, bgr: bool = False, damage: list[str] | None = None) -> Image:
    """Read an image of any of these kinds as (H, W, 3) uint8 RGB.

    Args:
        source: a file's path, or a `StoredImage`; a PIL image of 8 bits a channel; or a uint8 array or tensor in host
            memory of shape (H, W, 3), (H, W, 4), whose alpha is left out, (H, W) or (H, W, 1), which is grey. Files and
            PIL images are turned the way their EXIF orientation says.
        bgr: an array's channels are blue, green, red, as OpenCV reads them.
        damage: gets a line about a damaged file, of which the part that could be decoded is returned; without it, that
            line is a RuntimeWarning.

    Raises:
        FileNotFoundError: no such file.
        TypeError: another kind of object, or an array of another element type.
        ValueError: a file that holds no image, an array of another shape, or no pixels.
    """
    if isinstance(source, _FILES):
        image, line = read_image_file(source)
        if line and damage is None:
            warnings.warn(line, RuntimeWarning, stacklevel=2)
        elif line and damage is not None:
            damage.append(line)
        return image
    return _from_object(source, bgr=bgr)


def read_reduced(
    source: Any, reduction: Callable[[Size], float], *, bgr: bool = False, damage: list[str]
) -> Image | ReducedImage:
    """Read an image as `read_image` does, but a JPEG file at 1/2, 1/4 or 1/8 of its size where that is enough.

    The decoder then computes fewer pixels, each from the frequencies of a block, which is as good as averaging it.

    Args:
        source: an image.
        reduction: (w, h) of an image -> the factor by which it may be smaller.
        bgr: as in `read_image`.
        damage: as in `read_image`.

    Raises:
        FileNotFoundError, TypeError, ValueError: as `read_image` raises them.
    """
    if not isinstance(source, _FILES):
        return _from_object(source, bgr=bgr)
    image, line = _read_file(source, reduction)
    if line:
        damage.append(line)
    return image


_FILES = (str, os.PathLike, StoredImage)


def _from_object(source: Any, *, bgr: bool) -> Image:
    if hasattr(source, "getexif") and hasattr(source, "convert"):
        return _from_pil(source)
    if not isinstance(source, np.ndarray) and not hasattr(source, "__dlpack__"):
        raise TypeError(f"image: expected a path, a PIL image or a uint8 array, got {type(source).__name__}")
    return _from_array(to_numpy(source, "image"), bgr=bgr)


def read_image_file(path: str | os.PathLike[str] | StoredImage) -> tuple[Image, str]:
    """Read an image file as (H, W, 3) uint8 RGB, turned the way its EXIF orientation says.

    Of a damaged file, the part that could be decoded is returned; missing rows of a JPEG file are grey.

    Returns:
        The image, and a line about damage that begins with `path`; empty where the file is sound.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file holds no image, one of an unknown format, damaged beyond reading, or of too many pixels.
    """
    image, line = _read_file(path)
    assert isinstance(image, np.ndarray)
    return image, line


def _read_file(
    path: str | os.PathLike[str] | StoredImage, reduction: Callable[[Size], float] | None = None
) -> tuple[Image | ReducedImage, str]:
    content = path.read() if isinstance(path, StoredImage) else read_up_to(path, MAX_BYTES)
    check_image(content, str(path))
    library, kind = imaging_library(), read_format(content)
    plan = None if reduction is None else plan_reduction(content, reduction)
    image, reason = library.decode(content, kind, 1 if plan is None else plan.factor)
    placed: Image | ReducedImage | None = image
    if plan is not None and image is not None:
        if image.shape[1::-1] == plan.reduced_size:
            placed = plan.place(image)
        else:  # the decoder reads the header in another way
            placed, reason = library.decode(content, kind)
    if _is_cut_short(kind, content):
        reason = "the file ends too early"
    if placed is not None:
        return placed, f"{path}: the {kind or 'image'} file is damaged ({reason})" if reason else ""
    if not kind:
        raise ValueError(f"{path}: expected an image, got {'another kind of file' if content else 'an empty file'}")
    if not library.reads(kind):
        raise ValueError(f"{path}: expected an image that can be read, got a {kind} file: convert it to JPEG or PNG")
    if kind == "TIFF" and (elements := library.element_type(content)):
        raise ValueError(f"{path}: expected an image of 8 or 16 bits a channel, got a TIFF file of {elements}")
    raise ValueError(f"{path}: expected an image, got a damaged {kind} file{f' ({reason})' if reason else ''}")


def write_image(path: str | os.PathLike[str], image: Image) -> None:
    """Write (H, W, 3) uint8 RGB in the format that the name's ending says; the file is complete or absent.

    Raises:
        FileNotFoundError: the folder does not exist.
        ValueError: an unknown ending.
    """
    content = imaging_library().encode(as_image(image), Path(path).suffix)
    if content is None:
        raise _unknown_ending(path)
    write_whole(path, content)


def check_image_name(path: str | os.PathLike[str]) -> None:
    """Check that the ending of a file's name is one of an image format, before the image is made.

    Raises:
        ValueError: it is not.
    """
    if imaging_library().encode(np.zeros((1, 1, 3), np.uint8), Path(path).suffix) is None:
        raise _unknown_ending(path)


def _unknown_ending(path: str | os.PathLike[str]) -> ValueError:
    expected = "expected a name that ends in .png, .jpg or another image format"
    return ValueError(f"{path}: {expected}, got {Path(path).suffix!r}")


def as_image(value: Any) -> Image:
    """Check an array for (H, W, 3) uint8 and return it C-contiguous, copied only where it is not.

    Raises:
        TypeError: another element type.
        ValueError: another shape.
    """
    array = to_numpy(value, "image")
    if array.dtype != np.uint8:
        raise TypeError(f"image: expected uint8, got {array.dtype}")
    check_shape(array, "image", (None, None, 3), "(H, W, 3)")
    check_copy(array, "image")
    return np.ascontiguousarray(array)


def _from_pil(source: Any) -> Image:
    if source.mode not in _PIL_MODES:
        raise TypeError(f"image: expected a PIL image of 8 bits a channel, got mode {source.mode!r}")
    check_pixels(source.size, "image")
    turned = import_module("PIL.ImageOps").exif_transpose(source)
    return _from_array(np.asarray(turned.convert("RGB")), bgr=False)


def _from_array(array: NDArray[Any], *, bgr: bool) -> Image:
    if array.dtype != np.uint8:
        raise TypeError(f"image: expected uint8 from 0 to 255, got {array.dtype}")
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4):
        raise ValueError(f"image: expected shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), got {array.shape}")
    if array.size == 0:
        raise ValueError(f"image: expected at least one pixel, got shape {array.shape}")
    check_copy(array, "image")
    array = np.repeat(array, 3, axis=2) if array.shape[2] == 1 else array[..., 2::-1] if bgr else array[..., :3]
    return np.ascontiguousarray(array)


def _is_cut_short(kind: str, content: bytes) -> bool:
    """Return whether the format's own end mark or length says that more should follow."""
    if kind == "PNG":
        return _END_OF_PNG not in content
    if kind == "WebP":
        return int.from_bytes(content[4:8], "little") + 8 > len(content)
    return False
