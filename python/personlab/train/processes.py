"""The processes of a run: which one this is, where it computes, and what they agree on."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch
from torch import distributed

from personlab.nn.devices import find_device

if TYPE_CHECKING:
    from collections.abc import Iterator

_PATIENCE = timedelta(days=7)  # max time that processes wait for the one that evaluates


@dataclass(frozen=True)
class Place:
    """One of `count` processes that share each batch."""

    rank: int
    count: int
    device: torch.device
    waiting_room: Any = None  # a process group on the CPU: GPUs give up on each other within minutes

    def any_of(self, flag: bool) -> bool:
        """Return whether the flag is set in any process; all processes have to call this."""
        if self.count == 1:
            return flag
        votes = torch.tensor(int(flag))
        distributed.all_reduce(votes, distributed.ReduceOp.MAX, group=self.waiting_room)
        return bool(votes)

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """Return the mean over the processes; all processes have to call this."""
        if self.count > 1:
            values = values.clone()
            distributed.all_reduce(values)
            values /= self.count
        return values

    def wait(self) -> None:
        """Wait until every process calls this."""
        if self.count > 1:
            distributed.barrier(group=self.waiting_room)

    def check_same(self, number: int, name: str) -> None:
        """Check that all processes have the same number.

        Raises:
            ValueError: numbers differ.
        """
        if self.count == 1:
            return
        numbers: list[Any] = [None] * self.count
        distributed.all_gather_object(numbers, number, group=self.waiting_room)
        if len(set(numbers)) > 1:
            raise ValueError(f"{name}: expected a folder that every process sees, got {numbers} steps done")


@contextmanager
def process_group(device: str | None) -> Iterator[Place]:
    """Join the processes that torchrun started; where it started none, this process is alone.

    Raises:
        ValueError: no such device.
    """
    chosen = find_device(device)
    if "RANK" not in os.environ:
        yield Place(0, 1, chosen)
        return
    if chosen.type == "cuda":
        chosen = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(chosen)
    theirs = distributed.is_initialized()  # the caller's group, which stays
    if not theirs:
        distributed.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    try:
        room = distributed.new_group(backend="gloo", timeout=_PATIENCE)
        yield Place(distributed.get_rank(), distributed.get_world_size(), chosen, room)
    finally:
        if not theirs:
            distributed.destroy_process_group()
