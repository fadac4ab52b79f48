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

_RATE = 25.0  # frames a second where a file or a camera does not say
_PEEKED = 50  # frames whose times tell the rate of a drawing
_FASTEST = 120.0  # frames a second of a drawing; headers of screen recordings say 1000
_ATTEMPTS = 10_000  # reads in a row that may fail before a file counts as over: one at its end takes a microsecond
_MOST_FRAMES = 10**8  # that a header is believed to speak the truth about
_LONGEST = 60.0  # seconds that the last frame may stay: some headers claim hours


class Video:
    """The frames of a video file or a camera, (H, W, 3) uint8 RGB each; to be iterated over once.

    A frame of a file that cannot be decoded is left out, and the next ones are read.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no video, or there is no such camera.
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
        self.count: int | None = int(count) if not self._is_camera and 0 < count < _MOST_FRAMES else None
        """frames, as the file says, where it does; where it counts none, its duration times its rate"""
        self.times: list[float] = []
        """seconds from the first frame to each one read so far"""
        self._failures: list[int] = []  # reads that failed before each of those

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
        """Seconds from the first frame to the one just read: of a camera the clock's, of a file its own."""
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
        """Seconds, as the file says, where it does."""
        return None if self.count is None else self.count / self.rate

    @property
    def end(self) -> float | None:
        """Seconds from the first frame to the moment when the last one vanishes, where the file tells, once it is over.

        Neither a damaged file is believed, nor an MP4 file whose edit list leaves frames out.
        """
        duration = self.duration
        if self.count is None or duration is None or not self.times or duration - self.times[-1] > _LONGEST:
            return None
        edited = len(self.times) < self.count and is_mp4(self._source.name)
        return None if edited or self.missing else duration

    @property
    def missing(self) -> int:
        """Frames that the file has and that could not be read, as far as can be told, once it is over.

        A header that counts frames is taken at its word, but for those that the edit list of a whole MP4 file may
        leave out at either end: they leave no gap between the frames.
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
        """Constant rate at which every frame can be shown, frames a second, to be asked before iterating.

        The file's own rate, unless its first frames follow each other faster, or it is one that no video has.
        """
        rate = self.rate
        steps = [] if self._is_camera else _first_steps(self._source)
        if len(steps) >= 5:
            shortest = float(np.percentile(steps, 10))
            seen = 1 / float(np.mean([step for step in steps if step <= 1.2 * shortest]))
            rate = max(seen, 30.0) if rate > _FASTEST else max(rate, seen) if seen > 1.1 * rate else rate
        return round(min(rate, _FASTEST), 3 if rate < 60 else 2)  # what the encoder's clock can count


def _opened(source: Source) -> cv2.VideoCapture:
    import cv2

    camera = source.kind == "camera"
    if not camera:
        Path(source.name).open("rb").close()  # what the system has to say of a file that cannot be read
    with captured_stderr():
        capture = cv2.VideoCapture(int(source.name)) if camera else cv2.VideoCapture(source.name)
    if capture.isOpened():
        return capture
    if camera:
        raise ValueError(f"{source.name}: expected a camera of this number, got none")
    found = "a damaged one" if begins_as_video(source.name) else "another kind of file"
    raise ValueError(f"{source.name}: expected a video, got {found}")


def _first_steps(source: Source) -> list[float]:
    """Seconds from each of the first frames of a file to the next."""
    import cv2

    capture = _opened(source)
    times = [capture.get(cv2.CAP_PROP_POS_MSEC) / 1e3 for _ in range(_PEEKED) if capture.grab()]
    capture.release()
    return [step for step in np.diff(times).tolist() if math.isfinite(step) and step > 0]
