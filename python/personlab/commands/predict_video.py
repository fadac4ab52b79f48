"""`personlab predict` on a video or a camera: predicts each readable frame, and draws it at its own time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from personlab.commands.report import outcomes
from personlab.io.console import above_progress, describe_failure, log, timed

if TYPE_CHECKING:
    from personlab.commands.report import Report
    from personlab.io.sources import Source
    from personlab.io.video import Video
    from personlab.io.video_writer import VideoWriter
    from personlab.predict import Predictor


def predict_video(config: Any, predictor: Predictor, source: Source, name: str, report: Report, first_id: int) -> int:
    """Predict each frame, and draw it to the file `name` of the output folder with --output.

    Returns:
        The image_id after the last frame's.

    Raises:
        KeyboardInterrupt: Ctrl-C on a file; the frames drawn so far are kept as a part.
        OSError: the drawing cannot be written.
    """
    from personlab.io.video import Video
    from personlab.io.video_writer import VideoWriter

    try:
        video = Video(source)
    except (OSError, ValueError) as error:
        report.fail(describe_failure(source.name, error))
        return first_id
    draws = config.output and config.overlay
    writer = VideoWriter(Path(config.output) / name, video.drawing_rate()) if draws else None
    try:
        frames = _predict_frames(config, predictor, source, video, writer, report, first_id)
        missing = video.missing
        if writer is not None:
            writer.close(video.end)
    except KeyboardInterrupt:
        part = writer.close(is_part=True) if writer is not None else None
        if part is not None:
            log(f"wrote {part}: a part, as the run was interrupted")
        raise
    finally:
        if writer is not None:
            writer.discard()
    if not frames:
        report.fail(f"{source.name}: expected a video, got one without a readable frame")
    elif missing:
        count = f"{missing} of {frames + missing}" if video.count is not None else f"at least {missing} of its"
        with above_progress():
            log(f"warning: {source.name}: the video is damaged: {count} frames are missing")
        report.damaged += 1
    return first_id + frames


def _predict_frames(
    config: Any,
    predictor: Predictor,
    source: Source,
    video: Video,
    writer: VideoWriter | None,
    report: Report,
    first_id: int,
) -> int:
    """Process each frame, and return how many were read. Ctrl-C ends a camera as its end does."""
    frames, people, size = 0, 0, (0, 0)
    try:
        for outcome in outcomes(predictor, video, video.count, source.name):
            if isinstance(outcome, Exception):
                report.fail(describe_failure(f"{source.name}, frame {frames}", outcome))
                frames += 1
                continue
            times: dict[str, float] = {}
            if writer is not None:
                with timed(times, "draw"):
                    image = outcome.draw(min_probability=config.min_keypoint)
                with timed(times, "write"):
                    writer.write(image, video.times[frames])
            report.add(config, outcome, first_id + frames)
            report.count({**outcome.times, **times})
            frames, people, size = frames + 1, max(people, len(outcome.poses)), outcome.image_size
    except KeyboardInterrupt:
        if source.kind != "camera":
            raise
        report.interrupted = True
    if frames:
        ids = f"{first_id}-{first_id + frames - 1}"
        report.rows.append([source.name, ids, f"{size[0]} x {size[1]}", f"max {people} at once in {frames} frames"])
    return frames
