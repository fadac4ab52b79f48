"""Flags and tracks of `personlab predict --track`: identities that a run which goes on after a kill gives, too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from personlab.commands.flags import UsageError, add_options, apply_flags
from personlab.predict.tracks import VideoTracks
from personlab.track import NO_ID, TrackOptions

if TYPE_CHECKING:
    import numpy as np
    from jsonargparse import ArgumentParser
    from numpy.typing import NDArray

    from personlab.io.sources import Source
    from personlab.predict import Prediction


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


class ResumableTracks(VideoTracks):
    """The identities of one video in a run that may go on after a kill."""

    def add_again(
        self, prediction: Prediction, image: NDArray[np.uint8], line: dict[str, Any], path: Any
    ) -> Prediction:
        """Return the prediction that a line holds with its identities.

        Raises:
            UsageError: the line has others, as from another version of SciPy or a changed file.
        """
        tracked = self.add(prediction, image)
        self.see(image, prediction)
        assert tracked.track_ids is not None
        written = [person.get("track_id", NO_ID) for person in line["people"]]
        if [one if one > 0 else None for one in tracked.track_ids.tolist()] != written:
            raise UsageError(
                f"--resume: {path}: frame {line['frame']} of {line['file']} has other track ids than its people give: "
                "write to another file"
            )
        return tracked
