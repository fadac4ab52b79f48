"""What a job keeps in its folder besides rows: its options, and which images go together in a unit."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from personlab.batch.tables import ERRORS, MANIFEST, from_bytes, manifest_file, printable, to_bytes
from personlab.batch.units import Unit, container_key, key_of
from personlab.batch.videos import STAGED, remove_staged
from personlab.io.locks import CAN_LOCK, try_lock

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pyarrow as pa

    from personlab.batch.inputs import Inputs
    from personlab.batch.storage import Store

_FORMAT = 1  # of the folder
_JOB, _PLAN, _LOCK = "_job.json", "_plan", "_lock"
_SHARE = 8  # units of each worker, at least, where there are enough images
_MIN_PART = 16  # images in a unit, at least, where there are enough


class OptionsError(ValueError):
    """The folder is of a job with other options."""


def is_job(path: str | os.PathLike[str]) -> bool:
    """Return whether a folder holds the results of a job."""
    return Path(path, _JOB).is_file()


def check_folder(store: Store, options: Mapping[str, Any]) -> bool:
    """Return whether a folder holds a job with these options; False: it is empty, or not there.

    Raises:
        OptionsError: it holds a job with others.
        OSError: it cannot be read.
        ValueError: it holds something else.
    """
    folder, own = store.address, _written(options)
    if store.is_local:
        _check_is_no_file(Path(folder))
    if not store.exists(_JOB):
        strange = [name for name in store.names("") if name != _LOCK and not name.startswith(".")]
        if strange:
            raise ValueError(f"{folder}: expected a new or empty folder, or one of a job, got {strange[0]} in it")
        return False
    try:
        other = json.loads(store.read(_JOB))
        before, now, kind = dict(other["options"]), own["options"], other["format"]
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"{folder}/{_JOB}: expected the options of a job, got something else") from None
    if kind != _FORMAT:
        raise OptionsError(f"{folder}: comes from another version of personlab: write to another folder")
    for name in sorted({*before, *now}):
        if before.get(name) != now.get(name):
            old, new = before.get(name), now.get(name)
            raise OptionsError(
                f"{folder}: comes from a job with another {name} ({_shown(old)}, now {_shown(new)}): give the same "
                "options, or write to another folder"
            )
    return True


def _check_is_no_file(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: expected a folder, got a file")


def _written(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options as they are read again."""
    own: dict[str, Any] = json.loads(
        json.dumps({"format": _FORMAT, "options": dict(options)}, default=str, sort_keys=True)
    )
    return own


@dataclass
class Job:
    """A folder of results, open for one run.

    Args:
        store: the folder.
        options: that decide the rows: those of an earlier run must be the same.

    Raises:
        OptionsError: they are not.
        OSError: the folder cannot be read or written.
        ValueError: another run writes to it, or it is something else.
    """

    store: Store
    options: Mapping[str, Any]

    def __post_init__(self) -> None:
        self._descriptor: int | None = None
        try:
            if self.store.is_local:
                self._lock(Path(self.store.address))
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        if not check_folder(self.store, self.options):
            self.store.write(_JOB, json.dumps(_written(self.options), indent=1, sort_keys=True).encode() + b"\n")

    def _lock(self, folder: Path) -> None:
        _check_is_no_file(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o666)
        if CAN_LOCK and not try_lock(self._descriptor):
            self.close()
            raise ValueError(f"{folder}: another run writes to this folder")

    def close(self) -> None:
        """Let other runs write to the folder."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def clean(self, *, retry_errors: bool = False) -> None:
        """Delete what a killed run left half done; `retry_errors`: also take back units that have errors."""
        self.store.clean()
        for key in list(self.store.names(STAGED)):
            if self.store.exists(manifest_file(key)):
                remove_staged(self.store, key)
        if retry_errors:
            for name in list(self.store.names(ERRORS)):
                self.store.delete(f"{MANIFEST}/{name}")  # first: without it, the unit is not done

    def done(self) -> set[str]:
        """Return the keys of units that are done."""
        return {name.partition(".")[0] for name in self.store.names(MANIFEST) if not name.startswith(".")}

    def units(self, inputs: Inputs, part: int, workers: int) -> Iterator[Unit]:
        """Yield the units of images that are not done, and the files that are still to be divided.

        Which images go together is written down before any of them is predicted, and stays: images that are new in a
        later run make units of their own.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        done = self.done()
        listed = pa.array([printable(file) for files in inputs.images.values() for file in files], pa.string())
        names = {printable(file): file for files in inputs.images.values() for file in files if not _is_text(file)}
        plans = [
            from_bytes(self.store.read(f"{_PLAN}/{name}")) for name in sorted(self.store.names(_PLAN)) if _is_plan(name)
        ]
        if len(listed):
            planned = pa.chunked_array([plan.column("file") for plan in plans], pa.string()).combine_chunks()
            new = self._plan(inputs, pc.invert(pc.is_in(listed, value_set=planned)).to_pylist(), part, workers)
            plans += [] if new is None else [new]
        for plan in plans:
            for unit in _units_of(plan.filter(pc.is_in(plan.column("unit"), value_set=_wanted(plan, listed))), names):
                if unit.key not in done:
                    yield unit
        for what, address, source in inputs.containers:
            key = container_key(address)
            if what != "video" or key not in done:
                yield Unit(kind="whole", key=key, source=source, address=address, what=what)

    def _plan(self, inputs: Inputs, is_new: list[bool], part: int, workers: int) -> pa.Table | None:
        """Write down the units of images that have none."""
        import pyarrow as pa

        fresh, place = {}, 0
        for source, files in inputs.images.items():
            own = [printable(file) for file, new in zip(files, is_new[place : place + len(files)], strict=True) if new]
            place += len(files)
            if own:
                fresh[source] = own
        if not fresh:
            return None
        count = sum(map(len, fresh.values()))
        size = min(max(count // (workers * _SHARE), _MIN_PART), part)
        columns: dict[str, list[str]] = {"unit": [], "source": [], "file": []}
        for source, files in fresh.items():
            for first in range(0, len(files), size):
                own = files[first : first + size]
                columns["unit"] += [key_of(source, *own)] * len(own)
                columns["source"] += [printable(source)] * len(own)
                columns["file"] += own
        plan = pa.table(columns, pa.schema([(name, pa.string()) for name in columns]))
        self.store.write(f"{_PLAN}/{key_of(*columns['unit'])}.parquet", to_bytes(plan))
        return plan


def _wanted(plan: pa.Table, listed: pa.Array) -> pa.Array:
    """Return the units of a plan that have an image of this run."""
    import pyarrow.compute as pc

    return pc.unique(plan.filter(pc.is_in(plan.column("file"), value_set=listed)).column("unit"))


def _units_of(plan: pa.Table, names: Mapping[str, str]) -> Iterator[Unit]:
    for batch in plan.group_by(["unit", "source"], use_threads=False).aggregate([("file", "list")]).to_batches(1024):
        for row in batch.to_pylist():
            files = tuple(names.get(file, file) for file in row["file_list"])
            yield Unit(kind="images", key=row["unit"], source=row["source"], files=files)


def _is_plan(name: str) -> bool:
    return name.endswith(".parquet") and not name.startswith(".")


def _is_text(file: str) -> bool:
    return printable(file) == file


def _shown(value: Any) -> str:
    return "none" if value is None else str(value)
