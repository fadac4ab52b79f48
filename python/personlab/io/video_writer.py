"""Writes drawn frames as a video that browsers play, complete or absent, at the times of the frames that they show."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.io.files import check_folder, partial_of
from personlab.io.media import describe, import_av

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_CLOCK = 60_000  # ticks a second of time stamps: frames of the usual rates last whole ticks; MPEG-4 has 65,535 at most
_CODECS: tuple[tuple[str, dict[str, str]], ...] = (
    # The first one that the installed FFmpeg has: what browsers play in an MP4 file, at last what players play.
    ("libx264", {"preset": "superfast", "crf": "20"}),
    ("libopenh264", {}),
    ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "6", "crf": "30", "b": "0"}),
    ("mpeg4", {"qscale": "3"}),
)
_MAX_LAST = 3600.0  # seconds of a frame: what is longer is an error of a clock


def _target_of(path: Path) -> Path:
    """Return the file that a symbolic link points at; else the path, as for links to devices and folders."""
    target = Path(os.path.realpath(path))
    is_followed = path.is_symlink() and (target.is_file() or not target.exists())
    return target if is_followed else path


class VideoWriter:
    """Writes an MP4 file (H.264) of RGB frames; it appears under its name when it is closed, not before.

    Args:
        path: ends in .mp4. Of a symbolic link to a file, or to none, what it points at is replaced, or made.
        rate: frames a second, about: those of frames without times, and how long the last one lasts.

    Raises:
        FileNotFoundError: the folder does not exist.
        ValueError: PyAV is not installed.
    """

    def __init__(self, path: str | os.PathLike[str], rate: float) -> None:
        check_folder(path)
        self._path = Path(path)  # as messages name it
        self._av = import_av(str(self._path))
        self._target = _target_of(self._path)
        self._partial = partial_of(self._target, ".part.mp4")
        self._rate = min(max(rate, 0.01), 1000.0)
        self.pixel_aspect: Fraction | None = None
        """width of a pixel by its height, to be set before the first frame; square if left out"""
        self._size = (0, 0)
        self._container: Any = None
        self._stream: Any = None
        self._held: tuple[NDArray[np.uint8], int] | None = None  # the last frame and its time, ticks
        self._durations: deque[int] = deque()  # ticks of frames in the encoder

    def write(self, frame: NDArray[np.uint8], time: float | None = None) -> None:
        """Add a frame, (H, W, 3) uint8 RGB, resized to the first one's size; an odd row or column is cut off.

        Args:
            frame: the frame.
            time: seconds at which it appears, later than the frame before; without it, one frame's time after that.

        Raises:
            OSError: the file cannot be written.
        """
        image = _even(frame)
        with self._errors():
            if self._container is None:
                self._open((image.shape[1], image.shape[0]))
            earliest = 0 if self._held is None else self._held[1] + 1
            usual = 0 if self._held is None else self._held[1] + round(_CLOCK / self._rate)
            at = usual if time is None else max(round(time * _CLOCK), earliest)
            if self._held is not None:
                self._encode(min(at - self._held[1], round(_MAX_LAST * _CLOCK)))
            self._held = (image, at)

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
        if self._held is None:
            self.discard()
            return None
        try:
            with self._errors():
                lasts = round(_CLOCK / self._rate) if end is None else round(end * _CLOCK) - self._held[1]
                self._encode(max(min(lasts, round(_MAX_LAST * _CLOCK)), 1))
                self._mux(self._stream.encode(None))
                self._container.close()
                self._container = None
                with self._partial.open("rb") as file:
                    os.fsync(file.fileno())
            target = self._target.with_suffix(f".part{self._target.suffix}") if is_part else self._target
            self._partial.replace(target)
        finally:
            self.discard()
        return target if is_part else self._path

    def discard(self) -> None:
        """Remove what is written of a file that is not closed yet."""
        self._held = None
        if self._container is not None:
            container, self._container, self._stream = self._container, None, None
            with contextlib.suppress(OSError, self._av.error.FFmpegError):  # the file is given up
                container.close()
        with contextlib.suppress(OSError):  # none was made
            self._partial.unlink()

    def _open(self, size: tuple[int, int]) -> None:
        self._partial.open("xb").close()
        self._container = self._av.open(
            f"file:{os.path.abspath(self._partial)}", "w", format="mp4", options={"movflags": "+faststart"}  # noqa: PTH100
        )  # fmt: skip
        codec, options = next((name, options) for name, options in _CODECS if name in self._av.codecs_available)
        rate = Fraction(self._rate).limit_denominator(1001)
        self._stream = self._container.add_stream(codec, rate=rate, options=options)
        context = self._stream.codec_context
        context.width, context.height = self._size = size
        context.pix_fmt = "yuv420p"
        context.time_base = Fraction(1, _CLOCK)
        context.max_b_frames = 0  # time stamps increase, and begin at 0
        context.gop_size = 250
        context.colorspace = context.color_primaries = context.color_trc = 1  # BT.709
        context.color_range = 1  # limited
        if self.pixel_aspect is not None and 0 < self.pixel_aspect != 1:
            context.sample_aspect_ratio = self.pixel_aspect

    def _encode(self, lasts: int) -> None:
        """Encode the held frame, which lasts so many ticks."""
        from av.video.reformatter import ColorRange, Colorspace

        assert self._held is not None
        image, at = self._held
        frame = self._av.VideoFrame.from_ndarray(image, format="rgb24").reformat(
            *self._size, "yuv420p",
            dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG, interpolation="AREA", threads=1,
        )  # fmt: skip
        frame.pts, frame.duration, frame.time_base = at, lasts, Fraction(1, _CLOCK)
        self._durations.append(lasts)
        self._mux(self._stream.encode(frame))

    def _mux(self, packets: Any) -> None:
        for packet in packets:
            packet.duration = self._durations.popleft()  # without which the last one would last as long as most
            self._container.mux(packet)

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Name the file in errors as it was given."""
        try:
            yield
        except self._av.error.FFmpegError as error:
            raise OSError(error.errno or 0, describe(error), str(self._path)) from None
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self._path)) from None


def _even(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Cut an odd row and column off, or repeat the only one: the encoder stores the colours of 2 by 2 pixels."""
    height, width = image.shape[:2]
    image = np.pad(image, ((0, height == 1), (0, width == 1), (0, 0)), "edge") if min(height, width) == 1 else image
    return np.ascontiguousarray(image[: image.shape[0] & ~1, : image.shape[1] & ~1])
