"""Runs a job from its inputs to its tables."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from personlab.arrays.numbers import check_type
from personlab.batch.inputs import find_inputs
from personlab.batch.job import Job, check_folder
from personlab.batch.options import BatchOptions
from personlab.batch.pool import Pool, import_ray
from personlab.batch.setup import Outcome, Setup
from personlab.batch.storage import Files, Store
from personlab.io.console import log, progress_bar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from personlab.predict import Predictor
    from personlab.track import TrackOptions


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a run has done."""

    inputs: int = 0
    """images and frames"""

    failed: int = 0
    """those without a prediction"""

    people: int = 0
    errors: int = 0
    """rows that the run added to the table of errors"""

    skipped: int = 0
    """units that an earlier run had done"""

    seconds: float = 0.0
    starting: float = 0.0
    """seconds of these until Ray ran"""

    problems: tuple[str, ...] = ()
    """a line for each word that names no input"""

    def add(self, outcome: Outcome) -> Summary:
        """Return the sum with a unit's outcome."""
        return replace(
            self,
            inputs=self.inputs + outcome.inputs,
            failed=self.failed + outcome.failed,
            people=self.people + outcome.people,
            errors=self.errors + outcome.errors,
            skipped=self.skipped + outcome.was_done,
        )


def annotate(
    sources: Sequence[str | os.PathLike[str]] | str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    track: TrackOptions | None = None,
    options: BatchOptions | None = None,
    **predictor: Any,
) -> Summary:
    """Predict all inputs on workers of Ray, and write tables of people, of errors and of what is done.

    Args:
        sources: files, folders, patterns and addresses, as `personlab.batch.inputs.find_inputs` takes them.
        output: folder, or address of one in an object store; new, or of an earlier run with the same options.
        track: how the people of videos are tracked; None: they are not.
        options: how the job is divided and where it runs.
        predictor: arguments of `Predictor`.

    Raises:
        EngineError: the network cannot be made ready, or fails on all images.
        ImportError: Ray is not installed.
        OSError: results cannot be written.
        ValueError: no input, other options than in an earlier run, or another run that writes to the folder.
    """
    words = [str(sources)] if isinstance(sources, (str, os.PathLike)) else [str(source) for source in sources]
    identity = {
        name: value if isinstance(value, (bool, int, str)) else repr(value) for name, value in predictor.items()
    }
    wanted = {"streaming": True, "keep_image": track is not None and track.flow, **predictor}
    return run_batch(
        words, str(output), make_predictor=partial(_make, wanted), identity=identity, track=track, options=options
    )


def _make(predictor: Mapping[str, Any]) -> Predictor:
    from personlab.predict import Predictor

    return Predictor(**predictor)


def run_batch(
    words: Sequence[str],
    output: str,
    *,
    make_predictor: Callable[[], Predictor],
    identity: Mapping[str, Any],
    track: TrackOptions | None = None,
    options: BatchOptions | None = None,
    check: Callable[[], object] = lambda: None,
    uses_gpus: bool = True,
    retry_errors: bool = False,
    verbose: bool = False,
) -> Summary:
    """Run a job as `annotate` does.

    Args:
        words: inputs.
        output: folder or address.
        make_predictor: makes the network ready, in each worker.
        identity: options that decide the rows, by the names that messages give them.
        track: as in `annotate`.
        options: as in `annotate`.
        check: raises what is wrong with the network, before anything is written; it is called while Ray starts.
        uses_gpus: whether workers may have GPUs.
        retry_errors: whether units of an earlier run that have errors are done again.
        verbose: whether Ray's own log is shown.

    Raises:
        EngineError, ImportError, OSError, ValueError: as `annotate`.
    """
    options = BatchOptions() if options is None else options
    check_type(options, "options", BatchOptions)
    import_ray()  # says what is missing before anything is listed
    inputs = find_inputs(words, Files())
    for line in inputs.problems:
        log(f"skipped {line}")
    if not inputs.count:
        raise ValueError("nothing to predict")
    store = Store(output)
    own = {"part": options.part, "piece": options.piece, "column": options.column, "track": repr(track)}
    identity = {**identity, **own}
    check_folder(store, identity)
    start, summary = time.perf_counter(), Summary(problems=tuple(inputs.problems))
    with Pool(options, uses_gpus=uses_gpus, verbose=verbose, meanwhile=check) as pool:
        summary = replace(summary, starting=time.perf_counter() - start)
        job = Job(store, identity)
        try:
            job.clean(retry_errors=retry_errors)
            setup = Setup(
                output=store.address, make_predictor=make_predictor, part=options.part, piece=options.piece,
                column=options.column, track=track,
            )  # fmt: skip
            units = job.units(inputs, options.part, pool.layout.actors)
            images = sum(map(len, inputs.images.values()))
            with progress_bar(None if inputs.containers else images, "batch") as bar:
                for outcome in pool.run(units, setup):
                    summary = summary.add(outcome)
                    bar.update(outcome.inputs)
        finally:
            job.close()
    return replace(summary, seconds=time.perf_counter() - start)
