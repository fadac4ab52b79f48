"""Writes annotated images as shards: image bytes as they are, annotations checked and of one category."""

from __future__ import annotations

import json
import os
import tarfile
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

from personlab.data.images import check_files
from personlab.data.shards.parquet import ANNOTATIONS, IMAGE, KEY, parquet_module
from personlab.data.shards.shard_set import ENDINGS, SUM
from personlab.io.files import partial_of, read_up_to, write_whole
from personlab.io.image_header import read_format
from personlab.io.images import MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from personlab.data.annotations import Annotations
    from personlab.data.entries import Person

_DIGITS = 12  # of an image's id in its key, as in COCO's file names
_ENDINGS = {"JPEG": "jpg", "JPEG 2000": "jp2", "PNM": "pnm", "TIFF": "tif"}  # by format; else its name
_GROUP = 1  # rows of a row group: what is read for one image


class _Written(NamedTuple):
    key: str
    ending: str
    image: bytes
    text: bytes  # annotations


def write_shards(
    annotations: Annotations,
    images: Path,
    folder: Path,
    *,
    ending: str = ".tar",
    count: int = 1000,
    progress: Callable[[], object] = lambda: None,
) -> list[Path]:
    """Write shards `NUMBER-of-TOTAL`, each whole or not at all, in the order of image ids.

    Args:
        annotations: of the images.
        images: the folder that their file names lead to.
        folder: to write into; made if necessary.
        ending: of the files: .tar or .parquet.
        count: max number of images of a shard.
        progress: called after each image.

    Returns:
        The files.

    Raises:
        ImportError: pyarrow is missing.
        FileExistsError: the folder is not empty.
        OSError, ValueError: images are missing or unreadable, an id is no key, or a shard cannot be written.
    """
    if ending not in ENDINGS:
        raise ValueError(f"ending: expected {' or '.join(ENDINGS)}, got {ending!r}")
    if ending == ".parquet":
        parquet_module()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder}: expected a new or empty folder, got one with files in it")
    if not annotations.images:
        raise ValueError(f"{annotations.path}: expected images, got none")
    check_files(images, annotations.names())
    ids = [person.id for person in annotations.people]
    unique = None not in ids and len(set(ids)) == len(ids)
    people: dict[int, list[Person]] = {number: [] for number in annotations.images}
    for number, person in enumerate(annotations.people, 1):
        people[person.image_id].append(person if unique else person._replace(id=number))
    numbers = list(annotations.images)
    parts = [numbers[first : first + count] for first in range(0, len(numbers), count)]
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for part, own in enumerate(parts):
        path = folder / f"{part:05d}-of-{len(parts):05d}{ending}"
        samples = _samples(annotations, images, own, people, progress)
        if ending == ".tar":
            write_whole(path, _tar(samples))
        else:
            _write_parquet(path, samples)
        paths.append(path)
    return paths


def _samples(
    annotations: Annotations,
    images: Path,
    numbers: Sequence[int],
    people: dict[int, list[Person]],
    progress: Callable[[], object],
) -> Iterator[_Written]:
    info = annotations.info if isinstance(annotations.info, dict) else {}
    head = {"info": {"generator": info["generator"]}} if isinstance(info.get("generator"), str) else {}
    for number in numbers:
        image = annotations.images[number]
        assert image.name is not None
        path = images / image.name
        content = read_up_to(path, MAX_BYTES)
        kind = read_format(content)
        entry = {"id": number, "file_name": image.name, "height": image.size[0], "width": image.size[1]}
        text = {
            **head,
            "images": [{**entry, SUM: zlib.crc32(content)}],
            "annotations": [_annotation(person, annotations) for person in people[number]],
            "categories": [annotations.category],
        }
        if not kind:
            raise ValueError(f"{path}: expected an image, got another kind of file")
        ending = _ENDINGS.get(kind, kind.lower())
        yield _Written(f"{number:0{_DIGITS}d}", ending, content, json.dumps(text).encode())
        progress()


def _annotation(person: Person, annotations: Annotations) -> dict[str, Any]:
    """Return an annotation that reads back as the same person, to the last bit."""
    entry: dict[str, Any] = {
        "id": person.id,
        "image_id": person.image_id,
        "category_id": annotations.category["id"],
        "iscrowd": int(person.crowd),
        "bbox": list(person.box),
        "area": person.area,
    }
    if person.runs:
        size = annotations.images[person.image_id].size
        entry["segmentation"] = {"size": list(size), "counts": person.runs.decode("ascii")}
    if person.keypoints is not None:
        entry["keypoints"] = person.keypoints.ravel().tolist()
    return entry


def _tar(samples: Iterator[_Written]) -> Iterator[bytes]:
    """Yield the bytes of a tar that depend on the samples alone: no times, owners or names of this machine."""
    total = 0
    for sample in samples:
        for ending, content in ((sample.ending, sample.image), ("json", sample.text)):
            member = tarfile.TarInfo(f"{sample.key}.{ending}")
            member.size = len(content)
            padding = -len(content) % tarfile.BLOCKSIZE
            yield member.tobuf(tarfile.USTAR_FORMAT)
            yield content
            yield bytes(padding)
            total += tarfile.BLOCKSIZE + len(content) + padding
    end = 2 * tarfile.BLOCKSIZE
    yield bytes(end + -(total + end) % tarfile.RECORDSIZE)


def _write_parquet(path: Path, samples: Iterator[_Written]) -> None:
    import pyarrow as pa

    schema = pa.schema(
        [pa.field(KEY, pa.string(), nullable=False), pa.field(IMAGE, pa.binary(), nullable=False),
         pa.field(ANNOTATIONS, pa.string(), nullable=False)]
    )  # fmt: skip
    partial = partial_of(path)
    try:
        with parquet_module().ParquetWriter(
            partial, schema, compression={KEY: "none", IMAGE: "none", ANNOTATIONS: "zstd"}, use_dictionary=False,
            write_statistics=False, write_page_checksum=True,
        ) as writer:  # fmt: skip
            for sample in samples:
                row = {KEY: [sample.key], IMAGE: [sample.image], ANNOTATIONS: [sample.text.decode()]}
                writer.write_table(pa.table(row, schema), row_group_size=_GROUP)
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
