"""The training loop: from a configuration to weights, whole or from where it was stopped."""

from __future__ import annotations

import contextlib
import json
import math
import random
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from personlab.data.coco_file import one_line
from personlab.data.images import CocoImages, DrawnImages
from personlab.data.loader import StepSampler, Views, make_loader
from personlab.data.sides import unpaired_sides
from personlab.info import __version__
from personlab.methods.personlab.draw.batch import draw_batch
from personlab.methods.personlab.losses import compute_losses, losses_of
from personlab.train.evaluation import Evaluation, is_scored, scored_with
from personlab.train.folder import check_folder, check_steps, open_folder
from personlab.train.lock import FolderLock
from personlab.train.log import Log
from personlab.train.meter import Meter
from personlab.train.network import freeze_norms, make_network
from personlab.train.optimize import make_average, make_optimizer, rate_factor, with_warmup_within
from personlab.train.processes import joined
from personlab.train.state import CHECKPOINT, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

    from personlab.data.images import Images
    from personlab.data.loader import Batch
    from personlab.methods.personlab.losses import Losses
    from personlab.nn import PersonLab
    from personlab.train.config import TrainConfig
    from personlab.train.processes import Place

WEIGHTS, RAW_WEIGHTS = "weights.safetensors", "weights-raw.safetensors"


@dataclass(frozen=True)
class Summary:
    """How a run ended."""

    weights: Path  # the averaged network
    step: int  # steps done
    figures: dict[str, float]  # of the last evaluation
    seconds: float  # of this call


def train(config: TrainConfig, *, resume: bool = False, metadata: dict[str, Any] | None = None) -> Summary:
    """Train a network.

    Writes into `config.output`: `config.json`, `checkpoint.safetensors` to go on from, `weights.safetensors`, the
    averaged network, and `weights-raw.safetensors` beside each checkpoint, `log.jsonl`, and `tensorboard/` where that
    is installed. Under torchrun each process takes its share of every batch. On the CPU a run that was stopped and
    resumed gives the same weights to the last bit as one that was not, on as many threads.

    Args:
        config: what to train on what, and how.
        resume: go on from the checkpoint in `config.output`; from the beginning where there is none yet. Other `steps`
            than before make the run longer or shorter: from the next step on, the learning rate is that of a run of so
            many steps.
        metadata: more to save in the weights.

    Raises:
        BlockingIOError: another training runs in `config.output`.
        FileExistsError: `config.output` holds a run, and `resume` is not set.
        FloatingPointError: a loss or a gradient became infinite or NaN.
        ImportError, OSError: a package or a file is missing.
        KeyboardInterrupt: somebody asked the run to stop, which it did after writing a checkpoint.
        ValueError: settings at odds with each other, with the data, the weights or the run to go on with.
    """
    started = time.perf_counter()
    folder = Path(config.output)
    with joined(config.device) as place, contextlib.ExitStack() as stack:
        lock = FolderLock(folder) if place.rank == 0 else None
        if lock is not None:
            stack.callback(lock.release)
            if folder.is_dir():
                lock.take()
        check_folder(folder, config, resume=resume)
        if config.threads is not None:
            torch.set_num_threads(config.threads)
        _seed(config.seed)
        images = _images(config)
        model = _network(config, images, place)
        evaluation = Evaluation(config, model) if place.rank == 0 and is_scored(config) else None
        state = State(
            model,
            make_average(model, config.optimizer.average),
            make_optimizer(model, config.optimizer),
            torch.amp.GradScaler(place.device.type, enabled=config.precision == "float16"),
        )
        if lock is not None:  # a folder that was not there before is locked before anything is written
            folder.mkdir(parents=True, exist_ok=True)
            lock.take()
            check_folder(folder, config, resume=resume)
        if resume and (folder / CHECKPOINT).exists():
            state.load(folder / CHECKPOINT)
        place.check_same(state.step, "output")
        check_steps(folder, config, state.step)
        log = Log(folder, step=state.step, steps=config.steps, quiet=place.rank > 0)
        stack.callback(log.close)
        if place.rank == 0:
            open_folder(folder, config)
        for line in _remarks(config, images, evaluation):
            log.say(line)
        if not is_scored(config):
            log.say("weights are not scored: evaluation.annotations names no images")
        warmup = with_warmup_within(config.optimizer, config.steps).warmup
        if warmup < config.optimizer.warmup:
            log.say(f"optimizer.warmup: {warmup} instead of {config.optimizer.warmup} in a run of {config.steps} steps")
        run = _Run(config, place, state, log, evaluation, metadata or {}, lock)
        figures = run.through(images)
    return Summary(folder / WEIGHTS, state.step, figures, time.perf_counter() - started)


class _Run:
    """One call of `train`, once everything is in place."""

    def __init__(
        self,
        config: TrainConfig,
        place: Place,
        state: State,
        log: Log,
        evaluation: Evaluation | None,
        metadata: dict[str, Any],
        lock: FolderLock | None,
    ) -> None:
        self.config, self.place, self.state, self.log = config, place, state, log
        self.evaluation, self.metadata, self.lock = evaluation, metadata, lock
        self.folder = Path(config.output)
        self.schedule = with_warmup_within(config.optimizer, config.steps)
        network: Any = state.model
        if place.count > 1:
            network = DistributedDataParallel(network)
        self.network: Callable[[Tensor], Any] = torch.compile(network) if config.compile else network
        self.rates = [group["lr"] for group in make_optimizer(state.model, config.optimizer).param_groups]

    def through(self, images: Images) -> dict[str, float]:
        """The steps that are left; the figures of the last evaluation."""
        config, state = self.config, self.state
        figures = self.log.scores(state.step)
        if not figures and state.step and self._is_due(config.evaluation.every):
            figures = self._evaluate(None)  # the run was killed before it came to that
        loader = self._loader(images)
        meter = Meter(config.batch_size, self.place, losses_of(state.model.config))
        with _graceful_stop() as received, contextlib.closing(meter.waiting(loader)) as batches:
            for batch in batches:
                losses, gradient = self._step(batch.to(self.place.device))
                state.step += 1
                meter.add(losses, gradient)
                self.log.advance()
                stop, log = self.place.any_of(bool(received)), self._is_due(config.log_every)
                evaluate = self._is_due(config.evaluation.every)
                checkpoint = stop or evaluate or self._is_due(config.checkpoint_every)
                if log or checkpoint:
                    means = meter.means()
                    self._check(means)
                    if log:
                        rate = state.optimizer.param_groups[0]["lr"]
                        self.log.figures(state.step, {**means, **meter.speed(), "rate": rate})
                if checkpoint:
                    self._save()
                if stop:
                    self.log.say(f"stopped after step {state.step}")
                    raise KeyboardInterrupt
                if evaluate:
                    start = time.perf_counter()
                    figures = self._evaluate(batch)
                    meter.leave_out(time.perf_counter() - start)
        return figures

    def _is_due(self, every: int) -> bool:
        """Whether something that is done every so many steps, and at the end, is done after this one."""
        step = self.state.step
        return step == self.config.steps or (every > 0 and step % every == 0)

    def _loader(self, images: Images) -> Any:
        config, state = self.config, self.state
        sampler = StepSampler(
            config.batch_size, first_step=state.step, steps=config.steps, rank=self.place.rank,
            processes=self.place.count,
        )  # fmt: skip
        views = Views(
            images, crop=config.data.crop, stride=state.model.config.stride, disk_radius=config.loss.disk_radius,
            augmentation=config.augmentation, seed=config.seed,
        )  # fmt: skip
        return make_loader(
            views, sampler, workers=config.data.workers, pin_memory=self.place.device.type == "cuda",
            in_worker=None if self.lock is None else self.lock.leave,
        )  # fmt: skip

    def _step(self, batch: Batch) -> tuple[Losses, Tensor]:
        """One optimiser step: the losses, and the length of the gradient before it was clipped."""
        config, state = self.config, self.state
        factor = rate_factor(state.step, config.steps, self.schedule)
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

    def _check(self, means: dict[str, float]) -> None:
        for name, value in means.items():
            if name == "gradient" and self.config.precision == "float16":
                continue  # while the scale is sought, gradients overflow, and such steps are left out
            if not math.isfinite(value):
                what = "the gradient" if name == "gradient" else f"the {name} loss"
                raise FloatingPointError(
                    f"{what} became {value} shortly before step {self.state.step}: the last checkpoint is from before; "
                    "a lower optimizer.rate may help"
                )

    def _save(self) -> None:
        """Write the weights, and then the checkpoint: what that is of is complete."""
        if self.place.rank == 0:
            self._write(self.state.average.module, self.folder / WEIGHTS)
            self._write(self.state.model, self.folder / RAW_WEIGHTS)
            self.state.save(self.folder / CHECKPOINT)

    def _evaluate(self, batch: Batch | None) -> dict[str, float]:
        """Score the averaged network; the other processes wait."""
        figures: dict[str, float] = {}
        averaged: Any = self.state.average.module
        if self.evaluation is not None:
            figures = self.evaluation.score(averaged)
            self.log.figures(self.state.step, figures)
            scores = {name: value for name, value in figures.items() if name.endswith("_ap")}
            self._write(averaged, self.folder / WEIGHTS, scores=scores)
        if self.place.rank == 0 and batch is not None:
            image = draw_batch(averaged, batch, disk_radius=self.config.loss.disk_radius)
            self.log.image(self.state.step, "targets, found", image)
        self.place.wait()
        return figures

    def _write(self, model: Any, path: Path, **more: Any) -> None:
        from personlab.weights import save_model

        versions = {"personlab": __version__, "torch": torch.__version__}
        facts = {"steps": self.state.step, "train": json.loads(self.config.to_json()), "versions": versions}
        save_model(model, path, {**facts, **more, **self.metadata})


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002  # other packages' global state
    torch.manual_seed(seed)


def _images(config: TrainConfig) -> Images:
    data = config.data
    if data.annotations is None:
        return DrawnImages(config.seed, size=data.scene_size, people=data.scene_people)
    assert data.images is not None
    return CocoImages(
        data.annotations, data.images, instances=data.instances, category=data.category,
        labelled_only=data.labelled_only,
    )  # fmt: skip


def _remarks(config: TrainConfig, images: Images, evaluation: Evaluation | None) -> list[str]:
    """What to know of the data before training: what each loss sees, what was left out, and what flips wrong."""
    lines = [] if evaluation is None else [f"warning: {note}" for note in evaluation.notes]
    if isinstance(images, CocoImages):
        lines = [*(f"warning: {note}" for note in images.notes), *lines, *images.coverage.lines()]
    skeleton = images.skeleton
    alone = unpaired_sides(skeleton.names, skeleton.flip) if config.augmentation.flip > 0 else []
    if alone:
        names = ", ".join(map(one_line, alone))
        lines.append(
            f"warning: {names}: named left or right, but no keypoint is the other side: mirror images "
            "(augmentation.flip) are taught with that name; the category's flip_pairs can state the pairs"
        )
    return lines


def _network(config: TrainConfig, images: Images, place: Place) -> PersonLab:
    model = make_network(config.network, images.skeleton, has_masks=images.has_masks)
    stride = model.config.stride
    if any((side - 1) % stride for side in config.data.crop):
        raise ValueError(f"data.crop: expected multiples of the stride {stride} plus 1, got {config.data.crop}")
    if model.config.refine_steps not in (0, config.loss.refine_steps):
        own = model.config.refine_steps
        raise ValueError(f"loss.refine_steps: expected {own} as in the network, got {config.loss.refine_steps}")
    model.settings = scored_with(config, stride=stride, domain=images.domain)
    if config.augmentation.flip:
        _ = images.skeleton.directed_flip  # refuses a skeleton that has no mirror image
    if config.network.freeze_norm:
        freeze_norms(model)
    elif place.count > 1 and place.device.type == "cuda":
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
