"""Videos and cameras as streams of frames with their times, read on past damage."""

from __future__ import annotations

import itertools
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from personlab.io.containers import is_avi, is_cut_short, is_mp4
from personlab.io.sources import begins_as_video
from personlab.io.stderr import captured_stderr

if TYPE_CHECKING:
    from collections.abc import Iterator

    import cv2
    from numpy.typing import NDArray

    from personlab.io.sources import Source

_RATE = 25.0  # frames a second, for files and cameras that give none
_PEEKED = 50  # first frames, whose times give the rate of a drawing
_MAX_RATE = 120.0  # frames a second of a drawing; headers of screen recordings say 1000
_ATTEMPTS = 10_000  # failed reads in a row at which a file ends: one at its end takes a microsecond
_MAX_FRAMES = 10**8  # a header with more is wrong
_MAX_LAST = 60.0  # seconds of the last frame: some headers claim hours


class Video:
    """Iterates once over the frames of a video file or a camera, (H, W, 3) uint8 RGB each.

    Frames of a file that cannot be decoded are left out.

    Raises:
        OSError: the file cannot be read.
        ValueError: another kind of file, or no such camera.
    """

    def __init__(self, source: Source) -> None:
        import cv2

        self._source = source
        self._is_camera = source.kind == "camera"
        self._capture = _opened(source)
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.rate: float = rate if math.isfinite(rate) and 0 < rate <= 1000 else _RATE
        """frames a second"""
        self.count: int | None = int(count) if not self._is_camera and 0 < count < _MAX_FRAMES else None
        """frames, by the file's header: their count, else duration times rate; None where it has neither"""
        self.times: list[float] = []
        """seconds from the first frame to each one read so far"""
        self._failures: list[int] = []  # failed reads before each of those frames

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        attempts = 1 if self._is_camera else _ATTEMPTS
        failures = 0
        try:
            while failures < attempts:
                read, frame = self._capture.read()
                if not read:
                    failures += 1
                    continue
                self._failures.append(failures)
                self.times.append(self._time())
                failures = 0
                yield np.ascontiguousarray(np.asarray(frame, np.uint8)[..., ::-1])
        finally:
            self._capture.release()

    def _time(self) -> float:
        """Return the seconds from the first frame to the last one read: by the clock for a camera, else by the file."""
        import cv2

        now = time.monotonic() if self._is_camera else self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1e3
        if not self.times:
            self._start = now
            return 0.0
        now -= self._start
        step, longest = now - self.times[-1], math.inf if self._is_camera else self.duration or 60.0
        return now if math.isfinite(now) and 0 < step <= longest else self.times[-1] + 1 / self.rate

    @property
    def duration(self) -> float | None:
        """Seconds, by the file's header, if it has them."""
        return None if self.count is None else self.count / self.rate

    @property
    def end(self) -> float | None:
        """Seconds from the first frame to the end of the last one, by the file's header, once all are read.

        None for a damaged file, and for an MP4 file whose edit list leaves frames out.
        """
        duration = self.duration
        if self.count is None or duration is None or not self.times or duration - self.times[-1] > _MAX_LAST:
            return None
        edited = len(self.times) < self.count and is_mp4(self._source.name)
        return None if edited or self.missing else duration

    @property
    def missing(self) -> int:
        """Frames of the file that could not be read, once all are read; an estimate for formats that count none.

        Where a header counts frames, the difference; but an edit list of a complete MP4 file may leave frames out at
        either end, which makes no gap between frames.
        """
        if self._is_camera or not self.times:
            return 0
        name, failed = self._source.name, sum(self._failures)
        cut, mp4 = is_cut_short(name), is_mp4(name)
        if self.count is not None and (mp4 or is_avi(name)):
            lost = max(self.count - len(self.times), 0)
            gaps = sum(max(round((b - a) * self.rate) - 1, 0) for a, b in itertools.pairwise(self.times))
            return min(lost, gaps) if mp4 and not failed and not cut else lost
        rest = 0 if self.duration is None else round((self.duration - self.times[-1]) * self.rate) - 1
        return failed + (max(rest, 1) if cut else 0)

    def drawing_rate(self) -> float:
        """Return a constant rate at which every frame can be shown, frames a second; call it before iterating.

        The file's own rate, unless its first frames follow each other faster, or it is too high for a video.
        """
        rate = self.rate
        steps = [] if self._is_camera else _first_steps(self._source)
        if len(steps) >= 5:
            shortest = float(np.percentile(steps, 10))
            measured = 1 / float(np.mean([step for step in steps if step <= 1.2 * shortest]))
            faster = measured if measured > 1.1 * rate else rate
            rate = max(measured, 30.0) if rate > _MAX_RATE else faster
        return round(min(rate, _MAX_RATE), 3 if rate < 60 else 2)  # what the encoder's clock can count


def _opened(source: Source) -> cv2.VideoCapture:
    import cv2

    camera = source.kind == "camera"
    if not camera:
        Path(source.name).open("rb").close()  # raises the system's own error of an unreadable file
    with captured_stderr():
        capture = cv2.VideoCapture(int(source.name)) if camera else cv2.VideoCapture(source.name)
    if capture.isOpened():
        return capture
    if camera:
        raise ValueError(f"{source.name}: expected a camera of this number, got none")
    kind = "a damaged one" if begins_as_video(source.name) else "another kind of file"
    raise ValueError(f"{source.name}: expected a video, got {kind}")


def _first_steps(source: Source) -> list[float]:
    """Return the seconds from each of the first frames of a file to the next."""
    import cv2

    capture = _opened(source)
    times = [capture.get(cv2.CAP_PROP_POS_MSEC) / 1e3 for _ in range(_PEEKED) if capture.grab()]
    capture.release()
    return [step for step in np.diff(times).tolist() if math.isfinite(step) and step > 0]
