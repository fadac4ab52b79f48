"""What the first bytes of an image file say: its format, and its size, for a small file may unpack to gigabytes."""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Size = tuple[int, int]  # (w, h)

MAX_PIXELS = 178_956_970  # of images that are read, as in Pillow: half a GiB as RGB
_TIFF_SIZES = {256: 0, 257: 1, 322: 0, 323: 1}  # tags: width and height of the image and of its tiles
_TIFF_TYPES = {3: 2, 4: 4, 16: 8}  # bytes of whole numbers
_JPEG_STANDALONE = (0x01, *range(0xD0, 0xD9))  # markers without a length
_JPEG_FRAMES = tuple(m for m in range(0xC0, 0xD0) if m not in (0xC4, 0xC8, 0xCC))
_JPEG_APP1, _JPEG_PIXELS = 0xE1, 0xDA  # markers
_JPEG_NOTES = (*range(0xE1, 0xEE), 0xEF, 0xFE)  # segments of applications, JFIF and Adobe excepted, and comments
_EXIF = b"Exif\0\0"
_EXIF_ORIENTATION = 0x0112


def check_image(content: bytes, name: str) -> None:
    """Check that an image file, before it is decoded, has at most `MAX_PIXELS` pixels by its header.

    Raises:
        ValueError: it has more.
    """
    size = read_size(content)
    if size is not None:
        check_pixels(size, name)


def check_pixels(size: Size, name: str) -> None:
    """Check that a size (w, h) has at most `MAX_PIXELS` pixels.

    Raises:
        ValueError: it has more.
    """
    w, h = size
    if w * h > MAX_PIXELS:
        raise ValueError(f"{name}: expected an image of at most {MAX_PIXELS} pixels, got {w} x {h}")


def read_format(content: bytes) -> str:
    """Return the name of an image file's format; empty where its first bytes do not tell one."""
    one = _find_format(content)
    return one.name if one else ""


def is_image(content: bytes) -> bool:
    """Return whether a file that begins with these bytes has a format of images."""
    return _find_format(content) is not None


def read_size(content: bytes) -> Size | None:
    """Return (w, h) by the header of an image file, the larger of two; None where it has none."""
    one = _find_format(content)
    if one is None:
        return None
    try:
        return one.read_size(content)
    except (IndexError, struct.error, ValueError):  # cut short, or damaged
        return None


def read_orientation(content: bytes) -> int | None:
    """Return the EXIF orientation of a JPEG file, 1 to 8: 1 where it has none, None where programs may disagree."""
    try:
        return _jpeg_orientation(content)
    except (IndexError, struct.error):  # cut short, or damaged
        return None


def exif_orientation(exif: bytes) -> int:
    """Return the orientation in EXIF data, 1 to 8, with or without the mark of JPEG files before it; 1 in doubt."""
    try:
        return _exif_orientation(exif.removeprefix(_EXIF)) or 1
    except (IndexError, struct.error):
        return 1


def split_jpeg(content: bytes) -> tuple[bytes, bytes]:
    """Return a JPEG file without the segments that do not change its pixels, and the EXIF data of one of them."""
    kept, last, exif = [], 0, b""
    try:
        for marker, start, end in _jpeg_segments(content):
            if marker == _JPEG_PIXELS:
                break
            if marker in _JPEG_NOTES:
                kept.append(content[last:start])
                last = end
                exif = exif or (content[start + 4 : end] if content.startswith(_EXIF, start + 4) else b"")
    except (IndexError, struct.error, ValueError):  # cut short, or damaged
        return content, exif
    return b"".join([*kept, content[last:]]), exif


def _find_format(content: bytes) -> _Format | None:
    for one in _FORMATS:
        if one.start(content):
            return one
    return None


def _png(content: bytes) -> Size:
    w, h = struct.unpack_from(">II", content, 16)
    return w, h


def _gif(content: bytes) -> Size:
    w, h = struct.unpack_from("<HH", content, 6)
    return w, h


def _bmp(content: bytes) -> Size:
    old = struct.unpack_from("<I", content, 14)[0] == 12
    w, h = struct.unpack_from("<HH" if old else "<ii", content, 18)
    return abs(w), abs(h)  # rows from the top where the height is negative


def _jpeg(content: bytes) -> Size | None:
    for marker, start, _ in _jpeg_segments(content):
        if marker in _JPEG_FRAMES:
            h, w = struct.unpack_from(">HH", content, start + 5)
            return w, h
    return None


def _jpeg_segments(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield the marker of each segment, and where it starts and ends.

    Raises:
        IndexError, struct.error, ValueError: the content ends.
    """
    at = 2
    while True:
        at = content.index(b"\xff", at)
        marker = content[at + 1]
        if marker in (0x00, 0xFF, *_JPEG_STANDALONE):
            at += 1 if marker == 0xFF else 2
            continue
        end = at + 2 + struct.unpack_from(">H", content, at + 2)[0]
        yield marker, at, end
        at = end


def _jpeg_orientation(content: bytes) -> int | None:
    at, exif = 2, []
    while (marker := content[at + 1]) != _JPEG_PIXELS:
        if content[at] != 0xFF or marker == 0xFF or marker in _JPEG_STANDALONE:
            return None
        end = at + 2 + struct.unpack_from(">H", content, at + 2)[0]
        if marker == _JPEG_APP1:
            exif.append(content[at + 4 : end])
        at = end
    has_exif = [segment.startswith(_EXIF) for segment in exif]
    if not any(has_exif):
        return 1
    return _exif_orientation(exif[0][len(_EXIF) :]) if has_exif[0] and not any(has_exif[1:]) else None


def _exif_orientation(exif: bytes) -> int | None:
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None:
        return None
    at = struct.unpack_from(f"{order}I", exif, 4)[0]
    count = struct.unpack_from(f"{order}H", exif, at)[0]
    entries = [struct.unpack_from(f"{order}HHIH", exif, at + 2 + 12 * n) for n in range(count)]
    values = [(kind, length, value) for tag, kind, length, value in entries if tag == _EXIF_ORIENTATION]
    if not values:
        return 1
    kind, length, value = values[0]
    return value if (len(values), kind, length) == (1, 3, 1) and 1 <= value <= 8 else None


def _webp(content: bytes) -> Size | None:
    kind = content[12:16]
    if kind == b"VP8X":
        return int.from_bytes(content[24:27], "little") + 1, int.from_bytes(content[27:30], "little") + 1
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", content, 21)[0]
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    w, h = struct.unpack_from("<HH", content, 26)
    return w & 0x3FFF, h & 0x3FFF


def _tiff(content: bytes) -> Size:
    order = "<" if content[:2] == b"II" else ">"
    big = struct.unpack_from(f"{order}H", content, 2)[0] == 43
    at = struct.unpack_from(f"{order}Q" if big else f"{order}I", content, 8 if big else 4)[0]
    count = struct.unpack_from(f"{order}Q" if big else f"{order}H", content, at)[0]
    at, step, values = at + (8 if big else 2), 20 if big else 12, 12 if big else 8
    size = [0, 0]
    for entry in range(at, min(at + count * step, len(content) - step + 1), step):
        tag, kind = struct.unpack_from(f"{order}HH", content, entry)
        if tag in _TIFF_SIZES and kind in _TIFF_TYPES:
            value = content[entry + values : entry + values + _TIFF_TYPES[kind]]
            number = int.from_bytes(value, "little" if order == "<" else "big")
            size[_TIFF_SIZES[tag]] = max(size[_TIFF_SIZES[tag]], number)
    return size[0], size[1]


def _pnm(content: bytes) -> Size | None:
    match = re.match(rb"P[1-6fF](?:\s|#[^\n]*\n)+(\d{1,20})(?:\s|#[^\n]*\n)+(\d{1,20})", content)
    return (int(match[1]), int(match[2])) if match else None


def _pam(content: bytes) -> Size | None:
    sides = {name: int(number) for name, number in re.findall(rb"\b(WIDTH|HEIGHT)\s+(\d{1,20})", content[:4096])}
    return (sides[b"WIDTH"], sides[b"HEIGHT"]) if len(sides) == 2 else None


def _jpeg_2000(content: bytes) -> Size:
    at = content.index(b"\xff\x4f\xff\x51") + 8  # of the code stream, which a box around it need not agree with
    right, bottom, left, top = struct.unpack_from(">IIII", content, at)
    return right - left, bottom - top


def _avif(content: bytes) -> Size | None:
    sizes = [struct.unpack_from(">II", content, box.end() + 4) for box in re.finditer(rb"ispe", content[: 1 << 20])]
    return max(sizes, key=lambda size: size[0] * size[1]) if sizes else None


def _sun(content: bytes) -> Size:
    w, h = struct.unpack_from(">II", content, 4)
    return w, h


def _radiance(content: bytes) -> Size | None:
    match = re.search(rb"\n[-+][XY] (\d{1,20}) [-+][XY] (\d{1,20})", content[: 1 << 16])
    return (int(match[2]), int(match[1])) if match else None


class _Format(NamedTuple):
    """A kind of image files."""

    name: str
    """for messages; empty where other files, too, may begin like this"""

    start: Callable[[bytes], object | None]
    """finds the pattern of the first bytes"""

    read_size: Callable[[bytes], Size | None]


_FORMATS = tuple(
    _Format(name, re.compile(start, re.DOTALL).match, size)
    for name, start, size in (
        ("PNG", rb"\x89PNG\r\n\x1a\n", _png),
        ("JPEG", rb"\xff\xd8\xff", _jpeg),
        ("WebP", rb"RIFF.{4}WEBP", _webp),
        ("BMP", rb"BM.{4}\0\0\0\0", _bmp),
        ("", rb"BM", _bmp),
        ("TIFF", rb"II[*+]\0|MM\0[*+]", _tiff),
        ("PNM", rb"P[1-6]\s", _pnm),
        ("", rb"P[1-6fF][\s#]", _pnm),
        ("", rb"P7\s", _pam),
        ("JPEG 2000", rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", _jpeg_2000),
        ("GIF", rb"GIF8", _gif),
        ("AVIF", rb".{4}ftypavi[fs]", _avif),
        ("HEIC", rb".{4}ftyp(?:hei[cmsx]|hev[cmsx]|mif1|msf1)", _avif),
        ("", rb".{4}ftyp", _avif),
        ("", rb"\x59\xa6\x6a\x95", _sun),
        ("", rb"#\?", _radiance),
    )
)
