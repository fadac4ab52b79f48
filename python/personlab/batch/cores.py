"""Cores of a worker: those of a machine are dealt out to the workers on it, whoever started these."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import IO

from personlab.io.locks import CAN_LOCK, try_lock


def pin(cores: int) -> IO[bytes] | None:
    """Run on so many cores that no other worker of this machine runs on, where there are some left.

    Engines start as many threads as they see cores, and the threads of several engines on the same cores wait for each
    other.

    Returns:
        What holds the cores until it is closed, or the process ends; None where the process keeps all.
    """
    if not CAN_LOCK or not hasattr(os, "sched_setaffinity"):
        return None
    own = sorted(os.sched_getaffinity(0))
    if cores >= len(own):
        return None
    folder = Path(tempfile.gettempdir()) / f"personlab-cores-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    for slot in range(len(own) // cores):
        file = (folder / f"{cores}-{slot}").open("ab")
        if try_lock(file.fileno()):
            os.sched_setaffinity(0, own[slot * cores : (slot + 1) * cores])
            return file
        file.close()
    return None
