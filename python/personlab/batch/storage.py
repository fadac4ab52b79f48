"""Files on disks, in object stores and on the web: how inputs are read, and how results are put in place for good."""

from __future__ import annotations

import contextlib
import io
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import urlsplit
from urllib.request import url2pathname

from personlab.batch.web import open_web, read_web
from personlab.io.files import read_up_to, write_whole
from personlab.io.images import MAX_BYTES
from personlab.io.sources import scheme_of

if TYPE_CHECKING:
    from collections.abc import Iterable

WEB = ("http", "https")
HIDDEN = "***"  # in place of a name and a password
_WRITES_WHOLE = ("s3", "gcs", "abfs", "py::fsspec+s3", "py::fsspec+gcs")  # an object appears once it is written


def as_address(text: str) -> str:
    """Return an absolute path, or the address of another file system as it is; a file:// address is a path.

    Raises:
        ValueError: an address with a password, which would stand in results.
    """
    scheme = scheme_of(text)
    if not scheme:
        return os.path.abspath(text)  # noqa: PTH100  # links stay
    if scheme == "file":
        return os.path.abspath(url2pathname(urlsplit(text).path))  # noqa: PTH100
    if re.match(r"[^/?#@]*:[^/?#@]*@", text[len(scheme) + 3 :]):
        shown = text[: len(scheme) + 3] + HIDDEN + text[text.index("@") :]
        raise ValueError(f"{shown}: expected an address without a password: put it in the environment")
    return text


class Files:
    """Reads files by their addresses; keeps the clients of object stores."""

    def __init__(self) -> None:
        self._systems: dict[tuple[str, str, str], tuple[Any, str]] = {}

    def system(self, address: str) -> tuple[Any, str]:
        """Return the file system of pyarrow that an address belongs to, and the path in it.

        Raises:
            ValueError: no such file system.
        """
        parts = urlsplit(address)
        key = parts.scheme.lower(), parts.netloc, parts.query
        if key not in self._systems:
            from pyarrow import ArrowInvalid, fs

            base = f"{key[0]}://{key[1]}/" + (f"?{key[2]}" if key[2] else "")
            try:
                self._systems[key] = fs.FileSystem.from_uri(base)
            except (ArrowInvalid, NotImplementedError, TypeError) as error:
                raise ValueError(f"{address}: expected an address of a file system, got: {_line(error)}") from None
        system, root = self._systems[key]
        start = root.rstrip("/") + "/" if root else ""  # some begin with a slash, some with the bucket
        return system, (start + parts.path.lstrip("/")).rstrip("/")

    def read(self, address: str) -> bytes:
        """Return the content of a file of at most `MAX_BYTES`.

        Raises:
            OSError: it cannot be read.
            ValueError: it is longer.
        """
        scheme = scheme_of(address)
        if not scheme:
            return read_up_to(address, MAX_BYTES)
        if scheme in WEB:
            return read_web(address, MAX_BYTES)
        system, path = self.system(address)
        with system.open_input_file(path) as file:
            if file.size() > MAX_BYTES:
                raise ValueError(f"{address}: expected a file of at most {MAX_BYTES} bytes, got {file.size()}")
            return bytes(file.read())

    def open(self, address: str) -> BinaryIO:
        """Open a file in which one can seek.

        Raises:
            OSError: it cannot be read.
        """
        scheme = scheme_of(address)
        if not scheme:
            return Path(address).open("rb")
        if scheme in WEB:
            return open_web(address)
        system, path = self.system(address)
        return io.BufferedReader(_Raw(system.open_input_file(path)), 1 << 18)


class _Raw(io.RawIOBase):
    """A file of pyarrow as one of Python's, for buffers."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._file.seek(offset, whence)
        return int(self._file.tell())

    def tell(self) -> int:
        return int(self._file.tell())

    def readinto(self, buffer: Any) -> int:
        chunk = self._file.read(len(buffer))
        buffer[: len(chunk)] = chunk
        return len(chunk)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


class Store:
    """The folder of results: files appear in it whole, and stay.

    Args:
        address: of the folder; it is made when the first file is written.

    Raises:
        ValueError: an address that cannot be written to.
    """

    def __init__(self, address: str) -> None:
        self.address = as_address(address)
        scheme = scheme_of(self.address)
        if scheme in WEB:
            raise ValueError(f"{address}: expected a folder or an object store to write to, got an address of the web")
        self._system: Any = None
        self._root = self.address
        if scheme:
            self._system, self._root = Files().system(self.address)

    @property
    def is_local(self) -> bool:
        """Whether it is a folder of this machine's file system."""
        return self._system is None

    def exists(self, name: str) -> bool:
        """Return whether a file is in place."""
        if self._system is None:
            return os.path.exists(self._path(name))  # noqa: PTH110  # asked for every unit
        return bool(self._system.get_file_info(self._path(name)).is_file)

    def read(self, name: str) -> bytes:
        """Return the content of a file.

        Raises:
            OSError: it cannot be read.
        """
        if self._system is None:
            return Path(self._path(name)).read_bytes()
        with self._system.open_input_file(self._path(name)) as file:
            return bytes(file.read())

    def write(self, name: str, content: bytes, *, sync: bool = True) -> None:
        """Put a file in place, whole, in one step, after the disk has its content; replaces an older one.

        Args:
            name: of the file.
            content: of it.
            sync: without, a folder of this machine gets the file at once: it outlives the process, not the machine.

        Raises:
            OSError: it cannot be written.
        """
        path = self._path(name)
        if self._system is None:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            if not sync:
                Path(path).write_bytes(content)
                return
            write_whole(path, content)
            _sync_folder(Path(path).parent)
            return
        if self._system.type_name in _WRITES_WHOLE:
            self._put(path, content)
            return
        self._system.create_dir(path.rpartition("/")[0], recursive=True)
        folder, _, own = path.rpartition("/")
        partial = f"{folder}/.{own}.{os.urandom(8).hex()}.part"
        self._put(partial, content)
        self._system.move(partial, path)

    def _put(self, path: str, content: bytes) -> None:
        stream = self._system.open_output_stream(path)
        stream.write(content)
        stream.close()

    def delete(self, name: str) -> None:
        """Delete a file, if it is there."""
        if self._system is None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path(name))  # noqa: PTH108
        elif self.exists(name):
            self._system.delete_file(self._path(name))

    def names(self, folder: str) -> Iterable[str]:
        """Yield the names of the files and folders directly in a folder; none where it is missing."""
        if self._system is None:
            with contextlib.suppress(FileNotFoundError), os.scandir(self._path(folder)) as entries:
                for entry in entries:
                    yield entry.name
            return
        from pyarrow.fs import FileSelector

        selector = FileSelector(self._path(folder), allow_not_found=True)
        yield from (info.base_name for info in self._system.get_file_info(selector))

    def clean(self) -> None:
        """Delete what killed processes left of files that they were writing."""
        if self._system is not None:
            return
        for folder, _, names in os.walk(self._root):
            for name in names:
                if name.startswith(".") and name.endswith(".part"):
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(os.path.join(folder, name))  # noqa: PTH108, PTH118

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}".rstrip("/")


def _sync_folder(folder: Path) -> None:
    """Wait until the disk has the names in a folder, so that what is written later is never there without them."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # of file systems without it
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
