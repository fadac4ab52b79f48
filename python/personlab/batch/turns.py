"""Turns of the units that a worker does at once: one is read while the one before is finished and written."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

T = TypeVar("T")


class Turns:
    """Keeps the network busy from one unit to the next: a unit is read while others are in their last images.

    Threads that work on units share an object.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._reader: Turn | None = None
        self._predicting = 0  # units

    @contextlib.contextmanager
    def take(self) -> Iterator[Turn]:
        """Wait for the turn to read, for a block in which a unit is predicted; at its end the turn has passed on."""
        turn = Turn(self)
        with self._changed:
            self._changed.wait_for(lambda: self._reader is None)
            self._reader = turn
            self._predicting += 1
        try:
            yield turn
        finally:
            self.pass_on(turn)
            with self._changed:
                self._predicting -= 1
                self._changed.notify_all()

    def pass_on(self, turn: Turn) -> None:
        """Let another unit be read, if it is the turn of this one."""
        with self._changed:
            if self._reader is turn:
                self._reader = None
                self._changed.notify_all()

    def wait_alone(self) -> None:
        """Wait until one unit alone is being predicted."""
        with self._changed:
            self._changed.wait_for(lambda: self._predicting == 1)


class Turn:
    """The turn of one unit.

    Args:
        turns: of its worker.
    """

    def __init__(self, turns: Turns) -> None:
        self._turns = turns

    def pass_after(self, inputs: Iterable[T]) -> Iterator[T]:
        """Yield inputs, to any thread; once the last one is taken, the turn passes on."""
        yield from inputs
        self._turns.pass_on(self)

    def wait_alone(self) -> None:
        """Wait until no other unit is being predicted; none begins before the turn passes on."""
        self._turns.wait_alone()
