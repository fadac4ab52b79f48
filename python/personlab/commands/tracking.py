"""Flags and tracks of `personlab predict --track`: identities that a run which goes on after a kill gives, too."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.commands.flags import UsageError, add_options, apply_flags
from personlab.io.results import decode_runs
from personlab.predict.propagation import Propagation
from personlab.track import NO_ID, Tracker, TrackOptions
from personlab.track.written import as_written

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser
    from numpy.typing import NDArray

    from personlab.io.sources import Source
    from personlab.predict import Prediction, Predictor


def add_track(parser: ArgumentParser) -> None:
    """Add the flag --track and those of the tracker."""
    parser.add_argument(
        "--track", action="store_true",
        help="number the people of each video, stream and camera by identity: track_id in results, and colours and "
        "numbers in drawings; needs SciPy",
    )  # fmt: skip
    add_options(parser, "tracking, with --track", "tracking", TrackOptions())


def track_options(config: Any, inputs: list[Source]) -> TrackOptions | None:
    """Return the options of the tracker; None without --track.

    Raises:
        UsageError: a flag without effect, a value out of range, or images alone.
    """
    given = [name for name, value in vars(config.tracking).items() if value is not None]
    if not config.track:
        if given:
            raise UsageError(f"--tracking.{given[0]}: has no effect without --track")
        return None
    if inputs and all(source.kind == "image" for source in inputs):
        raise UsageError("--track: expected a video, a stream or a camera among the inputs, got images alone")
    options: TrackOptions = apply_flags(TrackOptions(), config.tracking)
    return options


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

    def add_again(
        self, prediction: Prediction, image: NDArray[np.uint8], line: dict[str, Any], path: Any
    ) -> Prediction:
        """Return the prediction that a line holds with its identities.

        Raises:
            UsageError: the line has others, as from another version of SciPy or a changed file.
        """
        tracked = self.add(prediction, image)
        if self._propagation is not None:
            self._propagation.see(image, prediction.poses)
        assert tracked.track_ids is not None
        written = [person.get("track_id", NO_ID) for person in line["people"]]
        if [one if one > 0 else None for one in tracked.track_ids.tolist()] != written:
            raise UsageError(
                f"--resume: {path}: frame {line['frame']} of {line['file']} has other track ids than its people give: "
                "write to another file"
            )
        return tracked

    def skip(self) -> None:
        """Pass over a frame without results."""
        self._tracker.skip()
