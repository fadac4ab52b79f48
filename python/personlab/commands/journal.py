"""Results of a run as lines of JSON, written as they come, so that a run that was killed can go on."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import IO, TYPE_CHECKING, Any

from personlab.commands.flags import UsageError
from personlab.io.files import real_path
from personlab.io.locks import CAN_LOCK, try_lock
from personlab.io.results import STDOUT, decode_runs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from personlab.predict import Prediction

_FORMAT = 1  # of a line
_START = b'{"file":'  # of each line
_BLOCK = 1 << 20  # bytes read at once
# Flags that change neither results nor drawings: a run may go on with others.
_FREE = ("argv", "batch_size", "command", "device", "inputs", "json", "jsonl", "resume", "threads")


@dataclass
class Progress:
    """What a journal holds of one input."""

    frames: int = 0
    """lines: the frames of a video; 1 of an image"""

    next_id: int = 0
    """image_id after the last line's"""

    is_done: bool = False
    """whether the input is processed to its end"""

    start: int = 0
    """byte at which its last line begins"""


class Journal:
    """The lines of a run: one for each image, and for each frame of a video or a camera.

    Args:
        path: the file, `STDOUT`, or None for a temporary file.
        run: what `identify` makes of the command line; a part of each line.
        beside: the file of --json, if it is asked for; a temporary file lies beside it, where it has room.
        resume: go on with the lines of an earlier run, if the file exists.

    Raises:
        OSError: the file cannot be read or written.
        UsageError: the earlier run had other options or inputs.
        ValueError: the file is no journal, or another run writes it.
    """

    def __init__(self, path: str | None, run: str, *, beside: str | None = None, resume: bool = False) -> None:
        self._path, self._run, self._beside = path, run, beside
        self._file: IO[bytes] | None = None
        self.progress: dict[str, Progress] = {}
        """by input, what an earlier run wrote"""
        # Where lines cannot be read again, --json is made of a copy.
        self._passes_on = path == STDOUT or (path is not None and Path(path).exists() and not Path(path).is_file())
        if path is None or self._passes_on:
            if path is not None and Path(path).is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
            if beside is not None:
                self._file = _temporary(beside)
            return
        self._file = Path(path).open("r+b" if Path(path).exists() else "w+b")  # noqa: SIM115  # see `close`
        with contextlib.ExitStack() as stack:
            stack.callback(self.close)
            if CAN_LOCK and not try_lock(self._file.fileno()):
                raise ValueError(f"{path}: another run writes this file")
            self._file.truncate(self._scan(self._file) if resume else 0)
            stack.pop_all()
        self._file.seek(0, os.SEEK_END)

    def is_done(self, name: str) -> bool:
        """Return whether an input is processed to its end."""
        return name in self.progress and self.progress[name].is_done

    def add(self, record: dict[str, Any]) -> None:
        """Write a line.

        Raises:
            OSError: it cannot be written.
        """
        line = json.dumps({**record, "run": self._run}, separators=(",", ":")) + "\n"
        try:
            if self._path == STDOUT:
                sys.stdout.write(line)
                sys.stdout.flush()
            elif self._passes_on and self._path is not None:
                with Path(self._path).open("ab") as device:
                    device.write(line.encode())
            if self._file is not None:
                self._file.write(line.encode())
                self._file.flush()
        except OSError as error:
            raise OSError(error.errno, error.strerror, self._path or self._beside) from None

    def take_back(self, name: str) -> dict[str, Any] | None:
        """Remove the last line of the file and return it, if it is one of this input."""
        one = self.progress.get(name)
        if self._file is None or one is None or not one.frames:
            return None
        self._file.seek(one.start)
        line = self._file.read()
        if line.count(b"\n") != 1:  # other inputs follow
            self._file.seek(0, os.SEEK_END)
            return None
        self._file.seek(one.start)
        self._file.truncate()
        one.frames, one.next_id = one.frames - 1, one.next_id - 1
        return {key: value for key, value in json.loads(line).items() if key != "run"}

    def records(self, name: str | None = None) -> Iterator[dict[str, Any]]:
        """Yield the lines, or those of one input."""
        if self._file is None:
            return
        position, rest = 0, b""
        while True:
            self._file.seek(position)  # lines may be added in between
            block = self._file.read(_BLOCK)
            position += len(block)
            self._file.seek(0, os.SEEK_END)
            *lines, rest = (rest + block).split(b"\n")
            for line in lines:
                record = json.loads(line)
                if name is None or record["file"] == name:
                    yield record
            if not block:
                return

    def keypoints(self) -> Iterator[dict[str, Any]]:
        """Yield COCO keypoint results of all lines, as `Poses.to_coco` makes them."""
        for record in self.records():
            for person in record["people"]:
                yield {
                    "image_id": record["image_id"],
                    "category_id": 1,
                    "keypoints": person["keypoints"],
                    "score": person["score"],
                    **_track(person),
                }

    def masks(self) -> Iterator[dict[str, Any]]:
        """Yield COCO segmentation results of all lines, as `Prediction.masks_to_coco` makes them."""
        for record in self.records():
            for person in record["people"]:
                yield {
                    "image_id": record["image_id"],
                    "category_id": 1,
                    "segmentation": person["mask"],
                    "score": person["mask_score"],
                    **_track(person),
                }

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            with contextlib.suppress(OSError):  # of a line that did not fit on the disk, which `add` has raised
                self._file.close()
            self._file = None

    def _scan(self, file: IO[bytes]) -> int:
        """Read what an earlier run wrote; return the byte after its last whole line."""
        end = 0
        for number, line in enumerate(iter(file.readline, b""), 1):
            written = line.rstrip(b"\0")  # which a file system may add to the end that a power cut left
            is_half = not line.endswith(b"\n") and written.startswith(_START[: len(written)])
            if is_half:  # the run was killed while it wrote this line
                break
            record = _record(line)
            if record is None:
                raise ValueError(f"{self._path}: expected a result of predict in line {number}, got something else")
            self._check_run(record["run"])
            one = self.progress.setdefault(record["file"], Progress())
            if record["frame"] not in (None, one.frames):
                raise ValueError(
                    f"{self._path}: expected frame {one.frames} of {record['file']} in line {number}, "
                    f"got {record['frame']}"
                )
            one.frames, one.next_id, one.start = one.frames + 1, record["image_id"] + 1, end
            one.is_done = record["frame"] is None or record.get("last", False)
            end = file.tell()
        return end

    def _check_run(self, run: str) -> None:
        if run == self._run:
            return
        own, other = self._run.split("-"), run.split("-")
        what = "options" if own[1:2] != other[1:2] else "inputs"
        if own[0] != other[0]:
            raise UsageError(f"--resume: {self._path} comes from another version of personlab: write to another file")
        raise UsageError(
            f"--resume: {self._path} comes from a run with other {what}: give the same, or write to another file"
        )


def identify(config: Any, names: list[str]) -> str:
    """Return what two command lines have in common whose results may stand in one journal."""
    options = {key: value for key, value in config.as_dict().items() if key not in _FREE}
    if not options.get("track"):  # as the lines of versions without tracking
        options = {key: value for key, value in options.items() if key not in ("track", "tracking")}
    options = {
        key: {name: one for name, one in value.items() if name not in _FREE} if isinstance(value, dict) else value
        for key, value in options.items()
    }
    parts = (json.dumps(options, sort_keys=True, default=str), json.dumps(names))
    return "-".join([str(_FORMAT), *(hashlib.sha256(part.encode()).hexdigest()[:12] for part in parts)])


def make_record(
    name: str, prediction: Prediction, image_id: int, *, frame: int | None = None, time: float | None = None
) -> dict[str, Any]:
    """Return the line of an image, or of a frame and its time in seconds."""
    poses = prediction.poses
    people: list[dict[str, Any]] = [
        {
            "score": result["score"],
            "box": [round(float(value), 4) for value in box],
            "keypoints": result["keypoints"],
            "probabilities": [round(float(value), 4) for value in probabilities],
            **_track(result),
        }
        for result, box, probabilities in zip(
            prediction.to_coco(image_id), poses.boxes, poses.keypoint_probabilities, strict=True
        )
    ]
    if prediction.masks is not None:
        for person, result in zip(people, prediction.masks_to_coco(image_id), strict=True):
            person["mask"], person["mask_score"] = result["segmentation"], result["score"]
    record = _line(name, image_id, frame, time)
    record["size"] = list(prediction.image_size)
    record["people"] = people
    if prediction.damage:
        record["damage"] = prediction.damage
    return record


def make_failure(name: str, reason: str, image_id: int, frame: int, time: float) -> dict[str, Any]:
    """Return the line of a frame that could not be predicted."""
    return {**_line(name, image_id, frame, time), "size": None, "people": [], "error": reason}


def restore(record: dict[str, Any], predictor: Any) -> Prediction:
    """Return the prediction of a line, for drawing."""
    import numpy as np

    from personlab.poses import Poses
    from personlab.predict import Prediction

    people, count = record["people"], predictor.skeleton.n_keypoints
    triples = np.array([person["keypoints"] for person in people], np.float32).reshape(-1, count, 3)
    masks = None
    if people and "mask" in people[0]:
        sizes = [tuple(person["mask"]["size"]) for person in people]
        masks = np.array(
            [decode_runs(person["mask"]["counts"], size) for person, size in zip(people, sizes, strict=True)]
        )
    return Prediction(
        poses=Poses(
            np.ascontiguousarray(triples[..., :2]),
            np.ascontiguousarray(triples[..., 2]),
            np.array([person["score"] for person in people], np.float32),
            np.array([person["probabilities"] for person in people], np.float32).reshape(-1, count),
        ),
        masks=masks,
        image_size=tuple(record["size"] or (0, 0)),
        skeleton=predictor.skeleton,
    )


def _track(result: dict[str, Any]) -> dict[str, Any]:
    """Return the entry of the identity, if people are tracked."""
    return {"track_id": result["track_id"]} if "track_id" in result else {}


def _temporary(beside: str) -> IO[bytes]:
    folder = None if beside == STDOUT else real_path(beside).parent
    with contextlib.suppress(OSError):  # beside a device, say
        if folder is not None:
            return tempfile.TemporaryFile(dir=folder)
    return tempfile.TemporaryFile()


def _line(name: str, image_id: int, frame: int | None, time: float | None) -> dict[str, Any]:
    seconds = None if time is None else round(time, 6)
    return {"file": name, "frame": frame, "time": seconds, "image_id": image_id}


def _record(line: bytes) -> dict[str, Any] | None:
    """Return the record of a line; None if it is none."""
    try:
        record = json.loads(line, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    kinds = {"file": str, "run": str, "image_id": int, "people": list}
    if not _has(record, kinds) or type(record.get("frame", "")) not in (int, NoneType):
        return None
    size = record.get("size")
    has_size = _is_size(size) or (size is None and not record["people"])  # of a frame that could not be predicted
    return record if has_size and all(map(_is_person, record["people"])) else None


def _is_person(value: Any) -> bool:
    if not _has(value, {"score": float, "keypoints": list, "probabilities": list}):
        return False
    numbers, count = [*value["keypoints"], *value["probabilities"]], len(value["probabilities"])
    if not count or len(numbers) != 4 * count or not all(type(number) in (int, float) for number in numbers):
        return False
    if "mask" not in value:
        return True
    mask = value["mask"]
    return (
        _has(value, {"mask": dict, "mask_score": float})
        and _has(mask, {"counts": str, "size": list})
        and _is_size(mask["size"])
    )


def _is_size(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(type(side) is int and side > 0 for side in value)


def _refuse(constant: str) -> None:
    raise ValueError(f"expected a finite number, got {constant}")


def _has(value: Any, kinds: dict[str, type]) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(key), kind) for key, kind in kinds.items())
