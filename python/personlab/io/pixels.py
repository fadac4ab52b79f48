"""Decoded frames of any pixel format as RGB arrays, turned as their display matrix says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.io.image_header import check_pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray


class RGBConverter:
    """Converts PyAV's frames to (H, W, 3) uint8 RGB; keeps what it set up for frames of one kind.

    The matrix and the range of the frame's colours are followed; a frame without them is taken as BT.601 of limited
    range, as FFmpeg does. Alpha is left out.
    """

    def __init__(self) -> None:
        from av.video.reformatter import VideoReformatter

        self._reformatter = VideoReformatter()

    def __call__(self, frame: Any, name: str) -> NDArray[np.uint8]:
        """Return a frame's pixels.

        Raises:
            ValueError: the frame has too many pixels, or its format is unknown.
        """
        check_pixels((frame.width, frame.height), name)
        rgb = self._reformatter.reformat(frame, format="rgb24", threads=1)
        return np.ascontiguousarray(_turned(np.asarray(rgb.to_ndarray(), np.uint8), read_matrix(frame)))


def read_matrix(frame: Any) -> tuple[int, int, int, int]:
    """Return the signs (a, b, c, d) of a frame's display matrix, x' = a x + c y, y' = b x + d y; y points down."""
    data = next((side for side in frame.side_data if side.type.name == "DISPLAYMATRIX"), None)
    if data is None:
        return 1, 0, 0, 1
    a, b, _, c, d = np.frombuffer(bytes(data), np.int32, 5).astype(float)
    if abs(a * d) >= abs(b * c):  # to the nearest right angle
        return int(np.sign(a)) or 1, 0, 0, int(np.sign(d)) or 1
    return 0, int(np.sign(b)) or 1, int(np.sign(c)) or 1, 0


def _turned(image: NDArray[np.uint8], matrix: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    a, b, c, d = matrix
    if a == 0:  # x' follows y, and y' follows x
        image = image.transpose(1, 0, 2)
        a, d = c, b
    return image[::d, ::a]
