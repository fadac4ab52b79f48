"""Converts PoseTrack's files of 2018 to one file in COCO's format, and COCO results to PoseTrack's."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.data.coco_file import (
    MAX_COORDINATE,
    are_within,
    as_integer_or_none,
    read_entries,
    read_integer,
    read_numbers,
    shown,
)
from personlab.data.conversion import Converted, Oddities
from personlab.data.entries import MAX_SIDE
from personlab.data.posetrack import People, add_person, read_layout, read_regions
from personlab.data.posetrack_files import list_files, read_object

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from personlab.data.coco_file import PathLike
    from personlab.data.conversion import SizeOf

    Entry = dict[str, Any]

_AREA_SHARE = 0.53  # of a box: COCO's mean of outlines
_MIN_CORNERS = 3  # of a polygon


def convert_posetrack(path: PathLike, size_of: SizeOf, *, original: bool = False) -> Converted:
    """Convert the sequences of a folder, in the order of their names, to one file in COCO's format.

    All fields of images and annotations are kept; images get `width` and `height`, annotations `num_keypoints`, `area`
    and `iscrowd`. An annotation without box, or with one of size 0, gets the box around its labelled keypoints.
    Regions in which nothing is annotated become annotations with `iscrowd` 1, which losses and COCO's evaluation leave
    out: the ignored regions of a frame, and the whole of a frame that is not labelled.

    Args:
        path: the folder, or one file.
        size_of: (w, h) of the image of a name; called where an image has no `width` and `height`.
        original: as TF-SimpleHumanPose's converter: no regions, a box of zeros for an annotation without, which then
            may have no keypoints, `num_keypoints` as the sum of v, an area of w h, and `coco_url`.

    Raises:
        OSError: a file cannot be read.
        ValueError: a file is not in the format; the message names file, annotation and field.
    """
    odd = Oddities(path)
    images: dict[int, Entry] = {}
    annotations: list[Entry] = []
    regions: list[Entry] = []
    categories: Any = None
    for file, _ in list_files(path):
        content = read_object(file)
        own = read_entries(content, "categories", file)
        categories = own if categories is None else categories
        if own != categories:
            raise ValueError(f"{file}: categories: expected those of the other files, got others")
        layout = read_layout(content, file)
        for place, image in enumerate(read_entries(content, "images", file)):
            number = read_integer(image, "id", f"{file}: images[{place}]")
            if number in images:
                raise ValueError(f"{file}: image {number}: expected one image of this id, got two")
            images[number] = _image(image, f"{file}: image {number}", size_of, original)
            if not original:
                regions += _regions(images[number], layout.n_keypoints, f"{file}: image {number}", odd)
        for place, entry in enumerate(read_entries(content, "annotations", file)):
            label = f"{file}: annotations[{place}]"
            if read_integer(entry, "image_id", label) not in images:
                raise ValueError(f"{label}: image_id: expected an image of the file, got {entry['image_id']}")
            add_person(People(), entry, layout, label)  # checks the fields
            annotations.append(
                _original_annotation(entry, label) if original else _annotation(entry, layout.n_keypoints, label, odd)
            )
    if not original:
        _note_tracks(annotations, odd)
        annotations = _numbered(annotations, regions, odd)
    dataset = {"images": list(images.values()), "annotations": annotations, "categories": categories}
    return Converted(dataset, odd.notes())


def _image(image: Entry, label: str, size_of: SizeOf, original: bool) -> Entry:
    name = image.get("file_name")
    if not isinstance(name, str) or not name:
        raise ValueError(f"{label}: file_name: expected the name of a file, got {shown(name)}")
    if image.get("width") is None or image.get("height") is None:
        width, height = size_of(name)
    else:
        width, height = (read_integer(image, side, label, high=MAX_SIDE) for side in ("width", "height"))
    return {**image, "width": width, "height": height, **({"coco_url": "invalid"} if original else {})}


def _box(entry: Entry, label: str) -> list[float] | None:
    """Return a box x, y, w, h; None where there is none."""
    box = entry.get("bbox")
    if box in (None, []):
        return None
    numbers = read_numbers(box, f"{label}: bbox", "4 numbers x, y, w, h")
    if len(numbers) != 4 or not are_within(numbers, -MAX_COORDINATE, MAX_COORDINATE) or numbers[2:].min() < 0:
        raise ValueError(f"{label}: bbox: expected 4 numbers x, y, w, h, w and h not negative, got {numbers.tolist()}")
    return list(box or [])


def _annotation(entry: Entry, count: int, label: str, odd: Oddities) -> Entry:
    """Return a person with a box, and what COCO's format has beside it."""
    keypoints = entry.get("keypoints") or []
    labelled = np.array(keypoints, np.float64).reshape(-1, 3)
    labelled = labelled[labelled[:, 2] > 0, :2]
    box, name = _box(entry, label), label.rpartition(": ")[2]
    what = "without box" if box is None else "with a box of size 0" if box[2] * box[3] == 0 else ""
    if what and len(labelled):
        (x, y), (right, bottom) = labelled.min(axis=0).tolist(), labelled.max(axis=0).tolist()
        box = [x, y, right - x + 1, bottom - y + 1]  # from side to side of the pixels
        odd.add(f"people {what}, which is made of their keypoints", _short(label, name))
    elif what:
        box = entry.get("bbox_head") or None
        kind = "of size 0" if box is None else "which is that of their head"
        odd.add(f"people {what} and without keypoints: a box {kind}", _short(label, name))
    box = box or [0, 0, 0, 0]
    return {
        **entry,
        "keypoints": keypoints or [0] * 3 * count,
        "bbox": box,
        "num_keypoints": len(labelled),
        "iscrowd": 0,
        "area": _AREA_SHARE * box[2] * box[3],
    }


def _short(label: str, name: str) -> str:
    """Return the name of an entry with that of its file, without folders."""
    return f"{label.rpartition(': ')[0].rpartition('/')[2]} {name}"


def _original_annotation(entry: Entry, label: str) -> Entry:
    values, box = entry.get("keypoints") or [], _box(entry, label)
    total = sum(values[2::3])
    if box is None and total > 0:
        raise ValueError(f"{label}: bbox: expected one, as in the original, of a person with keypoints, got none")
    box = box or [0, 0, 0, 0]
    return {**entry, "num_keypoints": total, "iscrowd": 0, "bbox": box, "area": box[2] * box[3]}


def _regions(image: Entry, count: int, label: str, odd: Oddities) -> list[Entry]:
    """Return the regions of an image in which nothing is annotated, as crowds."""
    w, h = image["width"], image["height"]
    polygons = read_regions(image, label)
    if image.get("is_labeled") is False:
        polygons = [np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float64)]
    far = max(w, h)
    regions = []
    for polygon in polygons:
        corners = np.clip(polygon, -far, [w + far, h + far])  # outlines reach no farther
        if len(corners) < _MIN_CORNERS:
            odd.add("ignored regions of fewer than 3 corners left out", _short(label, label.rpartition(": ")[2]))
            continue
        (x, y), (right, bottom) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
        regions.append(
            {
                "image_id": image["id"],
                "category_id": 1,
                "iscrowd": 1,
                "segmentation": [corners.ravel().tolist()],
                "bbox": [x, y, right - x, bottom - y],
                "area": (right - x) * (bottom - y),
                "keypoints": [0] * 3 * count,
                "num_keypoints": 0,
            }
        )
    return regions


def _note_tracks(annotations: list[Entry], odd: Oddities) -> None:
    counts = Counter((a["image_id"], a["track_id"]) for a in annotations if a.get("track_id") is not None)
    for (image, track), count in counts.items():
        if count > 1:
            odd.add("times that people of a frame share a track id", f"{count} people of id {track} in image {image}")


def _numbered(annotations: list[Entry], regions: list[Entry], odd: Oddities) -> list[Entry]:
    """Return people, then regions, with ids that differ: those of the files, where these do."""
    ids = [as_integer_or_none(entry.get("id")) for entry in annotations]
    if None in ids or len(set(ids)) < len(ids) or min(ids, default=1) < 1:  # type: ignore[type-var, operator]
        odd.add("file in which annotations are numbered anew", "some have no id, or one that comes twice or is below 1")
        annotations = [{**entry, "id": number} for number, entry in enumerate(annotations, 1)]
    first = max((entry["id"] for entry in annotations), default=0) + 1
    return annotations + [{"id": number, **region} for number, region in enumerate(regions, first)]


def results_2018(truth: Mapping[str, Any], results: Iterable[Mapping[str, Any]]) -> Entry:
    """Return the file that poseval takes as results of a sequence: images and categories of the truth, and people.

    Args:
        truth: the sequence's file of annotations.
        results: COCO keypoint results of its images, with `track_id`; the score of a joint is its entry in `scores`,
            else the third number of its keypoint. Results of other images are left out.
    """
    numbers = {image["id"] for image in truth["images"]}
    annotations = [_result(one) for one in results if one["image_id"] in numbers]
    return {"images": truth["images"], "categories": truth["categories"], "annotations": annotations}


def _result(one: Mapping[str, Any]) -> Entry:
    values: Sequence[float] = one["keypoints"]
    scores = list(one.get("scores") or values[2::3])
    points = [value for x, y in zip(values[::3], values[1::3], strict=True) for value in (x, y, 1.0)]
    track = {"track_id": one["track_id"]} if one.get("track_id") is not None else {}
    return {"image_id": one["image_id"], "category_id": 1, **track, "keypoints": points, "scores": scores}
