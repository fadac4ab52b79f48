"""Files over HTTP: whole or not at all, taken up again after a broken connection."""

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

TRIES = 4  # connections in a row that may bring next to nothing
_USEFUL = 1 << 14  # bytes: a connection that brings as many was none in vain
_TIMEOUT = 30.0  # seconds without an answer
TOTAL = 1200.0  # seconds for all files of a download
_RATE = 2048.0  # bytes a second, over as many seconds as an answer may take
_PAUSE = 0.5  # seconds before the second try; twice as long before each further one
_DIGITS = 18  # of a length that can be meant
_CHUNK = 1 << 16  # bytes
_PASSING = (408, 425, 429, 500, 502, 503, 504)  # HTTP's answers that another try may better


class _BrokenError(Exception):
    """A connection that another try may better."""


def fetch_bytes(url: str, *, limit: int, pace: Pace) -> bytes:
    """The content of a small file.

    Raises:
        OSError: the server cannot be reached or has no such file.
        ValueError: it is longer than `limit` bytes, or the URL is none of http or https.
    """

    def attempt() -> bytes:
        with _open(url, {}, pace) as answer:
            if answer.status == http.client.PARTIAL_CONTENT:
                raise OSError(f"{url}: the server answers 206 to a request for the whole")
            content = bytearray()
            while len(content) <= limit and (chunk := _read(answer)):
                content += chunk
            if len(content) <= limit:
                _check_complete(_announced(answer), len(content))
        return bytes(content)

    content: bytes = _try(url, attempt, lambda: 0, pace)
    if len(content) > limit:
        raise ValueError(f"{url}: expected at most {limit} bytes, got more")
    return content


def fetch(url: str, file: Path, *, limit: int, progress: Callable[[int], Any], pace: Pace) -> None:
    """Write the content of a URL to a file, which appears whole or not at all; it is left as it is where it exists.

    Beside it grows NAME.part, from which the next call goes on where the server tells (ETag) that the content is the
    same and can send a part of it.

    Args:
        url: http or https.
        file: in a folder that exists.
        limit: bytes that the content may have.
        progress: told how many bytes came, less than 0 where a start had to be given up.
        pace: how long it may take.

    Raises:
        OSError: the server cannot be reached or has no such file, or the disk is full.
        ValueError: the content is longer than `limit` bytes, or the URL is none of http or https.
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
    """How long a download that begins now may take."""
    return Pace(total=TOTAL, silence=_TIMEOUT, rate=_RATE)


def _fetch_rest(url: str, part: Path, tag: Path, limit: int, progress: Callable[[int], Any], pace: Pace) -> None:
    """One connection's worth of a file.

    Raises:
        _BrokenError: it ended early.
    """
    have = _size(part)
    known = tag.read_text() if tag.is_file() else ""
    headers = {"Range": f"bytes={have}-", "If-Range": known} if have and known else {}
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
        if not resumed:  # the whole: it has no parts to give, or the content is another
            progress(-have)
            have = 0
            part.write_bytes(b"")  # first: the old start must never lie beside the new tag
            etag = answer.headers.get("ETag", "")
            tag.write_text("" if etag.startswith("W/") else etag)  # a weak one does not promise the same bytes
        announced = _announced(answer)
        if have + (announced or 0) > limit:
            raise ValueError(f"{url}: expected at most {limit} bytes by the manifest, got {have + (announced or 0)}")
        got = _read_to(part, answer, limit - have, progress)
        if got > limit - have:
            part.unlink()
            raise ValueError(f"{url}: expected at most {limit} bytes by the manifest, got more")
        _check_complete(announced, got)


def _read_to(part: Path, answer: Any, limit: int, progress: Callable[[int], Any]) -> int:
    """Append what an answer brings to a file, at most `limit` bytes.

    Returns:
        How many bytes came: more than `limit` where it brought more.
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
        chunk: bytes = answer.read1(_CHUNK)  # what is there: a slow rest does not take the start away
    except (OSError, http.client.HTTPException) as error:  # here, where no error of the disk can be among them
        raise _BrokenError(str(error)) from None
    return chunk


def _announced(answer: Any) -> int | None:
    """Bytes that the answer says it brings, where it does."""
    text = answer.headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < _DIGITS else None


def _check_complete(announced: int | None, got: int) -> None:
    """Whether an answer brought what it had announced.

    Raises:
        _BrokenError: it ended early.
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
    except (OSError, http.client.HTTPException, ValueError) as error:  # ValueError: of a redirection
        raise _BrokenError(str(error)) from None


def _try(url: str, attempt: Callable[[], Any], progress: Callable[[], int], pace: Pace) -> Any:
    """What `attempt` returns, after as many tries as it takes.

    Args:
        url: for messages.
        attempt: one try.
        progress: how far the tries together have come; one that came far enough is no vain one.
        pace: gives up where it is over.
    """
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise ValueError(f"{url}: expected a URL of http or https")
    vain, pause = 0, _PAUSE
    while True:
        before = progress()
        try:
            return attempt()
        except urllib.error.HTTPError as error:
            error.close()
            reason: object = f"the server answers {error.code} {error.reason}"
            if error.code not in _PASSING:
                raise OSError(f"{url}: {reason}") from None
        except urllib.error.URLError as error:
            reason = error.reason
        except _BrokenError as error:
            reason = error
        vain, pause = (0, _PAUSE) if progress() >= before + _USEFUL else (vain + 1, pause)
        if pace.is_over():
            raise OSError(f"{url}: no download within {pace.total:g} s ({reason}); the next call goes on from there")
        if vain == TRIES:
            raise OSError(
                f"{url}: no download after {TRIES} tries ({reason}); without a connection, give the file of a network "
                "in place of its name, or a mirror's URL in PERSONLAB_WEIGHTS_URL"
            )
        time.sleep(pause)
        pause *= 2


def _size(file: Path) -> int:
    return file.stat().st_size if file.is_file() else 0
