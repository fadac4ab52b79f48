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
    from collections.abc import Iterator, Mapping

_PATIENCE = timedelta(days=7)  # max time that processes wait for the one that evaluates
_LOSS = ("gloo", "connection closed by peer", "connection reset by peer")  # words in errors of the CPU's back end
_MAX_REASON = 120  # letters
# settings that processes on several machines may have of their own, with a dot behind each
_OF_A_MACHINE = (
    "output.", "cache.", "device.", "threads.", "data.workers.", "data.annotations.", "data.images.", "data.instances.",
    "data.shards.", "data.unlabelled.", "data.held_out.", "evaluation.annotations.", "evaluation.images.",
    "network.weights.", "network.mean_with.", "network.imagenet.", "network.backbone_weights.", "teachers.",
)  # fmt: skip


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

    def gather(self, value: Any) -> list[Any]:
        """Return the value of each process, in the order of ranks; all processes have to call this."""
        if self.count == 1:
            return [value]
        values: list[Any] = [None] * self.count
        distributed.all_gather_object(values, value, group=self.waiting_room)
        return values

    def check_same(self, number: int, name: str) -> None:
        """Check that all processes have the same number of steps.

        Raises:
            ValueError: numbers differ.
        """
        numbers = self.gather(number)
        if len(set(numbers)) > 1:
            raise ValueError(f"{name}: expected a folder that every process sees, got {numbers} steps done")

    def check_settings(self, settings: Mapping[str, Any], data: str) -> None:
        """Check that all processes have the same settings, and the same annotations.

        Args:
            settings: by name; those that belong to a machine may differ.
            data: digest of the annotations.

        Raises:
            ValueError: some differ.
        """
        own = {name: value for name, value in settings.items() if not f"{name}.".startswith(_OF_A_MACHINE)}
        everyone = self.gather((own, data))
        for name in own:
            values = [others.get(name) for others, _ in everyone]
            if any(value != values[0] for value in values):
                raise ValueError(f"{name}: expected the same in every process, got {_listed(values)}")
        if len({digest for _, digest in everyone}) > 1:
            raise ValueError("data: expected the same images and annotations in every process, got others")


def _listed(values: list[Any]) -> str:
    return ", ".join(dict.fromkeys(map(repr, values)))


@contextmanager
def process_group(device: str | None) -> Iterator[Place]:
    """Join the processes that torchrun started; where it started none, this process is alone.

    Raises:
        ChildProcessError: another process ended, or cannot be reached.
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
    try:
        if not theirs:
            distributed.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
        room = distributed.new_group(backend="gloo", timeout=_PATIENCE)
        yield Place(distributed.get_rank(), distributed.get_world_size(), chosen, room)
    except RuntimeError as error:
        if not _is_loss(error):
            raise
        raise ChildProcessError(
            f"another process of the run ended or is out of reach ({' '.join(str(error).split())[:_MAX_REASON]}): "
            "start all of them again with --resume"
        ) from None
    finally:
        if not theirs and distributed.is_initialized():
            distributed.destroy_process_group()


def _is_loss(error: RuntimeError) -> bool:
    """Return whether an error says that the processes of a group do not reach each other."""
    text = str(error).lower()
    return isinstance(error, distributed.DistError) or any(word in text for word in _LOSS)
