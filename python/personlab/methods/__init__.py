"""One folder a method, and the table of methods: each is imported when it is asked for."""

from __future__ import annotations

from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from personlab._lazy import lazy_names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from personlab.methods.base import Method

__all__ = ["DEFAULT_METHOD", "METHODS", "Method", "get_method", "method_of"]

DEFAULT_METHOD = "personlab"  # of checkpoints and networks that name none

METHODS: Mapping[str, str] = MappingProxyType(
    {name: f"personlab.methods.{name}.method" for name in ("personlab", "simple_pose", "simple_baseline")}
)
"""module by name of the method; its `METHOD` is the record"""


__getattr__, __dir__ = lazy_names(__name__, {"Method": "personlab.methods.base"})


def get_method(method: str | Method) -> Method:
    """Return a method's record; a record itself is returned as it is, so that methods need not be in the table.

    Raises:
        ValueError: another name than those of the table.
    """
    from personlab.methods.base import Method

    if isinstance(method, Method):
        return method
    if not isinstance(method, str) or method not in METHODS:
        raise ValueError(f"method: expected one of {', '.join(METHODS)}, got {method!r}")
    record: Method = import_module(METHODS[method]).METHOD
    return record


def method_of(network: Any) -> Method:
    """Return the method that a network's configuration names, by its name or as its record.

    Raises:
        ValueError: a name that is not in the table.
    """
    return get_method(getattr(network.config, "method", DEFAULT_METHOD))
