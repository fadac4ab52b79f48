"""Images from anywhere become RGB arrays, and these the input of a network: the one resize rule."""

from __future__ import annotations

import os
import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.arrays.host import check_copy, to_numpy
from personlab.io.image_files import read_image_file
from personlab.io.image_size import check_pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Image = NDArray[np.uint8]  # (H, W, 3) RGB
    Size = tuple[int, int]  # (W, H)

LARGEST_SIDE = 2**14  # pixels of a network input; OpenCV warps up to 2**15
_PIL_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "La", "CMYK", "YCbCr", "LAB", "HSV")


def read_image(source: Any, *, bgr: bool = False, damage: list[str] | None = None) -> Image:
    """An image as (H, W, 3) uint8 RGB.

    Args:
        source: a file's path; a PIL image of 8 bits a channel; or a uint8 array or tensor in host memory of shape
            (H, W, 3), (H, W, 4), whose alpha is left out, (H, W) or (H, W, 1), which is grey. Files and PIL images are
            turned the way their EXIF orientation says.
        bgr: an array's channels are blue, green, red, as OpenCV reads them.
        damage: gets a line about a damaged file, of which whatever could be decoded is returned; a RuntimeWarning
            where left out.

    Raises:
        FileNotFoundError: no such file.
        TypeError: nothing of that, or an array of another element type.
        ValueError: a file that is no image, a shape that is none of those, or no pixel.
    """
    if isinstance(source, (str, os.PathLike)):
        image, line = read_image_file(source)
        if line and damage is None:
            warnings.warn(line, RuntimeWarning, stacklevel=2)
        elif line and damage is not None:
            damage.append(line)
        return image
    if hasattr(source, "getexif") and hasattr(source, "convert"):
        return _from_pil(source)
    if not isinstance(source, np.ndarray) and not hasattr(source, "__dlpack__"):
        raise TypeError(f"image: expected a path, a PIL image or a uint8 array, got {type(source).__name__}")
    return _from_array(to_numpy(source, "image"), bgr=bgr)


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


def input_size(size: Size, *, stride: int, long_edge: float, max_pixels: int) -> tuple[Size, bool]:
    """The size (W, H) of the network input for an image of (w, h) pixels.

    The longest side becomes `long_edge`, then each side the nearest multiple of the stride plus 1, and at least
    stride + 1.

    Returns:
        the size, and whether `max_pixels` or `LARGEST_SIDE` made it smaller than asked for.
    """

    def rounded(edge: float) -> Size:
        w, h = (max(round((side * edge / max(size) - 1) / stride), 1) * stride + 1 for side in size)
        return w, h

    wanted = width, height = rounded(long_edge)
    edge = min(long_edge, LARGEST_SIDE - stride)
    while (width * height > max_pixels or max(width, height) > LARGEST_SIDE) and edge > stride:
        edge = min(edge * (max_pixels / (width * height)) ** 0.5, edge - stride / 2)
        width, height = rounded(edge)
    return (width, height), (width, height) != wanted


def resize(image: Image, size: Size) -> Image:
    """The image at `size` (W, H), corner pixel on corner pixel, read bilinearly.

    Where it shrinks to half and less, whole blocks of pixels are averaged first, lest bilinear reading skip some.
    """
    import cv2

    (width, height), (h, w) = size, image.shape[:2]
    if (w, h) == (width, height):
        return image
    sx, sy = (w - 1) / max(width - 1, 1), (h - 1) / max(height - 1, 1)  # image pixels for each input pixel
    blocks = max(int(sx), 1), max(int(sy), 1)
    if max(blocks) > 1:
        image = np.asarray(cv2.resize(image, (-(-w // blocks[0]), -(-h // blocks[1])), interpolation=cv2.INTER_AREA))
    # OpenCV shrinks edge on edge, not corner pixel on corner pixel: (x + 0.5) * kx - 0.5 is where pixel x went.
    kx, ky = image.shape[1] / w, image.shape[0] / h
    warp = np.array([[sx * kx, 0, 0.5 * kx - 0.5], [0, sy * ky, 0.5 * ky - 0.5]])
    resized = cv2.warpAffine(
        image, warp, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(resized, np.uint8)
