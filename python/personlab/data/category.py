"""The category of an annotation file: which one is meant, and the skeleton that its keypoints make."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from personlab.data.coco_file import as_integer_or_none, one_line, read_numbers, shown
from personlab.data.sides import find_flip, words_of
from personlab.skeleton import COCO_PERSON, Skeleton

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Category = Mapping[str, Any]

_SIGMA = 0.05  # of a keypoint that comes without: about the middle of COCO's
_FLAGS = "--category, or --data.category in training, takes a name or a number"


def choose_category(categories: Sequence[Category], counts: Mapping[int, int], name: str) -> Category:
    """The one rule: of the categories of that name, or else of all, the one with keypoints and annotations.

    Where none has both, the one with annotations or with keypoints; of that name, those without keypoints count too.

    Args:
        categories: as they stand in the file.
        counts: how many annotations there are of each, by its number.
        name: of the category, or its number, written out, where none has that name.

    Raises:
        ValueError: none fits, or several do.
    """
    named = [entry for entry in categories if entry["name"] == name]
    named = named or [entry for entry in categories if str(entry["id"]) == name]
    candidates = named or [entry for entry in categories if entry.get("keypoints")]
    both = [entry for entry in candidates if entry.get("keypoints") and counts.get(entry["id"])]
    used = [entry for entry in candidates if counts.get(entry["id"])]
    with_keypoints = [entry for entry in candidates if entry.get("keypoints")]
    fitting = both or used or with_keypoints or candidates
    if not fitting:
        listed = ", ".join(one_line(entry["name"]) for entry in categories) or "none"
        raise ValueError(f"expected a category {name!r}, got {listed}, without keypoints")
    if len(fitting) > 1:
        listed = ", ".join(f"{entry['name']!r} (number {entry['id']})" for entry in fitting)
        raise ValueError(f"expected one category {name!r}, got {listed}: {_FLAGS}")
    return fitting[0]


def keypoint_names(category: Category) -> tuple[str, ...]:
    """The names of its keypoints, in their order; empty where it has none.

    Raises:
        ValueError: no list of names.
    """
    names = category.get("keypoints") or []
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{_label(category)}: keypoints: expected a list of names, got {shown(names)}")
    return tuple(names)


def keypoint_order(category: Category, skeleton: Skeleton) -> list[int] | None:
    """Which keypoint of the category each of the skeleton's is, matched by name whatever the spelling of sides.

    None where the category does not name its keypoints.

    Raises:
        ValueError: other keypoints than the skeleton's; the first that differs is named.
    """
    names = keypoint_names(category)
    if not names:
        return None
    count = skeleton.n_keypoints
    if len(names) != count:
        raise ValueError(f"expected the network's {count} keypoints, got {len(names)}")
    spellings: tuple[Callable[[str], object], ...] = (str, words_of)
    for spelled in spellings:
        place = {spelled(name): k for k, name in enumerate(names)}
        order = [place.get(spelled(name), -1) for name in skeleton.names]
        if sorted(order) == list(range(count)):
            return order
    k = next((k for k in range(count) if words_of(names[k]) != words_of(skeleton.names[k])), 0)
    raise ValueError(
        f"{_label(category)}: expected the network's keypoints in any order, got {names[k]!r} where its keypoint "
        f"{k + 1} is {skeleton.names[k]!r}"
    )


def skeleton_of(category: Category, *, sigmas: Sequence[float] | None = None) -> Skeleton:
    """The skeleton of a category of a COCO file: `COCO_PERSON`'s where the names are its, else the file's own.

    Edges are those of the category's `skeleton`. Left and right are its `flip_pairs` where it has any, else found by
    name, however that is spelled: left_x beside right_x, L-x beside R-x, xLeft beside xRight. A pair, there and in
    `skeleton`, is two numbers of keypoints counted from 1, or their names.

    Args:
        category: with `keypoints`, the names.
        sigmas: OKS sigmas; the category's `sigmas` where it has any, else COCO's for its names and 0.05 for others.

    Raises:
        ValueError: no keypoints, or pairs that lead nowhere.
    """
    label = _label(category)
    names = keypoint_names(category)
    if not names:
        raise ValueError(f"{label}: expected the names of its keypoints, got none")
    given = category.get("sigmas") if sigmas is None else list(sigmas)
    if given is not None:
        given = tuple(read_numbers(given, label, "a list of numbers as sigmas").tolist())
    if names == COCO_PERSON.names:
        return COCO_PERSON if given is None else replace(COCO_PERSON, sigmas=given)
    edges = dict.fromkeys(_pairs(category, "skeleton", names))
    try:
        return Skeleton(
            names=names,
            edges=tuple(edge for edge in edges if edge[::-1] not in edges or edge[0] < edge[1]),
            sigmas=given or (_SIGMA,) * len(names),
            flip=_flip(category, names),
        )
    except ValueError as error:
        raise ValueError(f"{label}: {error}") from None


def check_joined(category: Category, skeleton: Skeleton) -> None:
    """Refuse a category's skeleton whose edges leave keypoints in pieces: each would be found as a person of its own.

    Raises:
        ValueError: in pieces; they are named.
    """
    piece = list(range(skeleton.n_keypoints))
    for a, b in skeleton.edges:
        piece = [piece[a] if p == piece[b] else p for p in piece]
    pieces = [[name for name, p in zip(skeleton.names, piece, strict=True) if p == q] for q in dict.fromkeys(piece)]
    if len(pieces) > 1:
        listed = " | ".join(", ".join(map(one_line, names)) for names in pieces[:5]) + " | ..." * (len(pieces) > 5)
        raise ValueError(
            f"{_label(category)}: skeleton: expected edges, pairs of numbers from 1, that join all "
            f"{skeleton.n_keypoints} keypoints, got {skeleton.n_edges} that leave {len(pieces)} pieces, each of which "
            f"would be found as a person of its own: {listed}"
        )


def _label(category: Category) -> str:
    return f"category {category.get('name')!r}"


def _flip(category: Category, names: Sequence[str]) -> tuple[int, ...]:
    pairs = _pairs(category, "flip_pairs", names)
    if not pairs:
        return find_flip(names)
    flip = list(range(len(names)))
    for a, b in pairs:
        flip[a], flip[b] = b, a
    return tuple(flip)


def _pairs(category: Category, field: str, names: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs of keypoints, counted from 0."""
    pairs = category.get(field) or []
    expected = f"{_label(category)}: {field}: expected pairs of two keypoints, numbers from 1 to {len(names)} or names"
    if not isinstance(pairs, (list, tuple)):
        raise ValueError(f"{expected}, got {shown(pairs)}")  # noqa: TRY004  # of the file
    place: dict[str | int, int] = {name: k for k, name in enumerate(names)}
    place |= {k + 1: k for k in range(len(names))}
    result = []
    for pair in pairs:
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            raise ValueError(f"{expected}, got {shown(pair)}")
        ends = []
        for end in pair:
            k = place.get(end) if isinstance(end, str) else place.get(as_integer_or_none(end) or 0)
            if k is None:
                hint = ": COCO counts from 1" if end == 0 else ""
                raise ValueError(f"{expected}, got {shown(end)}{hint}")
            ends.append(k)
        if ends[0] == ends[1]:
            raise ValueError(f"{expected}, got {names[ends[0]]!r} twice")
        result.append((ends[0], ends[1]))
    return result
