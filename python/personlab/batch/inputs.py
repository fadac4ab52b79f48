"""Inputs of a job: which files the words of a command line name, here, in object stores and on the web."""

from __future__ import annotations

import fnmatch
import glob
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from personlab.batch.storage import HIDDEN, WEB, as_address
from personlab.io.sources import IMAGES, VIDEOS, begins_as_video, is_dangling, scheme_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from personlab.batch.storage import Files
    from personlab.batch.units import Kind

_TARS, _TABLES = (".tar",), (".parquet", ".pq")
_MAGIC = re.compile(r"[*[]")  # of object stores


@dataclass
class Inputs:
    """The inputs of a job, each once."""

    images: dict[str, list[str]] = field(default_factory=dict)
    """addresses of images by source"""

    containers: list[tuple[Kind, str, str]] = field(default_factory=list)
    """kind, address and source of videos, tars and Parquet files"""

    problems: list[str] = field(default_factory=list)
    """a line for each word that names no input"""

    @property
    def count(self) -> int:
        """Number of images and other files."""
        return sum(map(len, self.images.values())) + len(self.containers)


def find_inputs(words: Sequence[str], files: Files) -> Inputs:
    """Return what words name: files, the files directly in folders, and those that match patterns (`*`, `?`, `**`).

    The source of a file, by which results are partitioned, is the folder that a word names: itself, that of a file, or
    the part of a pattern before its first wildcard.

    Args:
        words: paths and addresses, such as s3://bucket/shards/*.tar.
        files: what reads object stores.
    """
    inputs = Inputs()
    seen: set[str] = set()
    for word in dict.fromkeys(words):
        try:
            source, matches = _expand(word, files)
        except (OSError, ValueError) as error:
            line = " ".join(str(getattr(error, "strerror", None) or error).split())
            begins = line.startswith(word) or HIDDEN in line
            inputs.problems.append(line if begins else f"{word}: {line}")
            continue
        count = 0
        for kind, address in matches:
            count += 1
            if address in seen:
                continue
            seen.add(address)
            if kind == "image":
                inputs.images.setdefault(source, []).append(address)
            else:
                inputs.containers.append((kind, address, source))
        if not count:
            inputs.problems.append(f"{word}: expected images, videos, .tar or .parquet files, got none")
    return inputs


def _expand(word: str, files: Files) -> tuple[str, Iterable[tuple[Kind, str]]]:
    address = as_address(word)
    scheme = scheme_of(address)
    if scheme in WEB:
        path = urlsplit(address).path
        return address.partition("?")[0].rpartition("/")[0], [(_kind(path) or "image", address)]
    if scheme:
        return _expand_remote(address, files)
    path = address
    if os.path.isdir(path):  # noqa: PTH112
        return path, _known(_inside(path))
    if os.path.exists(path):  # noqa: PTH110
        if re.fullmatch(r"/dev/.*|-", path) or not os.path.isfile(path):  # noqa: PTH113
            raise ValueError(f"{word}: expected a file that can be read again, got a device or a pipe")
        return os.path.dirname(path), [(_kind(path) or ("video" if begins_as_video(path) else "image"), path)]  # noqa: PTH120
    if glob.has_magic(word):
        matches = (one for one in sorted(glob.glob(path, recursive=True)) if _is_file(one))  # noqa: PTH207
        return re.split(r"[*?[]", path, maxsplit=1)[0].rpartition("/")[0], _known(matches)
    raise ValueError(f"{word}: no such file")


def _inside(folder: str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if not entry.name.startswith("."))
    for name in names:
        path = os.path.join(folder, name)  # noqa: PTH118
        if _kind(name) and _is_file(path):
            yield path


def _is_file(path: str) -> bool:
    return os.path.isfile(path) or is_dangling(Path(path))  # noqa: PTH113


def _expand_remote(address: str, files: Files) -> tuple[str, Iterable[tuple[Kind, str]]]:
    from pyarrow import ArrowInvalid
    from pyarrow.fs import FileSelector, FileType

    system, path = files.system(address)
    prefix, mark, query = address.partition("?")  # options of the file system; no wildcard here
    prefix = prefix.rstrip("/")
    if not prefix.endswith(path):
        raise ValueError(f"{address}: expected an address without . and .. in it")
    start = prefix[: len(prefix) - len(path)]

    def listed(folder: str, *, deep: bool) -> list[str]:
        infos = system.get_file_info(FileSelector(folder, recursive=deep))
        names = sorted(info.path for info in infos if info.type == FileType.File)
        return [name for name in names if not name.rpartition("/")[2].startswith(".")]

    try:
        if _MAGIC.search(path):
            base, pattern = _base(path), path.split("/")
            names = [name for name in listed(base, deep=True) if _matches(name.split("/"), pattern)]
            return (start + base).rstrip("/"), _known(f"{start}{name}{mark}{query}" for name in names)
        info = system.get_file_info(path)
        if info.type == FileType.Directory:
            return prefix, _known(f"{start}{name}{mark}{query}" for name in listed(path, deep=False))
    except ArrowInvalid as error:
        raise ValueError(f"{address}: {' '.join(str(error).split())}") from None
    if info.type == FileType.NotFound:
        raise ValueError(f"{address}: no such file")
    return prefix.rpartition("/")[0], [(_kind(path) or "image", address)]


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Return whether the parts of a path match those of a pattern; `**` stands for any number of folders."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_matches(parts[skipped:], pattern[1:]) for skipped in range(len(parts) + 1))
    return bool(parts) and fnmatch.fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])


def _known(addresses: Iterable[str]) -> Iterator[tuple[Kind, str]]:
    for address in addresses:
        if kind := _kind(address.partition("?")[0] if scheme_of(address) else address):
            yield kind, address


def _kind(name: str) -> Kind | None:
    """Return the kind of a file by the ending of its name; None where it is none of the known ones."""
    ending = Path(name).suffix.lower()
    kinds: tuple[tuple[Kind, tuple[str, ...]], ...] = (
        ("image", IMAGES), ("video", VIDEOS), ("tar", _TARS), ("parquet", _TABLES),
    )  # fmt: skip
    return next((kind for kind, endings in kinds if ending in endings), None)


def _base(pattern: str) -> str:
    """Return the folder before the first wildcard."""
    return _MAGIC.split(pattern, maxsplit=1)[0].rpartition("/")[0]
