"""One training at a time in a folder: a lock that ends with the process that holds it, however that ends."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from personlab.io.locks import CAN_LOCK, try_lock

if TYPE_CHECKING:
    from pathlib import Path

LOCK = ".lock"


class FolderLock:
    """The lock of a folder, from `take` to `release`.

    The system drops it when the process is gone. The file that a killed process leaves is no lock.

    Args:
        folder: of the run; may not exist until `take`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._descriptor = folder, -1

    def __getstate__(self) -> dict[str, Any]:
        return {"_folder": self._folder, "_descriptor": -1}  # a process that is not forked has no copy to close

    def take(self) -> None:
        """Take the lock, unless this object has it.

        Raises:
            BlockingIOError: another training has it.
            OSError: the folder cannot be written to.
        """
        if not CAN_LOCK:
            return
        path = self._folder / LOCK
        while self._descriptor < 0:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            if not try_lock(descriptor):
                os.close(descriptor)
                raise BlockingIOError(
                    f"{self._folder}: another training runs in this folder; wait for its end or choose another --output"
                )
            if _is_same(descriptor, path):
                self._descriptor = descriptor
            else:  # its holder ended meanwhile and removed the file
                os.close(descriptor)

    def release(self) -> None:
        """Give the lock back, where this object has it, and remove its file."""
        if self._descriptor >= 0:
            (self._folder / LOCK).unlink(missing_ok=True)
            self.leave()

    def leave(self) -> None:
        """Close the file: in the process that took the lock the lock ends, in one forked from it a copy does."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _is_same(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
