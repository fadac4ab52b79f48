"""Files that torch.save wrote: tensors by name, and no other objects."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

_WRAPPER = "module."  # in front of the names of weights, of data-parallel training


def load_state(path: Path, *, entry: str) -> dict[str, Tensor] | None:
    """Return the tensors by name in a file that torch.save wrote, without the prefix of data-parallel training.

    No code of the file runs: torch's own reader for weights refuses all objects but tensors and plain containers.

    Args:
        path: the file.
        entry: name under which the file may hold them, beside others.

    Returns:
        The tensors; None where the file holds something else, or objects that are not read.
    """
    import torch

    loaded = _load(path)
    if isinstance(loaded, dict) and isinstance(loaded.get(entry), dict):
        loaded = loaded[entry]
    if not isinstance(loaded, dict):
        return None
    if any(not isinstance(name, str) or not isinstance(value, torch.Tensor) for name, value in loaded.items()):
        return None
    return {name.removeprefix(_WRAPPER): value for name, value in loaded.items()}


def _load(path: Path) -> Any:
    """Return the objects of the file; None where torch refuses them."""
    import torch

    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:  # torch.save compresses nothing; what does could be a thousandfold
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                return None
    try:
        with path.open("rb") as file, warnings.catch_warnings():  # a name could make it another format
            warnings.simplefilter("ignore")  # of pickles of other versions
            return torch.load(file, map_location="cpu", weights_only=True)
    except (
        AttributeError, EOFError, ImportError, IndexError, KeyError, MemoryError, OverflowError, RecursionError,
        RuntimeError, TypeError, ValueError, pickle.UnpicklingError,
    ):  # fmt: skip  # whatever damage makes of it
        return None
