"""Plans a training run: measures its loader and its steps on this machine, and says how long the whole takes."""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from personlab.data.images import CocoImages
from personlab.data.loader import Batch, lost_workers_named, read_batches
from personlab.data.shards.images import ShardImages
from personlab.data.single import single_people
from personlab.data.unlabelled import WithUnlabelled
from personlab.methods import get_method
from personlab.nn.devices import find_device
from personlab.train.batches import BatchSource
from personlab.train.files import RAW_WEIGHTS, WEIGHTS, write_model
from personlab.train.forecast import Costs, Row, Speed, count_saves, forecast
from personlab.train.processes import Place
from personlab.train.start import open_images, set_seed, start_network, with_steps
from personlab.train.state import CHECKPOINT
from personlab.train.step import Steps, start_state
from personlab.train.teachers import Teachers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from personlab.data.images import Images
    from personlab.train.config import TrainConfig
    from personlab.train.state import State

_ENDLESS = 10**9  # steps: the measured run stops by itself
_PARTS = 4  # of the measured time, whose speeds are compared
_SKIPPED = 2  # first steps, which allocate and choose algorithms
_PREFETCHED = 2  # batches that each worker holds ready


@dataclass(frozen=True)
class Plan:
    """What a run costs, in images a second, seconds and bytes."""

    config: TrainConfig  # with the steps of its passes
    device: str
    cores: int
    threads: int  # of PyTorch
    opening: float  # seconds until the first step could begin
    loader: Speed
    step: Speed
    together: Speed
    costs: Costs
    saving: float  # seconds of a checkpoint
    saves: int
    memory: Mapping[str, int]  # bytes by name
    disk: Mapping[str, int]  # bytes by name
    bandwidth: float  # bytes a second
    same_batch: tuple[Row, ...]  # more processes share a batch
    more_images: tuple[Row, ...]  # each of more processes has a batch of this size

    def hours(self, images_per_second: float) -> float:
        """Return how long the images of the run and its checkpoints take at a speed; evaluations are not in it."""
        steps = self.config.steps * self.config.batch_size / images_per_second
        return (self.opening + steps + self.saves * self.saving) / 3600

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as JSON can hold it."""
        speeds = {name: getattr(self, name)._asdict() for name in ("loader", "step", "together")}
        rows = {name: [self._row(row) for row in getattr(self, name)] for name in ("same_batch", "more_images")}
        return {
            "images_per_second": speeds,
            "hours": {"mean": self.hours(self.together.mean), "low": self.hours(self.together.high),
                      "high": self.hours(self.together.low)},
            "steps": self.config.steps, "batch_size": self.config.batch_size,
            "device": self.device, "cores": self.cores, "threads": self.threads, "workers": self.config.data.workers,
            "seconds": {"opening": self.opening, "checkpoint": self.saving, "checkpoints": self.saves,
                        "step_fixed": self.costs.fixed, "step_per_image": self.costs.per_image,
                        "slowdown": self.costs.slowdown},
            "memory": dict(self.memory), "disk": dict(self.disk), "bandwidth": self.bandwidth, **rows,
        }  # fmt: skip

    def _row(self, row: Row) -> dict[str, Any]:
        hours = {"hours_low": self.hours(row.high), "hours_high": self.hours(row.low)}
        return {**row._asdict(), "batch_size": row.batch_size, **hours}


def plan(config: TrainConfig, *, seconds: float = 10.0, processes: int = 8, bandwidth: float = 1.25e9) -> Plan:
    """Measure a run for some seconds, and say what the whole would cost.

    Three speeds are measured, one after the other: of the loader alone, of steps on one batch, and of both together,
    as training runs them. Nothing is written but into a temporary folder.

    Args:
        config: of the run.
        seconds: of each measurement.
        processes: max number of processes in the forecast.
        bandwidth: of the network between them, bytes a second.

    Raises:
        ImportError, OSError, ValueError: as `train` raises them, or the teachers' fields are not kept yet.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ValueError(f"plan: expected one process, got {os.environ['WORLD_SIZE']}: more are forecast from it")
    start = time.perf_counter()
    place, method = Place(0, 1, find_device(config.device)), get_method(config.method)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    set_seed(config.seed)
    images = open_images(config)
    shown = single_people(images) if method.takes_boxes else images
    config = with_steps(config, len(shown))
    teachers = Teachers(config, method, images) if config.teachers else None
    if teachers is not None and (missing := teachers.count_missing()):
        raise ValueError(f"teachers: expected their fields of all images, got {missing} to compute: --cache-teachers")
    model = start_network(config, method, images, place, taught=() if teachers is None else teachers.names)
    losses = method.losses(model, config.loss)
    if teachers is not None:
        losses = teachers.beside(losses, model)
    state = start_state(config, model, place)
    steps = Steps(replace(config, steps=_ENDLESS), losses, place, state)
    measure = _Measure(BatchSource(config, method, shown, teachers, place, None), steps, place, seconds)
    first = measure.first_batch()
    opening = time.perf_counter() - start
    activations = _saved_bytes(steps, first.to(place.device)) if not config.compile else 0
    loader = measure.loader()
    whole, step = measure.step(first)
    half, _ = measure.step(_share(first, max(config.batch_size // 2, 1)), seconds / 2)
    together = measure.together()
    memory = {**_memory(state, config, place), "activations": activations, "batch": _batch_bytes(first)}
    saving, disk = _saved(state, config)
    costs = Costs.fit(whole, half, loader=loader.mean, together=together.mean)
    counts = list(itertools.takewhile(lambda count: count <= processes, (2**n for n in range(20))))
    ring = partial(forecast, costs, gradients=memory["gradients"], bandwidth=bandwidth)
    return Plan(
        config, str(place.device), _count_cores(), torch.get_num_threads(), opening, loader, step, together, costs,
        saving, count_saves(config.steps, config.checkpoint_every, config.evaluation.every), memory,
        {**disk, **_image_bytes(images)}, bandwidth,
        tuple(
            ring(config.batch_size // count, count)
            for count in counts if config.batch_size % count == 0
        ),
        tuple(ring(config.batch_size, count) for count in counts),
    )  # fmt: skip


class _Measure:
    """Measures the parts of training, each for some seconds."""

    def __init__(self, source: BatchSource, steps: Steps, place: Place, seconds: float) -> None:
        self._source, self._steps, self._place, self._seconds = source, steps, place, seconds
        self._size = source.config.batch_size

    @contextlib.contextmanager
    def _batches(self) -> Iterator[Iterator[Batch]]:
        model: Any = self._steps.state.model
        loader = self._source.loader(model.config, first_step=0, steps=_ENDLESS)
        with lost_workers_named(), contextlib.closing(read_batches(loader)) as batches:
            yield batches

    def first_batch(self) -> Batch:
        """Return the first batch of the run."""
        with self._batches() as batches:
            return next(batches)

    def loader(self) -> Speed:
        """Return the speed of the loader alone."""
        with self._batches() as batches:
            times = self._times(lambda: next(batches), self._seconds, skip=1)
        return _speed(times, self._size)

    def step(self, batch: Batch, seconds: float | None = None) -> tuple[tuple[int, float], Speed]:
        """Return images and seconds of a step on one batch, and its speed."""
        batch, size = batch.to(self._place.device), len(batch.images)
        times = self._times(lambda: self._steps.take(batch), seconds or self._seconds, skip=_SKIPPED)
        return (size, sum(times) / len(times)), _speed(times, size)

    def together(self) -> Speed:
        """Return the speed of training."""
        skip = max(_PREFETCHED * self._source.config.data.workers + 1, _SKIPPED)  # the first batches are made ahead
        with self._batches() as batches:
            times = self._times(
                lambda: self._steps.take(next(batches).to(self._place.device)), self._seconds, skip=skip
            )
        return _speed(times, self._size)

    def _times(self, work: Callable[[], Any], seconds: float, *, skip: int) -> list[float]:
        for _ in range(skip):
            work()
        self._wait()
        times: list[float] = []
        begun = last = time.perf_counter()
        while last - begun < seconds or len(times) < _PARTS:
            work()
            self._wait()
            now = time.perf_counter()
            times.append(now - last)
            last = now
        return times

    def _wait(self) -> None:
        if self._place.device.type == "cuda":
            torch.cuda.synchronize(self._place.device)


def _speed(times: list[float], size: int) -> Speed:
    """Return the speed of steps of so many images, in all and in the slowest and the fastest part of the time."""
    parts = [times[len(times) * part // _PARTS : len(times) * (part + 1) // _PARTS] for part in range(_PARTS)]
    rates = [size * len(part) / sum(part) for part in parts]
    return Speed(size * len(times) / sum(times), min(rates), max(rates))


def _share(batch: Batch, count: int) -> Batch:
    """Return the first images of a batch."""
    return Batch(batch.images[:count], {name: tensor[:count] for name, tensor in batch.targets.items()})


def _saved_bytes(steps: Steps, batch: Batch) -> int:
    """Return the bytes that one step keeps for its backward pass, beside parameters and the batch."""
    known = {t.untyped_storage().data_ptr() for t in (*steps.state.model.parameters(), *steps.state.model.buffers())}
    known |= {tensor.untyped_storage().data_ptr() for tensor in (batch.images, *batch.targets.values())}
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        steps.take(batch)
    return sum(kept.values())


def _bytes(tensors: Any) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors if isinstance(tensor, torch.Tensor))


def _batch_bytes(batch: Batch) -> int:
    return _bytes((batch.images, *batch.targets.values()))


def _memory(state: State, config: TrainConfig, place: Place) -> dict[str, int]:
    trained = [parameter for parameter in state.model.parameters() if parameter.requires_grad]
    memory = {
        "process_peak": _peak("RUSAGE_SELF"),
        "worker_peak": _peak("RUSAGE_CHILDREN") if config.data.workers else 0,
        "parameters": _bytes((*state.model.parameters(), *state.model.buffers())),
        "gradients": _bytes(trained),
        "optimizer": _bytes(value for entries in state.optimizer.state.values() for value in entries.values()),
        "average": _bytes((*state.average.module.parameters(), *state.average.module.buffers())),
    }
    if place.device.type == "cuda":
        memory["device_peak"] = torch.cuda.max_memory_allocated(place.device)
    return memory


def _peak(which: str) -> int:
    """Return the max resident bytes of this process, or of the largest one that it started and waited for."""
    try:
        import resource
    except ImportError:  # on Windows
        return 0
    peak: int = resource.getrusage(getattr(resource, which)).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024)


def _saved(state: State, config: TrainConfig) -> tuple[float, dict[str, int]]:
    """Return the seconds that a checkpoint takes, and the bytes of its files."""
    with tempfile.TemporaryDirectory() as name:
        folder, start = Path(name), time.perf_counter()
        write_model(state.average.module, folder / WEIGHTS, config, step=0, more={})
        write_model(state.model, folder / RAW_WEIGHTS, config, step=0, more={})
        state.save(folder / CHECKPOINT)
        seconds = time.perf_counter() - start
        sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    return seconds, {"checkpoint": sizes[CHECKPOINT], "weights": sizes[WEIGHTS] + sizes[RAW_WEIGHTS]}


def _image_bytes(images: Images) -> dict[str, int]:
    """Return the bytes of image files, or of the shards that they are in; drawn scenes have none."""
    images = images.labelled if isinstance(images, WithUnlabelled) else images
    if isinstance(images, ShardImages):
        return {"shards": sum(shard.path.stat().st_size for shard in images.stored.shards)}
    if isinstance(images, CocoImages):
        return {"images": sum(images.path(number).stat().st_size for number in range(len(images)))}
    return {}


def _count_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
