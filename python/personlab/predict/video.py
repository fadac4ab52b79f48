"""Videos and cameras as streams of frames, and drawn frames as a video."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from personlab.predict.sources import Source

_RATE = 25.0  # frames a second where a file or a camera does not say


class Video:
    """The frames of a video file or a camera, (H, W, 3) uint8 RGB each; to be iterated over once.

    Raises:
        ValueError: it cannot be opened.
    """

    def __init__(self, source: Source) -> None:
        import cv2

        camera = source.kind == "camera"
        self._capture = cv2.VideoCapture(int(source.name)) if camera else cv2.VideoCapture(source.name)
        if not self._capture.isOpened():
            wanted = "a camera of this number" if camera else "a video that OpenCV can read"
            raise ValueError(f"{source.name}: expected {wanted}, got none")
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.rate: float = rate if math.isfinite(rate) and 0 < rate <= 1000 else _RATE
        """frames a second"""
        self.count: int | None = int(count) if not camera and math.isfinite(count) and count > 0 else None
        """frames, as the file says, where it does"""

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        try:
            while True:
                there, frame = self._capture.read()
                if not there:
                    return
                yield np.ascontiguousarray(np.asarray(frame, np.uint8)[..., ::-1])
        finally:
            self._capture.release()


class VideoWriter:
    """An MP4 file (MPEG-4 part 2) of RGB frames; it appears under its name when it is closed, not before.

    Args:
        path: ends in .mp4.
        rate: frames a second.

    Raises:
        FileNotFoundError: the folder does not exist.
    """

    def __init__(self, path: str | os.PathLike[str], rate: float) -> None:
        self._path = Path(path)
        if not self._path.parent.is_dir():
            raise FileNotFoundError(f"{path}: no such folder {self._path.parent}")
        self._partial = self._path.with_name(f".{self._path.stem}.{os.getpid()}.part.mp4")
        self._rate = rate
        self._size = (0, 0)
        self._writer: object = None

    def write(self, frame: NDArray[np.uint8]) -> None:
        """Add a frame, (H, W, 3) uint8 RGB, resized to the first one's size; an odd row or column is cut off.

        Raises:
            OSError: the file cannot be written.
        """
        import cv2

        size = (frame.shape[1], frame.shape[0])
        if self._writer is None:
            code = cv2.VideoWriter.fourcc(*"mp4v")
            self._writer, self._size = cv2.VideoWriter(str(self._partial), code, self._rate, size), size
            if not self._writer.isOpened():
                raise OSError(f"{self._path}: OpenCV cannot write a video of {size[0]} x {size[1]} pixels there")
        assert isinstance(self._writer, cv2.VideoWriter)
        if size != self._size:
            frame = np.asarray(cv2.resize(frame, self._size, interpolation=cv2.INTER_AREA), np.uint8)
        self._writer.write(np.ascontiguousarray(frame[..., ::-1]))

    def close(self) -> None:
        """Finish the file, where there was a frame."""
        import cv2

        if isinstance(self._writer, cv2.VideoWriter):
            self._writer.release()
            self._writer = None
            self._partial.replace(self._path)
