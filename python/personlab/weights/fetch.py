"""Downloads files over HTTP: complete or not at all, resumed after a broken connection."""

from __future__ import annotations

import errno
import http.client
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any

from personlab.info import __version__
from personlab.weights.pace import Pace

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TRIES = 4  # connections in a row that may fail without progress
_MIN_PROGRESS = 1 << 14  # bytes that make a broken connection count as progress
_TIMEOUT = 30.0  # seconds without a byte
TOTAL = 1200.0  # seconds for all files of a download
_MIN_RATE = 2048.0  # bytes a second, averaged over the timeout
_PAUSE = 0.5  # seconds before the second try; doubled before each further one
_MAX_DIGITS = 18  # of a Content-Length that is trusted
_CHUNK = 1 << 16  # bytes
_TRANSIENT = (408, 425, 429, 500, 502, 503, 504)  # HTTP status codes that another try may resolve


class _BrokenError(Exception):
    """A failed connection that another try may replace."""


def fetch_bytes(url: str, *, limit: int, pace: Pace) -> bytes:
    """Download a small file into memory.

    Raises:
        OSError: the server cannot be reached or has no such file.
        ValueError: the content is longer than `limit` bytes, or the URL is neither http nor https.
    """

    def attempt() -> bytes:
        with _open(url, {}, pace) as answer:
            if answer.status == http.client.PARTIAL_CONTENT:
                raise OSError(f"{url}: the server answers 206 to a request for the whole")
            content = bytearray()
            while len(content) <= limit and (chunk := _read(answer)):
                content += chunk
            if len(content) <= limit:
                _check_complete(_content_length(answer), len(content))
        return bytes(content)

    content: bytes = _try(url, attempt, lambda: 0, pace)
    if len(content) > limit:
        raise ValueError(f"{url}: expected at most {limit} bytes, got more")
    return content


def fetch(url: str, file: Path, *, limit: int, progress: Callable[[int], Any], pace: Pace) -> None:
    """Download a URL to a file, which appears complete or not at all; an existing file is kept.

    Bytes go to NAME.part first. The next call resumes it if the server sends ranges and its strong ETag is unchanged.

    Args:
        url: http or https.
        file: in an existing folder.
        limit: max bytes of the content.
        progress: called with the number of bytes received, negative where a partial file was discarded.
        pace: limits of time and rate.

    Raises:
        OSError: the server cannot be reached or has no such file, or the disk is full.
        ValueError: the content is longer than `limit` bytes, or the URL is neither http nor https.
    """
    if file.is_file():
        progress(file.stat().st_size)
        return
    part, tag = file.with_name(f"{file.name}.part"), file.with_name(f"{file.name}.tag")
    progress(_size(part))
    try:
        _try(url, lambda: _fetch_rest(url, part, tag, limit, progress, pace), lambda: _size(part), pace)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            part.unlink(missing_ok=True)
            raise OSError(f"{file.parent}: no space left for a download of up to {limit} bytes ({url})") from None
        raise
    part.replace(file)
    tag.unlink(missing_ok=True)


def download_pace() -> Pace:
    """Return the limits of time and rate of a download that begins now."""
    return Pace(total=TOTAL, silence=_TIMEOUT, rate=_MIN_RATE)


def _fetch_rest(url: str, part: Path, tag: Path, limit: int, progress: Callable[[int], Any], pace: Pace) -> None:
    """Receive what one connection sends of a file.

    Raises:
        _BrokenError: the connection ended early.
    """
    have = _size(part)
    etag = tag.read_text() if tag.is_file() else ""
    headers = {"Range": f"bytes={have}-", "If-Range": etag} if have and etag else {}
    try:
        answer = _open(url, headers, pace)
    except urllib.error.HTTPError as error:
        if error.code != http.client.REQUESTED_RANGE_NOT_SATISFIABLE or not headers:
            raise
        error.close()
        progress(-have)
        part.unlink()
        raise _BrokenError("the server has no such part") from None
    with answer:
        resumed = answer.status == http.client.PARTIAL_CONTENT
        if resumed and not headers:
            raise OSError(f"{url}: the server answers 206 to a request for the whole")
        if resumed and not str(answer.headers.get("Content-Range")).startswith(f"bytes {have}-"):
            part.unlink()
            progress(-have)
            raise _BrokenError(f"the server sent another part, {answer.headers.get('Content-Range')}")
        if not resumed:  # the complete content: the server sends no ranges, or the content has changed
            progress(-have)
            have = 0
            part.write_bytes(b"")  # before the tag: old bytes must never stand beside a new tag
            etag = answer.headers.get("ETag", "")
            tag.write_text("" if etag.startswith("W/") else etag)  # a weak one does not guarantee equal bytes
        announced = _content_length(answer)
        if have + (announced or 0) > limit:
            raise ValueError(f"{url}: expected at most {limit} bytes by the manifest, got {have + (announced or 0)}")
        got = _read_to(part, answer, limit - have, progress)
        if got > limit - have:
            part.unlink()
            raise ValueError(f"{url}: expected at most {limit} bytes by the manifest, got more")
        _check_complete(announced, got)


def _read_to(part: Path, answer: Any, limit: int, progress: Callable[[int], Any]) -> int:
    """Append an answer to a file, at most `limit` bytes.

    Returns:
        The number of bytes received: above `limit` where the answer is longer.
    """
    got = 0
    with part.open("ab") as file:
        while chunk := _read(answer):
            got += len(chunk)
            if got > limit:
                break
            file.write(chunk)
            progress(len(chunk))
    return got


def _read(answer: Any) -> bytes:
    try:
        chunk: bytes = answer.read1(_CHUNK)  # what has arrived: a slow rest does not lose it
    except (OSError, http.client.HTTPException) as error:  # caught here: errors of the disk are not
        raise _BrokenError(str(error)) from None
    return chunk


def _content_length(answer: Any) -> int | None:
    """Return the Content-Length of an answer; None without a valid one."""
    text = answer.headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < _MAX_DIGITS else None


def _check_complete(announced: int | None, got: int) -> None:
    """Check that an answer has its announced length.

    Raises:
        _BrokenError: the answer ended early.
    """
    if announced is not None and got < announced:
        raise _BrokenError(f"the connection ended after {got} of {announced} bytes")


def _open(url: str, headers: dict[str, str], pace: Pace) -> Any:
    agent = {"User-Agent": f"personlab/{__version__}", "Accept-Encoding": "identity"}
    request = urllib.request.Request(url, headers=agent | headers)  # noqa: S310  # the scheme is checked in _try
    try:
        return pace.open(request)
    except urllib.error.URLError:
        raise
    except (OSError, http.client.HTTPException, ValueError) as error:  # ValueError: a redirection to an invalid URL
        raise _BrokenError(str(error)) from None


def _try(url: str, attempt: Callable[[], Any], progress: Callable[[], int], pace: Pace) -> Any:
    """Call `attempt` until it succeeds, `TRIES` calls in a row make no progress, or time is over; return its result.

    Args:
        url: for messages.
        attempt: one try.
        progress: returns the bytes received so far by all tries.
        pace: limits of time and rate.

    Raises:
        OSError: all tries failed.
        ValueError: the URL is neither http nor https.
    """
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise ValueError(f"{url}: expected a URL of http or https")
    failures, pause = 0, _PAUSE
    while True:
        before = progress()
        try:
            return attempt()
        except urllib.error.HTTPError as error:
            error.close()
            reason: object = f"the server answers {error.code} {error.reason}"
            if error.code not in _TRANSIENT:
                raise OSError(f"{url}: {reason}") from None
        except urllib.error.URLError as error:
            reason = error.reason
        except _BrokenError as error:
            reason = error
        failures, pause = (0, _PAUSE) if progress() >= before + _MIN_PROGRESS else (failures + 1, pause)
        if pace.is_over():
            raise OSError(f"{url}: no download within {pace.total:g} s ({reason}); the next call goes on from there")
        if failures == TRIES:
            raise OSError(
                f"{url}: no download after {TRIES} tries ({reason}); without a connection, give the file of a network "
                "in place of its name, or a mirror's URL in PERSONLAB_WEIGHTS_URL"
            )
        time.sleep(pause)
        pause *= 2


def _size(file: Path) -> int:
    return file.stat().st_size if file.is_file() else 0
