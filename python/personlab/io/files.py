"""Writes files atomically, and reads them up to a limit."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_DESCRIPTORS = re.compile(r"/dev/fd|/proc/(self|\d+)(/task/\d+)?/fd")  # folders whose entries are open files
_NAMED = 40  # characters of a file's name at the start of its partial one's: both names fit in file systems
_MAX_LINKS = 40
_CHUNK = 2**24  # max bytes read at once
_PIECE = 2**16  # and min, which pipes may have
_NO_SYNC = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)  # of file systems without it


def read_up_to(path: str | os.PathLike[str], limit: int) -> bytes:
    """Read a file, a pipe or a device of at most `limit` bytes.

    Raises:
        OSError: it cannot be read.
        ValueError: it is longer.
    """
    chunks, length = [], 0
    with io.FileIO(os.fspath(path)) as file:
        size = os.fstat(file.fileno()).st_size  # 0 where it is a pipe
        while size <= limit and (chunk := file.read(min(max(size - length + 1, _PIECE), _CHUNK))):
            chunks.append(chunk)
            length += len(chunk)
            size = max(size, length)
    if size > limit:
        raise ValueError(f"{path}: expected a file of at most {limit} bytes, got {size} or more")
    return b"".join(chunks)


def write_whole(path: str | os.PathLike[str], content: bytes | Iterable[bytes]) -> None:
    """Write `content`, whole or in pieces, beside `path`, wait until the disk has it, then rename it into place.

    A reader sees the old file or the new one, even after a power cut; a failure leaves the old one, and nothing beside
    it (a killed process leaves `.NAME.*.part`). The new file has the mode and, if the system permits, the owner of the
    old one; the mode of a file without predecessor follows the umask. A symbolic link stays, and its target is
    replaced, or made. Other hard links to the old file keep the old content. A device, a pipe, or an open file named
    by its descriptor (/dev/stdout) is written into.

    Raises:
        FileNotFoundError: the folder does not exist.
        OSError: it cannot be written to.
    """
    try:
        _write(os.fspath(path), [content] if isinstance(content, bytes) else content)
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, os.fspath(path)) from None  # not the name of the partial file


def real_path(path: str | os.PathLike[str]) -> Path:
    """Return an absolute path without links; a link to itself stays, where `Path.resolve` raises RuntimeError."""
    return Path(os.path.realpath(path))


def check_folder(path: str | os.PathLike[str]) -> None:
    """Check that the folder of a file that is written later exists.

    Raises:
        FileNotFoundError: no such folder.
    """
    folder = real_path(path).parent
    if not folder.is_dir():
        raise FileNotFoundError(f"{os.fspath(path)}: no such folder {folder}")


def _write(path: str, content: Iterable[bytes]) -> None:
    try:
        older = os.stat(path)  # noqa: PTH116  # of a link's target
    except FileNotFoundError:
        older = None
    if older is not None and stat.S_ISDIR(older.st_mode):
        raise IsADirectoryError(f"{path}: expected a file name, got a folder")
    is_open = _open_file(path)
    if older is not None and (is_open is not None or not stat.S_ISREG(older.st_mode)):
        _write_into(path, content, is_open)
        return
    target = Path(os.path.realpath(path))
    check_folder(path)
    if older is not None and not os.access(target, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))  # which a rename ignores
    partial = partial_of(target)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        descriptor = os.open(partial, flags, 0o666)
        with open(descriptor, "wb") as file:  # noqa: PTH123  # of a descriptor
            if older is not None:
                _copy_mode(partial, older)
            file.writelines(content)
            file.flush()
            _sync(descriptor)
        partial.replace(target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def partial_of(target: Path, ending: str = ".part") -> Path:
    """Return a name beside `target`, hidden and unique, for a file that replaces it once complete."""
    return target.with_name(f".{target.name[:_NAMED]}.{os.urandom(8).hex()}{ending}")


def _open_file(path: str) -> tuple[str, str] | None:
    """Return the folder and the name of a process's open file that a path leads to (/dev/stdout), else None."""
    for _ in range(_MAX_LINKS):
        folder, name = os.path.split(os.path.abspath(path))  # noqa: PTH100  # links are followed one by one
        folder = os.path.realpath(folder)
        if _DESCRIPTORS.fullmatch(folder):
            return folder, name
        path = os.path.join(folder, name)  # noqa: PTH118
        if not os.path.islink(path):  # noqa: PTH114
            return None
        path = os.path.join(folder, os.readlink(path))  # noqa: PTH115, PTH118
    return None


def _write_into(path: str, content: Iterable[bytes], is_open: tuple[str, str] | None) -> None:
    """Append to a device, a pipe or an open file, after flushing this process's own output."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    if is_open is not None and is_open[0] in ("/dev/fd", f"/proc/{os.getpid()}/fd"):
        descriptor = os.dup(int(is_open[1]))  # opened anew, it would have another position
    else:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)  # never makes a file
    with open(descriptor, "wb") as file:  # noqa: PTH123
        file.writelines(content)


def _copy_mode(partial: Path, older: os.stat_result) -> None:
    """Give a file the owner and the mode of the one that it replaces."""
    new = partial.stat()
    if hasattr(os, "chown") and (new.st_uid, new.st_gid) != (older.st_uid, older.st_gid):
        with contextlib.suppress(PermissionError):
            os.chown(partial, older.st_uid, older.st_gid)
    partial.chmod(stat.S_IMODE(older.st_mode))


def _sync(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
