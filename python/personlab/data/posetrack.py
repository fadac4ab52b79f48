"""PoseTrack's people and joints, as scoring takes them, and the reading of its JSON files of 2018."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from personlab.data.category import keypoint_names
from personlab.data.coco_file import (
    MAX_COORDINATE,
    are_within,
    as_integer_or_none,
    read_entries,
    read_integer,
    read_numbers,
    shown,
)
from personlab.data.sides import words_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from personlab.data.coco_file import PathLike

KEYPOINTS = (
    "nose", "head_bottom", "head_top", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
)  # fmt: skip
"""Names in the files of 2018, in their order; ears are in no annotation."""

JOINTS = (
    "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "right_wrist", "right_elbow",
    "right_shoulder", "left_shoulder", "left_elbow", "left_wrist", "head_bottom", "nose", "head_top",
)  # fmt: skip
"""The 15 joints that are scored: ids 0 to 14 in the files of 2017."""

_NECKS = ("neck", "upper_neck")  # other names of head_bottom
HEAD_SHARE = 0.6  # of the diagonal of a head's box: the length that PCKh counts in


class Frame(NamedTuple):
    """One image of a sequence and its P people."""

    name: str  # of the image file
    image_id: int
    labelled: bool  # whether the frame is annotated
    points: NDArray[np.float64]  # (P, 15, 2) x, y of JOINTS, pixels
    present: NDArray[np.bool_]  # (P, 15)
    scores: NDArray[np.float64]  # (P, 15); NaN where the file has none
    tracks: tuple[int, ...]  # P track ids; -1 where the file has none
    heads: NDArray[np.float64]  # (P,) head sizes, pixels: 0.6 of the diagonal of the head's box; NaN where unknown
    ignored: tuple[NDArray[np.float64], ...] = ()  # polygons (n, 2) in which nothing is annotated

    @property
    def people(self) -> int:
        """P."""
        return len(self.tracks)

    def select(self, rows: Any) -> Frame:
        """Return the frame with the people that an array of indices or booleans selects."""
        places = np.arange(self.people)[rows].tolist()
        return self._replace(
            points=self.points[rows], present=self.present[rows], scores=self.scores[rows], heads=self.heads[rows],
            tracks=tuple(self.tracks[place] for place in places),
        )  # fmt: skip


class Layout(NamedTuple):
    """Where the joints of a file stand among its keypoints."""

    places: list[int]  # of each of JOINTS
    n_keypoints: int


Sequences = dict[str, list[Frame]]  # frames in their order, by the name of the sequence


@dataclass
class People:
    """The people of one frame while they are read."""

    points: list[NDArray[np.float64]] = field(default_factory=list)  # (15, 3)
    scores: list[NDArray[np.float64]] = field(default_factory=list)  # (15,)
    tracks: list[int] = field(default_factory=list)
    heads: list[float] = field(default_factory=list)


def make_frame(
    name: str, image_id: int, labelled: bool, people: People, ignored: Sequence[NDArray[np.float64]]
) -> Frame:
    """Return the frame of an image and its people: a joint is absent where x, y and v are 0."""
    points = np.array(people.points, np.float64).reshape(-1, len(JOINTS), 3)
    scores = np.array(people.scores, np.float64).reshape(-1, len(JOINTS))
    heads = np.array(people.heads, np.float64)
    present = (points != 0).any(axis=2)
    return Frame(
        name, image_id, labelled, points[..., :2], present, scores, tuple(people.tracks), heads, tuple(ignored)
    )


def read_2018(content: Mapping[str, Any], path: PathLike) -> Sequences:
    """Read the frames of a file of 2018, or of COCO's format, by sequence (`sequence_of`).

    Raises:
        ValueError: the file is not in the format.
    """
    images: dict[int, dict[str, Any]] = {}
    for place, image in enumerate(read_entries(content, "images", path)):
        number = read_integer(image, "id", f"{path}: images[{place}]")
        if images.setdefault(number, image) is not image:
            raise ValueError(f"{path}: image {number}: expected one image of this id, got two")
    layout = read_layout(content, path)
    people = {number: People() for number in images}
    for place, entry in enumerate(read_entries(content, "annotations", path)):
        label = f"{path}: annotations[{place}]"
        number = read_integer(entry, "image_id", label)
        if number not in people:
            raise ValueError(f"{label}: image_id: expected an image of the file, got {number}")
        if not entry.get("iscrowd"):
            add_person(people[number], entry, layout, label)
    sequences: Sequences = {}
    for number, image in images.items():
        name = image.get("file_name")
        if not isinstance(name, str):
            raise ValueError(f"{path}: image {number}: file_name: expected the name of a file, got {shown(name)}")  # noqa: TRY004  # of the file
        frame = make_frame(
            name,
            number,
            image.get("is_labeled") is not False,
            people[number],
            read_regions(image, f"{path}: image {number}"),
        )
        sequences.setdefault(sequence_of(image), []).append(frame)
    return sequences


def sequence_of(image: Mapping[str, Any]) -> str:
    """Return the name of an image's sequence: its folder, as PoseTrack's files are named, else its `vid_id`."""
    folder = str(image.get("file_name")).rpartition("/")[0].rpartition("/")[2]
    return folder or str(image.get("vid_id", "images"))


def read_layout(content: Mapping[str, Any], path: PathLike) -> Layout:
    """Return where JOINTS stand among a file's keypoints, by name; PoseTrack's own order without names.

    Raises:
        ValueError: the category lacks one of them.
    """
    try:
        return layout_of(names_of(content))
    except ValueError as error:
        raise ValueError(f"{path}: categories: {error}") from None


def names_of(content: Mapping[str, Any]) -> Sequence[str]:
    """Return the names of a file's keypoints: PoseTrack's where it has none.

    Raises:
        ValueError: they are no list of names.
    """
    categories = content.get("categories")
    listed = categories if isinstance(categories, list) else []
    named = next((c for c in listed if isinstance(c, dict) and c.get("keypoints")), {"keypoints": KEYPOINTS})
    return keypoint_names(named)


def layout_of(names: Sequence[str]) -> Layout:
    """Return where JOINTS stand among the names of keypoints, in any spelling of left and right.

    Raises:
        ValueError: one of them is missing.
    """
    spelled = [words_of("head_bottom" if name in _NECKS else name) for name in names]
    missing = [joint for joint in JOINTS if words_of(joint) not in spelled]
    if missing:
        raise ValueError(f"keypoints: expected PoseTrack's, got none called {missing[0]!r}")
    return Layout([spelled.index(words_of(joint)) for joint in JOINTS], len(names))


def add_person(people: People, entry: Mapping[str, Any], layout: Layout, label: str) -> None:
    """Read one annotation or result: keypoints, scores, track_id and bbox_head.

    Raises:
        ValueError: a field is not in the format; the message begins with `label`.
    """
    values, (places, count) = entry.get("keypoints"), layout
    if values in (None, []):
        keypoints = np.zeros((count, 3))
    else:
        numbers = read_numbers(values, f"{label}: keypoints", f"{3 * count} numbers")
        if len(numbers) != 3 * count:
            raise ValueError(f"{label}: keypoints: expected {3 * count} numbers, got {len(numbers)}")
        if not are_within(numbers, -MAX_COORDINATE, MAX_COORDINATE):
            raise ValueError(f"{label}: keypoints: expected at most {MAX_COORDINATE} pixels, got {_odd(numbers)}")
        keypoints = numbers.reshape(-1, 3)
    people.points.append(keypoints[places])
    people.scores.append(_read_scores(entry.get("scores"), count, label)[places])
    people.tracks.append(_read_track(entry.get("track_id"), label))
    people.heads.append(_read_head(entry.get("bbox_head"), label))


def _odd(numbers: NDArray[np.float64]) -> str:
    worst = next((n for n in numbers if not np.isfinite(n)), numbers[np.abs(np.nan_to_num(numbers)).argmax()])
    return f"{worst:g}"


def _read_scores(values: Any, count: int, label: str) -> NDArray[np.float64]:
    if values in (None, []):
        return np.full(count, np.nan)
    scores = read_numbers(values, f"{label}: scores", f"{count} numbers")
    if len(scores) != count or not np.isfinite(scores).all():
        got = len(scores) if len(scores) != count else "NaN or infinity"
        raise ValueError(f"{label}: scores: expected {count} finite numbers, got {got}")
    return scores


def _read_track(value: Any, label: str) -> int:
    number = -1 if value is None else as_integer_or_none(value)
    if number is None or (value is not None and number < 0):
        raise ValueError(f"{label}: track_id: expected an integer from 0, got {shown(value)}")
    return number


def _read_head(values: Any, label: str) -> float:
    """Return the size of a head, pixels; NaN without a box."""
    if values in (None, []):
        return float("nan")
    numbers = read_numbers(values, f"{label}: bbox_head", "4 numbers x, y, w, h")
    if len(numbers) != 4 or not are_within(numbers, -MAX_COORDINATE, MAX_COORDINATE):
        raise ValueError(f"{label}: bbox_head: expected 4 numbers x, y, w, h, got {numbers.tolist()}")
    return HEAD_SHARE * float(np.hypot(numbers[2], numbers[3]))


def read_regions(image: Mapping[str, Any], label: str) -> list[NDArray[np.float64]]:
    """Return the polygons (n, 2) of an image in which nothing is annotated.

    Raises:
        ValueError: they are not in the format; the message begins with `label`.
    """
    both = [image.get(f"ignore_regions_{axis}") or [] for axis in "xy"]
    label = f"{label}: ignore_regions"
    if not all(isinstance(one, list) for one in both):
        raise ValueError(f"{label}: expected lists of polygons, got {shown(both[0])}")
    if both[0] and not isinstance(both[0][0], list):  # a single polygon
        both = [[both[0]], [both[1]]]
    if len(both[0]) != len(both[1]):
        raise ValueError(f"{label}: expected as many polygons of x as of y, got {len(both[0])} and {len(both[1])}")
    polygons = []
    for xs, ys in zip(*both, strict=True):
        x, y = (read_numbers(values, label, "lists of numbers") for values in (xs, ys))
        if len(x) != len(y) or not are_within(np.concatenate([x, y]), -MAX_COORDINATE, MAX_COORDINATE):
            raise ValueError(f"{label}: expected as many finite x as y, got {len(x)} and {len(y)}")
        polygons.append(np.stack([x, y], axis=1))
    return polygons
