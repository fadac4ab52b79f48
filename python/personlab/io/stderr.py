"""Keeps image and video decoders off standard error: their lines are collected, for messages in the library's words."""

from __future__ import annotations

import contextlib
import io
import os
import re
import tempfile
import threading
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# Lines that tell of damage. libjpeg and libtiff warn of damage and go on; libpng's warnings are about
# colour profiles and text, its errors about damage.
DAMAGE = re.compile(
    r"Corrupt JPEG data: (?P<jpeg>.+)|Premature end of JPEG file|Inconsistent progression sequence"
    r"|\[ERROR.*TIFF_Error (?P<tiff>.+)|libpng error: (?P<png>.+)"
)
_OF_DECODERS = re.compile(
    rf"{DAMAGE.pattern}|libpng (?:warning|error)|\[ *(?:ERROR|WARN|INFO)[: ]|OpenCV\(|Warning: unknown JFIF|Caution: "
    r"|Unsupported marker type|Unknown Adobe color transform|> |    '"
    r"|\[[\w,]+ @ 0x[0-9a-f]+\] |\s*$"
)
_CAPTURE = threading.Lock()  # standard error belongs to the process: one capture at a time
if hasattr(os, "register_at_fork"):  # no child starts inside a capture, which would hide its errors
    os.register_at_fork(before=_CAPTURE.acquire, after_in_parent=_CAPTURE.release, after_in_child=_CAPTURE.release)


@contextlib.contextmanager
def captured_stderr() -> Iterator[list[str]]:
    """Collect the lines that decoders write to standard error while the block runs; complete once it has ended.

    Lines of other writers are passed on at the end. Without a standard error, nothing is collected.
    """
    lines: list[str] = []
    with _CAPTURE:
        try:
            stderr = os.dup(2)
        except OSError:
            yield lines
            return
        try:
            with _memory_file() as file:
                os.dup2(file.fileno(), 2)
                try:
                    yield lines
                finally:
                    os.dup2(stderr, 2)
                    if file.seek(0, os.SEEK_END):
                        file.seek(0)
                        _sort(file.read().decode(errors="replace"), lines)
        finally:
            os.close(stderr)


def _sort(text: str, lines: list[str]) -> None:
    """Add the lines of decoders to others of theirs, and pass on those of other writers."""
    written = re.findall(r"[^\n]*\n|[^\n]+", text)
    lines += [line for line in written if _OF_DECODERS.match(line)]
    others = "".join(line for line in written if not _OF_DECODERS.match(line))
    with contextlib.suppress(OSError):
        os.write(2, others.encode())


def _memory_file() -> IO[bytes]:
    if hasattr(os, "memfd_create"):
        return io.FileIO(os.memfd_create("stderr"), "r+")
    return tempfile.TemporaryFile(buffering=0)
