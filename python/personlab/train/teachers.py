"""The teachers of a run: their fields of each image, computed once, kept in files, and shown beside the targets."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from personlab.io.console import describe_failure, log, progress_bar, warnings_as_lines
from personlab.io.files import write_whole
from personlab.io.npz import read_arrays
from personlab.methods import get_method
from personlab.methods.base import Lesson
from personlab.train.start import open_images
from personlab.weights import cache_folder, load_stored
from personlab.weights.download import digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from personlab.data.augment import View
    from personlab.data.grid import Grid
    from personlab.data.images import Images
    from personlab.io.images import StoredImage
    from personlab.methods import Method
    from personlab.methods.base import Teaching
    from personlab.predict import Predictor
    from personlab.train.config import TrainConfig
    from personlab.train.teacher_options import TeacherOptions

_VERSION = 1  # of the files
_NAME = "fields"  # of their only array, as `np.savez` is called below


class _Teacher(NamedTuple):
    """A teacher, and the folder with its fields."""

    options: TeacherOptions
    folder: Path


class Teachers:
    """What the teachers of a run say of its images.

    Args:
        config: of the run.
        method: of the networks.
        images: of the run, each in a file or in a shard.

    Raises:
        ImportError, OSError: a teacher's weights cannot be loaded.
        ValueError: a teacher of another method or skeleton, without a field that it is to teach, or of another R.
    """

    def __init__(self, config: TrainConfig, method: Method, images: Images) -> None:
        if method.teaching is None:
            raise ValueError(f"teachers: expected none, for networks of {method.name} cannot be taught by others")
        self._teaching: Teaching = method.teaching
        self._config, self._method = config, method
        self._images: Any = images  # each with a source
        folder = Path(config.cache) if config.cache is not None else cache_folder() / "fields"
        self._teachers = []
        for number, options in enumerate(config.teachers):
            try:
                key = self._check(options, getattr(config.loss, "disk_radius", None))
            except ValueError as error:
                raise ValueError(f"teachers[{number}]: {error}") from None
            self._teachers.append(_Teacher(options, folder / key))
        self._open: dict[int, Predictor] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all fields that are taught."""
        return tuple(dict.fromkeys(name for teacher in self._teachers for name in teacher.options.fields))

    def _check(self, options: TeacherOptions, disk_radius: float | None) -> str:
        """Check that a teacher can teach the run's network, and return the name of the folder of its fields."""
        stored = load_stored(options.weights, stride=options.stride)
        if stored.method.name != self._method.name:
            raise ValueError(f"weights: expected a network of {self._method.name}, got one of {stored.method.name}")
        config, radius = stored.weights.config, stored.settings.disk_radius
        self._teaching.check(config, self._images.skeleton, options.fields)
        if None not in (radius, disk_radius) and radius != disk_radius:
            raise ValueError(
                f"weights: expected a network with R = {disk_radius:g} as loss.disk_radius, got {radius:g}"
            )
        if options.flip:
            _ = config.skeleton.directed_flip  # refuses a skeleton that has no mirror image
        setting = {
            **asdict(options), "weights": digest(stored.weights), "stride": config.stride, "weight": None,
            "fields": sorted(options.fields), "method": stored.method.name, "version": _VERSION,
        }  # fmt: skip
        key = hashlib.sha256(json.dumps(setting, sort_keys=True).encode()).hexdigest()[:16]
        return f"{Path(options.weights).stem}-{key}"

    def beside(
        self, labels: Callable[[Any, Any], Mapping[str, Any]], model: Any
    ) -> Callable[[Any, Any], dict[str, Any]]:
        """Return losses on labels and those on what teachers say as one function, whose `total` is that of both."""
        taught = self._teaching.losses(model, self._config.teaching, self._config.loss)

        def losses(outputs: Any, batch: Any) -> dict[str, Any]:
            own, more = labels(outputs, batch), taught(outputs, batch)
            return {**own, **more, "total": own["total"] + more["taught"]}

        return losses

    def count_missing(self) -> int:
        """Return how many files of fields are still to be made, by the number of those that are kept."""
        images = len(self._images)
        return sum(max(images - len(list(teacher.folder.glob("*.npz"))), 0) for teacher in self._teachers)

    def fill(self) -> None:
        """Compute the fields that are not kept yet; what a killed call has computed stays.

        Raises:
            OSError, ValueError: an image cannot be read, or a file not be written.
        """
        paths = [self._images.source(number) for number in range(len(self._images))]
        keys = [_key(path) for path in paths]
        for number, teacher in enumerate(self._teachers):
            teacher.folder.mkdir(parents=True, exist_ok=True)
            missing = {key: path for key, path in zip(keys, paths, strict=True) if not (teacher.folder / key).is_file()}
            if not missing:
                continue
            label = f"fields of {teacher.options.weights}"
            log(f"{label}: {len(missing)} of {len(paths)} images, into {teacher.folder}")
            predictor = self._predictor(teacher.options, device=self._config.device)
            with (
                warnings_as_lines(),
                progress_bar(len(missing), label) as bar,
                predictor.stream_fields(missing.values()) as stream,
            ):
                for key, path in missing.items():
                    with _named(path):
                        self._write(number, key, next(stream), predictor)
                    bar.update()

    def __call__(self, number: int, size: tuple[int, int], view: View, grid: Grid) -> Mapping[str, NDArray[Any]]:
        """Return what the teachers say of a view of image `number` of (H, W) = `size`, as arrays for the batch."""
        path: Path | StoredImage = self._images.source(number)
        key = _key(path)
        lessons = [self._lesson(place, key, path) for place in range(len(self._teachers))]
        return self._teaching.show(lessons, size, view, grid)

    def _lesson(self, place: int, key: str, path: Path | StoredImage) -> Lesson:
        options, folder = self._teachers[place]
        try:
            packed = _read(folder / key)
        except (OSError, ValueError) as error:
            log(f"warning: {describe_failure(str(folder / key), error)}: made again from {path.name}")
            if place not in self._open:  # in a forked process neither GPUs nor the threads of other engines work
                self._open[place] = self._predictor(options, engine="torch", device="cpu")
            predictor = self._open[place]
            folder.mkdir(parents=True, exist_ok=True)
            with predictor.stream_fields([path]) as stream, _named(path):
                packed = self._write(place, key, next(stream), predictor)
        return Lesson(options.fields, packed, options.weight)

    def _write(self, place: int, key: str, fields: Any, predictor: Predictor) -> NDArray[np.float16]:
        options, folder = self._teachers[place]
        packed = self._teaching.pack(fields, options.fields, predictor.setup)
        content = io.BytesIO()
        np.savez(content, fields=packed)
        write_whole(folder / key, content.getvalue())
        return packed

    def _predictor(self, options: TeacherOptions, **more: Any) -> Predictor:
        from personlab.predict import Predictor

        return Predictor(
            options.weights, precision="float32", stride=options.stride, long_edge=options.long_edge,
            scales=options.scales, flip=options.flip, reduced_reading=False, **more,
        )  # fmt: skip


def cache_fields(config: TrainConfig) -> None:
    """Compute the fields of the teachers of a run for its images, as far as they are not kept yet, and no more.

    Raises:
        ImportError, OSError, ValueError: as `Teachers` and `Teachers.fill` raise them, and no teachers.
    """
    if not config.teachers:
        raise ValueError("teachers: expected at least one, got none")
    Teachers(config, get_method(config.method), open_images(config)).fill()


def _key(path: Path | StoredImage) -> str:
    """Return the name of the file with the fields of an image: a digest of its content."""
    content = path.read_bytes() if isinstance(path, Path) else path.read()
    return f"{hashlib.sha256(content).hexdigest()[:32]}.npz"


def _read(path: Path) -> NDArray[np.float16]:
    """Read kept fields.

    Raises:
        OSError: no such file.
        ValueError: a damaged one.
    """
    arrays, _ = read_arrays(path, (_NAME,), "the fields of an image")
    array = arrays.get(_NAME)
    if array is None or array.dtype != np.float16 or array.ndim != 3 or 0 in array.shape:
        raise ValueError("expected the fields of an image, got other arrays")
    return array


@contextlib.contextmanager
def _named(path: Path | StoredImage) -> Iterator[None]:
    """Name the image in errors of the block."""
    try:
        yield
    except ValueError as error:
        raise error if str(path) in str(error) else ValueError(f"{path}: {error}") from None
