"""Categories of annotation files: chooses one by name, and makes a skeleton of its keypoints."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from personlab.data.coco_file import as_integer_or_none, one_line, read_numbers, shown
from personlab.data.sides import find_flip, words_of
from personlab.skeleton import COCO_PERSON, CROWDPOSE_PERSON, MPII_PERSON, POSETRACK_PERSON, Skeleton

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Category = Mapping[str, Any]

_DEFAULT_SIGMA = 0.05  # OKS sigma of keypoints other than COCO's: about the middle of COCO's
_KNOWN = (COCO_PERSON, CROWDPOSE_PERSON, MPII_PERSON, POSETRACK_PERSON)  # skeletons of data sets
_FLAGS = "--category, or --data.category in training, takes a name or a number"


def choose_category(categories: Sequence[Category], counts: Mapping[int, int], name: str) -> Category:
    """Choose the category of people: the one with keypoints and annotations among those of a name.

    Where no category has that name, those with keypoints are the candidates. Where no candidate has both keypoints and
    annotations, the one with annotations is chosen, else the one with keypoints, else the only one.

    Args:
        categories: of the file.
        counts: category id -> number of its annotations.
        name: of the category, or its id as text where no category has that name.

    Raises:
        ValueError: no category fits, or several do.
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
    """Return the names of a category's keypoints, in their order; empty without keypoints.

    Raises:
        ValueError: `keypoints` is not a list of names.
    """
    names = category.get("keypoints") or []
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{_label(category)}: keypoints: expected a list of names, got {shown(names)}")
    return tuple(names)


def keypoint_order(category: Category, skeleton: Skeleton) -> list[int] | None:
    """Return the number in the category of each keypoint of a skeleton, matched by name; None without names.

    Names match if they differ in the spelling of left and right alone (`personlab.data.sides.words_of`).

    Raises:
        ValueError: the category has other keypoints; the message names the first that differs.
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
    """Return the skeleton of a category: the library's where its keypoints are those of a known data set.

    The files of PoseTrack and CrowdPose list COCO's edges, which do not fit their keypoints. Edges of others are the
    category's `skeleton`. Left and right are its `flip_pairs`, else they are matched by name in any spelling: left_x
    beside right_x, L-x beside R-x, xLeft beside xRight. An edge or a pair is two keypoints, as numbers from 1 or as
    names.

    Args:
        category: has `keypoints`, the names.
        sigmas: OKS sigmas; where left out, the category's `sigmas`, else the library's for known names and 0.05 for
            others.

    Raises:
        ValueError: the category has no keypoints, or a pair names none of them.
    """
    label = _label(category)
    names = keypoint_names(category)
    if not names:
        raise ValueError(f"{label}: expected the names of its keypoints, got none")
    own: Any = category.get("sigmas") if sigmas is None else list(sigmas)
    if own is not None:
        own = tuple(read_numbers(own, label, "a list of numbers as sigmas").tolist())
    for known in _KNOWN:
        if names == known.names:
            return known if own is None else replace(known, sigmas=own)
    edges = dict.fromkeys(_pairs(category, "skeleton", names))
    try:
        return Skeleton(
            names=names,
            edges=tuple(edge for edge in edges if edge[::-1] not in edges or edge[0] < edge[1]),
            sigmas=own or (_DEFAULT_SIGMA,) * len(names),
            flip=_flip(category, names),
        )
    except ValueError as error:
        raise ValueError(f"{label}: {error}") from None


def check_joined(category: Category, skeleton: Skeleton) -> None:
    """Check that the edges of a category's skeleton join all keypoints: decoding returns each piece as a person.

    Raises:
        ValueError: the skeleton is in pieces; the message lists them.
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
            f"would be decoded as a person of its own: {listed}"
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
    """Return pairs of keypoints as numbers from 0."""
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
