"""The one way the library takes a lock: on an open file or folder, until that is closed or the process ends."""

from __future__ import annotations

from importlib.util import find_spec

CAN_LOCK = find_spec("fcntl") is not None  # not on Windows


def try_lock(descriptor: int) -> bool:
    """Take the lock of an open file or folder; False where another holder has it.

    Where the file system has no locks (some network file systems), everyone gets it.
    """
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
