"""Images by OpenCV, whichever distribution of it is installed: none of these functions opens a window."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from personlab.io.stderr import DAMAGE, captured_stderr

if TYPE_CHECKING:
    from personlab.io.imaging import Field, Image, Size
    from personlab.io.reduced import Along

NAME = "opencv"
_END_OF_JPEG = b"\xff\xd9"
_RGB = getattr(cv2, "IMREAD_COLOR_RGB", None)  # before OpenCV 4.11, all images are read as BGR
_WHOLE = cv2.IMREAD_COLOR if _RGB is None else _RGB


def decode(content: bytes, kind: str, factor: int = 1) -> tuple[Image | None, str]:
    """Decode an image file; missing rows of a JPEG file are grey."""
    if not content:
        return None, ""
    image, lines = _decode(content, factor)
    reasons = [next(filter(None, match.groups()), match[0]) for match in map(DAMAGE.search, lines) if match]
    if image is None and kind == "JPEG":  # the end alone may be missing
        return _decode(content + _END_OF_JPEG, factor)[0], "the file ends too early"
    return image, reasons[0].strip() if reasons else ""


def _decode(content: bytes, factor: int) -> tuple[Image | None, list[str]]:
    """Return the pixels, or None, and the lines that the decoder wrote to standard error."""
    mode = _WHOLE if factor == 1 else getattr(cv2, f"IMREAD_REDUCED_COLOR_{factor}")
    with captured_stderr() as lines:
        try:
            image = cv2.imdecode(np.frombuffer(content, np.uint8), mode)
        except cv2.error:
            return None, lines
    if image is not None and mode != _RGB:
        image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    return None if image is None else np.asarray(image, np.uint8), lines


def reads(kind: str) -> bool:
    """Return whether this build of OpenCV reads a format; builds of distributions leave some out."""
    ending = {"AVIF": ".avif", "GIF": ".gif", "HEIC": ".heic", "JPEG 2000": ".jp2", "WebP": ".webp"}.get(kind)
    return ending is None or cv2.haveImageWriter(ending)


def element_type(content: bytes) -> str:
    """Return the element type of a TIFF file without 8 or 16 bit channels; empty where it is damaged."""
    with captured_stderr():
        try:
            image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
        except cv2.error:
            return ""
    return "" if image is None else str(np.asarray(image).dtype)


def encode(image: Image, suffix: str) -> bytes | None:
    """Encode an image as the file format of an ending; None where the ending is unknown."""
    try:
        done, content = cv2.imencode(suffix or ".", np.ascontiguousarray(image[..., ::-1]))
    except cv2.error:
        return None
    return content.tobytes() if done else None


def average(image: Image, size: Size) -> Image:
    """Shrink an image, border on border: each pixel is the mean of the area that it covers."""
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def sample_field(field: Field, size: Size, x: Along, y: Along) -> Field:
    """Sample a field bilinearly at the pixels of an image."""
    warp = np.array([[x.k, 0, x.x0], [0, y.k, y.x0]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(field, warp, size, flags=flags, borderMode=cv2.BORDER_REPLICATE), np.float32)


def enlarge(image: Image, size: Size) -> Image:
    """Enlarge a drawing, border on border and bicubically."""
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_CUBIC), np.uint8)
