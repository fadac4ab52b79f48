"""Identities of one video from its predictions as lines of results hold them, whoever reads these again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.io.results import decode_runs
from personlab.predict.propagation import Propagation
from personlab.track import Tracker
from personlab.track.written import as_written

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from personlab.predict.prediction import Prediction
    from personlab.predict.predictor import Predictor
    from personlab.track import TrackOptions


class VideoTracks:
    """The identities of one video, from what its lines of results hold: reading these again gives the same.

    Args:
        options: of the tracker.
        predictor: which makes the predictions.

    Raises:
        ImportError: SciPy is missing, or OpenCV for optical flow.
    """

    def __init__(self, options: TrackOptions, predictor: Predictor) -> None:
        self._tracker = Tracker(predictor.skeleton, options)
        self._propagation = Propagation(predictor) if options.propagate else None
        self.predictor: Any = predictor if self._propagation is None else self._propagation
        """what predicts the frames, by its `stream`"""

    def add(self, prediction: Prediction, image: NDArray[np.uint8] | None) -> Prediction:
        """Return the prediction of the next frame with its identities."""
        width, height = prediction.image_size
        masks = prediction.masks
        if masks is not None and masks.shape[1:] != (height, width):  # lines hold them at the image's size
            runs = [result["segmentation"]["counts"] for result in prediction.masks_to_coco(0)]
            masks = np.array([decode_runs(one, (height, width)) for one in runs], bool).reshape(-1, height, width)
        size = (height, width) if min(height, width) > 0 else None
        ids = self._tracker.update(as_written(prediction.poses), masks=masks, image=image, size=size)
        return replace(prediction, track_ids=ids)

    def see(self, image: NDArray[np.uint8], prediction: Prediction) -> None:
        """Take a frame that is not predicted again as the one before the next, where people are followed by flow."""
        if self._propagation is not None:
            self._propagation.see(image, prediction.poses)

    def skip(self) -> None:
        """Pass over a frame without results."""
        self._tracker.skip()
