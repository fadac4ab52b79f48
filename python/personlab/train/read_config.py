"""Reads options from the JSON of a saved configuration, with every name and type checked."""

from __future__ import annotations

from dataclasses import MISSING, fields, is_dataclass
from types import MappingProxyType, NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

if TYPE_CHECKING:
    from collections.abc import Mapping

Options = TypeVar("Options")


def read_options(
    kind: type[Options], values: Any, prefix: str = "", kinds: Mapping[str, type] = MappingProxyType({})
) -> Options:
    """Make an options dataclass from the values that `dataclasses.asdict` returns; missing fields have their defaults.

    Args:
        kind: the dataclass.
        values: by name.
        prefix: of names in errors.
        kinds: dataclass by name of a field whose type does not say which.

    Raises:
        TypeError, ValueError: an unknown name, or a value of the wrong type or out of range.
    """
    if not isinstance(values, dict):
        raise TypeError(f"{prefix.rstrip('.') or 'configuration'}: expected a JSON object, got {type(values).__name__}")
    hints = get_type_hints(kind) | dict(kinds)
    read: dict[str, Any] = {}
    for name, value in values.items():
        if name not in hints:
            raise ValueError(f"{prefix}{name}: expected one of {', '.join(hints)}")
        hint = hints[name]
        if is_dataclass(hint):
            read[name] = read_options(hint, value, f"{prefix}{name}.")  # type: ignore[arg-type]  # a class, no instance
            continue
        read[name] = tuple(value) if isinstance(value, list) else value
        if hint is not Any and not _fits(read[name], hint):
            raise TypeError(f"{prefix}{name}: expected {_named(hint)}, got {value!r}")
    try:
        return kind(**read)
    except TypeError:
        missing = [f.name for f in fields(kind) if f.default is f.default_factory is MISSING and f.name not in read]  # type: ignore[arg-type]
        if not missing:
            raise
        raise ValueError(f"{prefix}{missing[0]}: expected a value, got none") from None


def flattened(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the values of nested objects by the names of their flags, as `data.crop`."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= flattened(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def _fits(value: Any, hint: Any) -> bool:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(_fits(value, one) for one in arguments)
    if origin is Literal:
        return value in arguments
    if origin is tuple and arguments[1:] == (Ellipsis,):
        return isinstance(value, tuple) and all(_fits(one, arguments[0]) for one in value)
    if origin is tuple:
        pairs = isinstance(value, tuple) and len(value) == len(arguments)
        return pairs and all(_fits(one, kind) for one, kind in zip(value, arguments, strict=True))
    if isinstance(value, bool):
        return hint is bool
    return isinstance(value, (int, float) if hint is float else hint)


def _named(hint: Any) -> str:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return " or ".join(map(_named, arguments))
    if origin is Literal:
        return f"one of {', '.join(map(str, arguments))}"
    if origin is tuple and arguments[1:] == (Ellipsis,):
        return f"a list of {_named(arguments[0])}"
    if origin is tuple:
        return f"[{', '.join(map(_named, arguments))}]"
    return "null" if hint is NoneType else str(hint.__name__)
