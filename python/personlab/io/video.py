"""Videos, streams and cameras as frames with their times, whatever they come from."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from personlab.io.background import Background
from personlab.io.camera import Camera
from personlab.io.containers import has_table_at_end, is_mp4
from personlab.io.pipes import Pipe, PipedFile
from personlab.io.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Iterator
    from fractions import Fraction

    import numpy as np
    from numpy.typing import NDArray

    from personlab.io.sources import Source


_FIRST, _PEEKED = 600, 1 << 16  # bytes of a pipe, which show what it brings, and whether it must be copied to a file


class VideoFrame(NamedTuple):
    """A frame of a video."""

    image: NDArray[np.uint8]
    """(H, W, 3) RGB"""

    time: float
    """seconds from the first frame"""


class Video:
    """Iterates once over the frames of a video file, a stream, a pipe or a camera.

    Frames that cannot be decoded are left out; those that are decoded in part are not.

    Raises:
        OSError: the file cannot be read.
        ValueError: another kind of file, no such camera, a stream that does not answer, or a package is missing.
    """

    def __init__(self, source: Source) -> None:
        self._reader: Reader | Camera
        self._pipe: Pipe | None = None
        self._background: Background[Any] | None = None
        if source.kind == "camera":
            self._reader = Camera(source.name)
            self._items: Iterator[Any] = iter(self._reader)
            return
        self._pipe = source.pipe or _pipe_of(source)
        items: Iterator[Any] = _read(source, self._pipe)
        if self._pipe is not None or source.kind == "stream":
            items = self._background = Background(items)
        self._items = items
        try:
            self._reader = cast("Reader", next(items))
        except BaseException:
            self.stop()
            raise

    def __iter__(self) -> Iterator[VideoFrame]:
        for image, seconds in self._items:
            yield VideoFrame(image, seconds)

    def stop(self) -> None:
        """End the iteration, also where another thread waits in it for a stream or a pipe."""
        if self._pipe is not None:
            self._pipe.stop()
        if self._background is not None:
            self._background.stop()

    @property
    def is_live(self) -> bool:
        """Whether the video has no end of its own, as a camera; interrupting it ends it."""
        return self._reader.duration is None and (self._background is not None or isinstance(self._reader, Camera))

    @property
    def rate(self) -> float:
        """Frames a second, on average, by the header."""
        return self._reader.rate

    @property
    def count(self) -> int | None:
        """Frames, by the header: their count, else duration times rate; None where it has neither."""
        return self._reader.count

    @property
    def counts_frames(self) -> bool:
        """Whether the header counts the frames one by one, so that the missing ones are known exactly."""
        return self._reader.counts_frames

    @property
    def pixel_aspect(self) -> Fraction | None:
        """Width of a pixel by its height, once a frame is read; None where it is unknown."""
        return self._reader.pixel_aspect

    @property
    def end(self) -> float | None:
        """Seconds from the first frame to the end of the last one, once all are read, where it is known."""
        return self._reader.end

    @property
    def missing(self) -> int:
        """Frames that could not be read, once all are read; an estimate for formats that count none."""
        return self._reader.missing

    @property
    def damaged(self) -> int:
        """Frames read so far that could be decoded in part alone."""
        return self._reader.damaged

    def describe_damage(self, frames: int) -> list[str]:
        """Return a line for each kind of damage, once all are read.

        Args:
            frames: that were read.
        """
        lines = []
        if self.missing:
            count = (
                f"{self.missing} of {frames + self.missing}"
                if self.counts_frames
                else f"at least {self.missing} of its"
            )
            lines.append(f"the video is damaged: {count} frames are missing")
        if self.damaged:
            lines.append(f"the video is damaged: {self.damaged} of its frames could be decoded in part only")
        if self.problem:
            lines.append(f"the stream ended early: {self.problem}")
        return lines

    @property
    def problem(self) -> str:
        """Why a stream ended before its end; empty where it did not."""
        return self._reader.problem


def _read(source: Source, pipe: Pipe | None) -> Iterator[Any]:
    """Yield the reader of a source, and then its frames; a pipe that cannot be read in order is copied first."""
    pipes = [] if pipe is None else [pipe]
    try:
        if pipe is not None and not pipe.seekable() and _must_be_copied(pipe):
            copy = PipedFile(pipe, sys.maxsize)
            pipes.append(Pipe(os.fspath(copy), pipe.name))
        reader = Reader(source, pipes[-1] if pipes else None)
        yield reader
        yield from reader
    finally:
        for one in pipes:
            one.close()


def _must_be_copied(pipe: Pipe) -> bool:
    """Return whether a pipe brings a file of MP4's kind whose table of frames comes last.

    Reads no further than it has to: what else a live source has to say may be long in coming.
    """
    count = _FIRST
    while True:
        start = pipe.peek(count)
        ended = len(start) < count or count >= _PEEKED
        if ended or not is_mp4(start) or b"moov" in start or b"mdat" in start:
            return has_table_at_end(start)
        count *= 2


def _pipe_of(source: Source) -> Pipe | None:
    """Return the pipe that a file's name stands for, if it stands for one."""
    path = Path(source.name)
    if source.kind == "video" and path.exists() and not path.is_file() and stat.S_ISFIFO(path.stat().st_mode):
        return Pipe(source.name, source.name)
    return None
