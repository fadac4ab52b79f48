"""Inputs of a command line: images, folders, patterns, videos and cameras; and their names and numbers in results."""

from __future__ import annotations

import glob
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

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
    ".gif",
)  # fmt: skip
_UNREADABLE = (  # formats of images that are reported where they are skipped
    ".heic", ".heif", ".hif", ".jxl", ".jpegxl", ".svg", ".psd", ".xcf", ".ai", ".eps", ".pdf", ".ico", ".tga", ".raw",
    ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw",
)  # fmt: skip
MAX_ID = 2**63 - 1  # of an image_id: what NumPy and databases hold
_SHOWN = 3  # folders named in a line
_WRITTEN = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")  # formats that drawings keep
# first bytes of videos, whatever their names: MP4 and its kin, AVI, Matroska, Flash, MPEG, Ogg, ASF
_BEGINS_AS_VIDEO = re.compile(
    rb".{4}(?:ftyp(?!avi[fs]|hei|hev|mif1|msf1)|moov|mdat|wide)|RIFF.{4}AVI |\x1aE\xdf\xa3|FLV\x01|\0\0\x01[\xba\xb3]"
    rb"|OggS|0&\xb2u\x8ef\xcf\x11|\x47.{187}\x47.{187}\x47",
    re.DOTALL,
)


@dataclass(frozen=True)
class Source:
    """An image, a video or a camera."""

    name: str
    """path, or the camera's number"""

    kind: Literal["image", "video", "camera"]


def find_sources(inputs: Sequence[str]) -> tuple[list[Source], list[str]]:
    """Return the images, videos and cameras that words of a command line name, without duplicates.

    A folder stands for the images and videos directly in it, in the order of their names, without those whose names
    begin with a dot; a pattern (`*`, `?`, `**`) for the files that it matches, and a number for a camera, unless a file
    has that name. Any other word is a file, by its ending a video or an image; with another ending, by its first bytes.

    Returns:
        The sources, and one line for each word that names none.
    """
    sources: dict[Source, None] = {}
    problems = []
    for text in inputs:
        path = Path(text)
        if path.is_dir():
            matches = _readable(_inside(path))
        elif path.exists():
            matches = [_file(text)]
        elif re.fullmatch(r"[0-9]{1,3}", text):
            matches = [Source(str(int(text)), "camera")]
        elif text == "-":
            problems.append("-: standard input is not supported: expected a file, a folder or a camera's number")
            continue
        elif re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", text):
            problems.append(f"{text}: URLs are not supported: expected a file, download it first")
            continue
        elif glob.has_magic(text):
            matches = _readable(map(Path, sorted(glob.glob(text, recursive=True))))  # noqa: PTH207  # any root
        else:
            problems.append(f"{text}: no such file")
            continue
        if not matches:
            problems.append(f"{text}: expected images or videos, got none")
        sources |= dict.fromkeys(matches)
    return list(sources), problems


def _readable(paths: Iterable[Path]) -> list[Source]:
    return [_file(str(p)) for p in paths if p.suffix.lower() in IMAGES + VIDEOS and p.is_file()]


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
            return _BEGINS_AS_VIDEO.match(file.read(600)) is not None
    except OSError:  # reported where it is read
        return False


def is_drawn(source: Source) -> bool:
    """Return whether `personlab scenes` drew an image, by the annotations beside its folder."""
    try:
        with (Path(source.name).resolve().parent.parent / "person_keypoints.json").open("rb") as file:
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
        elif source.kind == "video":
            names.append((path.stem, ".mp4"))
        else:
            names.append((path.stem, path.suffix) if path.suffix.lower() in _WRITTEN else (path.name, ".png"))
    return _unique(names)


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
