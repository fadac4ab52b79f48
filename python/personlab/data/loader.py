"""Training batches: views of images and their targets, in an order that only the seed decides."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from personlab.arrays.numbers import as_integer, as_size
from personlab.data.augment import Augmentation, Show, draw_view, jitter_colour, take_view
from personlab.data.grid import Grid, check_sides

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    from personlab.data.augment import View
    from personlab.data.coco import People
    from personlab.data.images import Images

_VIEW, _ORDER = 2, 3  # last entry of a seed: keeps these draws apart from each other and from those of a scene


@dataclass(frozen=True, eq=False)
class Batch:
    """N images of H x W pixels and the targets of their method, which are attributes of the batch, too.

    For PersonLab these are the arrays of `personlab.Targets`, each with a leading axis N.
    """

    images: Tensor  # (N, 3, H, W) uint8 RGB
    targets: Mapping[str, Tensor]  # by name

    def __getattr__(self, name: str) -> Tensor:
        targets: Mapping[str, Tensor] = vars(self).get("targets", {})  # none in an object during unpickling
        if name not in targets:
            raise AttributeError(f"batch: expected one of {', '.join(('images', *targets))}, got {name!r}")
        return targets[name]

    def to(self, device: torch.device) -> Batch:
        """Return the batch on another device."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Batch:
        """Return the batch in page-locked memory: the loader calls this where a GPU is fed."""
        return self._map(lambda tensor: tensor.pin_memory())

    def _map(self, function: Callable[[Tensor], Tensor]) -> Batch:
        return Batch(function(self.images), {name: function(tensor) for name, tensor in self.targets.items()})


def make_batch(
    images: Sequence[Any], targets: Sequence[Any], taught: Sequence[Mapping[str, Any]] | None = None
) -> Batch:
    """Stack images and their targets; the channels of a pixel stay together in memory.

    Args:
        images: (H, W, 3) uint8 each.
        targets: dataclasses of one type, whose arrays are stacked.
        taught: arrays by name of each image, which are stacked, too.
    """
    names = [field.name for field in fields(targets[0]) if isinstance(getattr(targets[0], field.name), np.ndarray)]
    stacked = torch.from_numpy(np.stack(images))
    arrays = {name: np.stack([getattr(one, name) for one in targets]) for name in names}
    if taught is not None:
        arrays |= {name: np.stack([one[name] for one in taught]) for name in taught[0]}
    return Batch(stacked.permute(0, 3, 1, 2), {name: torch.from_numpy(array) for name, array in arrays.items()})


class Views(Dataset[tuple[Any, ...]]):
    """View g of a training run, g = 0, 1, 2 ...: the image and the view of it depend on the seed and g alone.

    Every image comes once before any comes again; the order is shuffled anew each time.

    Args:
        images: of the run.
        encode: a method's (`personlab.methods.Method.encode`): people and grid -> targets.
        options: its options for that, `TrainConfig.loss`.
        crop: (H, W) of the views, pixels, each a multiple of `input_step` or, without, of `stride` plus 1.
        stride: input pixels from cell to cell of the targets.
        input_step: of the network (`personlab.data.grid.input_step`).
        augmentation: random changes of the views.
        seed: of views and their order.
        teachers: (number of the image, its (H, W), view, grid) -> arrays by name, which are part of the batch.
        show: how views are drawn; those of whole images where left out.

    Raises:
        ValueError: a crop that no grid of this stride lies over.
    """

    def __init__(
        self,
        images: Images,
        encode: Callable[[People, Grid, Any], Any],
        options: Any,
        *,
        crop: tuple[int, int],
        stride: int,
        input_step: int | None = None,
        augmentation: Augmentation,
        seed: int,
        teachers: Callable[[int, tuple[int, int], View, Grid], Mapping[str, Any]] | None = None,
        show: Show | None = None,
    ) -> None:
        check_sides(as_size(crop, "crop", minimum=1), "crop", stride=stride, step=input_step)
        self.images, self.encode, self.options, self.crop = images, encode, options, crop
        self.grid = Grid(crop, stride, images.skeleton, images.has_masks)
        self.augmentation, self.seed, self.teachers = augmentation, seed, teachers
        self.show = Show(draw_view, take_view) if show is None else show
        self._order: tuple[int, Any] = (-1, None)  # round, permutation

    def __getitem__(self, number: int) -> tuple[Any, ...]:
        """View `number`, (H, W, 3) uint8, its targets and, with teachers, their arrays."""
        rng = np.random.default_rng((self.seed, number, _VIEW))
        place = self._image(number)
        example = self.images.load(place)
        view = self.show.draw(rng, example.people, self.crop, self.augmentation)
        image, people = self.show.take(example, view, self.crop, self.images.skeleton)
        image = jitter_colour(rng, image, self.augmentation.colour)
        targets = self.encode(people, self.grid, self.options)
        if self.teachers is None:
            return image, targets
        return image, targets, self.teachers(place, (example.image.shape[0], example.image.shape[1]), view, self.grid)

    def _image(self, number: int) -> int:
        count = len(self.images)
        if count == 0:
            return number
        turn, place = divmod(number, count)
        if self._order[0] != turn:
            self._order = turn, np.random.default_rng((self.seed, turn, _ORDER)).permutation(count)
        return int(self._order[1][place])


class StepSampler(Sampler[list[int]]):
    """Numbers of the views of each step's batch, from `first_step` on; with several processes, the share of one.

    Step n is about views n * batch_size .. (n + 1) * batch_size - 1, however many processes share them, so that neither
    stopping and going on nor another number of processes changes what is learned from.

    Args:
        batch_size: views a step, over all processes together.
        first_step: the first step to do.
        steps: the step to stop before.
        rank: of this process, from 0.
        processes: number of processes.

    Raises:
        TypeError: no integers.
        ValueError: a rank out of range, or a batch that is no multiple of the processes.
    """

    def __init__(self, batch_size: int, *, first_step: int, steps: int, rank: int = 0, processes: int = 1) -> None:
        as_integer(processes, "processes", 1)
        as_integer(rank, "rank", 0, processes - 1)
        if as_integer(batch_size, "batch_size", 1) % processes:
            raise ValueError(f"batch_size: expected a multiple of the {processes} processes, got {batch_size}")
        self.batch_size, self.first_step, self.steps = batch_size, first_step, steps
        self.rank, self.processes = rank, processes

    def __len__(self) -> int:
        return max(self.steps - self.first_step, 0)

    def __iter__(self) -> Iterator[list[int]]:
        share = self.batch_size // self.processes
        for step in range(self.first_step, self.steps):
            first = step * self.batch_size + self.rank * share
            yield list(range(first, first + share))


def make_loader(
    views: Views,
    sampler: StepSampler,
    *,
    workers: int,
    pin_memory: bool = False,
    in_worker: Callable[[], object] | None = None,
) -> DataLoader[Any]:
    """Return batches in the sampler's order, made in `workers` processes beside this one, or in this one if 0.

    Each worker holds two batches ready, in shared memory; it calls `in_worker` first.
    """
    return DataLoader(
        views,
        batch_sampler=sampler,
        num_workers=workers,
        collate_fn=_collate,
        pin_memory=pin_memory,
        worker_init_fn=partial(_begin_worker, in_worker) if workers else None,
        generator=torch.Generator(),  # else each pass would take a number of the global one
    )


def read_batches(loader: DataLoader[Any]) -> Generator[Batch]:
    """Yield the loader's batches; errors of its processes are raised as if they were this process's.

    To be closed, which ends the processes.

    Raises:
        OSError, ValueError: an image cannot be read; its file is named.
    """
    batches: Any = iter(loader)
    try:
        yield from batches
    except (OSError, TypeError, ValueError) as error:
        text = str(error)
        if "Original Traceback" not in text:  # which torch puts before the message
            raise
        last = text.strip().splitlines()[-1]
        raise type(error)(last.partition(": ")[2] or last) from None
    finally:
        if loader.num_workers:
            batches._shutdown_workers()


@contextlib.contextmanager
def lost_workers_named() -> Iterator[None]:
    """Name a loader's process that was killed; torch says so between any two statements of the training process.

    Raises:
        ChildProcessError: one was, as by a system that is out of memory.
    """
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        raise ChildProcessError(f"a process that makes batches ended: {' '.join(str(error).split())}") from None


def _collate(views: list[tuple[Any, ...]]) -> Batch:
    return make_batch(*zip(*views, strict=True))


def _begin_worker(in_worker: Callable[[], object] | None, _: int) -> None:
    import os
    import signal

    import cv2

    if in_worker is not None:
        in_worker()
    # Ctrl-C, torchrun and schedulers signal whole groups of processes: what they mean is for the parent to decide, and
    # it ends its workers by SIGTERM.
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    cv2.setNumThreads(0)  # the processes are the threads
