"""The package `openvino`, imported without its telemetry, which tells its makers of each import over the network."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

_TELEMETRY = "openvino_telemetry"


def _import() -> Any:
    if "openvino" in sys.modules or _TELEMETRY in sys.modules:  # the program that imported it has decided
        return import_module("openvino")
    sys.modules[_TELEMETRY] = None  # type: ignore[assignment]  # it imports as if it were not installed
    try:
        return import_module("openvino")
    finally:
        del sys.modules[_TELEMETRY]


openvino = _import()
