"""What the commands parse with: flags from option classes, and errors in the command line."""

from __future__ import annotations

import dataclasses
import inspect
import re
from typing import TYPE_CHECKING, Any, get_type_hints

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jsonargparse import ArgumentParser

_METAVARS: dict[Any, Any] = {
    int: {"metavar": "N"},
    float: {"metavar": "X"},
    tuple[int, int]: {"metavar": "N N"},
    tuple[float, float]: {"metavar": "X X"},
}
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.IGNORECASE)
_NESTED = re.compile(r"--\w+(\.\w+)+")


class UsageError(Exception):
    """The command line itself is wrong, whatever the files hold."""


def _comments(options: type) -> dict[str, str]:
    """What the comment beside each field of an options class says of it; none where the source is not installed."""
    try:
        source = inspect.getsource(options)
    except OSError:
        return {}
    return dict(re.findall(r"^    (\w+): [^#\n]*# (.+)$", source, re.MULTILINE))


def add_options(parser: ArgumentParser, title: str, prefix: str, options: Any, *, leave_out: str = "") -> None:
    """One flag `--prefix.name` for each field of an options dataclass; a flag that is not given reads None.

    A field that is such a dataclass itself becomes a group of its own, named as the field.

    Args:
        parser: gets the flags, in a group of their own.
        title: of the group.
        prefix: of the flags; none where empty.
        options: an instance, whose values the help tells as defaults.
        leave_out: a field that gets no flag.
    """
    group = parser.add_argument_group(title)
    hints, comments = get_type_hints(type(options)), _comments(type(options))
    nested = []
    for field in dataclasses.fields(options):
        if field.name == leave_out:
            continue
        name = f"{prefix}.{field.name}" if prefix else field.name.replace("_", "-")
        hint, default = hints[field.name], getattr(options, field.name)
        if dataclasses.is_dataclass(default):
            nested.append((name, default))
            continue
        shown = str(default).lower() if isinstance(default, bool) else default
        shown = " ".join(map(str, shown)) if isinstance(shown, tuple) else shown
        metavar: dict[str, Any] = _METAVARS.get(hint, {})
        told = "" if default is None else f" [{shown}]"
        help_text = f"{comments.get(field.name, field.name)}{told}".replace("%", "%%")
        group.add_argument(f"--{name}", type=hint, default=None, help=help_text, **metavar)
    for name, default in nested:
        add_options(parser, name, name, default)


def join_pairs(argv: Sequence[str]) -> list[str]:
    """A flag of an options class that two numbers follow, as `--data.crop 257 257`, with one word for both."""
    joined, rest = [], list(argv)
    while rest:
        flag, *rest = rest
        joined.append(flag)
        count = next((n for n, word in enumerate(rest) if not _NUMBER.fullmatch(word)), len(rest))
        if count == 2 and _NESTED.fullmatch(flag):
            joined.append(f"[{rest[0]}, {rest[1]}]")
            rest = rest[2:]
    return joined


def with_given(options: Any, given: Any) -> Any:
    """The options with the flags that were given in place of their values.

    Raises:
        UsageError: a value out of range.
    """
    values = {}
    for name, value in vars(given).items():
        own = getattr(options, name, None)
        if dataclasses.is_dataclass(own):
            values[name] = with_given(own, value)
        elif value is not None:
            values[name] = value
    try:
        return dataclasses.replace(options, **values)
    except (TypeError, ValueError) as error:
        raise UsageError(str(error)) from None
