"""`personlab predict` on videos, streams and cameras: predicts each readable frame, and draws it at its own time."""

from __future__ import annotations

import itertools
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

from personlab.commands.journal import restore
from personlab.commands.report import outcomes
from personlab.commands.tracking import ResumableTracks, track_options
from personlab.io.console import above_progress, describe_failure, log, timed
from personlab.io.interrupts import at_interrupts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from personlab.commands.report import Report
    from personlab.io.sources import Source
    from personlab.io.video import Video, VideoFrame
    from personlab.io.video_writer import VideoWriter
    from personlab.predict import Predictor


def predict_video(config: Any, predictor: Predictor, source: Source, name: str, report: Report, first_id: int) -> int:
    """Predict each frame, and draw it to the file `name` of the output folder with --output.

    Frames that the journal holds are drawn from it, not predicted again.

    Returns:
        The image_id after the last frame's.

    Raises:
        KeyboardInterrupt: Ctrl-C on a file; the frames drawn so far are kept as a part.
        OSError: the drawing cannot be written.
    """
    from personlab.io.video import Video
    from personlab.io.video_writer import VideoWriter

    if report.journal is not None and report.is_done(source.name):
        return report.journal.progress[source.name].next_id
    writer = None
    try:
        video = Video(source)
        if config.output and config.overlay:
            writer = VideoWriter(Path(config.output) / name, video.rate)
    except (OSError, ValueError) as error:
        report.fail(describe_failure(source.name, error))
        return first_id
    run = _Run(config, predictor, source.name, video, writer, report, first_id)
    try:
        with at_interrupts(video.stop):  # the thread that reads may be waiting for a stream or a pipe
            run.predict()
        if writer is not None:
            writer.close(video.end)
        run.write_line(is_last=run.is_whole)
    except KeyboardInterrupt:
        run.write_line()
        part = writer.close(is_part=True) if writer is not None else None
        if part is not None:
            log(f"wrote {part}: a part, as the run was interrupted")
        raise
    finally:
        video.stop()
        if writer is not None:
            writer.discard()
    run.report_damage()
    return first_id + run.frames


class _Run:
    """The frames of one video so far."""

    def __init__(
        self,
        config: Any,
        predictor: Predictor,
        name: str,
        video: Video,
        writer: VideoWriter | None,
        report: Report,
        first_id: int,
    ) -> None:
        self._config, self._predictor, self._name, self._report = config, predictor, name, report
        self._video, self._writer, self._first_id = video, writer, first_id
        self._times: deque[float] = deque()  # seconds of frames that are being predicted
        self._line: dict[str, Any] = {}  # of the last frame: written when it is known whether another follows
        self._is_broken = False
        options = track_options(config, [])
        self._tracks = None if options is None else ResumableTracks(options, predictor)
        self.frames = 0

    @property
    def is_whole(self) -> bool:
        """Whether the video was read to its end, so that resuming has nothing left to do."""
        return not (self._is_broken or self._video.is_live or self._video.problem)

    def predict(self) -> None:
        """Process each frame. Ctrl-C ends a camera or a live stream as its end does."""
        people, size = 0, (0, 0)
        frames = self._frames()
        self._draw_again(frames)
        resumed = self.frames
        try:
            for outcome in outcomes(self._frames_predictor(), self._images(frames), self._left(), self._name):
                if isinstance(outcome, Exception) and not self._times:  # it is reading that failed
                    self._report.fail(describe_failure(self._name, outcome))
                    self._is_broken = True
                    continue
                time = self._times.popleft()
                self.write_line()
                if isinstance(outcome, Exception):
                    reason = describe_failure(f"{self._name}, frame {self.frames}", outcome)
                    self._report.fail(reason)
                    self._add(reason, time)
                    if self._tracks is not None:
                        self._tracks.skip()
                    continue
                times: dict[str, float] = {}
                if self._tracks is not None:
                    with timed(times, "track"):
                        outcome = self._tracks.add(outcome, outcome.image)  # noqa: PLW2901
                if self._writer is not None:
                    with timed(times, "draw"):
                        image = outcome.draw(min_probability=self._config.min_keypoint)
                    with timed(times, "write"):
                        self._writer.write(image, time)
                self._add(outcome, time)
                self._report.count({**outcome.times, **times})
                people, size = max(people, len(outcome.poses)), outcome.image_size
        except KeyboardInterrupt:
            if not self._video.is_live:
                raise
            self._report.interrupted = True
        if self.frames > resumed:
            first = self._first_id + resumed
            ids = f"{first}-{self._first_id + self.frames - 1}"
            count = f"max {people} at once in {self.frames - resumed} frames"
            self._report.rows.append([self._name, ids, f"{size[0]} x {size[1]}", count])

    def write_line(self, *, is_last: bool = False) -> None:
        """Write the line of the last frame, if it is not written yet."""
        if self._line and self._report.journal is not None:
            self._report.journal.add({**self._line, "last": True} if is_last else self._line)
        self._line = {}

    def report_damage(self) -> None:
        """Log what is missing, and count the input as damaged or failed."""
        video, report = self._video, self._report
        if not self.frames and not self._is_broken:
            reason = f" ({video.problem})" if video.problem else ""
            report.fail(f"{self._name}: expected a video, got one without a readable frame{reason}")
            return
        lines = video.describe_damage(self.frames)
        for line in lines:
            with above_progress():
                log(f"warning: {self._name}: {line}")
        report.damaged += bool(lines)

    def _add(self, outcome: Any, time: float) -> None:
        self._line = self._report.frame(self._name, outcome, self._first_id + self.frames, self.frames, time)
        self.frames += 1
        if self._video.is_live:
            self.write_line()

    def _frames_predictor(self) -> Any:
        return self._predictor if self._tracks is None else self._tracks.predictor

    def _left(self) -> int | None:
        return None if self._video.count is None else max(self._video.count - self.frames, 0)

    def _frames(self) -> Iterator[VideoFrame]:
        for frame in self._video:
            if self._writer is not None:
                self._writer.pixel_aspect = self._video.pixel_aspect
            yield frame

    def _images(self, frames: Iterator[VideoFrame]) -> Iterator[NDArray[Any]]:
        """Yield the images of frames, whose times wait for the predictions."""
        for frame in frames:
            self._times.append(frame.time)
            yield frame.image

    def _draw_again(self, frames: Iterator[VideoFrame]) -> None:
        """Pass over the frames that the journal holds, and draw them from it."""
        journal = self._report.journal
        if journal is None or self._name not in journal.progress:
            return
        last = journal.take_back(self._name)
        lines = itertools.chain(journal.records(self._name), [last] if last else [])
        for line, frame in zip(lines, frames, strict=False):
            prediction = restore(line, self._predictor)
            if self._tracks is not None and "error" in line:
                self._tracks.skip()
            elif self._tracks is not None:
                prediction = self._tracks.add_again(prediction, frame.image, line, self._config.jsonl)
            if self._writer is not None and "error" not in line:
                self._writer.write(prediction.draw(frame.image, min_probability=self._config.min_keypoint), frame.time)
            self.frames += 1
        self._line = last or {}
        log(f"{self._name}: goes on after {self.frames} frames")
