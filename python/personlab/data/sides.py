"""Finds left and right in names of keypoints of any spelling: leftEye, left-eye, EyeL, 1_left_eye, l.eye."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

_WORD = re.compile(r"[^\W\d_]+|\d+")
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")  # word borders in camelCase and LShoulder
_SIDES = {"left": (0, "word"), "right": (1, "word"), "l": (0, "letter"), "r": (1, "letter")}
_GLUED = re.compile(r"(left|right|l(?=..)|r(?=..))(.+)|(.+)(left|right)")  # lefteye, eyeleft, leye


class _Reading(NamedTuple):
    """One way to read a name as that of a side."""

    rank: int  # 0: the side is a separate word; 1: likewise, and a leading number is dropped; 2: it is part of a word
    side: int  # 0 left, 1 right
    rest: tuple[str, ...]  # the name without its side, and the style of the side


def words_of(name: str) -> tuple[str, ...]:
    """Return the words of a name in lower case, the side spelled out and first: ("left", "eye") for EyeL.

    Names that differ in the spelling alone have the same words.
    """
    words = _split(name)
    place = _side_place(words)
    if place is None:
        return tuple(words)
    side = ("left", "right")[_SIDES[words[place]][0]]
    return (side, *words[:place], *words[place + 1 :])


def find_flip(names: Sequence[str]) -> tuple[int, ...]:
    """Return the mirror image of each keypoint: the one whose name differs in the side alone, else itself."""
    flip = list(range(len(names)))
    readings = [(reading, k) for k, name in enumerate(names) for reading in _readings(name)]
    for rank in range(3):
        groups: dict[tuple[str, ...], tuple[list[int], list[int]]] = {}
        for reading, k in readings:
            if reading.rank == rank and flip[k] == k:
                groups.setdefault(reading.rest, ([], []))[reading.side].append(k)
        for left, right in groups.values():
            if len(left) == len(right) == 1 and flip[left[0]] == left[0] and flip[right[0]] == right[0]:
                flip[left[0]], flip[right[0]] = right[0], left[0]
    return tuple(flip)


def unpaired_sides(names: Sequence[str], flip: Sequence[int]) -> list[str]:
    """Return the names with left or right of keypoints that are their own mirror image."""
    return [name for k, name in enumerate(names) if flip[k] == k and _side_place(_split(name)) is not None]


def _split(name: str) -> list[str]:
    return [part.lower() for word in _WORD.findall(name) for part in _HUMP.split(word)]


def _side_place(words: Sequence[str]) -> int | None:
    """Return the place of the word for the side, preferring left and right to l and r; None without one."""
    for style in ("word", "letter"):
        for place, word in enumerate(words):
            if _SIDES.get(word, (0, ""))[1] == style:
                return place
    return None


def _readings(name: str) -> list[_Reading]:
    words = _split(name)
    place = _side_place(words)
    if place is not None:
        side, style = _SIDES[words[place]]
        rest = (*words[:place], f"<{style}>", *words[place + 1 :])
        return [_Reading(0, side, rest), *([_Reading(1, side, rest[1:])] if rest[0].isdigit() else [])]
    readings = []
    for place, word in enumerate(words):
        match = _GLUED.fullmatch(word)
        if match:
            front, rest_, head, back = match.groups()
            side, style = _SIDES[front or back]
            glued = f"<{style}>{rest_}" if front else f"{head}<{style}>"
            readings.append(_Reading(2, side, (*words[:place], glued, *words[place + 1 :])))
    return readings
