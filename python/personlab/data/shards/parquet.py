"""Parquet files whose rows are an image and its annotations, read one row group at a time."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from personlab.data.shards.sample import MAX_TEXT, Sample, Stamp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from personlab.data.shards.sample import Place

IMAGE, ANNOTATIONS, KEY = "image", "annotations", "key"  # columns
_KINDS = {IMAGE: ("binary", "large_binary"), ANNOTATIONS: ("string", "large_string", "binary", "large_binary")}
_MAX_OPEN = 256  # files that a thread keeps open
_ROWS = 256  # whose annotations are read at once
MAX_GROUP = 64  # rows of a group, beyond which one image costs much


def parquet_module() -> Any:
    """Return pyarrow's module for Parquet.

    Raises:
        ImportError: it is not installed.
    """
    try:
        from pyarrow import parquet
    except ImportError as error:
        text = f"Parquet needs pyarrow ({error}): pip install 'personlab[shards]'"
        raise ImportError(text, name="pyarrow") from None
    return parquet


class OpenFiles(threading.local):
    """The files that a thread of a process has open, the last ones used."""

    def __init__(self) -> None:
        self._process, self._files = os.getpid(), OrderedDict[Path, Any]()

    def open(self, path: Path) -> Any:
        """Return an open Parquet file.

        Raises:
            OSError, ValueError: it cannot be read.
        """
        if self._process != os.getpid():  # forked: the position in a file is shared with the parent
            self._process, self._files = os.getpid(), OrderedDict()
        if path not in self._files:
            self._files[path] = open_parquet(path)
            if len(self._files) > _MAX_OPEN:
                self._files.popitem(last=False)
        self._files.move_to_end(path)
        return self._files[path]

    def __reduce__(self) -> Any:
        return OpenFiles, ()


def open_parquet(path: Path) -> Any:
    """Open a Parquet file with the columns of images and annotations.

    Raises:
        ImportError: pyarrow is missing.
        OSError, ValueError: no such file, or another one.
    """
    parquet = parquet_module()
    try:
        file = parquet.ParquetFile(path)
        kinds = {field.name: str(field.type) for field in file.schema_arrow}
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from None
    for name, fitting in _KINDS.items():
        if kinds.get(name) not in fitting:
            got = f"{kinds[name]}" if name in kinds else f"columns {', '.join(kinds) or 'none'}"
            raise ValueError(f"{path}: expected a column {name} of type {fitting[0]}, got {got}")
    return file


def _damaged(path: Path, error: Exception) -> ValueError:
    reason = (str(error) or type(error).__name__).splitlines()[0]
    return ValueError(f"{path}: expected a Parquet file, got another or a damaged one ({reason})")


class ParquetShard:
    """A Parquet file with the columns `image`, the bytes of an image file, and `annotations`, JSON.

    Args:
        path: of the file.
        files: that keep it open from one image to the next.

    Raises:
        ImportError: pyarrow is missing.
        OSError, ValueError: no such file, or another one.
    """

    def __init__(self, path: str | os.PathLike[str], files: OpenFiles | None = None) -> None:
        self.path, self._files = Path(path), OpenFiles() if files is None else files
        self._stamp = Stamp.of(self.path)
        metadata = open_parquet(self.path).metadata
        self.max_group = max((metadata.row_group(g).num_rows for g in range(metadata.num_row_groups)), default=0)

    def samples(self) -> Iterator[Sample]:
        """Yield the samples in the order of rows; annotations are read, images are not.

        Raises:
            OSError, ValueError: the file cannot be read, is damaged, or a row has no annotations.
        """
        file = open_parquet(self.path)
        metadata = file.metadata
        places = ((g, row) for g in range(metadata.num_row_groups) for row in range(metadata.row_group(g).num_rows))
        texts = (text for batch in self._batches(file) for text in batch)
        for number, (place, text) in enumerate(zip(places, texts, strict=True)):
            label = f"{self.path}: row {number}"
            if text is None or len(text) > MAX_TEXT:
                got = "none" if text is None else f"{len(text)}"
                raise ValueError(f"{label}: expected annotations of at most {MAX_TEXT} bytes, got {got}")
            yield Sample(label, f"row {number}", place, text)

    def _batches(self, file: Any) -> Iterator[list[Any]]:
        try:
            for batch in file.iter_batches(_ROWS, columns=[ANNOTATIONS], use_threads=False):
                yield batch.column(0).to_pylist()
        except (OSError, ValueError) as error:
            raise _damaged(self.path, error) from None

    def read(self, place: Place) -> bytes:
        """Return the bytes of an image.

        Raises:
            OSError, ValueError: the file cannot be read, is damaged or has changed, or the row has no image.
        """
        self._stamp.check(self.path, self.path)
        group, row = place
        try:
            column = self._files.open(self.path).read_row_group(group, columns=[IMAGE], use_threads=False)[IMAGE]
            content = column[row].as_py()
        except (IndexError, OSError, ValueError) as error:
            raise _damaged(self.path, error) from None
        if content is None:
            raise ValueError(f"{self.path}: row group {group}, row {row}: expected an image, got none")
        return bytes(content)
