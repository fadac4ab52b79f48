"""Images in tars, as WebDataset writes them, and in Parquet files: how these are divided, and read part by part."""

from __future__ import annotations

import tarfile
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from personlab.batch.units import Unit, container_key
from personlab.io.console import describe_error
from personlab.io.images import MAX_BYTES, StoredImage
from personlab.io.sources import IMAGES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from personlab.batch.storage import Files

_COLUMNS = ("image", "jpg", "jpeg", "png", "webp", "image_bytes", "bytes", "content", "data")  # the first of them
_NAMES = ("file_name", "filename", "file", "path", "image_path", "__key__", "key", "name")  # of columns with names
_ROWS = 16  # read at once
_BLOCK = tarfile.BLOCKSIZE

Member = tuple[str, int, StoredImage]
"""name, number in its file, and content of an image"""


def divide_tar(unit: Unit, files: Files, part: int) -> Iterator[Unit]:
    """Yield units of at most `part` images each; where the tar is damaged, those before and a failure.

    Args:
        unit: the tar as a whole.
        files: what opens it.
        part: images in a unit.
    """
    number = 0  # of the next image
    offsets: list[int] = []  # of the images that wait for a unit
    reason = ""
    try:
        with files.open(unit.address) as file, tarfile.open(fileobj=file, mode="r:") as tar:
            while (info := _next(tar)) is not None:
                if len(offsets) == part:
                    yield _part(unit, "members", number - part, part, offsets[0])
                    offsets.clear()
                offsets.append(info.offset)
                number += 1
            file.seek(tar.offset)
            end = file.read(_BLOCK)
            if len(end) < _BLOCK or any(end):
                reason = f"the tar is damaged after {number} images"
    except tarfile.TarError as error:
        what = f"a tar that is damaged after {number} images" if number else f"no tar ({error})"
        reason = f"expected a tar without compression, got {what}"
    except Exception as error:  # noqa: BLE001  # whatever is made of a damaged header
        reason = describe(error)
    if offsets:
        yield _part(unit, "members", number - len(offsets), len(offsets), offsets[0])
    if reason or not number:
        yield failure(unit, reason or "expected images in the tar, got none")


def _next(tar: tarfile.TarFile) -> tarfile.TarInfo | None:
    """Return the next image of a tar; None at its end."""
    while (info := tar.next()) is not None:
        tar.members.clear()  # type: ignore[attr-defined]  # which would hold all of them
        if _is_image(info):
            return info
    return None


def divide_table(unit: Unit, files: Files, part: int, column: str | None) -> Iterator[Unit]:
    """Yield units of whole row groups, together at least `part` rows where there are so many, or a failure."""
    import pyarrow.parquet as pq

    try:
        with files.open(unit.address) as file:
            table = pq.ParquetFile(file)
            _columns(table.schema_arrow, column)
            sizes = [table.metadata.row_group(n).num_rows for n in range(table.num_row_groups)]
    except Exception as error:  # noqa: BLE001  # whatever is made of a damaged header
        yield failure(unit, describe(error))
        return
    first = rows = offset = 0
    for number, size in enumerate(sizes):
        if rows and rows + size > part:
            yield _part(unit, "rows", first, number - first, offset)
            first, rows, offset = number, 0, offset + rows
        rows += size
    if rows:
        yield _part(unit, "rows", first, len(sizes) - first, offset)
    else:
        yield failure(unit, "expected images in the Parquet file, got no row")


def describe(error: Exception) -> str:
    """Say in one line why a file cannot be read."""
    return " ".join(describe_error(error).split()) or type(error).__name__


def failure(unit: Unit, reason: str) -> Unit:
    """Return the unit that notes why a file cannot be read, or not to its end."""
    return Unit(
        kind="failure", key=f"{container_key(unit.address)}-failure", source=unit.source, address=unit.address,
        what=unit.what, reason=reason,
    )  # fmt: skip


def _part(unit: Unit, kind: Any, first: int, count: int, offset: int) -> Unit:
    return Unit(
        kind=kind, key=f"{container_key(unit.address)}-{first:09d}", source=unit.source, address=unit.address,
        what=unit.what, first=first, count=count, offset=offset,
    )  # fmt: skip


def read_members(unit: Unit, files: Files) -> Iterator[Member]:
    """Yield the images of a part of a tar.

    Raises:
        OSError: it cannot be read.
        tarfile.TarError: it is damaged where it was not when it was divided.
    """
    with files.open(unit.address) as file:
        file.seek(unit.offset)
        with tarfile.open(fileobj=file, mode="r:") as tar:
            for number in range(unit.first, unit.first + unit.count):
                info = _next(tar)
                if info is None:
                    raise tarfile.ReadError("unexpected end of data")
                name = f"{unit.address}/{info.name}"
                yield name, number, StoredImage.of(name, _member(tar, info, name))


def _member(tar: tarfile.TarFile, info: tarfile.TarInfo, name: str) -> bytes | Exception:
    if info.size > MAX_BYTES:
        return ValueError(f"{name}: expected a file of at most {MAX_BYTES} bytes, got {info.size}")
    member = tar.extractfile(info)
    return b"" if member is None else member.read()


def _is_image(info: tarfile.TarInfo) -> bool:
    path = PurePosixPath(info.name)
    return info.isfile() and path.suffix.lower() in IMAGES and not path.name.startswith(".")


def read_rows(unit: Unit, files: Files, column: str | None) -> Iterator[Member]:
    """Yield the images of a part of a Parquet file.

    Raises:
        ArrowException, OSError: it cannot be read.
        ValueError: it has no such column.
    """
    import pyarrow.parquet as pq

    with files.open(unit.address) as file:
        table = pq.ParquetFile(file)
        own, names = _columns(table.schema_arrow, column)
        number = unit.offset
        groups = list(range(unit.first, unit.first + unit.count))
        wanted = [own] if names is None else [own, names]
        for batch in table.iter_batches(_ROWS, row_groups=groups, columns=wanted):
            texts = [None] * len(batch) if names is None else batch.column(names).to_pylist()
            for value, text in zip(batch.column(own).to_pylist(), texts, strict=True):
                if isinstance(value, dict):
                    text, value = value.get("path") or text, value.get("bytes")  # noqa: PLW2901
                name = f"{unit.address}/{text or number}"
                yield name, number, StoredImage.of(name, _checked(value, name))
                number += 1


def _checked(value: bytes | None, name: str) -> bytes | Exception:
    return ValueError(f"{name}: expected the bytes of an image, got null") if value is None else value


def _columns(schema: Any, column: str | None) -> tuple[str, str | None]:
    """Return the column with the bytes of images, and that with their names, if there is one.

    Raises:
        ValueError: no such column.
    """
    import pyarrow as pa

    def holds(kind: Any) -> bool:
        if pa.types.is_struct(kind):
            return kind.get_field_index("bytes") >= 0 and holds(kind.field("bytes").type)
        return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))

    fitting = [field.name for field in schema if holds(field.type)]
    if column is not None and column not in fitting:
        got = "no such column" if column not in schema.names else str(schema.field(column).type)
        raise ValueError(f"column {column}: expected the bytes of images, got {got}")
    if not fitting:
        raise ValueError(f"expected a column with the bytes of images, got the columns {', '.join(schema.names)}")
    own = column or next((name for name in _COLUMNS if name in fitting), fitting[0])
    texts = [field.name for field in schema if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)]
    return own, next((name for name in _NAMES if name in texts), None)
