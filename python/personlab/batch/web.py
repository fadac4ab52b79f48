"""Files at http addresses: read whole, or by ranges where the server gives these."""

from __future__ import annotations

import http.client
import io
import os
import tempfile
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any, BinaryIO, cast

if TYPE_CHECKING:
    from collections.abc import Callable

_TIMEOUT = 30.0  # seconds that a server may be silent
_ATTEMPTS = 4
_PAUSE = 0.5  # seconds before the second attempt, doubled before each further one
_CHUNK = 1 << 20  # bytes read at once
_PASSING = (408, 425, 429, 500, 502, 503, 504)  # answers after which another attempt may succeed


def read_web(address: str, limit: int) -> bytes:
    """Return the content of a file of at most `limit` bytes; tries again where the network fails.

    Raises:
        OSError: the server does not answer, or has no such file.
        ValueError: it is longer.
    """

    def read() -> bytes:
        with urllib.request.urlopen(address, timeout=_TIMEOUT) as answer:  # noqa: S310  # http, by its caller
            content: bytes = answer.read(limit + 1)
            _check_whole(answer, len(content), limit)
        return content

    content: bytes = _try(address, read)
    if len(content) > limit:
        raise ValueError(f"{address}: expected a file of at most {limit} bytes, got more")
    return content


def open_web(address: str) -> BinaryIO:
    """Open a file in which one can seek: by ranges, or a temporary copy where the server sends whole files only.

    Raises:
        OSError: the server does not answer, or has no such file.
    """

    def begin() -> BinaryIO:
        request = urllib.request.Request(address, headers={"Range": "bytes=0-0"})  # noqa: S310
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:  # noqa: S310
            size = str(answer.headers.get("Content-Range", "")).rpartition("/")[2]
            if answer.status == 206 and size.isdigit():
                return io.BufferedReader(_Ranges(address, int(size)), _CHUNK)
            copy = tempfile.TemporaryFile()  # noqa: SIM115  # closed by the caller
            while chunk := answer.read(_CHUNK):
                copy.write(chunk)
            _check_whole(answer, copy.tell())
        copy.seek(0)
        return cast("BinaryIO", copy)

    file: BinaryIO = _try(address, begin)
    return file


class _Ranges(io.RawIOBase):
    """A file at an address whose server sends ranges."""

    def __init__(self, address: str, size: int) -> None:
        self._address, self._size, self._place = address, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._place = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence] + offset
        return self._place

    def tell(self) -> int:
        return self._place

    def readinto(self, buffer: Any) -> int:
        end = min(self._place + len(buffer), self._size)
        if end <= self._place:
            return 0

        def read() -> bytes:
            span = {"Range": f"bytes={self._place}-{end - 1}"}
            request = urllib.request.Request(self._address, headers=span)  # noqa: S310
            with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:  # noqa: S310
                content: bytes = answer.read()
            if len(content) != end - self._place:
                raise http.client.IncompleteRead(content, end - self._place - len(content))
            return content

        content = _try(self._address, read)
        buffer[: len(content)] = content
        self._place = end
        return len(content)


def _check_whole(answer: Any, got: int, limit: int | None = None) -> None:
    """Check that the connection did not end before the file."""
    size = answer.headers.get("Content-Length")
    if size is not None and got < int(size) and (limit is None or got <= limit):
        raise http.client.IncompleteRead(b"", int(size) - got)


def _try(address: str, work: Callable[[], Any]) -> Any:
    """Call a function again where the network fails."""
    for attempt in range(_ATTEMPTS):
        try:
            return work()
        except urllib.error.HTTPError as error:
            if error.code not in _PASSING or attempt == _ATTEMPTS - 1:
                raise OSError(f"{address}: expected a file, got the answer {error.code} {error.reason}") from None
        except (OSError, http.client.HTTPException) as error:
            if attempt == _ATTEMPTS - 1:
                reason = getattr(error, "reason", None) or error
                raise OSError(f"{address}: expected an answer, got: {' '.join(str(reason).split())}") from None
        time.sleep(_PAUSE * 2**attempt)
    raise AssertionError
