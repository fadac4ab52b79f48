"""The package `openvino`, imported without its telemetry, which tells its makers of each import over the network."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import numpy as np

_TELEMETRY = "openvino_telemetry"


def _import() -> Any:
    if "openvino" in sys.modules or _TELEMETRY in sys.modules:  # the program that imported it has decided
        return import_module("openvino")
    sys.modules[_TELEMETRY] = None  # type: ignore[assignment]  # it imports as if it were not installed
    try:
        return import_module("openvino")
    finally:
        del sys.modules[_TELEMETRY]


def _prepare(package: Any) -> Any:
    """Use arrays once, in one thread: OpenVINO's tables of element types are made at their first use.

    Two threads that use them first at the same time may wait for each other for ever: one for the table's lock with the
    GIL in its hands, one for the GIL with the lock (openvino 2026.4).
    """
    tensor = package.Tensor(np.zeros((1, 1), np.uint8), shared_memory=True)
    tensor.get_element_type().to_dtype()
    np.array(tensor.data)
    return package


openvino = _prepare(_import())
