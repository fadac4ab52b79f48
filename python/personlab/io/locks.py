"""Locks on open files and folders, held until these are closed or the process ends."""

from __future__ import annotations

from importlib.util import find_spec

CAN_LOCK = find_spec("fcntl") is not None  # not on Windows


def try_lock(descriptor: int) -> bool:
    """Take the lock of an open file or folder; return False where another process holds it.

    On file systems without locks (some network file systems), it succeeds for every process.
    """
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
