"""Times of frames that increase from 0, whatever a file's time stamps do."""

from __future__ import annotations

import math

_BACK = 1.0  # seconds by which a time stamp may fall back and still count on the same clock


class Timeline:
    """Turns time stamps into seconds from the first frame.

    A frame without a time stamp that follows the one before it comes one frame's time after that. Where time stamps
    jump, as at the seam of recordings, they go on from there.

    Args:
        rate: frames a second.
        longest: seconds that a frame may last; a larger step is a jump.
    """

    def __init__(self, rate: float, longest: float = math.inf) -> None:
        self.rate, self.longest = rate, longest
        self._start = 0.0  # the time stamp of second 0
        self.last: float | None = None
        """seconds of the last frame"""

    def add(self, stamp: float | None) -> float:
        """Return the seconds at which the next frame appears."""
        is_stamp = stamp is not None and math.isfinite(stamp)
        if self.last is None:
            self._start = stamp if is_stamp and stamp is not None else 0.0
            self.last = 0.0
            return 0.0
        follows = self.last + 1 / self.rate
        if not is_stamp or stamp is None:
            self.last = follows
            return follows
        step = stamp - self._start - self.last
        if 0 < step <= self.longest:
            self.last += step
            return self.last
        if step < -_BACK or step > self.longest:
            self._start = stamp - follows
        self.last = follows
        return follows
