"""What the commands parse with: flags from option classes, and errors in the command line."""

from __future__ import annotations

import dataclasses
import inspect
import re
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from jsonargparse import ArgumentParser

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.IGNORECASE)
_NESTED = re.compile(r"--\w+(\.\w+)+")


class UsageError(Exception):
    """The command line is wrong, whatever the files hold."""


def field_docs(options: type) -> dict[str, str]:
    """Return what the section "Attributes" of a class's docstring says of each field; nothing where -OO strips it."""
    docs: dict[str, str] = {}
    name = ""
    for line in inspect.cleandoc(options.__doc__ or "").partition("Attributes:\n")[2].splitlines():
        if not line.startswith("    "):  # the section ends
            break
        if line.startswith("        "):
            docs[name] += f" {line.strip()}"
        else:
            name, _, docs[name] = line.strip().partition(": ")
    return docs


def choices_of(options: Any) -> dict[str, tuple[str, ...]]:
    """Return the choices of each field of an options dataclass that takes one of some texts."""
    hints = get_type_hints(type(options))
    names = [field.name for field in dataclasses.fields(options)]
    return {name: get_args(hints[name]) for name in names if get_origin(hints[name]) is Literal}


def add_options(
    parser: ArgumentParser,
    title: str,
    prefix: str,
    options: Any,
    *,
    leave_out: str | tuple[str, ...] = (),
    choices: Mapping[str, Iterable[str]] = {},
) -> None:
    """Add one flag `--prefix.name` for each field of an options dataclass; flags left out read None.

    The help is the field's entry in the docstring of its class. A field that is such a dataclass itself becomes a
    group of its own, with its name as prefix.

    Args:
        parser: gets the flags, in a group of their own.
        title: of the group.
        prefix: of the flags; none where empty.
        options: an instance, whose values the help shows as defaults.
        leave_out: fields that get no flag.
        choices: other ones than the field's own, by name.
    """
    group = parser.add_argument_group(title)
    hints, docs = get_type_hints(type(options)), field_docs(type(options))
    nested = []
    for field in dataclasses.fields(options):
        if field.name in ((leave_out,) if isinstance(leave_out, str) else leave_out):
            continue
        name = f"{prefix}.{field.name}" if prefix else field.name.replace("_", "-")
        hint, default = hints[field.name], getattr(options, field.name)
        if field.name in choices:
            hint = Literal[tuple(choices[field.name])]
        if dataclasses.is_dataclass(default):
            nested.append((name, default))
            continue
        text = docs.get(field.name, field.name) + ("" if default in (None, ()) else f" [{_shown(default)}]")
        metavar = field.metadata.get("metavar") or _metavar(hint)
        more: dict[str, Any] = {"type": field.metadata.get("flag", hint)}
        if get_origin(hint) is tuple and get_args(hint)[1:] == (Ellipsis,) and "flag" not in field.metadata:
            more = {"type": get_args(hint)[0], "nargs": "*"}
        group.add_argument(f"--{name}", default=None, help=text.replace("%", "%%"), metavar=metavar, **more)
    for name, default in nested:
        add_options(parser, name, name, default)


def _shown(value: Any) -> str:
    """Return a value as a command line gives it."""
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _metavar(hint: Any) -> str | None:
    """Return what the help puts in place of a value of this type; None for text: the flag's name."""
    kinds = [kind for kind in get_args(hint) if kind is not NoneType]
    if get_origin(hint) is Literal:
        return f"{{{','.join(kinds)}}}"
    if get_origin(hint) is tuple:
        return " ".join(filter(None, map(_metavar, kinds)))
    return _metavar(kinds[0]) if kinds else {int: "N", float: "X", bool: "{true,false}"}.get(hint)


def join_pairs(argv: Sequence[str]) -> list[str]:
    """Join two numbers after a flag of an options class, as in `--data.crop 257 257`, into one word."""
    joined, rest = [], list(argv)
    while rest:
        flag, *rest = rest
        joined.append(flag)
        count = next((n for n, word in enumerate(rest) if not _NUMBER.fullmatch(word)), len(rest))
        if count == 2 and _NESTED.fullmatch(flag):
            joined.append(f"[{rest[0]}, {rest[1]}]")
            rest = rest[2:]
    return joined


def apply_flags(options: Any, flags: Any) -> Any:
    """Return the options with the values of the flags that are set.

    Raises:
        UsageError: a value out of range.
    """
    values = {}
    for name, value in vars(flags).items():
        own = getattr(options, name, None)
        if dataclasses.is_dataclass(own):
            values[name] = apply_flags(own, value)
        elif value is not None:
            values[name] = () if value == ["[]"] else value  # as configurations spell that there is none
    try:
        return dataclasses.replace(options, **values)
    except (TypeError, ValueError) as error:
        raise UsageError(str(error)) from None
