"""The module personlab._cuda, which works on a GPU: loaded when first asked for, and why it cannot be."""

from __future__ import annotations

import functools
import importlib
from typing import Any


@functools.cache
def _load() -> tuple[Any, str]:
    """Returns the module, or None and why it is missing."""
    try:
        return importlib.import_module("personlab._cuda"), ""
    except ModuleNotFoundError as error:
        if error.name != "personlab._cuda":
            raise
        return None, (
            "personlab was built without CUDA: when it was installed there was no CUDA compiler on PATH, or no GPU; "
            "install it from source where both are (-Ccmake.define.PERSONLAB_CUDA=ON builds it without a GPU, too)"
        )
    except ImportError as error:
        if error.name != "personlab._cuda":
            raise
        return None, f"the module personlab._cuda cannot be loaded: {error}"


def _unavailable_reason(module: Any) -> str:
    """Returns why a module cannot use a GPU; empty where it can."""
    reason: str = module.unavailable_reason()
    if reason and module.versions()[0] == 0:  # CUDA's own words are of a driver too old
        return "no NVIDIA driver is installed"
    return reason


def native() -> Any:
    """Returns the module.

    Raises:
        RuntimeError: it is missing, or no GPU can be used.
    """
    module, reason = _load()
    if module is None:
        raise RuntimeError(f"CUDA: {reason}")
    reason = _unavailable_reason(module)
    if reason:
        raise RuntimeError(f"CUDA: no GPU can be used: {reason}")
    return module


def describe() -> str:
    """Returns whether CUDA can be used, on what, and why not."""
    module, reason = _load()
    if module is None:
        return f"no: {reason}"
    built = f"{module.compiler} for architectures {module.architectures}"
    reason = _unavailable_reason(module)
    if reason:
        return f"no: {reason}; built by {built}"
    driver = module.versions()[0]
    name = module.device_name(device=0)
    return f"yes: {name}, driver for CUDA {driver // 1000}.{driver % 1000 // 10}; built by {built}"
