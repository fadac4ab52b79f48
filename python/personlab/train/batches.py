"""The batches of a run, the share of one process: views of its images, their targets, and what teachers say of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from personlab.data.grid import input_step
from personlab.data.loader import StepSampler, Views, make_loader

if TYPE_CHECKING:
    from personlab.data.images import Images
    from personlab.methods import Method
    from personlab.train.config import TrainConfig
    from personlab.train.lock import FolderLock
    from personlab.train.processes import Place
    from personlab.train.teachers import Teachers


@dataclass(frozen=True)
class BatchSource:
    """What batches are made of."""

    config: TrainConfig
    method: Method
    images: Images
    teachers: Teachers | None
    place: Place
    lock: FolderLock | None  # which the processes of a loader leave

    def loader(self, network: Any, *, first_step: int, steps: int) -> Any:
        """Return the batches from `first_step` on, up to, not including, `steps`.

        Args:
            network: the configuration of the network.
            first_step: the first step to do.
            steps: the step to stop before.
        """
        config, place = self.config, self.place
        sampler = StepSampler(
            config.batch_size, first_step=first_step, steps=steps, rank=place.rank, processes=place.count
        )
        views = Views(
            self.images, self.method.encode, config.loss, crop=config.data.crop, stride=network.stride,
            input_step=input_step(network), augmentation=config.augmentation, seed=config.seed, teachers=self.teachers,
            show=self.method.show,
        )  # fmt: skip
        return make_loader(
            views, sampler, workers=config.data.workers, pin_memory=place.device.type == "cuda",
            in_worker=None if self.lock is None else self.lock.leave,
        )  # fmt: skip
