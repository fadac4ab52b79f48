"""The shards of a folder, a file or a pattern, as one set of annotated images."""

from __future__ import annotations

import glob
import os
import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.data.annotations import Content
from personlab.data.category import choose_category
from personlab.data.coco_file import as_integer_or_none
from personlab.data.shards.parquet import MAX_GROUP, OpenFiles, ParquetShard
from personlab.data.shards.sample import read_sample
from personlab.data.shards.tar import TarShard
from personlab.io.console import progress_bar
from personlab.io.images import StoredImage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from personlab.data.annotations import Annotations
    from personlab.data.shards.sample import Shard

ENDINGS = (".tar", ".parquet")
SUM = "crc32"  # of an image's bytes, beside its size
_PART = re.compile(r"(\d+)-of-(\d+)")  # of a shard's name
_MAX_LABEL = 80  # letters of a member's name that are kept for messages


def find_shards(source: str | os.PathLike[str]) -> list[Path]:
    """Return the shards of a folder, a file or a pattern such as data/train-*.tar, sorted by name.

    Shards of a folder that are named NUMBER-of-TOTAL have to be complete.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no shards, shards of both kinds, or some that are missing.
    """
    path = Path(source)
    if path.is_dir():
        paths = sorted(one for one in path.iterdir() if one.suffix in ENDINGS and not one.name.startswith("."))
    elif path.exists():
        paths = [path]
    else:
        paths = sorted(map(Path, glob.glob(os.fspath(source))))  # noqa: PTH207  # a path may be absolute
        if not paths:
            raise FileNotFoundError(f"{source}: no such file or folder, and no files of that pattern")
    kinds = {one.suffix for one in paths}
    if len(kinds) != 1 or not kinds <= set(ENDINGS):
        got = " and ".join(sorted(kinds)) or "none"
        raise ValueError(f"{source}: expected shards that end in {' or '.join(ENDINGS)}, got {got}")
    if path.is_dir():
        _check_complete(path, paths)
    return paths


def _check_complete(folder: Path, paths: Sequence[Path]) -> None:
    parts = [match for one in paths if (match := _PART.fullmatch(one.stem))]
    totals = {match[2] for match in parts}
    if len(parts) < len(paths) or len(totals) > 1:
        if parts:
            raise ValueError(f"{folder}: expected shards of one set, got {paths[0].name} beside {paths[-1].name}")
        return
    total = int(next(iter(totals)))
    missing = sorted(set(range(total)) - {int(match[1]) for match in parts})
    if missing:
        name = f"{missing[0]:0{len(parts[0][1])}d}-of-{parts[0][2]}{paths[0].suffix}"
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ValueError(f"{folder}: expected {total} shards, got {len(paths)}: {name}{more} is missing")


def read_shards(
    source: str | os.PathLike[str], category: str = "person", *, n_keypoints: int | None = None
) -> tuple[Annotations, StoredImages]:
    """Read the annotations of shards, and where the images lie, whose bytes are read when asked for.

    Args:
        source: as `find_shards` takes it.
        category: name or number of the category (`personlab.data.category.choose_category`).
        n_keypoints: K, as `personlab.data.annotations.read_annotations` takes it.

    Raises:
        ImportError: pyarrow is missing.
        OSError, ValueError: a shard cannot be read, is damaged or incomplete, or an image comes twice.
    """
    files = OpenFiles()
    kinds: dict[str, Any] = {".tar": TarShard, ".parquet": lambda path: ParquetShard(path, files)}
    shards: list[Shard] = [kinds[path.suffix](path) for path in find_shards(source)]
    places: dict[int, tuple[int, int, int, int]] = {}  # by id of the image: shard, place in it, checksum or -1
    members: list[bytes] = []
    content = Content(os.fspath(source), _parts(shards, places, members))
    try:
        chosen = choose_category(content.categories, content.counts, category)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None
    return content.of(chosen, n_keypoints=n_keypoints), StoredImages(shards, places, members)


def _parts(
    shards: Sequence[Shard], places: dict[int, tuple[int, int, int, int]], members: list[bytes]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield name and annotations of each image, and note where it lies."""
    with progress_bar(len(shards), "shards", unit="shards") as bar:
        for number, shard in enumerate(shards):
            for sample in shard.samples():
                image, content = read_sample(sample)
                if image["id"] in places:
                    other = shards[places[image["id"]][0]].path
                    raise ValueError(f"{sample.label}: expected image {image['id']} once, got it in {other}, too")
                checksum = as_integer_or_none(image.get(SUM))
                places[image["id"]] = number, *sample.place, -1 if checksum is None else checksum
                members.append(sample.member[:_MAX_LABEL].encode(errors="surrogateescape"))
                yield sample.label, content
            bar.update()


class StoredImages(Mapping[int, StoredImage]):
    """The image files in shards by the ids of the images, as a few arrays, which forked workers share.

    Args:
        shards: that hold them.
        places: number of the shard, place in it and checksum, -1 without one, by id of the image.
        members: name of each in its shard, for messages, in the same order.
    """

    def __init__(
        self, shards: Sequence[Shard], places: Mapping[int, tuple[int, int, int, int]], members: Sequence[bytes]
    ) -> None:
        ids = np.fromiter(places, np.int64, len(places))
        order = np.argsort(ids)
        self.shards, self._ids = shards, ids[order]
        self._places = np.array(list(places.values()), np.int64).reshape(-1, 4)[order]
        self._members = np.array(members, np.bytes_)[order]

    @property
    def notes(self) -> tuple[str, ...]:
        """What makes reading slow, a line each."""
        large = [one for one in self.shards if isinstance(one, ParquetShard) and one.max_group > MAX_GROUP]
        return tuple(
            f"{one.path}: row groups of {one.max_group} images, all of which are read for one; `personlab shard` "
            "writes small groups"
            for one in large[:1]
        )

    def __len__(self) -> int:
        return len(self._ids)

    def __iter__(self) -> Iterator[int]:
        return iter(self._ids.tolist())

    def __getitem__(self, image_id: int) -> StoredImage:
        row = int(np.searchsorted(self._ids, image_id))
        if row == len(self._ids) or self._ids[row] != image_id:
            raise KeyError(image_id)
        number, first, second, checksum = self._places[row].tolist()
        shard = self.shards[number]
        name = f"{shard.path}: {self._members[row].decode(errors='surrogateescape')}"

        def read() -> bytes:
            content: bytes = shard.read((first, second))
            if checksum >= 0 and zlib.crc32(content) != checksum:
                raise ValueError(f"{name}: expected the bytes that were written, got damaged ones")
            return content

        return StoredImage(name, read)
