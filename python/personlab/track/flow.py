"""Optical flow between frames, and the poses and boxes that it moves on (Simple Baselines, section 3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.arrays.numbers import as_number, as_size
from personlab.io.images import as_image

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from personlab.poses import Poses
    from personlab.track.motion import Tracks
    from personlab.track.seen import Floats

INSTALL = "optical flow needs OpenCV: pip install opencv-python"
_LONG_SIDE = 480  # pixels at which flow is computed
_MIN_SIDE = 16  # pixels below which there is none


class Flow:
    """Dense inverse search between a frame and the one before (`cv2.DISOpticalFlow`), at 480 pixels at most.

    Raises:
        ImportError: OpenCV is missing.
    """

    def __init__(self) -> None:
        try:
            import cv2
        except ImportError:
            raise ImportError(INSTALL) from None
        self._cv2: Any = cv2
        self._dis: Any = self._cv2.DISOpticalFlow_create(self._cv2.DISOPTICAL_FLOW_PRESET_FAST)
        # Each thread takes a stripe of the image, and what spreads within stripes could depend on their number.
        self._dis.setUseSpatialPropagation(False)
        self._before: NDArray[np.uint8] | None = None
        self._scale = (1.0, 1.0)  # x, y from pixels to those of the flow

    def reset(self) -> None:
        """Forget the frame before."""
        self._before = None

    def advance(self, image: NDArray[np.uint8] | None) -> NDArray[np.float32] | None:
        """Return the flow (h, w, 2) from the frame before to this one, in pixels of the flow; None without either.

        Raises:
            TypeError, ValueError: no image (H, W, 3) uint8.
        """
        if image is None:
            self.reset()
            return None
        image = as_image(image)
        height, width = image.shape[:2]
        shrink = min(_LONG_SIDE / max(height, width, 1), 1.0)
        small = (max(round(width * shrink), 1), max(round(height * shrink), 1))
        if min(small) < _MIN_SIDE:
            self.reset()
            return None
        grey = self._cv2.cvtColor(image, self._cv2.COLOR_RGB2GRAY)
        now = self._cv2.resize(grey, small, interpolation=self._cv2.INTER_AREA) if small != (width, height) else grey
        before, self._before = self._before, now
        self._scale = (small[0] / width, small[1] / height)
        if before is None or before.shape != now.shape:
            return None
        flow: NDArray[np.float32] = self._dis.calc(before, now, None)
        return flow

    def moved(self, points: Any, flow: NDArray[np.float32]) -> Floats:
        """Return points (..., 2), pixels of the image, where the flow moves them; those outside move as the border."""
        scale = np.array(self._scale)
        height, width = flow.shape[:2]
        finite = np.nan_to_num(np.asarray(points, np.float64), nan=0.0, posinf=0.0, neginf=0.0)
        cells = np.rint(finite * scale).astype(np.int64)
        x, y = np.clip(cells[..., 0], 0, width - 1), np.clip(cells[..., 1], 0, height - 1)
        target: Floats = points + flow[y, x].astype(np.float64) / scale
        return target

    def move(self, tracks: Tracks, before: Floats, image: NDArray[np.uint8] | None, frames: int) -> None:
        """Move the points of tracks seen in the frame before by the flow, in place of the motion so far."""
        flow = self.advance(image)
        if flow is None:
            return
        rows = np.flatnonzero(tracks.hidden == frames)
        known = tracks.weights[rows] > 0
        tracks.points[rows] = np.where(known[..., None], self.moved(before[rows], flow), 0.0)


def propagate_boxes(
    poses: Poses, flow: Flow, image: NDArray[np.uint8], *, margin: float = 0.15, min_keypoint: float = 0.1
) -> NDArray[np.float32]:
    """Return where the people of the frame before are in this one: boxes that join those of a detector.

    The box of the keypoints that the flow moves, grown on each side (Simple Baselines, section 3.2). `flow` has seen
    the frame before; without flow between the two, the boxes stay where they are.

    Args:
        poses: P people of the frame before, pixels.
        flow: whose last frame is the frame before; it takes this one.
        image: (H, W, 3) uint8, this frame.
        margin: share of the sides by which boxes grow on each side.
        min_keypoint: keypoints of a lower probability are left out.

    Returns:
        (P, 4) float32 x0, y0, x1, y1, pixels, inside the image; NaN for a person without such a keypoint.

    Raises:
        TypeError, ValueError: an argument of another type, or out of range.
    """
    margin = as_number(margin, "margin", 0.0, 10.0)
    field = flow.advance(image)
    height, width = as_size(image.shape[:2], "image.shape")
    points = poses.keypoints.astype(np.float64)
    if field is not None:
        points = flow.moved(points, field)
    known = np.isfinite(points).all(axis=2) & (poses.keypoint_probabilities >= min_keypoint)
    some = np.logical_or.reduce(known, axis=1)
    low = np.where(known[..., None], points, np.inf).min(axis=1, initial=np.inf)
    high = np.where(known[..., None], points, -np.inf).max(axis=1, initial=-np.inf)
    grown = margin * np.where(some[:, None], high - low, 0.0)
    limits = (max(width - 1, 0), max(height - 1, 0))
    boxes = np.concatenate([np.clip(low - grown, 0, limits), np.clip(high + grown, 0, limits)], axis=1)
    boxes[~some] = np.nan
    return boxes.astype(np.float32)
