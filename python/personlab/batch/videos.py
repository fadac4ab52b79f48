"""Videos of a job: predicted by one worker, or in pieces by several, whose rows are joined as if by one.

A piece is staged: its rows have frame numbers that count from its first frame, and its frames have the time stamps of
the file. The worker that stages the last piece joins them: it counts the frames on, turns stamps into times in one
pass, tracks people in one pass, puts the rows in place and writes the manifest. Two workers that do so at once write
the same. Where a piece shows that the video is damaged, it is predicted as a whole instead.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.batch.partition import partition_of
from personlab.batch.setup import Outcome
from personlab.batch.tables import Place, Rows, from_bytes, manifest_file, people_file, to_bytes
from personlab.batch.units import Unit
from personlab.io.console import describe_failure
from personlab.io.results import decode_runs
from personlab.io.sources import Source, scheme_of
from personlab.io.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from personlab.batch.setup import Setup
    from personlab.batch.storage import Files
    from personlab.batch.work import Worker
    from personlab.io.pieces import PieceReader
    from personlab.io.video import Video
    from personlab.predict import Prediction

STAGED = "_pieces"
_FLUSH = 2048  # frames with people whose rows are written at once


def divide_video(unit: Unit, setup: Setup) -> Iterator[Unit]:
    """Yield the pieces of a video file; the video where it is not to be divided, or lies in another file system."""
    from personlab.io.pieces import find_pieces

    needs_images = setup.track is not None and (setup.track.flow or setup.track.propagate)
    pieces = []
    if setup.piece and not needs_images and not scheme_of(unit.address):
        with contextlib.suppress(Exception):  # which the worker notes
            pieces = find_pieces(unit.address, setup.piece)
    more: dict[str, Any] = {"key": unit.key, "source": unit.source, "address": unit.address, "what": "video"}
    if not pieces:
        yield Unit(kind="video", **more)
    for number, piece in enumerate(pieces):
        yield Unit(kind="piece", first=number, count=len(pieces), piece=piece, **more)


@contextlib.contextmanager
def _local(address: str, files: Files) -> Iterator[str]:
    """Yield the path of a file, of a temporary copy where it lies in another file system."""
    if not scheme_of(address):
        yield address
        return
    with tempfile.NamedTemporaryFile(prefix="personlab-") as copy, files.open(address) as file:
        shutil.copyfileobj(file, copy, 1 << 20)
        copy.flush()
        yield copy.name


def do_video(worker: Worker, unit: Unit) -> Outcome:
    """Predict a video from its first frame to its last.

    Raises:
        OSError: results cannot be written.
    """
    from personlab.io.video import Video

    with contextlib.ExitStack() as stack:
        path = unit.address
        try:
            path = stack.enter_context(_local(unit.address, worker.files))
            video = Video(Source(path, "video"))
        except Exception as error:  # noqa: BLE001  # whatever is made of a damaged header
            rows = Rows(unit.source, worker.schema)
            rows.fail(Place(unit.address), describe_failure(path, error).replace(path, unit.address))
            return worker.commit(unit, rows, 0)
        stack.callback(video.stop)
        frames = _Frames(worker, unit, path)
        frames.predict(video)
        return worker.commit(unit, frames.rows, worker.write_people(unit, frames.rows, frames.parts))


class _Frames:
    """The frames of one video so far."""

    def __init__(self, worker: Worker, unit: Unit, path: str) -> None:
        self._worker, self._unit, self._path = worker, unit, path
        self._times: deque[float] = deque()  # seconds of frames that are being predicted
        self._tracks = _tracks(worker)
        self.rows, self.parts = Rows(unit.source, worker.schema), 0

    def predict(self, video: Video) -> None:
        """Predict each frame, and note what is missing."""
        count, problem = 0, ""
        for outcome in self._worker.outcomes(self._images(video), self._tracks and self._tracks.predictor):
            if isinstance(outcome, Exception) and not self._times:  # it is reading that failed
                problem = describe_failure(self._path, outcome).replace(self._path, self._unit.address)
                continue
            self._add(Place(self._unit.address, None, count, self._times.popleft()), outcome)
            count += 1
        if not count:
            reason = problem or "expected a video, got one without a readable frame"
            self.rows.fail(Place(self._unit.address), reason)
            return
        for line in (*([problem] if problem else []), *video.describe_damage(count)):
            self.rows.complain(Place(self._unit.address), line, skipped=False)

    def _images(self, video: Video) -> Iterator[Any]:
        for image, time in video:
            self._times.append(time)
            yield image

    def _add(self, place: Place, outcome: Prediction | Exception) -> None:
        if isinstance(outcome, Exception):
            self.rows.fail(place, describe_failure(place.file, outcome))
            if self._tracks is not None:
                self._tracks.skip()
            return
        self.rows.add(place, outcome if self._tracks is None else self._tracks.add(outcome, outcome.image))
        if len(self.rows.people) >= _FLUSH:
            self.parts = self._worker.write_people(self._unit, self.rows, self.parts)


def _tracks(worker: Worker) -> Any:
    if worker.setup.track is None:
        return None
    from personlab.predict.tracks import VideoTracks

    return VideoTracks(worker.setup.track, worker.predictor)


def do_piece(worker: Worker, unit: Unit) -> Outcome:
    """Predict a piece and stage it, unless it is staged; then join the video, if this was its last piece.

    Raises:
        OSError: results cannot be written.
    """
    outcome = Outcome(was_done=True)
    if not worker.store.exists(_frames_file(unit.key, unit.first)):
        outcome = _stage(worker, unit)
    if all(worker.store.exists(_frames_file(unit.key, number)) for number in range(unit.count)):
        try:
            joined = _join(worker, unit)
        except FileNotFoundError:  # another worker has joined it, and cleaned up
            if not worker.store.exists(manifest_file(unit.key)):
                raise
            return outcome
        remove_staged(worker.store, unit.key)
        return joined if outcome.was_done else outcome
    return outcome


def _frames_file(key: str, number: int) -> str:
    return f"{STAGED}/{key}/{number:05d}.frames.parquet"


def _people_file(key: str, number: int) -> str:
    return f"{STAGED}/{key}/{number:05d}.people.parquet"


def remove_staged(store: Any, key: str) -> None:
    """Delete the staged pieces of a video that is done."""
    for name in list(store.names(f"{STAGED}/{key}")):
        store.delete(f"{STAGED}/{key}/{name}")


def _stage(worker: Worker, unit: Unit) -> Outcome:
    import pyarrow as pa

    from personlab.io.pieces import PieceReader

    assert unit.piece is not None
    rows = Rows(unit.source, worker.schema)
    stamps: deque[float | None] = deque()
    kept: list[float | None] = []
    reader: PieceReader | None = None
    is_broken = False

    def images() -> Iterator[Any]:
        assert reader is not None
        for image, stamp in reader.stamped():
            stamps.append(stamp)
            yield image

    try:
        reader = PieceReader(unit.address, unit.piece)
    except Exception:  # noqa: BLE001
        is_broken = True
    for outcome in worker.outcomes(images()) if reader is not None else ():
        if isinstance(outcome, Exception) and not stamps:
            is_broken = True
            continue
        kept.append(stamps.popleft())
        place = Place(unit.address, None, len(kept) - 1)
        if isinstance(outcome, Exception):
            rows.fail(place, describe_failure(unit.address, outcome))
        else:
            rows.add(place, outcome)
    reasons = {row[3]: row[4] for row in rows.errors}
    is_clean = reader is not None and reader.is_clean and not is_broken
    times = Timeline(25.0) if reader is None else reader.timeline()
    frames = pa.table(
        {
            "stamp": pa.array(kept, pa.float64()),
            "height": pa.array([row[5] for row in rows.manifest], pa.int32()),
            "width": pa.array([row[6] for row in rows.manifest], pa.int32()),
            "people": pa.array([row[7] for row in rows.manifest], pa.int32()),
            "reason": pa.array([reasons.get(number) for number in range(len(kept))], pa.string()),
        }
    ).replace_schema_metadata({"clean": str(int(is_clean)), "timeline": f"{times.rate!r} {times.longest!r}"})
    worker.store.write(_people_file(unit.key, unit.first), to_bytes(rows.take_people()))
    worker.store.write(_frames_file(unit.key, unit.first), to_bytes(frames))
    return Outcome(inputs=len(kept), failed=rows.failed, people=rows.count, errors=len(rows.errors))


def _join(worker: Worker, unit: Unit) -> Outcome:
    """Put the rows of all pieces in place; where one is not clean, predict the video as a whole."""
    facts = [
        from_bytes(worker.store.read(_frames_file(unit.key, number))).schema.metadata for number in range(unit.count)
    ]
    if any(one[b"clean"] != b"1" for one in facts):
        return do_video(worker, unit)
    rate, longest = map(float, facts[0][b"timeline"].split())
    timeline, tracks = Timeline(rate, longest), _tracks(worker)
    rows, first = Rows(unit.source, worker.schema), 0
    for number in range(unit.count):
        frames = from_bytes(worker.store.read(_frames_file(unit.key, number))).to_pylist()
        people = from_bytes(worker.store.read(_people_file(unit.key, number)))
        times = np.array([timeline.add(frame["stamp"]) for frame in frames])
        ids = None if tracks is None else _track(worker, tracks, frames, people)
        table = _moved(people, first, times, ids)
        worker.store.write(people_file(partition_of(unit.source), unit.key, number), to_bytes(table))
        for place, frame in enumerate(frames):
            where = Place(unit.address, None, first + place, float(times[place]))
            if frame["reason"] is not None:
                rows.fail(where, frame["reason"])
            else:
                rows.note(where, frame["height"], frame["width"], frame["people"], failed=False)
        first += len(frames)
    return worker.commit(unit, rows, unit.count)


def _moved(people: pa.Table, first: int, times: Any, ids: list[int | None] | None) -> pa.Table:
    """Return the rows of a piece with frames, times and identities of the whole video."""
    import pyarrow as pa

    frames = people.column("frame").to_numpy()
    columns = {"frame": pa.array(frames + first, pa.int64()), "time": pa.array(times[frames], pa.float64())}
    if ids is not None:
        columns["track_id"] = pa.array(ids, pa.int64())
    for name, values in columns.items():
        people = people.set_column(people.schema.get_field_index(name), people.schema.field(name), values)
    return people


def _track(worker: Worker, tracks: Any, frames: list[dict[str, Any]], people: pa.Table) -> list[int | None]:
    """Return the identity of each row of a piece."""
    ids: list[int | None] = []
    start = 0
    for frame in frames:
        if frame["reason"] is not None:
            tracks.skip()
            continue
        prediction = restore(people.slice(start, frame["people"]), (frame["width"], frame["height"]), worker.predictor)
        start += frame["people"]
        ids += [one if one > 0 else None for one in tracks.add(prediction, None).track_ids.tolist()]
    return ids


def restore(people: pa.Table, image_size: tuple[int, int], predictor: Any) -> Prediction:
    """Return the prediction that the rows of a frame were made of."""
    from personlab.poses import Poses
    from personlab.predict import Prediction

    count = predictor.skeleton.n_keypoints

    def numbers(name: str, *shape: int) -> Any:
        values = people.column(name).combine_chunks()
        return np.asarray(values.flatten() if shape else values, np.float32).reshape(len(people), *shape)

    triples = numbers("keypoints", count, 3)
    runs = people.column("mask").to_pylist()
    masks = scores = None
    if predictor.masks:
        height, width = image_size[::-1]
        masks = np.array([decode_runs(one["counts"], tuple(one["size"])) for one in runs], bool)
        masks, scores = masks.reshape(-1, height, width), numbers("mask_score")
    poses = Poses(
        np.ascontiguousarray(triples[..., :2]), np.ascontiguousarray(triples[..., 2]), numbers("score"),
        numbers("probabilities", count),
    )  # fmt: skip
    return Prediction(poses=poses, masks=masks, mask_scores=scores, image_size=image_size, skeleton=predictor.skeleton)
