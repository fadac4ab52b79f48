"""Reads sequences of PoseTrack: JSON files of 2018 or 2017, one file in COCO's format, or COCO results."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from personlab.data.coco_file import read_entries, read_integer, read_json, shown
from personlab.data.posetrack import People, add_person, make_frame, names_of, read_2018, sequence_of
from personlab.data.posetrack_2017 import read_2017

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from personlab.data.coco_file import PathLike
    from personlab.data.posetrack import Frame, Layout, Sequences


def read_sequences(path: PathLike) -> Sequences:
    """Read the sequences of a folder of JSON files, or of one file.

    The files of a folder are named after their sequences; one file may hold several (`sequence_of`).

    Raises:
        OSError: a file cannot be read.
        ValueError: a file is not in the format; the message names file, annotation and field.
    """
    sequences: Sequences = {}
    for file, name in list_files(path):
        content = read_object(file)
        if "annolist" in content:
            frames = read_2017(content, file)
            parts = {sequence_of({"file_name": frames[0].name}): frames} if frames else {}
        else:
            parts = read_2018(content, file)
        if Path(path).is_dir():
            parts = {name: [frame for frames in parts.values() for frame in frames]}
        sequences |= parts
    return sequences


def list_files(path: PathLike) -> list[tuple[Path, str]]:
    """Return the JSON files of a folder, or one file, in the order of their names, each with its sequence's name.

    Raises:
        FileNotFoundError: no such file, or a folder without JSON files.
    """
    path = Path(path)
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not files:
        raise FileNotFoundError(f"{path}: expected JSON files, a file a sequence, got none")
    return [(file, file.stem) for file in files]


def read_object(path: PathLike) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        OSError: the file cannot be read.
        ValueError: it holds no JSON object.
    """
    try:
        return read_json(path)
    except RecursionError:
        raise ValueError(f"{path}: expected annotations, got JSON nested too deep") from None


def split_file(path: PathLike) -> dict[str, dict[str, Any]]:
    """Return images and categories of each sequence of a folder or a file of 2018.

    Raises:
        OSError: a file cannot be read.
        ValueError: a file is not in the format of 2018.
    """
    sequences: dict[str, dict[str, Any]] = {}
    for file, name in list_files(path):
        content = read_object(file)
        for image in read_entries(content, "images", file):
            own = name if Path(path).is_dir() else sequence_of(image)
            one = sequences.setdefault(own, {"images": [], "categories": read_entries(content, "categories", file)})
            one["images"].append(image)
    return sequences


def keypoint_names_of(path: PathLike) -> Sequence[str]:
    """Return the names of the keypoints of a folder or a file: PoseTrack's where a file has none.

    Raises:
        OSError: a file cannot be read.
        ValueError: a file is not in the format.
    """
    return names_of(read_object(list_files(path)[0][0]))


def is_list(path: PathLike) -> bool:
    """Return whether a path is a file that holds a JSON list, as COCO results do.

    Raises:
        OSError: it cannot be read.
    """
    if Path(path).is_dir():
        return False
    with Path(path).open("rb") as file:
        return file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")


def repeated_tracks(sequences: Sequences) -> list[tuple[str, Frame, int]]:
    """Return (sequence, frame, track id) of each id that two people of a frame share."""
    return [
        (name, frame, track)
        for name, frames in sequences.items()
        for frame in frames
        for track, count in Counter(frame.tracks).items()
        if count > 1 and track >= 0
    ]


def frames_of_results(results: Iterable[Any], truth: Sequences, path: PathLike, layout: Layout) -> Sequences:
    """Sort COCO keypoint results into the frames of the truth, by image id.

    The score of a joint is its entry in `scores`, else the third number of its keypoint.

    Raises:
        ValueError: a result is not in the format, or is of an image that the truth does not have.
    """
    frames = {frame.image_id: frame for listed in truth.values() for frame in listed}
    people = {number: People() for number in frames}
    for place, entry in enumerate(results):
        label = f"{path}: results[{place}]"
        if not isinstance(entry, dict):
            raise ValueError(f"{label}: expected an object, got {shown(entry)}")  # noqa: TRY004  # of the file
        number = read_integer(entry, "image_id", label)
        if number not in people:
            raise ValueError(f"{label}: image_id: expected an image of the annotations, got {number}")
        add_person(people[number], entry, layout, label)
        if not entry.get("scores"):
            people[number].scores[-1] = people[number].points[-1][:, 2]
    return {
        name: [
            make_frame(frame.name, frame.image_id, frame.labelled, people[frame.image_id], frame.ignored)
            for frame in listed
        ]
        for name, listed in truth.items()
    }
