"""Locks a folder for one process at a time."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

from personlab.io.locks import CAN_LOCK, try_lock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_POLL = 0.1  # seconds


@contextlib.contextmanager
def locked(folder: Path, *, patience: float) -> Iterator[None]:
    """Wait for the lock of a folder, and hold it while the block runs; it ends with the process in any case.

    Without locks in the system (Windows, some network file systems), returns at once.

    Raises:
        OSError: another process has held it for `patience` seconds.
    """
    if not CAN_LOCK:
        yield
        return
    held = [os.open(folder, os.O_RDONLY)]
    # A forked child shares the lock, and would hold it after its parent's end.
    os.register_at_fork(after_in_child=lambda: os.close(held.pop()) if held else None)
    try:
        end = time.monotonic() + patience
        while not try_lock(held[0]):
            if time.monotonic() > end:
                raise OSError(f"{folder}: another process has held this folder for {patience:g} s")
            time.sleep(_POLL)
        yield
    finally:
        os.close(held.pop())
