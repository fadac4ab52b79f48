"""Results, tables, times and failures of a run of `personlab predict`, as they come."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TextIO

from personlab.commands import network
from personlab.commands.journal import Journal, make_failure, make_record
from personlab.io.console import above_progress, log, progress_bar, write_table
from personlab.io.results import write_results

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from personlab.predict import Prediction, Predictor

_FAILURES = (MemoryError, OSError, RuntimeError, TypeError, ValueError)  # of one image, not of the program


@dataclass
class Report:
    """Counts, times and rows of everything processed so far; its results are in the journal, if any."""

    journal: Journal | None = None
    rows: list[list[str]] = field(default_factory=list)
    times: dict[str, float] = field(default_factory=dict)  # ms in all, by stage
    done: int = 0
    failed: int = 0
    damaged: int = 0
    interrupted: bool = False  # a camera, which ends so

    def fail(self, line: str) -> None:
        """Log an input that could not be processed."""
        with above_progress():
            log(f"skipped {line}")
        self.failed += 1

    def close(self) -> None:
        """Close the journal."""
        if self.journal is not None:
            self.journal.close()

    def is_done(self, name: str) -> bool:
        """Return whether an earlier run that this one resumes has processed an input."""
        return self.journal is not None and self.journal.is_done(name)

    def add(self, name: str, prediction: Prediction, image_id: int) -> None:
        """Add the results of an image."""
        self._count_in(prediction)
        if self.journal is not None:
            self.journal.add(make_record(name, prediction, image_id))

    def frame(self, name: str, outcome: Prediction | str, image_id: int, frame: int, time: float) -> dict[str, Any]:
        """Count the results of a frame, or the reason why it has none, and return its line for the journal."""
        if isinstance(outcome, str):
            return make_failure(name, outcome, image_id, frame, time)
        self._count_in(outcome)
        return {} if self.journal is None else make_record(name, outcome, image_id, frame=frame, time=time)

    def _count_in(self, prediction: Prediction) -> None:
        self.done += 1
        self.damaged += bool(prediction.damage)

    def count(self, times: Any) -> None:
        """Add times of stages, ms."""
        for stage, value in times.items():
            self.times[stage] = self.times.get(stage, 0.0) + value

    def write(self, config: Any, *, is_part: bool = False) -> None:
        """Write the results with --json."""
        if config.json and self.journal is not None and (self.journal.progress or self.done or not is_part):
            masks = self.journal.masks() if config.masks else None
            write_results(config.json, self.journal.keypoints(), masks, is_part=is_part)

    def write_tables(self, wall: float, stream: TextIO) -> None:
        """Write the people of each input, the time of each stage, and how much of it overlaps with the network."""
        if self.rows:
            write_table(["input", "image_id", "size", "people"], self.rows, stream)
        if not self.done:
            return
        stream.write("\n")
        write_table(["stage", "ms an image", "s in all"], network.time_rows(self.times, self.done), stream)
        in_network, total = self.times.get("network", 0.0) / 1e3, sum(self.times.values()) / 1e3
        run, rest = min(in_network, wall), total - in_network  # several images in it at once add up to more
        hidden = min(max(run + rest - wall, 0.0), rest)
        stream.write(
            f"\n{self.done} image{'s' * (self.done != 1)} in {wall:.2f} s ({self.done / wall:.1f} a second): "
            f"the network ran for {run:.2f} s, everything else for {rest:.2f} s, {hidden:.2f} s of it while the "
            "network ran\n"
        )

    def check(self) -> None:
        """Check that all inputs were processed and sound.

        Raises:
            ValueError: some were not.
        """
        be = "is" if self.damaged == 1 else "are"
        wrong = [f"{self.failed} of the inputs failed"] if self.failed else []
        wrong += [f"{self.damaged} of the inputs {be} damaged"] if self.damaged else []
        if wrong:
            raise ValueError(f"{', '.join(wrong)}; see above")


def outcomes(
    predictor: Predictor, images: Iterable[Any], total: int | None, label: str
) -> Generator[Prediction | Exception, None, None]:
    """Yield the prediction of each image, or the exception in its place, under a progress bar."""
    with progress_bar(total, label) as bar, predictor.stream(images) as stream:
        while True:
            try:
                outcome: Prediction | Exception = next(stream)
            except StopIteration:
                return
            except _FAILURES as error:
                outcome = error
            yield outcome
            bar.update()
