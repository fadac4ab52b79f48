"""Training batches: views of images and what a network is to say of them, in an order that only the seed decides."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from personlab.arrays.numbers import as_integer, as_size
from personlab.data.augment import Augmentation, draw_view, jitter_colour, take_view
from personlab.methods.personlab.targets import encode_targets

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from personlab.data.images import Images
    from personlab.methods.personlab.targets import Targets

_VIEW, _ORDER = 2, 3  # keep these draws apart from each other and from those of the same scene, which end in none and 1


class Batch(NamedTuple):
    """N images of H x W pixels and their targets on a grid of h x w cells; see `personlab.Targets`."""

    images: Tensor  # (N, 3, H, W) uint8 RGB
    heatmaps: Tensor  # (N, K, h, w) 0 or 1
    short_offsets: Tensor  # (N, K, 2, h, w) input pixels
    mid_offsets: Tensor  # (N, 2E, 2, h, w) input pixels
    segmentation: Tensor  # (N, 1, h, w) 0 or 1
    long_offsets: Tensor  # (N, K, 2, h, w) input pixels
    heatmap_valid: Tensor  # (N, 1, h, w) bool, as the others below
    short_valid: Tensor  # (N, K, h, w)
    mid_valid: Tensor  # (N, 2E, h, w)
    segmentation_valid: Tensor  # (N, 1, h, w)
    long_valid: Tensor  # (N, K, h, w)

    def to(self, device: torch.device) -> Batch:
        """The batch on another device."""
        return Batch(*(tensor.to(device, non_blocking=True) for tensor in self))

    def pin_memory(self) -> Batch:
        """The batch in page-locked memory: the loader calls this where a GPU is fed."""
        return Batch(*(tensor.pin_memory() for tensor in self))


def make_batch(images: Sequence[Any], targets: Sequence[Targets]) -> Batch:
    """Stack images (H, W, 3) uint8 and their targets; the channels of a pixel stay together in memory."""
    stacked = torch.from_numpy(np.stack(images))
    return Batch(
        stacked.permute(0, 3, 1, 2),
        *(torch.from_numpy(np.stack([getattr(t, name) for t in targets])) for name in Batch._fields[1:]),
    )


class Views(Dataset[tuple[Any, "Targets"]]):
    """View g of a training run, g = 0, 1, 2 ...: which image and how it is seen depend on the seed and g alone.

    Every image comes once before any comes again; the order is shuffled anew each time.

    Args:
        images: where they come from.
        crop: (H, W) of the views, each a multiple of `stride` plus 1, pixels.
        stride: input pixels from cell to cell of the targets.
        disk_radius: R, input pixels.
        augmentation: how views differ from the images.
        seed: another seed, other views in another order.

    Raises:
        ValueError: a crop that no grid of this stride lies over.
    """

    def __init__(
        self,
        images: Images,
        *,
        crop: tuple[int, int],
        stride: int,
        disk_radius: float,
        augmentation: Augmentation,
        seed: int,
    ) -> None:
        if any((side - 1) % stride for side in as_size(crop, "crop", lowest=1)):
            raise ValueError(f"crop: expected multiples of the stride {stride} plus 1, got {crop}")
        self.images, self.crop, self.stride, self.disk_radius = images, crop, stride, disk_radius
        self.augmentation, self.seed = augmentation, seed
        self._order: tuple[int, Any] = (-1, None)  # round, permutation

    def __getitem__(self, number: int) -> tuple[Any, Targets]:
        """View `number`, (H, W, 3) uint8, and its targets."""
        rng = np.random.default_rng((self.seed, number, _VIEW))
        example = self.images.load(self._image(number))
        view = draw_view(rng, example.people, self.crop, self.augmentation)
        skeleton = self.images.skeleton
        image, people = take_view(example, view, self.crop, skeleton)
        image = jitter_colour(rng, image, self.augmentation.colour)
        targets = encode_targets(
            people.keypoints,
            people.masks if self.images.has_masks else None,
            size=self.crop,
            stride=self.stride,
            skeleton=skeleton,
            disk_radius=self.disk_radius,
            crowd=people.crowd if people.crowd.any() else None,
        )
        return image, targets if people.unoutlined is None else targets.without_masks(people.unoutlined)

    def _image(self, number: int) -> int:
        count = len(self.images)
        if count == 0:
            return number
        turn, place = divmod(number, count)
        if self._order[0] != turn:
            self._order = turn, np.random.default_rng((self.seed, turn, _ORDER)).permutation(count)
        return int(self._order[1][place])


class StepSampler(Sampler[list[int]]):
    """The numbers of the views of each step's batch, from `first_step` on; with several processes each takes its share.

    Step n is about views n * batch_size .. (n + 1) * batch_size - 1, however many processes share them, so that neither
    stopping and going on nor another number of processes changes what is learned from.

    Args:
        batch_size: views a step, over all processes together.
        first_step: the first step to do.
        steps: the step to stop before.
        rank: which of the processes this is, from 0.
        processes: how many there are.

    Raises:
        TypeError: no integers.
        ValueError: a rank that is none, or a batch that cannot be shared evenly.
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
    """Batches in the sampler's order, made in `workers` processes beside this one, or in this one where 0.

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
    """The loader's batches; what goes wrong in one of its processes reads as if it had gone wrong in this one.

    To be closed: that ends the processes.

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


def _collate(views: list[tuple[Any, Targets]]) -> Batch:
    return make_batch([image for image, _ in views], [targets for _, targets in views])


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
