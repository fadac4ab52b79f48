"""Inputs of a command line: images, folders, patterns, videos, streams and cameras; their names and numbers."""

from __future__ import annotations

import glob
import re
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from personlab.io.files import real_path
from personlab.io.image_header import is_image
from personlab.io.images import MAX_BYTES
from personlab.io.pipes import Pipe, PipedFile
from personlab.settings import SCENES_GENERATOR

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

IMAGES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2",
    ".avif",
)  # fmt: skip
VIDEOS = (
    ".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".avi", ".divx", ".mkv", ".webm", ".ogv", ".ogg", ".ogm", ".mpg",
    ".mpeg", ".mpe", ".m1v", ".m2v", ".vob", ".ts", ".mts", ".m2ts", ".m2t", ".mxf", ".wmv", ".asf", ".flv", ".f4v",
    ".rm", ".rmvb", ".dv", ".nut", ".ivf", ".y4m", ".mjpg", ".mjpeg", ".h264", ".264", ".h265", ".265", ".hevc",
    ".266", ".vvc", ".obu", ".m4s", ".trp", ".m2p", ".wtv", ".mj2", ".amv", ".nsv", ".flc", ".fli", ".apng", ".gif",
)  # fmt: skip
_UNREADABLE = (  # formats of images that are reported where they are skipped
    ".heic", ".heif", ".hif", ".jxl", ".jpegxl", ".svg", ".psd", ".xcf", ".ai", ".eps", ".pdf", ".ico", ".tga", ".raw",
    ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw",
)  # fmt: skip
MAX_ID = 2**63 - 1  # of an image_id: what NumPy and databases hold
_SHOWN = 3  # folders named in a line
_WRITTEN = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")  # formats that drawings keep
# First bytes of videos, whatever their names: MP4 and its kin, AVI, Matroska, Flash, MPEG, Ogg, ASF, MPEG-TS (with and
# without the four bytes of cameras before each packet), H.264, HEVC, AV1, YUV4MPEG, IVF, NUT, RealMedia, MXF, WTV, DV,
# GIF.
_BEGINS_AS_VIDEO = re.compile(
    rb".{4}(?:ftyp(?!avi[fs]|hei|hev|mif1|msf1)|moov|mdat|wide|moof|styp)|RIFF.{4}AVI |\x1aE\xdf\xa3|FLV\x01"
    rb"|\0\0\x01[\xba\xb3]|OggS|0&\xb2u\x8ef\xcf\x11|(?:.{4})?\x47.{187}(?:.{4})?\x47.{187}(?:.{4})?\x47"
    rb"|\0\0\0?\x01(?:[\x67\x27\x47]|\x09[\x10\x30\x50\x70\x90\xb0\xd0\xf0]|[\x40\x42\x46]\x01)"
    rb"|YUV4MPEG2 |DKIF\0\0|nut/multimedia container|\.RMF\0|\x06\x0e\x2b\x34\x02\x05\x01\x01|GIF8[79]a"
    rb"|\xb7\xd8\0\x20\x37\x49\xda\x11|\x1f\x07\0[\x3f\xbf]|\x12\0\x0a[\x08-\x14]\0\0\0",
    re.DOTALL,
)
SCHEMES = ("http", "https", "rtsp", "rtsps", "rtmp", "rtmps", "rtp", "udp", "tcp", "srt")  # of addresses of streams
STDIN = "-"


@dataclass(frozen=True)
class Source:
    """An image, a video, a stream or a camera."""

    name: str
    """path, camera's number, "-" for standard input, or a stream's address without its password"""

    kind: Literal["image", "video", "camera", "stream"]

    address: str = ""
    """of a stream from a network, with its password"""

    pipe: Pipe | None = field(default=None, compare=False)
    """standard input"""

    def readable(self) -> str | PipedFile:
        """Return an image's file; a temporary one of standard input, which is read now."""
        return self.name if self.pipe is None else PipedFile(self.pipe, MAX_BYTES + 1)


def find_sources(inputs: Sequence[str]) -> tuple[list[Source], list[str]]:
    """Return the images, videos, streams and cameras that words of a command line name, without duplicates.

    A folder stands for the images and videos directly in it, in the order of their names, without those whose names
    begin with a dot; a pattern (`*`, `?`, `**`) for the files that it matches, a number for a camera, an address such
    as rtsp://host/path for a stream, and - for standard input, an image or a video by its first bytes, unless a file
    has that name. Any other word is a file, by its ending a video or an image; with another ending, by its first bytes.

    Returns:
        The sources, and one line for each word that names none.
    """
    sources: dict[Source, None] = {}
    problems = []
    for text in dict.fromkeys(inputs):
        path = Path(text)
        if path.is_dir():
            matches = _readable(_inside(path))
        elif path.exists():
            matches = [_file(text)]
        elif re.fullmatch(r"[0-9]{1,3}", text):
            matches = [Source(str(int(text)), "camera")]
        elif text == STDIN or scheme_of(text):
            source = _standard_input() if text == STDIN else _address(text)
            if isinstance(source, str):
                problems.append(source)
                continue
            matches = [source]
        elif glob.has_magic(text):
            matches = _readable(map(Path, sorted(glob.glob(text, recursive=True))))  # noqa: PTH207  # any root
        else:
            problems.append(f"{text}: no such file")
            continue
        if not matches:
            problems.append(f"{text}: expected images or videos, got none")
        sources |= dict.fromkeys(matches)
    return list(sources), problems


def scheme_of(text: str) -> str:
    """Return the lower-case scheme of an address, as http; empty where the text is none."""
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]+)://", text)
    return match[1].lower() if match else ""


def _address(text: str) -> Source | str:
    """Return the stream at an address, or the file at a local one; else a line that says why there is none."""
    scheme = scheme_of(text)
    shown = re.sub(r"(?<=://)([^/?#@:]*):[^/?#@]*@", r"\1:***@", text)
    try:
        parts = urlsplit(text)
    except ValueError as error:
        return f"{shown}: expected an address, got a malformed one: {error}"
    if scheme == "file":
        path = url2pathname(parts.path)
        return _file(path) if Path(path).exists() else f"{text}: no such file"
    if scheme not in SCHEMES:
        return f"{shown}: expected a file or an address that begins with {', '.join(SCHEMES)} or file, got {scheme}"
    return Source(shown, "stream", text)


def _standard_input() -> Source | str:
    """Return standard input as an image or a stream; else a line that says why it is neither."""
    if sys.stdin is None or sys.stdin.isatty():
        return f"{STDIN}: expected an image or a video on standard input, got a terminal"
    try:
        pipe = Pipe(sys.stdin.fileno(), STDIN)
        first = pipe.peek()
    except (OSError, ValueError) as error:  # closed, or replaced by an object without a descriptor
        return f"{STDIN}: standard input cannot be read: {error}"
    if not first:
        return f"{STDIN}: expected an image or a video on standard input, got nothing"
    return Source(STDIN, "image" if is_image(first) and not _begins(first) else "stream", pipe=pipe)


def _readable(paths: Iterable[Path]) -> list[Source]:
    return [_file(str(p)) for p in paths if p.suffix.lower() in IMAGES + VIDEOS and (p.is_file() or is_dangling(p))]


def is_dangling(path: Path) -> bool:
    """Return whether a path is a link to nothing: an image that is missed, rather than none."""
    return path.is_symlink() and not path.exists()


def _inside(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def skipped_files(inputs: Sequence[str]) -> list[str]:
    """Return one line for each folder of the inputs that holds folders, or images in formats that are not read."""
    lines = []
    for text in dict.fromkeys(inputs):
        inside = _inside(Path(text)) if Path(text).is_dir() else []
        folders = [f"folder {path.name}" for path in inside if path.is_dir()]
        endings = Counter(path.suffix.lower() for path in inside if path.suffix.lower() in _UNREADABLE)
        files = [f"{count} {ending} {'file' if count == 1 else 'files'}" for ending, count in sorted(endings.items())]
        if len(folders) > _SHOWN:
            folders[_SHOWN:] = [f"{len(folders) - _SHOWN} more folders"]
        if folders or files:
            lines.append(f"{text}: left out: {', '.join([*folders, *files])}")
    return lines


def _file(name: str) -> Source:
    ending = Path(name).suffix.lower()
    if ending in VIDEOS or (ending not in IMAGES and begins_as_video(name)):
        return Source(name, "video")
    return Source(name, "image")


def begins_as_video(name: str) -> bool:
    """Return whether a file begins as videos do, whatever its name."""
    if not Path(name).is_file():  # bytes read of a pipe here would be lost
        return False
    try:
        with Path(name).open("rb") as file:
            return _begins(file.read(600))
    except OSError:  # reported where it is read
        return False


def _begins(content: bytes) -> bool:
    return _BEGINS_AS_VIDEO.match(content) is not None


def is_drawn(source: Source) -> bool:
    """Return whether `personlab scenes` drew an image, by the annotations beside its folder."""
    try:
        with (real_path(source.name).parent.parent / "person_keypoints.json").open("rb") as file:
            return f'"generator": "{SCENES_GENERATOR}"'.encode() in file.read(300)
    except OSError:
        return False


def image_number(name: str) -> int | None:
    """Return the number at the end of a file's name; None without one that can be an image_id."""
    digits = re.search(r"[0-9]+$", Path(name).stem)
    return int(digits[0]) if digits and int(digits[0]) <= MAX_ID else None


def image_ids(names: Sequence[str]) -> list[int]:
    """Number each image: by the end of its file name, if no other ends alike, else by the first free number."""
    own = [image_number(name) for name in names]
    times = Counter(own)
    ids = [number if times[number] == 1 else None for number in own]
    used = {number for number in ids if number is not None}
    free = 0
    numbers = []
    for number in ids:
        if number is None:
            while free in used:
                free += 1
            used.add(free)
        numbers.append(free if number is None else number)
    return numbers


def first_frame_id(ids: Sequence[int]) -> int:
    """Return the number of the first frame of videos: after those of images, the huge ones excepted."""
    return max((number for number in ids if number < MAX_ID // 2), default=-1) + 1


def drawing_names(sources: Sequence[Source]) -> list[str]:
    """Return a unique file name for each drawing: an image's own, or with .png after it; .mp4 for a video's frames."""
    names = []
    for source in sources:
        path = Path(source.name)
        if source.kind == "camera":
            names.append((f"camera{source.name}", ".mp4"))
        elif source.kind == "stream":
            names.append((_stem_of(source), ".mp4"))
        elif source.kind == "video":
            names.append((path.stem, ".mp4"))
        elif source.pipe is not None:
            names.append((_stem_of(source), ".png"))
        else:
            names.append((path.stem, path.suffix) if path.suffix.lower() in _WRITTEN else (path.name, ".png"))
    return _unique(names)


def _stem_of(source: Source) -> str:
    """Return a file name for a stream: the last part of its address, else its host; or stdin."""
    if source.name == STDIN:
        return "stdin"
    parts = urlsplit(source.name)
    stem = Path(unquote(parts.path)).stem or (parts.hostname or "stream")
    return re.sub(r"[^\w.-]", "_", stem).lstrip(".") or "stream"


def fields_folders(drawings: Sequence[str]) -> list[str]:
    """Return a unique folder for the fields of each image, by the name of its drawing: x-fields for x.jpg."""
    return _unique([(Path(name).stem, "-fields") for name in drawings])


def _unique(names: Sequence[tuple[str, str]]) -> list[str]:
    """Join stems and endings, with a number between them where a name before is the same but for its case."""
    used: set[str] = set()
    unique = []
    for stem, ending in names:
        wanted, n = stem + ending, 1
        while wanted.lower() in used:
            n += 1
            wanted = f"{stem}-{n}{ending}"
        used.add(wanted.lower())
        unique.append(wanted)
    return unique
