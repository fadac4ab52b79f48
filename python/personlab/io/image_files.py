"""Image files: their pixels, what is damaged in them, their numbers; decoders' own lines never reach standard error."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.io.files import read_up_to
from personlab.io.image_size import check_image

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Image = NDArray[np.uint8]  # (H, W, 3) RGB

MAX_BYTES = 2**31  # of a file: more than the largest image has without compression
LARGEST_ID = 2**63 - 1  # of an image_id: what NumPy and databases hold
_END_OF_JPEG = b"\xff\xd9"
_END_OF_PNG = b"IEND\xaeB`\x82"
_FORMATS = (  # how the files of each begin
    ("JPEG", re.compile(rb"\xff\xd8\xff")),
    ("PNG", re.compile(rb"\x89PNG\r\n\x1a\n")),
    ("WebP", re.compile(rb"RIFF.{4}WEBP", re.DOTALL)),
    ("GIF", re.compile(rb"GIF8")),
    ("TIFF", re.compile(rb"II[*+]\0|MM\0[*+]")),
    ("JPEG 2000", re.compile(rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51")),
    ("AVIF", re.compile(rb".{4}ftypavi[fs]", re.DOTALL)),
    ("HEIC", re.compile(rb".{4}ftyp(?:hei[cmsx]|hev[cmsx]|mif1|msf1)", re.DOTALL)),
    ("BMP", re.compile(rb"BM.{4}\0\0\0\0", re.DOTALL)),
    ("PNM", re.compile(rb"P[1-6]\s")),
)
# What decoders write to standard error. libjpeg and libtiff warn of damage and go on; libpng's warnings are about
# colour profiles and text, its errors about damage.
_DAMAGE = re.compile(
    r"Corrupt JPEG data: (?P<jpeg>.+)|Premature end of JPEG file|Inconsistent progression sequence"
    r"|\[ERROR.*TIFF_Error (?P<tiff>.+)|libpng error: (?P<png>.+)"
)
_OURS = re.compile(
    rf"{_DAMAGE.pattern}|libpng (?:warning|error)|\[ *(?:ERROR|WARN|INFO)[: ]|OpenCV\(|Warning: unknown JFIF|Caution: "
    r"|Unsupported marker type|Unknown Adobe color transform|> |    '"
    r"|\[[\w,]+ @ 0x[0-9a-f]+\] |\s*$"
)
_WINDOW = threading.Lock()  # standard error belongs to the process: one window on it at a time
if hasattr(os, "register_at_fork"):  # no child is born with a closed window or one that hides its errors
    os.register_at_fork(before=_WINDOW.acquire, after_in_parent=_WINDOW.release, after_in_child=_WINDOW.release)


def read_image_file(path: str | os.PathLike[str]) -> tuple[Image, str]:
    """An image file as (H, W, 3) uint8 RGB, turned the way its EXIF orientation says, and what is damaged in it.

    Of a damaged file whatever could be decoded is given: rows of a JPEG file that are missing are grey.

    Returns:
        The image, and one line that begins with `path`, empty where the file is sound.

    Raises:
        OSError: the file cannot be read.
        ValueError: no image that can be read, one so damaged that nothing of it can be, or one of too many pixels.
    """
    content = bytes(read_up_to(path, MAX_BYTES))
    check_image(content, str(path))
    image, lines = _decode(content)
    kind = next((name for name, start in _FORMATS if start.match(content)), "")
    reasons = [next(filter(None, found.groups()), found[0]) for found in map(_DAMAGE.search, lines) if found]
    cut = _is_cut_short(kind, content)
    if image is None and kind == "JPEG":  # the end alone may be missing
        image, _ = _decode(content + _END_OF_JPEG)
        cut = True
    reason = "the file ends too early" if cut else reasons[0].strip() if reasons else ""
    if image is not None:
        return image, f"{path}: the {kind or 'image'} file is damaged ({reason})" if reason else ""
    if kind == "HEIC":
        raise ValueError(f"{path}: expected an image that can be read, got a HEIC file: convert it to JPEG or PNG")
    if not kind:
        raise ValueError(f"{path}: expected an image, got {'a file that is none' if content else 'an empty file'}")
    if kind == "TIFF" and (elements := _element_type(content)):
        raise ValueError(f"{path}: expected an image of 8 or 16 bits a channel, got a TIFF file of {elements}")
    raise ValueError(f"{path}: expected an image, got a damaged {kind} file{f' ({reason})' if reason else ''}")


def image_number(name: str) -> int | None:
    """The number that a file's name ends in, where it has one that can be an image_id."""
    digits = re.search(r"[0-9]+$", Path(name).stem)
    return int(digits[0]) if digits and int(digits[0]) <= LARGEST_ID else None


def _decode(content: bytes) -> tuple[Image | None, list[str]]:
    """The pixels, None where there are none, and what the decoder wrote to standard error."""
    import cv2

    if not content:
        return None, []
    with captured_stderr() as lines:
        try:
            image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        except cv2.error:
            return None, lines
    return None if image is None else np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8), lines


def _element_type(content: bytes) -> str:
    """What a file's pixels are made of, where they are none that colours are made from; empty where it is damaged."""
    import cv2

    with captured_stderr():
        try:
            image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
        except cv2.error:
            return ""
    return "" if image is None else str(np.asarray(image).dtype)


def _is_cut_short(kind: str, content: bytes) -> bool:
    """Whether the file says of itself that more should follow."""
    if kind == "PNG":
        return _END_OF_PNG not in content
    if kind == "WebP":
        return int.from_bytes(content[4:8], "little") + 8 > len(content)
    return False


@contextlib.contextmanager
def captured_stderr() -> Iterator[list[str]]:
    """The lines that image decoders write to standard error while the block runs, complete once it has ended.

    What others write there meanwhile is passed on then. Where the process has no standard error, nothing is captured.
    """
    lines: list[str] = []
    with _WINDOW, contextlib.ExitStack() as stack:
        try:
            stderr = os.dup(2)
        except OSError:
            yield lines
            return
        stack.callback(os.close, stderr)
        file = stack.enter_context(_memory_file())
        os.dup2(file.fileno(), 2)
        try:
            yield lines
        finally:
            os.dup2(stderr, 2)
            file.seek(0)
            written = re.findall(r"[^\n]*\n|[^\n]+", file.read().decode(errors="replace"))
            lines += [line for line in written if _OURS.match(line)]
            others = "".join(line for line in written if not _OURS.match(line))
            with contextlib.suppress(OSError):
                os.write(2, others.encode())


def _memory_file() -> contextlib.AbstractContextManager[Any]:
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("stderr"), "w+b")
    return tempfile.TemporaryFile()
