"""Reads the annotations of MPII Human Pose, a MATLAB file, as people in COCO's format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from personlab.data.coco_file import MAX_COORDINATE
from personlab.data.conversion import Converted, Oddities
from personlab.data.mat_file import read_mat

if TYPE_CHECKING:
    from collections.abc import Iterator

    from personlab.data.coco_file import PathLike
    from personlab.data.conversion import SizeOf

    Entry = dict[str, Any]

Split = Literal["train", "test"]

KEYPOINTS = (
    "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "pelvis", "thorax", "upper_neck",
    "head_top", "right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist",
)  # fmt: skip
"""The names of MPII's joints 0 to 15."""

_ORIGINAL_KEYPOINTS = (
    "r_ankle", "r_knee", "r_hip", "l_hip", "l_knee", "l_ankle", "pelvis", "throax", "upper_neck", "head_top", "r_wrist",
    "r_elbow", "r_shoulder", "l_shoulder", "l_elbow", "l_wrist",
)  # fmt: skip
_EDGES = (
    (0, 1), (1, 2), (2, 6), (7, 12), (12, 11), (11, 10), (5, 4), (4, 3), (3, 6), (7, 13), (13, 14), (14, 15), (6, 7),
    (7, 8), (8, 9),
)  # fmt: skip
_GROWN = 1.2  # of the box around the joints, about its middle
_AREA_SHARE = 0.53  # of a box: COCO's mean of outlines
_SCALE_UNIT = 200  # pixels: a person's height is about `scale` times that


def convert_mpii(path: PathLike, size_of: SizeOf, *, split: Split = "train", original: bool = False) -> Converted:
    """Convert the images of one split, and their people, to COCO's format.

    Pixel centres are at integers from 0 (the file counts from 1), edges count keypoints from 1, as COCO's do. Every
    person is kept: those without joints have a box of the size and at the place that the file gives, and no keypoints.
    A joint has v = 1 where it is marked as hidden, else 2. A person also has `bbox_head` (x, y, w, h), `center` and
    `scale`, where the file has them.

    Args:
        path: the release's .mat file.
        size_of: (w, h) of the image of a name; called for each image of the split.
        split: which images.
        original: as TF-SimpleHumanPose's converter: coordinates from 1, edges from 0, one name misspelled, v = 1, no
            people in test images, none with joints in a column of pixels, boxes 2 pixels smaller.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no such file; the message names the entry.
    """
    (release,) = _structs({"RELEASE": read_mat(path, "RELEASE")[:1] or [None]}, "RELEASE", f"{path}: MATLAB file")
    entries, flags = _structs(release, "annolist", str(path)), release.get("img_train", [])
    if len(flags) != len(entries):
        raise ValueError(f"{path}: RELEASE.img_train: expected {len(entries)} flags, got {len(flags)}")
    people_of = _original_people if original else _people
    images: list[Entry] = []
    annotations: list[Entry] = []
    odd = Oddities(path)
    for number, (entry, is_train) in enumerate(zip(entries, flags, strict=True)):
        label = f"{path}: annolist[{number}]"
        listed = _structs(entry, "annorect", label)
        if bool(is_train) != (split == "train"):
            continue
        if not listed:
            odd.add("images without annorect left out", f"annolist[{number}]")
            continue
        names = _structs(entry, "image", label)
        name = _text(names[0], "name", f"{label}.image") if names else ""
        if not name or "/" in name or "\\" in name:
            raise ValueError(f"{label}.image.name: expected the name of a file, got {name or 'none'}")
        width, height = size_of(name)
        file_name = f"images/{name}" if original else name
        images.append({"id": number, "file_name": file_name, "width": width, "height": height})
        if original and split == "test":
            continue
        for person in people_of(listed, label, odd):
            annotations.append({"id": len(annotations) + (not original), "image_id": number, **person})
    dataset = {"images": images, "annotations": annotations, "categories": [_category(original)]}
    return Converted(dataset, odd.notes())


def _category(original: bool) -> Entry:
    first = 0 if original else 1  # number of the first keypoint
    return {
        "supercategory": "person",
        "id": 1,
        "name": "person",
        "skeleton": [[a + first, b + first] for a, b in _EDGES],
        "keypoints": list(_ORIGINAL_KEYPOINTS if original else KEYPOINTS),
    }


def _people(listed: list[Entry], label: str, odd: Oddities) -> Iterator[Entry]:
    """Yield the people of an image; what is odd about them goes to `odd`, by kind."""
    image = label.rpartition(": ")[2]
    for place, person in enumerate(listed):
        own = f"{label}.annorect[{place}]"
        keypoints, hidden, repeated = _joints(person, own)
        labelled = keypoints[:, 2] > 0
        keypoints[labelled, :2] -= 1
        keypoints[labelled & ~hidden, 2] = 2
        more = _place_of(person, own)
        box = _box_of(keypoints[labelled, :2], more, odd, f"{image}.annorect[{place}]")
        if repeated:
            odd.add("people with a joint twice, of which the last counts", f"{image}.annorect[{place}]")
        yield {
            "category_id": 1,
            "area": _AREA_SHARE * box[2] * box[3],
            "bbox": box,
            "iscrowd": 0,
            "keypoints": keypoints.ravel().tolist(),
            "num_keypoints": int(labelled.sum()),
            **more,
        }


def _place_of(person: Entry, label: str) -> Entry:
    """Return `bbox_head`, `center` and `scale` of a person, as far as the file has them, in pixels from 0."""
    more: Entry = {}
    corners = _numbers(person, ("x1", "y1", "x2", "y2"), label)
    if corners:
        x1, y1, x2, y2 = corners
        more["bbox_head"] = [x1 - 1, y1 - 1, x2 - x1, y2 - y1]
    middles = _structs(person, "objpos", label)
    middle = _numbers(middles[0], ("x", "y"), f"{label}.objpos") if middles else []
    if middle:
        more["center"] = [value - 1 for value in middle]
    scale = _number(person, "scale", label)
    if scale is not None:
        more["scale"] = scale
    return more


def _box_of(points: Any, more: Entry, odd: Oddities, label: str) -> list[float]:
    """Return the box x, y, w, h of a person: around the joints, else where the file places the person, else zeros."""
    if len(points):
        (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
        w, h = right - left + 1, bottom - top + 1  # from side to side of the pixels
        if len(points) == 1:
            odd.add("people with one joint: a box around it alone", label)
        x, y = (left + right - _GROWN * w) / 2, (top + bottom - _GROWN * h) / 2
        return [float(x), float(y), float(_GROWN * w), float(_GROWN * h)]
    if "center" in more and more.get("scale", 0) > 0:
        side = _SCALE_UNIT * more["scale"]
        odd.add("people without joints: a box by their center and scale", label)
        return [more["center"][0] - side / 2, more["center"][1] - side / 2, side, side]
    if "bbox_head" in more and min(more["bbox_head"][2:]) > 0:
        odd.add("people without joints: the box of their head", label)
        return list(more["bbox_head"])
    odd.add("people with neither joints nor a place: a box of size 0", label)
    return [0.0] * 4


def _original_people(listed: list[Entry], label: str, odd: Oddities) -> Iterator[Entry]:
    """Yield the people of an image as the original converter does; those whom it drops go to `odd`."""
    for place, person in enumerate(listed):
        own = f"{label}.annorect[{place}]"
        keypoints, _, _ = _joints(person, own)
        points = keypoints[keypoints[:, 2] > 0, :2]
        (left, top), (right, bottom) = (points.min(axis=0), points.max(axis=0)) if len(points) else ((0, 0), (0, 0))
        w, h = right - left - 1, bottom - top - 1
        if w <= 0 or h <= 0:
            odd.add("people left out whose joints span no box", own.rpartition(": ")[2])
            continue
        middle, w, h = ((left + right) / 2, (top + bottom) / 2), w * _GROWN, h * _GROWN
        yield {
            "category_id": 1,
            "area": float(w * h),
            "bbox": [float(middle[0] - w / 2), float(middle[1] - h / 2), float(w), float(h)],
            "iscrowd": 0,
            "keypoints": keypoints.ravel().tolist(),
            "num_keypoints": len(points),
        }


def _joints(person: Entry, label: str) -> tuple[Any, Any, bool]:
    """Return (16, 3) x, y as in the file and 1 where annotated, (16,) whether hidden, and whether one comes twice."""
    keypoints, hidden, repeated = np.zeros((len(KEYPOINTS), 3)), np.zeros(len(KEYPOINTS), bool), False
    lists = _structs(person, "annopoints", label)
    points = _structs(lists[0], "point", f"{label}.annopoints") if lists else []
    for number, point in enumerate(points):
        own = f"{label}.annopoints.point[{number}]"
        joint, place = _number(point, "id", own), _numbers(point, ("x", "y"), own)
        if joint is None or joint not in range(len(KEYPOINTS)):
            got = "none" if joint is None else f"{joint:g}"
            raise ValueError(f"{own}.id: expected 0 to {len(KEYPOINTS) - 1}, got {got}")
        if not place:
            raise ValueError(f"{own}: expected x and y, got none")
        k = int(joint)
        repeated |= bool(keypoints[k, 2])
        keypoints[k] = [*place, 1]
        hidden[k] = _number(point, "is_visible", own) == 0
    return keypoints, hidden, repeated


def _structs(owner: Entry, name: str, label: str) -> list[Entry]:
    """Return the structs in a field; none where it is empty or missing."""
    values = owner.get(name, [])
    if not all(isinstance(value, dict) for value in values):
        raise ValueError(f"{label}.{name}: expected structs, got another value")
    return list(values)


def _text(owner: Entry, name: str, label: str) -> str:
    values = owner.get(name, [""])
    if len(values) != 1 or not isinstance(values[0], str):
        raise ValueError(f"{label}.{name}: expected text, got another value")
    return values[0]


def _number(owner: Entry, name: str, label: str) -> float | None:
    """Return a number, which may be written as text; None where it is empty or missing.

    Raises:
        ValueError: another value, or one that is not finite.
    """
    values = owner.get(name, [])
    if not values:
        return None
    try:
        number = float(values[0]) if len(values) == 1 else float("nan")
    except (TypeError, ValueError):
        number = float("nan")
    if not abs(number) <= MAX_COORDINATE:
        got = f"{len(values)} values" if len(values) != 1 else repr(values[0])[:40]
        raise ValueError(f"{label}.{name}: expected one number, got {got}")
    return number


def _numbers(owner: Any, names: tuple[str, ...], label: str) -> list[float]:
    """Return several numbers; none where one of them is empty or missing."""
    numbers = [_number(owner, name, label) for name in names]
    return [number for number in numbers if number is not None] if None not in numbers else []
