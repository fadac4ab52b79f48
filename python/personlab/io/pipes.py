"""Standard input and named pipes as files whose readers can be called away while they wait."""

from __future__ import annotations

import os
import select
import stat
import tempfile
import threading

_POLL = 0.1  # seconds after which a waiting reader looks whether it is still wanted
_PEEKED = 600  # bytes at the start, which tell what comes
_CHUNK = 1 << 16  # bytes read at once


class Pipe:
    """A file object over a descriptor; where that is a regular file, as in `command < file`, it can seek.

    Args:
        source: the path of a named pipe, or a descriptor.
        name: for messages.

    Raises:
        OSError: the pipe cannot be opened.
    """

    def __init__(self, source: str | int, name: str) -> None:
        self.name = name
        # Not blocking, or else opening a pipe would wait for its writer and could not be called away.
        self._descriptor = source if isinstance(source, int) else os.open(source, os.O_RDONLY | os.O_NONBLOCK)
        self._is_owned = not isinstance(source, int)
        self._is_regular = stat.S_ISREG(os.fstat(self._descriptor).st_mode)
        self._peeked = b""
        self._has_begun = False
        self._stopped = threading.Event()

    def peek(self, count: int = _PEEKED) -> bytes:
        """Return the first bytes without consuming them: at least `count`, or all of a shorter input."""
        if self._is_regular:
            place = self.tell()
            content = os.read(self._descriptor, count)
            self.seek(place)
            return content
        while len(self._peeked) < count and (chunk := self._read(_CHUNK)):
            self._peeked += chunk
        return self._peeked

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes, as soon as there are some; none at the end, and after `stop`."""
        if self._peeked:
            chunk, self._peeked = self._peeked[:size], self._peeked[size:]
            return chunk
        return self._read(size)

    def seekable(self) -> bool:
        """Return whether `seek` works."""
        return self._is_regular

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to another place of a regular file, and return it."""
        return os.lseek(self._descriptor, offset, whence)

    def tell(self) -> int:
        """Return the place in a regular file."""
        return os.lseek(self._descriptor, 0, os.SEEK_CUR)

    def stop(self) -> None:
        """End a read that waits in another thread, and all further ones."""
        self._stopped.set()

    def close(self) -> None:
        """Close a pipe that was opened by its path."""
        self.stop()
        if self._is_owned:
            self._is_owned = False
            os.close(self._descriptor)

    def _read(self, size: int) -> bytes:
        while not self._stopped.is_set() and threading.main_thread().is_alive():
            if not self._is_regular and not _has_input(self._descriptor):
                continue
            try:
                chunk = os.read(self._descriptor, size)
            except BlockingIOError:
                continue
            if not chunk and not self._is_regular and not self._has_begun and self._is_owned:
                self._stopped.wait(_POLL)  # no writer has opened the pipe yet
                continue
            self._has_begun = True
            return chunk
        return b""


class PipedFile(os.PathLike[str]):
    """What a pipe holds, as a temporary file for readers that take paths; messages name the pipe.

    Args:
        pipe: read to its end.
        limit: bytes that are read at most.
    """

    def __init__(self, pipe: Pipe, limit: int) -> None:
        self._name = pipe.name
        self._file = tempfile.NamedTemporaryFile()  # noqa: SIM115  # lives as long as this object
        while self._file.tell() < limit and (chunk := pipe.read(_CHUNK)):
            self._file.write(chunk)
        self._file.flush()

    def __fspath__(self) -> str:
        return self._file.name

    def __str__(self) -> str:
        return self._name


def _has_input(descriptor: int) -> bool:
    """Wait a moment for input, or its end; True where the system cannot tell."""
    if not hasattr(select, "poll"):
        return True
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(1000 * _POLL))
