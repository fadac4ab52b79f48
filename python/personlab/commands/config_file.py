"""Checks configuration files before they are parsed: small, shallow, without references inside or to other files."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_MAX_BYTES = 64 << 10  # all settings together take 3 thousand
_MAX_EVENTS = 4096  # YAML's word: a scalar, or the start or the end of a list or a mapping
_MAX_DEPTH = 8


def check_config_file(path: Path) -> None:
    """Check that a file is YAML or JSON that takes a parser little time.

    Raises:
        OSError: the file cannot be read.
        ValueError: another kind of file, too large or too deeply nested, with aliases, or that names another one.
    """
    import yaml  # type: ignore[import-untyped]

    with path.open("rb") as file:
        content = file.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise ValueError(f"{path}: expected a configuration of at most {_MAX_BYTES} bytes, got more")
    depth, names = 0, True  # whether the next scalar is a name of the outermost mapping
    kinds = (yaml.ScalarEvent, yaml.SequenceStartEvent, yaml.StreamEndEvent)  # where a mapping is expected
    begun = False
    try:
        for count, event in enumerate(yaml.parse(content.decode("utf-8-sig"), Loader=yaml.SafeLoader)):
            place = f"{path}: line {event.start_mark.line + 1}"
            if isinstance(event, yaml.AliasEvent):
                alias = f"*{event.anchor}"
                raise ValueError(f"{place}: expected a configuration without YAML aliases, got {alias}")  # noqa: TRY004
            if not begun and isinstance(event, kinds):
                raise ValueError(f"{place}: expected settings by name")
            begun = begun or isinstance(event, yaml.MappingStartEvent)
            if depth == 1:
                if names and isinstance(event, yaml.ScalarEvent) and event.value == "config":
                    raise ValueError(f"{place}: config: expected settings, not the name of another configuration")
                names = not names
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _MAX_DEPTH:
                raise ValueError(f"{place}: expected a configuration nested at most {_MAX_DEPTH} deep, got more")
            if count > _MAX_EVENTS:
                raise ValueError(f"{place}: expected a configuration of at most {_MAX_EVENTS} entries, got more")
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: expected YAML or JSON, got neither ({' '.join(str(error).split())})") from None
