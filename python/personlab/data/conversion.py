"""What conversions of annotations to COCO's format return: the content of a file, and what was odd about its source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from personlab.data.coco_file import PathLike

    SizeOf = Callable[[str], tuple[int, int]]  # (w, h) of the image of a name

_MAX_NAMED = 5  # entries in a note


class Converted(NamedTuple):
    """An annotation file in COCO's format."""

    dataset: dict[str, Any]  # for `json.dump`
    notes: tuple[str, ...]  # a line for each kind of oddity


class Oddities:
    """Entries of a source that are kept, or left out, in a way that its reader should know."""

    def __init__(self, path: PathLike) -> None:
        self._path = path
        self._entries: dict[str, list[str]] = {}

    def add(self, what: str, entry: str) -> None:
        """Note that an entry is of a kind, `what`."""
        self._entries.setdefault(what, []).append(entry)

    def notes(self) -> tuple[str, ...]:
        """Return a line for each kind, in the order in which they came up."""
        return tuple(self._line(what, entries) for what, entries in self._entries.items())

    def _line(self, what: str, entries: list[str]) -> str:
        more = f" and {len(entries) - _MAX_NAMED} more" if len(entries) > _MAX_NAMED else ""
        return f"{self._path}: {len(entries)} {what}: {', '.join(entries[:_MAX_NAMED])}{more}"
