"""The tables of results: their columns, and how predictions become rows."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from personlab.poses import Poses
    from personlab.predict import Prediction

PEOPLE, MANIFEST, ERRORS = "people", "_manifest", "errors"  # folders of the tables
_ENDING = ".parquet"


def manifest_file(key: str) -> str:
    """Return the file whose presence says that a unit is done."""
    return f"{MANIFEST}/{key}{_ENDING}"


def errors_file(key: str) -> str:
    """Return the file with the errors of a unit."""
    return f"{ERRORS}/{key}{_ENDING}"


def people_file(partition: str, key: str, number: int) -> str:
    """Return the file with part `number` of the rows of a unit."""
    return f"{PEOPLE}/{partition}/{key}-{number:05d}{_ENDING}"


def people_schema(names: Sequence[str], more: Mapping[str, str] | None = None) -> pa.Schema:
    """Return the columns of the table of people.

    Args:
        names: of the keypoints.
        more: facts to keep in the file.
    """
    import pyarrow as pa

    mask = pa.struct([("size", pa.list_(pa.int32())), ("counts", pa.string())])
    return pa.schema(
        [
            pa.field("file", pa.string(), nullable=False),
            ("index", pa.int64()),
            ("frame", pa.int64()),
            ("time", pa.float64()),
            pa.field("person", pa.int32(), nullable=False),
            ("score", pa.float32()),
            ("box", pa.list_(pa.float32(), 4)),
            ("keypoints", pa.list_(pa.float32(), 3 * len(names))),
            ("probabilities", pa.list_(pa.float32(), len(names))),
            ("mask", mask),
            ("mask_score", pa.float32()),
            ("track_id", pa.int64()),
        ],
        metadata={"keypoints": json.dumps(list(names)), **(more or {})},
    )


def manifest_schema() -> pa.Schema:
    """Return the columns of the manifest: a row for each image and each frame."""
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("source", pa.string(), nullable=False),
            pa.field("file", pa.string(), nullable=False),
            ("index", pa.int64()),
            ("frame", pa.int64()),
            ("time", pa.float64()),
            ("height", pa.int32()),
            ("width", pa.int32()),
            pa.field("people", pa.int32(), nullable=False),
            pa.field("failed", pa.bool_(), nullable=False),
        ]
    )


def errors_schema() -> pa.Schema:
    """Return the columns of the table of errors."""
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("source", pa.string(), nullable=False),
            pa.field("file", pa.string(), nullable=False),
            ("index", pa.int64()),
            ("frame", pa.int64()),
            pa.field("reason", pa.string(), nullable=False),
            pa.field("skipped", pa.bool_(), nullable=False),
        ]
    )


def to_bytes(table: pa.Table) -> bytes:
    """Return a table as the content of a Parquet file."""
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def from_bytes(content: bytes) -> pa.Table:
    """Return the table of a Parquet file's content."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pq.ParquetFile(pa.BufferReader(content)).read()


@dataclass(frozen=True)
class Place:
    """Where a prediction belongs."""

    file: str
    index: int | None = None
    frame: int | None = None
    time: float | None = None


@dataclass(frozen=True)
class People:
    """The people of an image or a frame, masks as run lengths."""

    place: Place
    poses: Poses
    masks: list[dict[str, Any]] | None
    track_ids: list[int] | None

    @classmethod
    def of(cls, place: Place, prediction: Prediction) -> People:
        """Return what rows are made of: far less than a prediction holds."""
        masks = None if prediction.masks is None else prediction.masks_to_coco(0)
        ids = None if prediction.track_ids is None else prediction.track_ids.tolist()
        return cls(place, prediction.poses, masks, ids)


@dataclass
class Rows:
    """Rows of all three tables, as they come."""

    source: str
    schema: pa.Schema
    people: list[People] = field(default_factory=list)
    manifest: list[tuple[Any, ...]] = field(default_factory=list)
    errors: list[tuple[Any, ...]] = field(default_factory=list)
    failed: int = 0
    """images and frames without a prediction"""

    count: int = 0
    """people"""

    def add(self, place: Place, prediction: Prediction) -> None:
        """Add the people of an image or a frame, and the damage of its file."""
        width, height = prediction.image_size
        count = len(prediction.poses)
        if count:
            self.people.append(People.of(place, prediction))
            self.count += count
        self.note(place, height, width, count, failed=False)
        if prediction.damage:
            self.complain(place, prediction.damage, skipped=False)

    def fail(self, place: Place, reason: str) -> None:
        """Add an image or a frame without a prediction."""
        self.failed += 1
        self.note(place, None, None, 0, failed=True)
        self.complain(place, reason, skipped=True)

    def complain(self, place: Place, reason: str, *, skipped: bool) -> None:
        """Add a row of errors; `skipped`: whether nothing of the input was used."""
        line = " ".join(reason.removeprefix(place.file).removeprefix(": ").split()) or reason
        self.errors.append((self.source, place.file, place.index, place.frame, printable(line), skipped))

    def note(self, place: Place, height: int | None, width: int | None, count: int, *, failed: bool) -> None:
        """Add a row of the manifest."""
        self.manifest.append(
            (self.source, place.file, place.index, place.frame, place.time, height, width, count, failed)
        )

    def take_people(self) -> pa.Table:
        """Return the rows of people so far, and forget them."""
        people, self.people = self.people, []
        return people_table(people, self.schema)

    def manifest_table(self) -> pa.Table:
        """Return the rows of the manifest."""
        return _table(self.manifest, manifest_schema())

    def errors_table(self) -> pa.Table:
        """Return the rows of errors."""
        return _table(self.errors, errors_schema())


def printable(text: str) -> str:
    """Return a text that UTF-8 can hold: file names may have bytes of no encoding."""
    return text.encode("utf-8", "backslashreplace").decode()


def people_table(people: Sequence[People], schema: pa.Schema) -> pa.Table:
    """Return one row for each person."""
    import pyarrow as pa

    rows = [(one.place, number) for one in people for number in range(len(one.poses))]
    none: list[Any] = [None]
    masks: list[Any] = [result for one in people for result in (one.masks or len(one.poses) * none)]
    ids: list[Any] = [track for one in people for track in (one.track_ids or len(one.poses) * none)]
    poses = [one.poses for one in people]
    columns = {
        "file": [printable(place.file) for place, _ in rows],
        "index": [place.index for place, _ in rows],
        "frame": [place.frame for place, _ in rows],
        "time": [place.time for place, _ in rows],
        "person": [number for _, number in rows],
        "score": _floats([one.scores for one in poses]),
        "box": _floats([one.boxes for one in poses]),
        "keypoints": _floats([np.concatenate([p.keypoints, p.keypoint_scores[..., None]], axis=2) for p in poses]),
        "probabilities": _floats([one.keypoint_probabilities for one in poses]),
        "mask": [None if result is None else result["segmentation"] for result in masks],
        "mask_score": [None if result is None else result["score"] for result in masks],
        "track_id": [None if track is None or track <= 0 else track for track in ids],
    }
    arrays = []
    for column in schema:
        values = columns[column.name]
        if pa.types.is_fixed_size_list(column.type):
            arrays.append(pa.FixedSizeListArray.from_arrays(pa.array(values, pa.float32()), type=column.type))
        else:
            arrays.append(pa.array(values, column.type))
    return pa.Table.from_arrays(arrays, schema=schema)


def _floats(arrays: Sequence[Any]) -> Any:
    return np.concatenate([array.ravel() for array in arrays]) if arrays else np.zeros(0, np.float32)


def _table(rows: Sequence[tuple[Any, ...]], schema: pa.Schema) -> pa.Table:
    import pyarrow as pa

    columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema)
    arrays = [
        pa.array([printable(value) for value in values] if pa.types.is_string(kind.type) else values, kind.type)
        for values, kind in zip(columns, schema, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=schema)
