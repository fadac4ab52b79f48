"""Decodes the video of a file, a pipe or an address: frames with their times, read on past damage, and counts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from personlab.io import media
from personlab.io.containers import is_avi, is_cut_short
from personlab.io.pixels import RGBConverter, is_turned
from personlab.io.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Iterator
    from fractions import Fraction

    import numpy as np
    from numpy.typing import NDArray

    from personlab.io.pipes import Pipe
    from personlab.io.sources import Source

_RATE = 25.0  # frames a second, for files that give none
_ATTEMPTS = 100  # failed reads in a row at which a file ends
_MAX_FRAMES = 10**8  # a header with more is wrong
_MAX_LAST = 60.0  # seconds of the last frame: some headers claim hours
_BROADCAST = ("mpegts", "mpegtsraw", "mpeg", "mpegvideo", "h264", "hevc", "vvc", "m4v")  # formats without a header
_MAX_DURATION = 1e9  # seconds


class Reader:
    """Iterates once over the frames of a video, (H, W, 3) uint8 RGB, and the seconds from the first one to each.

    Frames that cannot be decoded are left out and counted; those that are decoded in part are read and counted.

    Raises:
        OSError: a file cannot be read.
        ValueError: another kind of file, a stream that does not answer, or no PyAV.
    """

    def __init__(self, source: Source, pipe: Pipe | None = None) -> None:
        self._source = source
        self._av = media.import_av(source.name)
        self._is_file = source.kind == "video" and pipe is None
        self._container = media.open_container(source, pipe)
        try:
            self._stream = media.video_stream(self._container, source.name, is_live=not self._is_file)
        except BaseException:
            self._container.close()
            raise
        rates = (self._stream.average_rate, self._stream.guessed_rate)
        self.rate: float = next((float(rate) for rate in rates if rate and 0 < rate <= 1000), _RATE)
        """frames a second, on average"""
        self.duration = _duration(self._container, self._stream)
        """seconds, by the header; None where it has none"""
        self.count = self._count()
        """frames, by the header: their count, else duration times rate; None where it has neither"""
        # Of the container nothing may be read once it is closed.
        self._is_mp4 = "mp4" in self._container.format.name.split(",")
        self.counts_frames = (
            self._is_file and 0 < self._stream.frames < _MAX_FRAMES and (self._is_mp4 or is_avi(source.name))
        )
        """whether the header counts the frames one by one"""
        self._indexed = len(self._stream.index_entries)
        # A recording of a broadcast may begin between the frames that can be decoded alone.
        self._begins_anywhere = not self._is_file or self._container.format.name in _BROADCAST
        self.pixel_aspect: Fraction | None = self._stream.sample_aspect_ratio
        """width of a pixel by its height, from the first frame on as the frames are turned; None if unknown"""
        self.shown = 0
        """frames read so far"""
        self.damaged = 0
        """those of them that were decoded in part"""
        self.problem = ""
        """why reading ended before the end; empty where it did not"""
        self.missing = 0
        """frames that could not be read, once all are read; an estimate for formats that count none"""
        self._failures = 0
        self._last = 0.0  # seconds from the first frame to the last one read
        self._last_lasts: float | None = None  # seconds of the last frame, where the file says so

    def __iter__(self) -> Iterator[tuple[NDArray[np.uint8], float]]:
        times = self.timeline()
        for image, stamp in self.stamped():
            self._last = times.add(stamp)
            yield image, self._last

    def timeline(self) -> Timeline:
        """Return what turns the time stamps of all frames, in their order, into seconds from the first one."""
        return Timeline(self.rate, (self.duration if self._is_file else None) or _MAX_LAST)

    def stamped(self) -> Iterator[tuple[NDArray[np.uint8], float | None]]:
        """Yield each frame and its time stamp, seconds; None where it has none."""
        convert = RGBConverter()
        try:
            for frame, is_damaged in self._frames():
                try:
                    image = convert(frame, self._source.name)
                except (ValueError, self._av.error.FFmpegError):  # too large, or of no colours
                    self._failures += 1
                    continue
                if not self.shown and self.pixel_aspect and is_turned(frame):
                    self.pixel_aspect = 1 / self.pixel_aspect
                self.shown += 1
                self.damaged += is_damaged
                stamp = frame.pts if frame.pts is not None else frame.dts
                base = frame.time_base or self._stream.time_base
                self._last_lasts = float(frame.duration * base) if frame.duration and base else None
                yield image, None if stamp is None or not base else float(stamp * base)
            self.missing = self._count_missing()
        finally:
            self._container.close()

    def _frames(self) -> Iterator[tuple[Any, bool]]:
        """Decode the packets; yield frames, and whether each is damaged."""
        damaged: set[int | None] = set()  # time stamps of packets that came in part
        for packet in self._packets():
            if packet is not None and packet.is_corrupt:
                damaged.add(packet.pts)
            for _ in range(1 if packet is not None else _ATTEMPTS):
                try:
                    frames = self._stream.codec_context.decode(packet)
                except EOFError:  # the decoder is empty
                    break
                except self._av.error.FFmpegError:
                    self._failures += self.shown > 0 or not self._begins_anywhere
                    continue
                for frame in frames:
                    yield frame, frame.is_corrupt or frame.pts in damaged
                    damaged.discard(frame.pts)
                if not frames:
                    break

    def _packets(self) -> Iterator[Any]:
        """Yield the packets up to the end of the source, and None, which flushes the decoder."""
        failures = 0
        while failures < _ATTEMPTS:
            try:
                for packet in self._container.demux(self._stream):
                    if packet.size:
                        failures = 0
                        yield packet
                break
            except (self._av.error.ExitError, self._av.error.TimeoutError):
                self.problem = f"no data for {media.TIMEOUT:g} s"
                break
            except IndexError:  # PyAV's, at the end of a file in which another stream turned up on the way
                break
            except self._av.error.FFmpegError as error:
                failures += 1
                if not self._is_file:
                    self.problem = media.describe(error)
                    break
        yield None

    def _count(self) -> int | None:
        count = self._stream.frames
        if not 0 < count < _MAX_FRAMES:
            count = 0 if self.duration is None else round(self.duration * self.rate)
        return count if 0 < count < _MAX_FRAMES else None

    def _count_missing(self) -> int:
        if self.counts_frames and self._is_mp4:  # an edit list may leave frames out
            return max(sum(1 for entry in self._stream.index_entries if not entry.is_discard) - self.shown, 0)
        is_cut = self._is_file and is_cut_short(self._source.name)
        if self.counts_frames:  # the header of an AVI file counts those, too, that only repeat the one before
            frames = self._indexed if self._indexed > 1 and not is_cut else int(self._stream.frames)
            return max(frames - self.shown, 0)
        if not is_cut:
            return self._failures
        rest = 0 if self.duration is None or not self.shown else round((self.duration - self._last) * self.rate) - 1
        return self._failures + max(rest, 1)

    @property
    def end(self) -> float | None:
        """Seconds from the first frame to the end of the last one, once all are read; None where that is unknown."""
        if not self.shown:
            return None
        lasts, duration = self._last_lasts, self.duration
        says_all = self._is_file and duration is not None and not self.missing and not self._is_mp4
        if says_all and duration is not None and (lasts or 0) < duration - self._last <= _MAX_LAST:
            return duration
        return self._last + lasts if lasts and lasts <= _MAX_LAST else None


def _duration(container: Any, stream: Any) -> float | None:
    """Return the seconds of a stream by its header: its own, else those of the container if it has no other stream."""
    if stream.duration is not None and stream.time_base:
        seconds = float(stream.duration * stream.time_base)
    elif container.duration is not None and all(one.type == "video" for one in container.streams):
        seconds = container.duration / 1e6
    else:
        seconds = _read_clock(stream.metadata.get("DURATION", ""))
    return seconds if 0 < seconds < _MAX_DURATION else None


def _read_clock(text: str) -> float:
    """Read the seconds of HH:MM:SS.SSS, as Matroska's tags give the duration of a stream; 0 where it is none."""
    try:
        return math.fsum(float(part) * 60.0**power for power, part in enumerate(reversed(text.split(":"))))
    except ValueError:
        return 0.0
