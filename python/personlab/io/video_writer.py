"""Writes drawn frames as a video file, complete or absent, at the times of the frames that they are drawn on."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from personlab.io.containers import is_cut_short
from personlab.io.files import check_folder, partial_of
from personlab.io.stderr import captured_stderr

if TYPE_CHECKING:
    import cv2
    from numpy.typing import NDArray

_PROBED_EVERY = 64  # frames between checks that the disk has room: the encoder does not report a full one
_ROOM = bytes(1 << 16)
_AHEAD = 1.0  # seconds by which a burst of frames may run ahead of its time; further frames are left out


def _target_of(path: Path) -> Path:
    """Return the file that a symbolic link points at; else the path, as for links to devices and folders."""
    target = Path(os.path.realpath(path))
    is_followed = path.is_symlink() and (target.is_file() or not target.exists())
    return target if is_followed else path


class VideoWriter:
    """Writes an MP4 file (MPEG-4 part 2) of RGB frames; it appears under its name when it is closed, not before.

    Args:
        path: ends in .mp4. Of a symbolic link to a file, or to none, what it points at is replaced, or made.
        rate: frames a second, constant: a frame that lasts longer is repeated.

    Raises:
        FileNotFoundError: the folder does not exist.
    """

    def __init__(self, path: str | os.PathLike[str], rate: float) -> None:
        check_folder(path)
        self._path = Path(path)  # as messages name it
        self._target = _target_of(self._path)
        self._partial = partial_of(self._target, ".part.mp4")
        self._rate = rate
        self._size = (0, 0)
        self._writer: cv2.VideoWriter | None = None
        self._held: NDArray[np.uint8] | None = None  # to be written when the next one tells how long it lasts
        self._written = 0  # frames of the file

    def write(self, frame: NDArray[np.uint8], time: float | None = None) -> None:
        """Add a frame, (H, W, 3) uint8 RGB, resized to the first one's size; an odd row or column is cut off.

        Args:
            frame: the frame.
            time: seconds at which it appears; without it, right after the frame before.

        Raises:
            OSError: the file cannot be written.
        """
        if self._writer is None:
            self._open((frame.shape[1], frame.shape[0]))
        self._flush(time)
        self._held = frame

    def _open(self, size: tuple[int, int]) -> None:
        import cv2

        try:
            self._partial.open("xb").close()
        except OSError as error:
            raise self._named(error) from None
        with captured_stderr():
            writer = cv2.VideoWriter(str(self._partial), cv2.VideoWriter.fourcc(*"mp4v"), self._rate, size)
        if not writer.isOpened():
            self.discard()
            raise OSError(f"{self._path}: a video of {size[0]} x {size[1]} pixels cannot be written there")
        self._writer, self._size = writer, size

    def _flush(self, until: float | None) -> None:
        """Write the held frame as often as it takes to last until that time, seconds."""
        import cv2

        frame, self._held = self._held, None
        if frame is None or self._writer is None:
            return
        due = self._written + 1 if until is None else round(until * self._rate)
        times = max(due - self._written, 1 if self._written - due < _AHEAD * self._rate else 0)
        if (frame.shape[1], frame.shape[0]) != self._size:
            frame = np.asarray(cv2.resize(frame, self._size, interpolation=cv2.INTER_AREA), np.uint8)
        bgr = np.ascontiguousarray(frame[..., ::-1])
        for _ in range(times):
            if self._written % _PROBED_EVERY == 0:
                self._probe()
            self._writer.write(bgr)
            self._written += 1

    def _probe(self) -> None:
        """Check that the disk has room.

        Raises:
            OSError: it is full.
        """
        try:
            with tempfile.TemporaryFile(dir=self._target.parent) as file:
                file.write(_ROOM)
        except OSError as error:
            raise self._named(error) from None

    def _named(self, error: OSError) -> OSError:
        return OSError(error.errno, error.strerror, str(self._path))

    def close(self, end: float | None = None, *, is_part: bool = False) -> Path | None:
        """Finish the file, if it has a frame.

        Args:
            end: seconds at which the last frame ends; without it, the last frame lasts one frame's time.
            is_part: the run was interrupted: the file is called NAME.part.mp4 and replaces no complete one.

        Returns:
            The file, or None without a frame.

        Raises:
            OSError: the file is incomplete, and is removed.
        """
        if self._writer is None:
            return None
        try:
            self._flush(end)
            self._writer.release()
            self._writer = None
            self._check_complete()
            target = self._target.with_suffix(f".part{self._target.suffix}") if is_part else self._target
            self._partial.replace(target)
        finally:
            self.discard()
        return target if is_part else self._path

    def _check_complete(self) -> None:
        import cv2

        with captured_stderr():
            capture = cv2.VideoCapture(str(self._partial))
            count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
            capture.release()
        if count != self._written or is_cut_short(self._partial):
            self._probe()
            raise OSError(f"{self._path}: the video could not be written whole, {count} of {self._written} frames")

    def discard(self) -> None:
        """Remove what is written of a file that is not closed yet."""
        if self._writer is not None:
            self._writer.release()
            self._writer = None
        self._held = None
        with contextlib.suppress(OSError):  # none was made
            self._partial.unlink()
