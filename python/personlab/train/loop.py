"""The training loop: from a configuration to weights, from the beginning or from a checkpoint."""

from __future__ import annotations

import contextlib
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from personlab.arrays.numbers import check_type
from personlab.data.loader import lost_workers_named
from personlab.data.single import single_people
from personlab.methods import get_method
from personlab.methods.base import NoOptions
from personlab.train.batches import BatchSource
from personlab.train.best import best_of, is_over, score_of
from personlab.train.evaluation import Evaluation, is_scored
from personlab.train.files import BEST_WEIGHTS, RAW_WEIGHTS, START_WEIGHTS, WEIGHTS, write_model
from personlab.train.fit import fit_heads
from personlab.train.folder import check_folder, check_steps, open_folder
from personlab.train.lock import FolderLock
from personlab.train.log import Log
from personlab.train.meter import Meter
from personlab.train.processes import process_group
from personlab.train.read_config import flattened
from personlab.train.start import digest_of, open_images, remarks, set_seed, start_network, with_steps
from personlab.train.state import CHECKPOINT, State
from personlab.train.step import Steps, start_state
from personlab.train.stop import graceful_stop
from personlab.train.teachers import Teachers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from personlab.data.loader import Batch
    from personlab.methods import Method
    from personlab.train.config import TrainConfig
    from personlab.train.processes import Place


@dataclass(frozen=True)
class Summary:
    """Result of a run."""

    weights: Path  # the averaged network: the last one, or the best
    step: int  # steps done
    figures: dict[str, float]  # of its evaluation
    seconds: float  # of this call


def train(
    config: TrainConfig,
    *,
    resume: bool = False,
    metadata: dict[str, Any] | None = None,
    method: str | Method | None = None,
) -> Summary:
    """Train a network.

    Writes into `config.output`: `config.json`, `checkpoint.safetensors` to go on from, `weights.safetensors`, the
    averaged network, and `weights-raw.safetensors` beside each checkpoint, `log.jsonl`, and `tensorboard/` where that
    is installed; `weights-start.safetensors` where heads are fitted. Fields of teachers that are not kept yet are
    computed first. Under torchrun each process takes its share of every batch. On the CPU a run that was stopped and
    resumed gives the same weights to the last bit as one that was not, on as many threads.

    Args:
        config: of the run.
        resume: go on from the checkpoint in `config.output`, or begin without one. Other `steps` than before make the
            run longer or shorter: from the next step on, the learning rate is that of a run of so many steps.
        metadata: more to save in the weights.
        method: whose network, by name or as a record; that of the configuration where left out.

    Raises:
        BlockingIOError: another training runs in `config.output`.
        ChildProcessError: a process that makes batches was killed, or another process of the run ended; `resume` goes
            on from the last checkpoint.
        FileExistsError: `config.output` holds a run, and `resume` is not set.
        FloatingPointError: a loss or a gradient became infinite or NaN.
        ImportError, OSError: a package or a file is missing.
        KeyboardInterrupt: the run was asked to stop, which it did after writing a checkpoint.
        ValueError: settings at odds with each other, with the data, the weights or the run to go on with.
    """
    started = time.perf_counter()
    folder, method = Path(config.output), get_method(config.method if method is None else method)
    if method.loss_options is not NoOptions:
        check_type(config.loss, "loss", method.loss_options)
    with process_group(config.device) as place, contextlib.ExitStack() as stack:
        lock = FolderLock(folder) if place.rank == 0 else None
        if lock is not None:
            stack.callback(lock.release)
            if folder.is_dir():
                lock.take()
        check_folder(folder, config, resume=resume)
        if config.threads is not None:
            torch.set_num_threads(config.threads)
        set_seed(config.seed)
        images = open_images(config)
        shown = single_people(images) if method.takes_boxes else images
        config = with_steps(config, len(shown))
        place.check_settings(flattened(json.loads(config.to_json())), digest_of(images) if place.count > 1 else "")
        teachers = Teachers(config, method, images) if config.teachers else None
        taught = () if teachers is None else teachers.names
        model = start_network(config, method, images, place, taught=taught)
        losses = method.losses(model, config.loss)
        if teachers is not None:
            losses = teachers.beside(losses, model)
        evaluation = Evaluation(config, model) if place.rank == 0 and is_scored(config) else None
        if lock is not None:  # a folder that did not exist is locked before anything is written
            folder.mkdir(parents=True, exist_ok=True)
            lock.take()
            check_folder(folder, config, resume=resume)
        resumed = resume and (folder / CHECKPOINT).exists()
        source = BatchSource(config, method, shown, teachers, place, lock)
        state = _begin(source, model, metadata or {}, resumed=resumed)
        place.check_same(state.step, "output")
        check_steps(folder, config, state.step)
        log = Log(folder, step=state.step, steps=config.steps, quiet=place.rank > 0)
        stack.callback(log.close)
        if place.rank == 0:
            open_folder(folder, config)
        for line in remarks(config, images, evaluation):
            log.say(line)
        run = _Run(config, method, losses, place, state, log, evaluation, metadata or {})
        figures = run.run(source)
    keeps_best = config.evaluation.keep == "best" and is_scored(config)
    weights = folder / (BEST_WEIGHTS if keeps_best else WEIGHTS)
    return Summary(weights, state.step, figures, time.perf_counter() - started)


def _begin(source: BatchSource, model: Any, metadata: dict[str, Any], *, resumed: bool) -> State:
    """Return the state of a run at its checkpoint, or before its first step, with heads fitted where asked for."""
    config, folder, place = source.config, Path(source.config.output), source.place
    if source.teachers is not None:
        if place.rank == 0:
            source.teachers.fill()
        place.wait()
    if config.network.fit_heads and not resumed:
        fit_heads(source, model)
        if place.rank == 0:
            write_model(model, folder / START_WEIGHTS, config, step=0, more=metadata)
    state = start_state(config, model, place)
    if resumed:
        state.load(folder / CHECKPOINT)
    return state


class _Run:
    """One call of `train`, once everything is in place."""

    def __init__(
        self,
        config: TrainConfig,
        method: Method,
        losses: Callable[[Any, Batch], Mapping[str, Tensor]],
        place: Place,
        state: State,
        log: Log,
        evaluation: Evaluation | None,
        metadata: dict[str, Any],
    ) -> None:
        self.config, self.method = config, method
        self.place, self.state, self.log = place, state, log
        self.evaluation, self.metadata = evaluation, metadata
        self.folder = Path(config.output)
        self.keeps_best = config.evaluation.keep == "best" and is_scored(config)
        self.steps = Steps(config, losses, place, state)

    def run(self, source: BatchSource) -> dict[str, float]:
        """Run the steps that are left and return the figures of the network that the run is for."""
        config, state = self.config, self.state
        due = self._is_due(config.evaluation.every) if state.step else self.keeps_best
        if self.place.any_of(self.evaluation is not None and due and not self.log.scores(state.step)):
            self._evaluate(None)  # the start, or the run was killed before it came to that
        if not self._is_over():
            self._take_steps(source)
        return self._figures()

    def _take_steps(self, source: BatchSource) -> None:
        config, state = self.config, self.state
        meter = Meter(config.batch_size, self.place)
        model: Any = state.model
        loader = source.loader(model.config, first_step=state.step, steps=config.steps)
        with graceful_stop() as received, lost_workers_named(), contextlib.closing(meter.waiting(loader)) as batches:
            for batch in batches:
                losses, gradient = self.steps.take(batch.to(self.place.device))
                meter.add(losses, gradient)
                self.log.advance()

                stop, log = self.place.any_of(bool(received)), self._is_due(config.log_every)
                evaluate = self._is_due(config.evaluation.every)
                checkpoint = stop or evaluate or self._is_due(config.checkpoint_every)
                if log or checkpoint:
                    means = meter.means()
                    self._check_finite(means)
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
                    self._evaluate(batch)
                    if self._is_over():
                        break
                    meter.leave_out(time.perf_counter() - start)

    def _is_over(self) -> bool:
        """Return whether no better network is waited for; all processes have to call this."""
        patience = self.config.evaluation.patience
        over = self.place.any_of(is_over(self.log.evaluations(), patience))
        if over:
            self.log.say(f"stopped after step {self.state.step}: {patience} evaluations without a better network")
        return over

    def _figures(self) -> dict[str, float]:
        evaluations = self.log.evaluations()
        if not self.keeps_best:
            return self.log.scores(self.state.step)
        step, _ = best_of(evaluations)
        self.log.say(f"the best network is that after step {step}")
        return self.log.scores(step)

    def _is_due(self, every: int) -> bool:
        """Return whether what is due every so many steps, and at the end, is due after this one."""
        step = self.state.step
        return step == self.config.steps or (every > 0 and step % every == 0)

    def _check_finite(self, means: dict[str, float]) -> None:
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
        """Write the weights, and then the checkpoint: where there is a checkpoint, its weights are complete."""
        if self.place.rank == 0:
            self._write(self.state.average.module, self.folder / WEIGHTS)
            self._write(self.state.model, self.folder / RAW_WEIGHTS)
            self.state.save(self.folder / CHECKPOINT)

    def _evaluate(self, batch: Batch | None) -> None:
        """Score the averaged network; the other processes wait."""
        averaged: Any = self.state.average.module
        if self.evaluation is not None:
            figures = self.evaluation.score(averaged)
            scores = {name: value for name, value in figures.items() if name.endswith("_ap")}
            if self.keeps_best and score_of(figures) > best_of(self.log.evaluations())[1]:
                self._write(averaged, self.folder / BEST_WEIGHTS, scores=scores)
            self.log.figures(self.state.step, figures)
            self._write(averaged, self.folder / WEIGHTS, scores=scores)
        if self.place.rank == 0 and batch is not None:
            image = self.method.draw_batch(averaged, batch, self.config.loss)
            self.log.image(self.state.step, "targets, found", image)
        self.place.wait()

    def _write(self, model: Any, path: Path, **more: Any) -> None:
        write_model(model, path, self.config, step=self.state.step, more={**more, **self.metadata})
