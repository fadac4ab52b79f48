"""Jobs of `personlab.batch` in the process of a test: the same units and workers as on Ray, one after another."""

from __future__ import annotations

import contextlib
import io
import tarfile
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from videos import write_video

from personlab import Predictor
from personlab.batch import BatchOptions
from personlab.batch.inputs import find_inputs
from personlab.batch.job import Job
from personlab.batch.setup import Setup
from personlab.batch.storage import Files, Store
from personlab.batch.work import Divider, Worker
from personlab.data.synthetic.scenes import numbered_scene
from personlab.io.images import StoredImage, write_image

NETWORK = {"weights": "drawn-mobilenet-050", "long_edge": 161, "engine": "onnxruntime", "precision": "float32"}


def make_predictor(**more):
    """The network of these tests, small."""
    return Predictor(**{**NETWORK, **more})


def scene(number, size=(121, 161)):
    """A drawn image (H, W, 3)."""
    return np.ascontiguousarray(numbered_scene(7, number, size=size, people=(1, 3)).image)


def write_scenes(folder, count, first=1):
    """Write images into a folder, named by their numbers."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        write_image(Path(folder) / f"{number:06d}.png", scene(number))
    return Path(folder)


def write_tar(path, members):
    """Write (name, content) as a tar."""
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return Path(path)


def walk(count, size=(96, 128)):
    """Frames (H, W, 3): a drawn scene that moves to the right."""
    image = scene(3, size)
    return [np.roll(image, 2 * number, axis=1) for number in range(count)]


def write_walk(path, count=24, **more):
    """Write a video of a scene that moves."""
    return write_video(path, walk(count), **{"codec": "libx264", "keys": 6, **more})


class Remembering:
    """Predicts as a predictor does, each image once; for tests that run the same images again and again."""

    def __init__(self, predictor):
        self._predictor, self._known = predictor, {}
        self.skeleton, self.masks = predictor.skeleton, predictor.masks

    @contextlib.contextmanager
    def stream(self, images):
        yield map(self._predict, images)

    def _predict(self, source):
        if isinstance(source, np.ndarray):
            key = source.tobytes()
        else:
            key = source.read() if isinstance(source, StoredImage) else Path(source).read_bytes()
        if key not in self._known:
            self._known[key] = self._predictor(source)
        return self._known[key]


class Killed(BaseException):
    """A kill at a certain write."""


class DyingStore(Store):
    """A store whose process dies before its n-th write or deletion."""

    def __init__(self, address, left):
        super().__init__(address)
        self.left = left

    def _count(self):
        if self.left == 0:
            raise Killed
        self.left -= 1

    def write(self, name, content, *, sync=True):
        self._count()
        super().write(name, content, sync=sync)

    def delete(self, name):
        self._count()
        super().delete(name)


def run_here(
    words, output, *, predictor=None, track=None, dies=None, worker=None, retry_errors=False, threads=1, **options
):
    """Run a job in this process; `dies`: at its n-th write. Returns the outcomes in the order of the units."""
    options = BatchOptions(**{"part": 4, "piece": 6, **options})
    setup = Setup(
        output=str(output), make_predictor=predictor or make_predictor, part=options.part, piece=options.piece,
        column=options.column, track=track,
    )  # fmt: skip
    store = Store(str(output)) if dies is None else DyingStore(str(output), dies)
    job = Job(store, {"part": options.part})
    try:
        job.clean(retry_errors=retry_errors)
        inputs = find_inputs([str(word) for word in words], Files())
        divider, worker = Divider(setup), worker or Worker(setup)
        worker.store, worker.setup = store, setup
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # damage, as in the processes of workers
            units = (own for unit in job.units(inputs, options.part, 1) for own in divider.divide(unit))
            if threads == 1:
                return [worker.do(unit) for unit in units]
            with ThreadPoolExecutor(threads) as pool:
                return list(pool.map(worker.do, units))
    finally:
        job.close()
