"""What a worker does with a unit: it predicts its images or frames, and puts the rows in place, the manifest last.

A unit's files have names that its key gives, and every run writes the same content. Thus a unit that is done twice, as
after a crash or by two workers at once, leaves what it leaves when it is done once. The files are written in this
order, each whole or not at all: rows of people, errors, manifest. What an earlier attempt left and this one does not
write is deleted before the manifest; a unit with a manifest is never touched again.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from personlab.batch import videos
from personlab.batch.containers import divide_table, divide_tar, read_members, read_rows
from personlab.batch.partition import partition_of
from personlab.batch.setup import EngineError, Outcome
from personlab.batch.storage import Files, Store
from personlab.batch.tables import (
    Place,
    Rows,
    errors_file,
    manifest_file,
    people_file,
    people_schema,
    to_bytes,
)
from personlab.batch.tries import FOLDER, Tries
from personlab.batch.turns import Turns
from personlab.io.console import describe_failure
from personlab.io.images import StoredImage
from personlab.io.sources import scheme_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from personlab.batch.setup import Setup
    from personlab.batch.units import Unit
    from personlab.predict import Prediction

_READ_AHEAD = 16  # files of object stores that are read at once


class Divider:
    """Divides videos, tars and Parquet files into units that workers share."""

    def __init__(self, setup: Setup) -> None:
        self._setup, self._files, self._store = setup, Files(), Store(setup.output)

    def divide(self, unit: Unit) -> Iterator[Unit]:
        """Yield the units of a file that has none yet; any other unit as it is, and none where all is done."""
        if unit.kind != "whole":
            yield unit
        elif unit.what == "tar":
            yield from divide_tar(unit, self._files, self._setup.part)
        elif unit.what == "parquet":
            yield from divide_table(unit, self._files, self._setup.part, self._setup.column)
        elif not self._store.exists(manifest_file(unit.key)):
            yield from videos.divide_video(unit, self._setup)


class Worker:
    """Holds one network, and does units with it, in one or two threads.

    Args:
        setup: of the job.
        facts: about the worker, which the files of the manifest keep.

    Raises:
        ImportError, OSError, TypeError, ValueError: the network cannot be made ready.
    """

    def __init__(self, setup: Setup, facts: Mapping[str, str] | None = None) -> None:
        self.setup, self.files, self.store = setup, Files(), Store(setup.output)
        with contextlib.suppress(ImportError):  # as `personlab predict`: the stages overlap, and need the cores
            import cv2

            cv2.setNumThreads(1)
        self.predictor = setup.make_predictor()
        self._turns = Turns()
        self.facts = {"host": socket.gethostname(), "process": os.getpid(), **(facts or {})}
        self.schema = people_schema(self.predictor.skeleton.names)

    def do(self, unit: Unit) -> Outcome:
        """Do a unit, unless it is done.

        Raises:
            EngineError: the network failed on all of it.
            OSError: results cannot be written.
        """
        if self.store.exists(manifest_file(unit.key)):
            return Outcome(was_done=True)
        if unit.kind in ("video", "piece"):
            return videos.do_video(self, unit) if unit.kind == "video" else videos.do_piece(self, unit)
        rows = Rows(unit.source, self.schema)
        if unit.kind == "failure":
            rows.fail(Place(unit.address), unit.reason)
        else:
            self._predict(unit, rows)
        return self.commit(unit, rows, self.write_people(unit, rows, 0))

    def outcomes(self, images: Iterable[Any], predictor: Any = None) -> Iterator[Prediction | Exception]:
        """Yield the prediction of each image, or the exception in its place; waits until images may be read."""
        with self._turns.take() as turn:
            yield from self._stream(turn.pass_after(images), predictor or self.predictor)

    def _stream(self, images: Iterable[Any], predictor: Any) -> Iterator[Prediction | Exception]:
        with predictor.stream(images) as stream:
            while True:
                try:
                    outcome: Prediction | Exception = next(stream)
                except StopIteration:
                    return
                except Exception as error:  # noqa: BLE001  # whatever a decoder raises: it is one input's
                    outcome = error
                yield outcome

    def _predict(self, unit: Unit, rows: Rows) -> None:
        engine_failures = 0
        last: Exception | None = None
        for place, outcome in self._placed(unit):
            if isinstance(outcome, Exception):
                rows.fail(place, describe_failure(place.file, outcome))
                engine_failures += isinstance(outcome, (MemoryError, RuntimeError))
                last = outcome
            else:
                rows.add(place, outcome)
        if engine_failures > 1 and engine_failures == len(rows.manifest):
            raise EngineError(f"the network fails on all images: {' '.join(str(last).split())}")

    def _placed(self, unit: Unit) -> Iterator[tuple[Place, Prediction | Exception]]:
        """Yield the place of each image, and its prediction, or the exception instead."""
        with self._turns.take() as turn:
            tries = Tries(self.store, unit.key)
            if tries.are_many:
                turn.wait_alone()  # else another unit's image may end the process
                yield from self._placed_one_by_one(unit, tries)
                return
            places: deque[Place] = deque()

            def images() -> Iterator[Any]:
                for place, source in self._sources(unit):
                    places.append(place)
                    yield source

            for outcome in self._stream(turn.pass_after(images()), self.predictor):
                yield places.popleft() if places else Place(unit.address), outcome  # else it is the file of all

    def _placed_one_by_one(self, unit: Unit, tries: Tries) -> Iterator[tuple[Place, Prediction | Exception]]:
        """Yield what `_placed` does, and note each image before it is read."""
        sources = self._sources(unit)
        while True:
            try:
                place, source = next(sources)
            except StopIteration:
                return
            except Exception as error:  # noqa: BLE001
                yield Place(unit.address), error
                return
            if tries.begin(place.file):
                yield from ((place, outcome) for outcome in self._stream([source], self.predictor))
            else:
                yield place, ValueError(f"{place.file}: expected an image, got a file at which the process ends")

    def _sources(self, unit: Unit) -> Iterator[tuple[Place, Any]]:
        """Yield the images of a unit, and their places."""
        if unit.kind == "images":
            contents = self._contents(unit.files)
            yield from ((Place(file), content) for file, content in zip(unit.files, contents, strict=True))
            return
        members = read_members(unit, self.files) if unit.kind == "members" else self._rows(unit)
        for name, number, content in members:
            yield Place(name, number), content

    def _rows(self, unit: Unit) -> Iterator[Any]:
        from pyarrow import ArrowException

        try:
            yield from read_rows(unit, self.files, self.setup.column)
        except ArrowException as error:
            raise ValueError(f"{unit.address}: {' '.join(str(error).split())}") from None

    def _contents(self, files: tuple[str, ...]) -> Iterator[Any]:
        """Yield what the predictor reads of each file: its path, or its content, of which some are read ahead."""
        if not any(map(scheme_of, files)):
            yield from files
            return
        with ThreadPoolExecutor(_READ_AHEAD) as pool:
            waiting = deque(pool.submit(self._content, file) for file in files[:_READ_AHEAD])
            for number in range(len(files)):
                content = waiting.popleft().result()
                if number + _READ_AHEAD < len(files):
                    waiting.append(pool.submit(self._content, files[number + _READ_AHEAD]))
                yield content

    def _content(self, file: str) -> StoredImage:
        try:
            return StoredImage.of(file, self.files.read(file))
        except (OSError, ValueError) as error:
            return StoredImage.of(file, error)

    def write_people(self, unit: Unit, rows: Rows, number: int) -> int:
        """Put the rows of people so far in place, as part `number`; return the number of parts written."""
        if not rows.people:
            return number
        name = people_file(partition_of(unit.source), unit.key, number)
        self.store.write(name, to_bytes(rows.take_people()))
        return number + 1

    def commit(self, unit: Unit, rows: Rows, parts: int) -> Outcome:
        """Put errors and manifest in place, once all `parts` of people are: from then on, the unit is done."""
        partition, last = partition_of(unit.source), parts
        while self.store.exists(people_file(partition, unit.key, last)):  # of an attempt that came further
            last += 1
        for number in reversed(range(parts, last)):
            self.store.delete(people_file(partition, unit.key, number))
        if rows.errors:
            self.store.write(errors_file(unit.key), to_bytes(rows.errors_table()))
        else:
            self.store.delete(errors_file(unit.key))
        manifest = rows.manifest_table()
        manifest = manifest.replace_schema_metadata({"worker": json.dumps(self.facts)})
        self.store.write(manifest_file(unit.key), to_bytes(manifest))
        self.store.delete(f"{FOLDER}/{unit.key}")
        return Outcome(
            inputs=len(rows.manifest), failed=rows.failed, people=rows.count, errors=len(rows.errors)
        )  # fmt: skip
