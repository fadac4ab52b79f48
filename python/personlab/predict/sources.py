"""What a command line names: pictures, folders of them, patterns, videos and cameras, and their numbers in results."""

from __future__ import annotations

import glob
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PICTURES = (".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".jp2")
VIDEOS = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".gif")
_WRITTEN = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")  # kinds in which drawings are written, too


@dataclass(frozen=True)
class Source:
    """A picture, a video or a camera."""

    name: str
    """path, or the camera's number"""

    kind: Literal["picture", "video", "camera"]


def find_sources(inputs: Sequence[str]) -> tuple[list[Source], list[str]]:
    """The pictures, videos and cameras that words of a command line name, none twice.

    A folder stands for the pictures and videos directly in it, by name; a pattern (`*`, `?`, `**`) for what it matches,
    where there is no file of that name; a number for the camera, likewise. Any other word is a file, by its ending a
    video, else a picture.

    Returns:
        the sources, and one line for each word that names nothing.
    """
    found: dict[Source, None] = {}
    problems = []
    for text in inputs:
        path = Path(text)
        if path.is_dir():
            matches = _known(path.iterdir())
        elif path.exists():
            matches = [_file(text)]
        elif re.fullmatch(r"\d{1,3}", text):
            matches = [Source(str(int(text)), "camera")]
        elif glob.has_magic(text):
            matches = _known(map(Path, glob.glob(text, recursive=True)))  # noqa: PTH207  # any root
        else:
            problems.append(f"{text}: no such file")
            continue
        if not matches:
            problems.append(f"{text}: expected pictures or videos, found none")
        found |= dict.fromkeys(matches)
    return list(found), problems


def _known(paths: Iterable[Path]) -> list[Source]:
    return [_file(str(p)) for p in sorted(paths) if p.suffix.lower() in PICTURES + VIDEOS and p.is_file()]


def _file(name: str) -> Source:
    return Source(name, "video" if Path(name).suffix.lower() in VIDEOS else "picture")


def image_ids(names: Sequence[str]) -> list[int]:
    """A number for each picture: the digits its file name ends in, else, or where two end alike, the first one free."""
    digits = [re.search(r"\d+$", Path(name).stem) for name in names]
    told = [int(found[0]) if found else None for found in digits]
    times = Counter(told)
    ids = [number if times[number] == 1 else None for number in told]
    taken = {number for number in ids if number is not None}
    free = 0
    numbers = []
    for number in ids:
        if number is None:
            while free in taken:
                free += 1
            taken.add(free)
        numbers.append(free if number is None else number)
    return numbers


def drawing_names(found: Sequence[Source]) -> list[str]:
    """The file name of each drawing, none twice: a picture's own, or with .png after it; .mp4 for a video's frames."""
    names = []
    for source in found:
        path = Path(source.name)
        if source.kind == "camera":
            names.append(f"camera{source.name}.mp4")
        elif source.kind == "video":
            names.append(f"{path.stem}.mp4")
        else:
            names.append(path.name if path.suffix.lower() in _WRITTEN else f"{path.name}.png")
    return _unique(names)


def _unique(names: Sequence[str]) -> list[str]:
    """A number before the ending of each name that came before, in upper or lower case."""
    given: set[str] = set()
    unique = []
    for name in names:
        path, wanted, n = Path(name), name, 1
        while wanted.lower() in given:
            n += 1
            wanted = f"{path.stem}-{n}{path.suffix}"
        given.add(wanted.lower())
        unique.append(wanted)
    return unique
