"""The layout of PoseTrack's files of 2017, `annolist`: reads it, and writes files of 2018 in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.data.coco_file import MAX_COORDINATE, as_integer_or_none, read_entries, read_integer, shown
from personlab.data.posetrack import HEAD_SHARE, JOINTS, People, add_person, make_frame, read_layout, read_regions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from personlab.data.coco_file import PathLike
    from personlab.data.posetrack import Frame

    Entry = dict[str, Any]


def read_2017(content: Mapping[str, Any], path: PathLike) -> list[Frame]:
    """Read the frames of a file of 2017, `annolist`.

    Raises:
        ValueError: the file is not in the format.
    """
    frames = []
    for place, entry in enumerate(read_entries(content, "annolist", path)):
        label = f"{path}: annolist[{place}]"
        people = People()
        for number, person in enumerate(_objects(entry.get("annorect"), f"{label}: annorect")):
            _add_2017(people, person, f"{label}: annorect[{number}]")
        regions = []
        for region in _objects(entry.get("ignore_regions"), f"{label}: ignore_regions"):
            corners = _objects(region.get("point"), f"{label}: ignore_regions: point")
            regions.append(
                np.array([[_first(p, axis, label) for axis in "xy"] for p in corners], np.float64).reshape(-1, 2)
            )
        names = _objects(entry.get("image"), f"{label}: image")
        name = names[0].get("name") if names else None
        if not isinstance(name, str):
            raise ValueError(f"{label}: image: name: expected the name of a file, got {shown(name)}")  # noqa: TRY004  # of the file
        labelled = entry.get("is_labeled") not in ([0], 0, False, [False])
        frames.append(make_frame(name, place, labelled, people, regions))
    return frames


def _add_2017(people: People, person: Mapping[str, Any], label: str) -> None:
    points, scores = np.zeros((len(JOINTS), 3)), np.full(len(JOINTS), np.nan)
    for listed in _objects(person.get("annopoints"), f"{label}: annopoints"):
        for point in _objects(listed.get("point"), f"{label}: point"):
            joint = as_integer_or_none(_first(point, "id", label))
            if joint is None or not 0 <= joint < len(JOINTS):
                raise ValueError(f"{label}: point: id: expected 0 to {len(JOINTS) - 1}, got {shown(joint)}")
            points[joint] = _first(point, "x", label), _first(point, "y", label), 1
            if "score" in point:
                scores[joint] = _first(point, "score", label)
    people.points.append(points)
    people.scores.append(scores)
    people.tracks.append(int(_first(person, "track_id", label)) if person.get("track_id") else -1)
    corners = [person.get(name) for name in ("x1", "y1", "x2", "y2")]
    x1, y1, x2, y2 = (
        [_first(person, name, label) for name in ("x1", "y1", "x2", "y2")] if all(corners) else [float("nan")] * 4
    )
    people.heads.append(HEAD_SHARE * float(np.hypot(x2 - x1, y2 - y1)))


def _objects(value: Any, label: str) -> list[dict[str, Any]]:
    """Return a list of objects; a single object is a list of one."""
    listed = [] if value is None else [value] if isinstance(value, dict) else value
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise ValueError(f"{label}: expected a list of objects, got {shown(value)}")
    return listed


def _first(entry: Mapping[str, Any], name: str, label: str) -> float:
    """Return a finite number, which the files of 2017 wrap in a list."""
    value: Any = entry.get(name)
    value = value[0] if isinstance(value, list) and len(value) == 1 else value
    if type(value) not in (int, float) or not abs(value) <= MAX_COORDINATE:
        raise ValueError(f"{label}: {name}: expected a number, got {shown(value)}")
    return float(value) if type(value) is float else value


def to_2017(content: Mapping[str, Any], path: PathLike) -> Entry:
    """Convert the annotations or the results of a sequence to the layout of 2017, which poseval also reads.

    Raises:
        ValueError: the file is not in the format.
    """
    layout = read_layout(content, path)
    joint_at = {place: joint for joint, place in enumerate(layout.places)}
    people: dict[int, list[Entry]] = {}
    for place, entry in enumerate(read_entries(content, "annotations", path)):
        label = f"{path}: annotations[{place}]"
        add_person(People(), entry, layout, label)  # checks the fields
        people.setdefault(read_integer(entry, "image_id", label), []).append(_person_2017(entry, joint_at))
    frames = []
    for place, image in enumerate(read_entries(content, "images", path)):
        number = read_integer(image, "id", f"{path}: images[{place}]")
        regions = [
            {"point": [{"x": [_plain(x)], "y": [_plain(y)]} for x, y in polygon]}
            for polygon in read_regions(image, f"{path}: image {number}")
        ]
        frames.append(
            {
                "image": [{"name": image.get("file_name")}],
                "imgnum": [place + 1],
                "ignore_regions": regions,
                "annorect": people.pop(number, []),
                "is_labeled": [int(image.get("is_labeled") is not False)],
            }
        )
    if people:
        raise ValueError(f"{path}: annotations: expected those of images of the file, got one of {min(people)}")
    return {"annolist": frames}


def _plain(value: float) -> float:
    return int(value) if float(value).is_integer() else float(value)


def _person_2017(entry: Mapping[str, Any], joint_at: Mapping[int, int]) -> Entry:
    values, scores = entry.get("keypoints") or [], entry.get("scores") or []
    points = []
    for place in range(len(values) // 3):
        x, y, v = values[3 * place : 3 * place + 3]
        if place in joint_at and (x, y, v) != (0, 0, 0):
            score = {"score": [scores[place]]} if scores else {}
            points.append({"id": [joint_at[place]], "x": [x], "y": [y], **score, "is_visible": [float(v)]})
    person: Entry = {"track_id": [entry.get("track_id")], "annopoints": [{"point": points}] if points else []}
    if entry.get("bbox_head"):
        x, y, w, h = entry["bbox_head"]
        person |= {"x1": [x], "x2": [x + w], "y1": [y], "y2": [y + h]}
    return person
