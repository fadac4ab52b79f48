"""Reads the tables of a job, also as COCO results."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from personlab.batch.partition import partition_of
from personlab.batch.storage import Files, as_address
from personlab.batch.tables import ERRORS, MANIFEST, PEOPLE
from personlab.io.sources import image_number, scheme_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pyarrow as pa
    from pyarrow.dataset import Dataset

    Address = str | os.PathLike[str]

_BATCH = 4096  # rows read at once


def read_people(output: Address, source: str | None = None) -> pa.Table:
    """Return the rows of people, one for each person, in the order of file, index, frame and person.

    Args:
        output: folder or address of the job.
        source: only those of one source, as `read_manifest` names it.

    Raises:
        OSError, ValueError: no such job.
    """
    dataset = _dataset(output, PEOPLE if source is None else f"{PEOPLE}/{partition_of(source)}")
    keys = [(name, "ascending") for name in ("file", "index", "frame", "person")]
    return dataset.to_table().sort_by(keys) if dataset is not None else _empty()


def read_manifest(output: Address) -> pa.Table:
    """Return a row for each image and frame that is done, people or not, in the order of file, index and frame.

    Raises:
        OSError, ValueError: no such job.
    """
    return _sorted(output, MANIFEST)


def read_errors(output: Address) -> pa.Table:
    """Return a row for each input that could not be read, or not as a whole, with the reason.

    Raises:
        OSError, ValueError: no such job.
    """
    return _sorted(output, ERRORS)


def _sorted(output: Address, table: str) -> pa.Table:
    from personlab.batch.tables import errors_schema, manifest_schema

    dataset = _dataset(output, table)
    if dataset is None:
        return (manifest_schema() if table == MANIFEST else errors_schema()).empty_table()
    return dataset.to_table().sort_by([(name, "ascending") for name in ("file", "index", "frame")])


def _empty() -> pa.Table:
    from personlab.batch.tables import people_schema
    from personlab.skeleton import COCO_PERSON

    return people_schema(COCO_PERSON.names).empty_table()


def _dataset(output: Address, table: str) -> Dataset | None:
    """Return a table as a data set of pyarrow; None where it has no file yet."""
    import pyarrow as pa
    import pyarrow.dataset as ds
    from pyarrow.fs import FileSelector, FileType, LocalFileSystem

    address = as_address(os.fspath(output))
    system, root = Files().system(address) if scheme_of(address) else (LocalFileSystem(), address)
    if system.get_file_info(f"{root}/_job.json").type != FileType.File:
        raise ValueError(f"{output}: expected the folder of a job of `personlab batch`, got another")
    selector = FileSelector(f"{root}/{table}", recursive=True, allow_not_found=True)
    infos = system.get_file_info(selector)
    names = sorted(info.path for info in infos if info.path.endswith(".parquet") and not info.base_name.startswith("."))
    if not names:
        return None
    source = pa.schema([("source", pa.string())])  # not a number, whatever it looks like
    partitioning = ds.partitioning(source, flavor="hive") if table.startswith(PEOPLE) else None
    return ds.dataset(
        names, filesystem=system, format="parquet", partitioning=partitioning, partition_base_dir=f"{root}/{PEOPLE}"
    )


def coco_results(output: Address, images: Mapping[int, str | None]) -> Iterator[dict[str, Any]]:
    """Yield COCO keypoint results of the images that annotations name, as `personlab predict --json` writes them.

    A file belongs to the image whose file_name its path ends with; where none has such a name, to the one with the
    number at the end of its name.

    Args:
        output: folder or address of the job.
        images: file_name by image id.

    Raises:
        OSError, ValueError: no such job.
    """
    dataset = _dataset(output, PEOPLE)
    if dataset is None:
        return
    find = _Finder(images)
    columns = ["file", "score", "keypoints", "track_id"]
    for batch in dataset.to_batches(columns=columns, batch_size=_BATCH):
        for row in batch.to_pylist():
            image_id = find(row["file"])
            if image_id is None:
                continue
            result = {
                "image_id": image_id,
                "category_id": 1,
                "keypoints": [round(value, 4) for value in row["keypoints"]],
                "score": row["score"],
            }
            yield result if row["track_id"] is None else {**result, "track_id": row["track_id"]}


class _Finder:
    """Finds the image id of a file."""

    def __init__(self, images: Mapping[int, str | None]) -> None:
        self._ids = set(images)
        self._by_name = {tuple(name.split("/")): number for number, name in images.items() if name}
        self._depths = sorted({len(parts) for parts in self._by_name}, reverse=True)
        self._known: dict[str, int | None] = {}
        ends = Counter(parts[-1] for parts in self._by_name)
        self._by_end = {parts[-1]: number for parts, number in self._by_name.items() if ends[parts[-1]] == 1}

    def __call__(self, file: str) -> int | None:
        if file not in self._known:
            if len(self._known) > _BATCH:
                self._known.clear()
            self._known[file] = self._find(file)
        return self._known[file]

    def _find(self, file: str) -> int | None:
        parts = tuple(file.partition("?")[0].split("/")) if scheme_of(file) else Path(file).parts
        for depth in self._depths:
            if (number := self._by_name.get(parts[-depth:])) is not None:
                return number
        if (number := self._by_end.get(parts[-1])) is not None:
            return number
        number = image_number(file)
        return number if number in self._ids else None
