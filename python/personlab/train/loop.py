"""The training loop: from a configuration to weights, whole or from where it was stopped."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from personlab._files import write_whole
from personlab.data.batches import StepSampler, Views, make_loader, read_batches
from personlab.data.pictures import CocoPictures, DrawnPictures
from personlab.info import __version__
from personlab.train.evaluation import Evaluation
from personlab.train.log import LOG, Log
from personlab.train.losses import compute_losses
from personlab.train.network import freeze_norms, make_network
from personlab.train.optimize import make_average, make_optimizer, rate_factor
from personlab.train.pictures import draw_batch
from personlab.train.state import CHECKPOINT, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

    from personlab.data.batches import Batch
    from personlab.data.pictures import Pictures
    from personlab.nn import PersonLab
    from personlab.train.config import TrainConfig
    from personlab.train.losses import Losses

CONFIG, WEIGHTS, RAW_WEIGHTS = "config.json", "weights.safetensors", "weights-raw.safetensors"
# What may change when a run goes on: none of it moves the weights.
_FREE = ("output", "log_every", "checkpoint_every", "evaluation", "threads", "device", "data.workers")


@dataclass(frozen=True)
class Summary:
    """How a run ended."""

    weights: Path  # the averaged network
    step: int  # steps done
    figures: dict[str, float]  # of the last evaluation
    seconds: float  # of this call


@dataclass(frozen=True)
class _Place:
    """Which of several processes this is, and where it computes."""

    rank: int
    processes: int
    device: torch.device


def train(config: TrainConfig, *, resume: bool = False, metadata: dict[str, Any] | None = None) -> Summary:
    """Train a network.

    Writes into `config.output`: `config.json`, `checkpoint.safetensors` to go on from, `log.jsonl`, `tensorboard/`
    where that is installed, and at each evaluation `weights.safetensors`, the averaged network, and
    `weights-raw.safetensors`.
    Under torchrun each process takes its share of every batch. On the CPU a run that was stopped and resumed gives the
    same weights to the last bit as one that was not, on as many threads.

    Args:
        config: what to train on what, and how.
        resume: go on from the checkpoint in `config.output`; from the beginning where there is none yet.
        metadata: more to save in the weights.

    Raises:
        FileExistsError: `config.output` holds a run, and `resume` is not set.
        ImportError, OSError: a package or a file is missing.
        RuntimeError: a loss became infinite or NaN.
        ValueError: settings at odds with each other, with the data, the weights or the run to go on with.
    """
    started = time.perf_counter()
    folder = Path(config.output)
    place = _join(config)
    with contextlib.ExitStack() as stack:
        if place.processes > 1:
            stack.callback(distributed.destroy_process_group)
        _open_folder(folder, config, place, resume=resume)
        pictures = _pictures(config)
        model = _network(config, pictures, place)
        evaluation = Evaluation(config) if place.rank == 0 else None
        state = State(
            model,
            make_average(model, config.optimizer.average),
            make_optimizer(model, config.optimizer),
            torch.amp.GradScaler(place.device.type, enabled=config.precision == "float16"),
        )
        if resume and (folder / CHECKPOINT).exists():
            state.load(folder / CHECKPOINT)
        log = Log(folder, step=state.step, steps=config.steps, quiet=place.rank > 0)
        stack.callback(log.close)
        run = _Run(config, place, state, log, evaluation, metadata or {})
        figures = run.through(pictures)
    return Summary(folder / WEIGHTS, state.step, figures, time.perf_counter() - started)


class _Run:
    """One call of `train`, once everything is in place."""

    def __init__(
        self,
        config: TrainConfig,
        place: _Place,
        state: State,
        log: Log,
        evaluation: Evaluation | None,
        metadata: dict[str, Any],
    ) -> None:
        self.config, self.place, self.state, self.log = config, place, state, log
        self.evaluation, self.metadata = evaluation, metadata
        self.folder = Path(config.output)
        network: Any = state.model
        if place.processes > 1:
            network = DistributedDataParallel(network, broadcast_buffers=not config.network.freeze_norm)
        self.network: Callable[[Tensor], Any] = torch.compile(network) if config.compile else network
        self.rates = [group["lr"] for group in make_optimizer(state.model, config.optimizer).param_groups]

    def through(self, pictures: Pictures) -> dict[str, float]:
        """The steps that are left; the figures of the last evaluation."""
        config, state = self.config, self.state
        sampler = StepSampler(
            config.batch_size, first_step=state.step, steps=config.steps, rank=self.place.rank,
            processes=self.place.processes,
        )  # fmt: skip
        views = Views(
            pictures, crop=config.data.crop, stride=state.model.config.stride, disk_radius=config.loss.disk_radius,
            augmentation=config.augmentation, seed=config.seed,
        )  # fmt: skip
        loader = make_loader(views, sampler, workers=config.data.workers, pin_memory=self.place.device.type == "cuda")
        figures: dict[str, float] = {}
        meter = _Meter(config.batch_size)
        with _graceful_stop() as stopped:
            for batch in meter.waiting(loader):
                losses, gradient = self._step(batch.to(self.place.device))
                state.step += 1
                meter.add(losses, gradient)
                self.log.advance()
                last = state.step == config.steps
                log, checkpoint = (last or state.step % n == 0 for n in (config.log_every, config.checkpoint_every))
                if log or checkpoint or stopped:
                    self._check(meter.means())
                if log:
                    self.log.figures(state.step, {**meter.read(), "rate": state.optimizer.param_groups[0]["lr"]})
                if checkpoint or stopped:
                    self._checkpoint()
                if stopped:
                    raise KeyboardInterrupt
                if last or (config.evaluation.every and state.step % config.evaluation.every == 0):
                    figures = self._evaluate(batch)
                    meter.restart()
        return figures

    def _step(self, batch: Batch) -> tuple[Losses, Tensor]:
        """One optimiser step: the losses, and the length of the gradient before it was clipped."""
        config, state = self.config, self.state
        factor = rate_factor(state.step, config.steps, config.optimizer)
        for group, rate in zip(state.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor
        state.optimizer.zero_grad(set_to_none=True)
        precision = getattr(torch, config.precision)
        with torch.autocast(self.place.device.type, dtype=precision, enabled=config.precision != "float32"):
            outputs = self.network(batch.images)
        losses = compute_losses(outputs, batch, state.model, config.loss)
        state.scaler.scale(losses.total).backward()  # type: ignore[no-untyped-call]
        state.scaler.unscale_(state.optimizer)
        parameters = [p for p in state.model.parameters() if p.requires_grad]
        gradient = nn.utils.clip_grad_norm_(parameters, config.optimizer.clip_norm)
        state.scaler.step(state.optimizer)
        state.scaler.update()
        state.average.update_parameters(state.model)
        return losses, gradient

    def _check(self, losses: dict[str, float]) -> None:
        for name, value in losses.items():
            if name != "gradient" and not np.isfinite(value):
                raise RuntimeError(
                    f"the {name} loss became {value} shortly before step {self.state.step}: the last checkpoint is "
                    "from before; a lower optimizer.rate may help"
                )

    def _checkpoint(self) -> None:
        if self.place.rank == 0:
            self.state.save(self.folder / CHECKPOINT)

    def _evaluate(self, batch: Batch) -> dict[str, float]:
        """Write the weights and score them; the other processes wait."""
        figures: dict[str, float] = {}
        if self.evaluation is not None:
            averaged: Any = self.state.average.module
            self._write(averaged, self.folder / WEIGHTS)
            self._write(self.state.model, self.folder / RAW_WEIGHTS)
            figures = self.evaluation.score(averaged)
            self.log.figures(self.state.step, figures)
            self.log.picture(self.state.step, "targets, found", draw_batch(averaged, batch))
        if self.place.processes > 1:
            distributed.barrier()
        return figures

    def _write(self, model: PersonLab, path: Path) -> None:
        from personlab.weights import save_model

        versions = {"personlab": __version__, "torch": torch.__version__}
        facts = {"steps": self.state.step, "train": json.loads(self.config.to_json()), "versions": versions}
        save_model(model, path, {**facts, **self.metadata})


class _Meter:
    """Losses, speed and time spent waiting for data since they were last read."""

    def __init__(self, batch_size: int) -> None:
        self._batch_size = batch_size
        self.restart()

    def restart(self) -> None:
        """Forget what was measured."""
        self._sums: Tensor | None = None  # stays on its device: reading it waits for the device
        self._names: list[str] = []
        self._steps, self._waited, self._since = 0, 0.0, time.perf_counter()

    def waiting(self, loader: Any) -> Iterator[Batch]:
        """The loader's batches; the time until each is noted."""
        batches = read_batches(loader)
        while True:
            start = time.perf_counter()
            try:
                batch = next(batches)
            except StopIteration:
                return
            self._waited += time.perf_counter() - start
            yield batch

    def add(self, losses: Losses, gradient: Tensor) -> None:
        """Note a step."""
        named = {**losses._asdict(), "gradient": gradient}
        values = torch.stack([value.detach().float() for value in named.values()])
        self._names, self._steps = list(named), self._steps + 1
        self._sums = values if self._sums is None else self._sums + values

    def means(self) -> dict[str, float]:
        """Mean losses, and mean length of the gradient before it was clipped."""
        if self._sums is None:
            return {}
        return dict(zip(self._names, (self._sums / self._steps).tolist(), strict=True))

    def read(self) -> dict[str, float]:
        """Means since the last time, pictures a second, and the share of the time spent waiting for pictures."""
        seconds = max(time.perf_counter() - self._since, 1e-9)
        speed = {"images_per_second": self._steps * self._batch_size / seconds, "waiting": self._waited / seconds}
        figures = {**self.means(), **speed}
        self.restart()
        return figures


def _join(config: TrainConfig) -> _Place:
    """Join the other processes, where torchrun started several; seed this one."""
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    random.seed(config.seed)
    np.random.seed(config.seed % 2**32)  # noqa: NPY002  # other packages' global state
    torch.manual_seed(config.seed)
    device = torch.device(config.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if "RANK" not in os.environ:
        return _Place(0, 1, device)
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    place = _Place(distributed.get_rank(), distributed.get_world_size(), device)
    if config.batch_size % place.processes:
        raise ValueError(f"batch_size: expected a multiple of the {place.processes} processes, got {config.batch_size}")
    return place


def _open_folder(folder: Path, config: TrainConfig, place: _Place, *, resume: bool) -> None:
    """Make the run's folder, or see that it is the same run's; the configuration is saved in it."""
    if place.rank > 0:
        return
    saved = folder / CONFIG
    if saved.exists() and not resume:
        raise FileExistsError(f"{folder}: holds a run; --resume goes on with it, another --output leaves it alone")
    if saved.exists():
        before, now = _flat(json.loads(saved.read_text("utf-8"))), _flat(json.loads(config.to_json()))
        changed = [
            name
            for name in {**before, **now}
            if before.get(name) != now.get(name) and not any(f"{name}.".startswith(f"{free}.") for free in _FREE)
        ]
        if changed and (folder / CHECKPOINT).exists():
            name = changed[0]
            raise ValueError(
                f"{name}: expected {before.get(name)!r} as in the run to go on with, got {now.get(name)!r}"
                + (f", and {len(changed) - 1} more differ" if len(changed) > 1 else "")
            )
    folder.mkdir(parents=True, exist_ok=True)
    for partial in folder.glob(".*.part"):  # of a process that was killed
        partial.unlink()
    write_whole(saved, config.to_json().encode())
    if not resume:
        (folder / LOG).unlink(missing_ok=True)


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def _pictures(config: TrainConfig) -> Pictures:
    data = config.data
    if data.annotations is None:
        return DrawnPictures(config.seed, size=data.scene_size, people=data.scene_people)
    assert data.images is not None
    return CocoPictures(
        data.annotations, data.images, instances=data.instances, category=data.category,
        labelled_only=data.labelled_only,
    )  # fmt: skip


def _network(config: TrainConfig, pictures: Pictures, place: _Place) -> PersonLab:
    model = make_network(config.network, pictures.skeleton, has_masks=pictures.has_masks)
    stride = model.config.stride
    if any((side - 1) % stride for side in config.data.crop):
        raise ValueError(f"data.crop: expected multiples of the stride {stride} plus 1, got {config.data.crop}")
    if config.augmentation.flip:
        _ = pictures.skeleton.directed_flip  # refuses a skeleton that has no mirror image
    if config.network.freeze_norm:
        freeze_norms(model)
    elif place.processes > 1 and place.device.type == "cuda":
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
    moved: Any = model
    network: PersonLab = moved.to(place.device, memory_format=torch.channels_last)  # faster on CPUs and GPUs
    return network


@contextlib.contextmanager
def _graceful_stop() -> Iterator[list[int]]:
    """A list that is no longer empty once somebody asked this process to stop, by Ctrl-C or SIGTERM."""
    received: list[int] = []

    def note(number: int, _: Any) -> None:
        if received:  # asked twice: at once
            raise KeyboardInterrupt
        received.append(number)

    before = {}
    with contextlib.suppress(ValueError):  # not in the main thread: signals stay with it
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, note)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
