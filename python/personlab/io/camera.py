"""Cameras by their number, read by OpenCV at the times of the clock."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import numpy as np

from personlab.io.stderr import captured_stderr

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_RATE = 25.0  # frames a second of cameras that give none


class Camera:
    """Iterates over the frames of a camera, (H, W, 3) uint8 RGB, and the seconds from the first one to each.

    Raises:
        ValueError: no such camera, or no OpenCV to read it.
    """

    def __init__(self, name: str) -> None:
        try:
            import cv2
        except ImportError:
            raise ValueError(f"camera {name}: cameras need OpenCV: pip install opencv-python") from None

        with captured_stderr():
            self._capture = cv2.VideoCapture(int(name))
        if not self._capture.isOpened():
            raise ValueError(f"{name}: expected a camera of this number, got none")
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.rate: float = rate if math.isfinite(rate) and 0 < rate <= 1000 else _RATE

    def __iter__(self) -> Iterator[tuple[NDArray[np.uint8], float]]:
        start, last = time.monotonic(), -1.0
        try:
            while True:
                is_read, frame = self._capture.read()
                if not is_read:
                    return
                now = time.monotonic()
                start = now if last < 0 else start
                last = max(now - start, last + 1e-6)
                yield np.ascontiguousarray(np.asarray(frame, np.uint8)[..., ::-1]), last
        finally:
            self._capture.release()
