"""Images by OpenCV, whichever distribution of it is installed: none of these functions opens a window."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from personlab.io.stderr import DAMAGE, captured_stderr

if TYPE_CHECKING:
    from personlab.io.imaging import Image, Size

NAME = "opencv"
_END_OF_JPEG = b"\xff\xd9"


def decode(content: bytes, kind: str) -> tuple[Image | None, str]:
    """Decode an image file; missing rows of a JPEG file are grey."""
    if not content:
        return None, ""
    image, lines = _decode(content)
    reasons = [next(filter(None, match.groups()), match[0]) for match in map(DAMAGE.search, lines) if match]
    if image is None and kind == "JPEG":  # the end alone may be missing
        return _decode(content + _END_OF_JPEG)[0], "the file ends too early"
    return image, reasons[0].strip() if reasons else ""


def _decode(content: bytes) -> tuple[Image | None, list[str]]:
    """Return the pixels, or None, and the lines that the decoder wrote to standard error."""
    with captured_stderr() as lines:
        try:
            image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        except cv2.error:
            return None, lines
    return None if image is None else np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8), lines


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


def resize(image: Image, size: Size) -> Image:
    """Resize an image by the rule of `personlab.io.resize`."""
    (width, height), (h, w) = size, image.shape[:2]
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


def fit(image: Image, size: Size) -> Image:
    """Resize a drawing, border on border."""
    shrinks = size[0] * size[1] < image.shape[0] * image.shape[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.ascontiguousarray(cv2.resize(image, size, interpolation=interpolation), np.uint8)
