"""The one way the library writes a file: whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: str | os.PathLike[str], content: bytes) -> None:
    """Write `content` beside `path`, then rename it into place; a pipe or what is under /dev is appended to.

    Raises:
        FileNotFoundError: the folder does not exist.
        OSError: it cannot be written to.
    """
    target = Path(path).resolve()
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{path}: no such folder {target.parent}")
    if target.is_dir():
        raise IsADirectoryError(f"{path}: expected a file name, got a folder")
    if Path(path).absolute().is_relative_to("/dev") or (target.exists() and not target.is_file()):
        with target.open("ab") as file:  # a rename would put a file where the device or the terminal's output was
            file.write(content)
        return
    partial = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        partial.write_bytes(content)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
