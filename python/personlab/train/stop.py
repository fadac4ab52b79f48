"""Stopping a run between two steps when a signal asks for it."""

from __future__ import annotations

import contextlib
import signal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def graceful_stop() -> Iterator[list[int]]:
    """Yield a list that is no longer empty once this process has been asked to stop, by Ctrl-C or SIGTERM."""
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
